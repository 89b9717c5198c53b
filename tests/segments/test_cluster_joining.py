"""Becoming a member: whom a joiner asks, and what it is told."""

from segment_fixtures import Wire, joining_of, leading_raft, member, raft_of, settings

from walrus.core.actions import SendToAddress, SetPeerAddress
from walrus.core.codec import decode_message
from walrus.core.joining import COMPLAIN_NS, KNOWS_NONE, RETRY_NS, TRY_AGAIN
from walrus.core.peer import JoinReply, JoinRequest

REQUEST = JoinRequest(*member(4), "node4:6001")


class Joiner:
    """Node 4 was told of ``addresses``."""

    def __init__(self, *addresses: str) -> None:
        self.wire = Wire(4)
        self.wire.out.cluster = 0
        self.joining = joining_of(self.wire.out, settings(4, join=addresses), raft_of(4, ()))

    def asked(self) -> list[str]:
        """The addresses asked since the last call, each with this node's request."""
        assert self.wire.sent() == []
        found = []
        for action in self.wire.others:
            assert isinstance(action, SendToAddress)
            decoded = decode_message(action.data)
            assert decoded is not None
            assert decoded[1] == REQUEST
            found.append(action.address)
        self.wire.others.clear()
        return found


def test_a_joiner_asks_one_address_after_the_other() -> None:
    bench = Joiner("a:1", "b:1")
    asked = []
    for tick in range(3):
        bench.joining.tick(tick * RETRY_NS)
        bench.joining.tick(tick * RETRY_NS + 1)
        asked += bench.asked()
    assert asked == ["a:1", "b:1", "a:1"]


def test_a_node_that_was_told_of_no_cluster_asks_nobody() -> None:
    bench = Joiner()
    bench.joining.tick(0)
    assert (bench.asked(), bench.joining.has_targets) == ([], False)


def test_a_joiner_sent_on_to_the_leader_asks_it_at_once() -> None:
    bench = Joiner("a:1", "b:1")
    bench.joining.tick(0)
    bench.asked()
    assert bench.joining.answered(JoinReply(7, 3, "leader:1", TRY_AGAIN), 10) == 0
    bench.joining.tick(10)
    assert bench.asked() == ["leader:1"]


def test_a_joiner_adopts_the_cluster_that_accepts_it() -> None:
    bench = Joiner("a:1")
    assert bench.joining.answered(JoinReply(7, 1, "a:1", ""), 0) == 7


def test_a_refusal_is_kept_for_the_operator_who_hears_of_it_in_time() -> None:
    bench = Joiner("a:1")
    assert bench.joining.answered(JoinReply(7, 1, "a:1", "node 4 is already a member"), 0) == 0
    bench.joining.tick(COMPLAIN_NS - 1)
    bench.asked()
    bench.joining.tick(COMPLAIN_NS + RETRY_NS)
    bench.asked()
    assert bench.wire.lines == [
        (
            "warn",
            "Node 4: Failed to join cluster through a:1 so far: node 4 is already a member; still trying",
        )
    ]


def test_a_member_that_votes_asks_no_more() -> None:
    wire = Wire(2)
    joining = joining_of(wire.out, settings(2, join=("a:1",)), raft_of(2, (1, 2, 3)))
    joining.tick(10 * COMPLAIN_NS)
    assert (wire.sent(), wire.others) == ([], [])
    assert joining.answered(JoinReply(9, 1, "a:1", ""), 0) == 0


def test_the_leader_takes_the_joiner_as_a_learner_once() -> None:
    wire = Wire(1)
    raft = leading_raft(1, (1,))
    joining = joining_of(wire.out, settings(1), raft)
    joining.requested(REQUEST, 0)
    joining.requested(REQUEST, 0)
    assert wire.sent() == [(4, JoinReply(7, 1, "node1:6001", ""))] * 2
    assert wire.others == [SetPeerAddress(4, "node4:6001")] * 2
    assert raft.membership.learners == (4,)


def test_a_member_that_does_not_know_the_leader_says_to_try_again() -> None:
    wire = Wire(2)
    joining = joining_of(wire.out, settings(2), raft_of(2, (1, 2, 3)))
    joining.requested(REQUEST, 0)
    assert wire.sent() == [(4, JoinReply(7, 0, "", TRY_AGAIN))]


def test_a_node_that_belongs_to_no_cluster_says_so_to_a_joiner() -> None:
    bench = Joiner("a:1")
    bench.joining.requested(REQUEST, 0)
    assert (bench.wire.sent(), bench.wire.others) == ([(4, JoinReply(0, 0, "", KNOWS_NONE))], [])
