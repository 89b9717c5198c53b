"""SET and DELETE are answered once no node can serve any more as if they had not been applied."""

from segment_fixtures import TOPIC, Wire, commit_all, leading_raft, settings

from walrus.core.config import MS
from walrus.core.lease import LeaseTable
from walrus.core.metadata.commands import ConfigureTopic, RegisterNode, RemoveTopic, encode
from walrus.core.peer import HeartbeatReply, Propose, ProposeReply
from walrus.core.proposals import Proposals

LAPSED_NS = 450 * MS  # one lease and its margin


class Deciding:
    """Node 1 leads; node 2 asked for a command, which node 1 alone has applied so far."""

    def __init__(self, command: bytes, reason: str = "") -> None:
        self.wire = Wire(1)
        self.raft = leading_raft(1, (1, 2, 3))
        self.leases = LeaseTable(settings(1))
        self.leases.elected(0)
        self.proposals = Proposals(self.wire.out, self.raft)
        self._heard = 0
        self.proposals.requested(2, Propose(7, command), 0)
        commit_all(self.raft)
        self.index = self.raft.applied_index
        self.proposals.committed(self.index, self.raft.term, reason)

    def answers(self, now_ns: int) -> list[tuple[int, object]]:
        self.proposals.settle(self.leases, now_ns)
        return list(self.wire.sent())

    def hears(self, node: int, now_ns: int, commit: int) -> None:
        """A node answers a heartbeat, and says what it has applied."""
        self._heard += 1
        self.raft.step(node, HeartbeatReply(self.raft.term, self._heard, commit), now_ns)
        self.leases.answered(node, now_ns)


def test_what_moves_no_topic_is_answered_at_once() -> None:
    deciding = Deciding(encode(RegisterNode(2, 1002, 1, "n:1", "n:2")))
    assert deciding.answers(0) == [(2, ProposeReply(7, deciding.index, True, ""))]


def test_a_deletion_is_answered_once_every_node_has_applied_it() -> None:
    deciding = Deciding(encode(RemoveTopic(TOPIC, 1)))
    assert deciding.answers(1) == []
    deciding.hears(2, 1, deciding.index)
    deciding.hears(3, 1, deciding.index - 1)
    assert deciding.answers(2) == []
    deciding.hears(3, 2, deciding.index)
    assert deciding.answers(3) == [(2, ProposeReply(7, deciding.index, True, ""))]
    assert deciding.answers(4) == []


def test_a_refusal_is_held_as_well_for_it_may_repeat_what_another_leader_applied() -> None:
    deciding = Deciding(encode(ConfigureTopic(TOPIC, 1, 0, retention_ms=5)), "settings have version 1, not 0")
    assert deciding.answers(1) == []
    for node in (2, 3):
        deciding.hears(node, 1, deciding.index)
    assert deciding.answers(2) == [(2, ProposeReply(7, deciding.index, False, "settings have version 1, not 0"))]


def test_a_node_whose_lease_has_lapsed_is_not_waited_for_and_gets_none_before_it_has_applied_it() -> None:
    deciding = Deciding(encode(RemoveTopic(TOPIC, 1)))
    deciding.hears(2, 1, deciding.index)
    assert deciding.answers(LAPSED_NS - 1) == []
    deciding.hears(2, LAPSED_NS, deciding.index)
    assert len(deciding.answers(LAPSED_NS)) == 1
    late = deciding.raft.progress[3]
    assert not late.may_hold_lease
    deciding.hears(3, LAPSED_NS, deciding.index)
    assert late.may_hold_lease


def test_a_leader_that_lost_its_office_answers_nothing_more() -> None:
    deciding = Deciding(encode(RemoveTopic(TOPIC, 1)))
    deciding.raft.step(3, HeartbeatReply(deciding.raft.term + 1, 1, 0), 1)
    assert deciding.answers(LAPSED_NS) == []
