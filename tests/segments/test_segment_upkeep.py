"""The Raft leader keeps sealed segments copied."""

from segment_fixtures import TOPIC, Wire, leading_raft, member, members, metadata_with, proposed, sealed, settings

from walrus.core.config import SECOND
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import SEALED, ChangeSet
from walrus.core.segment.messages import Hold, Holding
from walrus.core.segment.upkeep import CHANGES_MAX, GIVE_UP_NS, RESEND_NS, Upkeep

HOLD = Hold(TOPIC, 1, 5, 2)
CHANGE = ChangeSet(TOPIC, 1, SEALED, 0, 1, members(1, 2, 3))


class Keeping:
    """Node 1 leads; ``copies`` hold the sealed segment 1 of 5 records."""

    def __init__(self, *copies: int, live: tuple[int, ...] = (1, 2, 3), nodes: tuple[int, ...] = (1, 2, 3)) -> None:
        self.wire = Wire(1)
        self.metadata = metadata_with(*nodes, copies=copies)
        self.segment = sealed(self.metadata, 5)
        self.raft = leading_raft(1, nodes)
        self.liveness = Liveness(0)
        self.liveness.told(live, 0)
        self.upkeep = Upkeep(self.wire.out, settings(1), self.metadata, self.raft, self.liveness)

    def holding(self, node: int, version: int = 2) -> None:
        self.upkeep.answered(member(node), Holding(TOPIC, 1, version), 0)


def test_every_member_of_the_wanted_set_is_asked_to_hold_all_counted_records() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    assert bench.wire.sent() == [(1, HOLD), (2, HOLD), (3, HOLD)]


def test_a_full_set_is_left_as_it_is() -> None:
    bench = Keeping(1, 2, 3)
    bench.upkeep.tick(0)
    assert bench.wire.sent() == []


def test_the_change_is_proposed_once_a_quorum_of_the_wanted_set_holds_all() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    bench.holding(1)
    bench.holding(1)
    assert proposed(bench.raft) == []
    bench.holding(3)
    bench.holding(2)
    assert proposed(bench.raft) == [CHANGE]


def test_an_answer_for_another_version_or_from_a_stranger_does_not_count() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    bench.holding(1)
    bench.holding(2, version=3)
    bench.holding(4)
    bench.upkeep.answered((2, 4711), Holding(TOPIC, 1, 2), 0)
    assert proposed(bench.raft) == []


def test_who_has_not_answered_is_asked_again() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    bench.wire.sent()
    bench.holding(1)
    bench.upkeep.tick(RESEND_NS - 1)
    assert bench.wire.sent() == []
    bench.upkeep.tick(RESEND_NS)
    assert bench.wire.sent() == [(2, HOLD), (3, HOLD)]


def test_a_proposal_without_an_outcome_is_made_again_the_same() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    bench.holding(1)
    bench.holding(2)
    bench.upkeep.tick(RESEND_NS)
    assert proposed(bench.raft) == [CHANGE, CHANGE]
    assert bench.metadata.apply(CHANGE) == ""
    assert bench.metadata.apply(CHANGE) == "replica set of logs:1 has version 2, not 1"


def test_a_change_that_applied_is_done() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    bench.holding(1)
    bench.holding(2)
    bench.wire.sent()
    bench.metadata.apply(CHANGE)
    bench.upkeep.changed(TOPIC, bench.segment)
    bench.upkeep.tick(RESEND_NS)
    assert (bench.wire.sent(), proposed(bench.raft)) == ([], [CHANGE])


def test_a_member_is_replaced_only_after_it_has_been_gone_for_long() -> None:
    bench = Keeping(1, 2, 3, live=(1, 2, 4), nodes=(1, 2, 3, 4))
    bench.upkeep.tick(0)
    assert bench.wire.sent() == []
    bench.upkeep.tick(30 * SECOND)
    assert [to for to, _ in bench.wire.sent()] == [1, 2, 4]


def test_nothing_is_begun_while_no_member_lives_to_copy_from() -> None:
    bench = Keeping(3, live=(1, 2))
    bench.upkeep.tick(60 * SECOND)
    assert bench.wire.sent() == []


def test_a_change_that_comes_to_nothing_is_given_up() -> None:
    bench = Keeping(1)
    bench.upkeep.tick(0)
    bench.liveness.told((1,), 0)
    bench.wire.sent()
    bench.upkeep.tick(GIVE_UP_NS)
    bench.wire.sent()
    bench.holding(1)
    bench.holding(2)
    assert proposed(bench.raft) == []


def test_only_a_few_segments_change_at_a_time() -> None:
    bench = Keeping(1)
    for _ in range(2 * CHANGES_MAX):
        sealed(bench.metadata, 5)
    bench.upkeep.tick(0)
    asked = {message.segment for _, message in bench.wire.sent() if isinstance(message, Hold)}
    assert len(asked) == CHANGES_MAX


def test_a_change_whose_new_member_has_gone_makes_room_for_one_with_who_is_there() -> None:
    bench = Keeping(1, live=(1, 3))
    bench.upkeep.tick(0)
    assert bench.wire.sent() == [(1, HOLD), (3, HOLD)]
    bench.holding(1)
    bench.liveness.told((1, 2), 0)
    bench.upkeep.tick(60 * SECOND)
    bench.wire.sent()
    bench.upkeep.tick(120 * SECOND)
    bench.holding(1)
    bench.holding(2)
    assert proposed(bench.raft) == [ChangeSet(TOPIC, 1, SEALED, 0, 1, members(1, 2))]
