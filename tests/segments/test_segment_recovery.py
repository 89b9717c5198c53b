"""Sealing the segment of a dead writer: fences, the tail, repairs, spares, and what an operator is told."""

import pytest
from segment_fixtures import (
    TOPIC,
    Wire,
    commit_all,
    leading_raft,
    member,
    members,
    metadata_with,
    proposed,
    raft_of,
    register,
    settings,
    writer_of,
)

from walrus.core.config import MS
from walrus.core.lease import LeaseTable
from walrus.core.metadata.commands import OPEN, SEALING, BeginSealing, Seal
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.state import Segment
from walrus.core.peer import HeartbeatReply
from walrus.core.segment.messages import ACCEPTED, FENCED, UNTRUSTED, Fence, FenceReply, Repair
from walrus.core.segment.recovery import RESEND_NS, SPARES_AFTER_NS, STUCK_AFTER_NS, Recoveries
from walrus.core.wallclock import WallClock

LAPSED_NS = 450 * MS  # one lease and its margin


class Recovering:
    """Node 2 leads; node 1 was the writer of logs:1 and is silent. ``live`` nodes go on answering heartbeats."""

    def __init__(
        self, *nodes: int, live: tuple[int, ...] = (3,), copies: tuple[int, ...] = (1, 2, 3), durability: int = ALWAYS
    ) -> None:
        self.wire = Wire(2)
        self.metadata = metadata_with(*nodes, copies=copies)
        self.segment.durability = durability
        self.raft = leading_raft(2, nodes)
        self.leases = LeaseTable(settings(2))
        self.leases.elected(0)
        self.live = live
        self.recoveries = Recoveries(self.wire.out, settings(2), self.metadata, self.raft, self.leases, WallClock())

    @property
    def segment(self) -> Segment:
        return self.metadata.topics[TOPIC].segments[0]

    def tick(self, now_ns: int) -> None:
        for node in self.live:
            self.leases.answered(node, now_ns)
        self.recoveries.tick(now_ns)

    def apply(self, now_ns: int) -> list[str]:
        """Commit and apply what was proposed last; the reasons of refusals."""
        command = proposed(self.raft)[-1]
        commit_all(self.raft)
        reason = self.metadata.apply(command)
        for changed in self.metadata.drain():
            segment = self.metadata.topics[changed.topic].segment(changed.segment)
            assert segment is not None
            self.recoveries.changed(changed.topic, segment, now_ns)
        return [reason] if reason else []

    def began(self) -> "Recovering":
        """The writer's lease has lapsed, and SEALING(1) has applied at 450 ms."""
        self.tick(LAPSED_NS)
        assert self.apply(LAPSED_NS) == []
        return self

    def answer(
        self, node: int, length: int, status: int = ACCEPTED, *, epoch: int = 1, now_ns: int = LAPSED_NS,
        power_cut: bool = False,
    ) -> None:  # fmt: skip
        reply = FenceReply(TOPIC, 1, epoch, status, length, 0, power_cut)
        self.recoveries.answered(member(node), reply, now_ns)

    def seals(self) -> list[Seal]:
        return [command for command in proposed(self.raft) if isinstance(command, Seal)]


def seal_at(count: int, *nodes: int, epoch: int = 1, following: tuple[int, ...] = (1, 2, 3)) -> Seal:
    return Seal(TOPIC, 1, SEALING, epoch, count, members(*nodes), writer_of(2), members(*following), None)


FENCE = Fence(TOPIC, 1, 1)


# --- when ---


def test_a_writer_whose_lease_may_still_run_is_left_alone() -> None:
    bench = Recovering(1, 2, 3)
    bench.tick(LAPSED_NS - 1)
    assert proposed(bench.raft) == []


def test_a_writer_whose_lease_has_lapsed_is_sealed_once() -> None:
    bench = Recovering(1, 2, 3)
    bench.tick(LAPSED_NS)
    bench.tick(LAPSED_NS + 1)
    assert proposed(bench.raft) == [BeginSealing(TOPIC, 1, OPEN, 0, recoverer=2, term=2)]
    assert bench.wire.sent() == []


def test_a_writer_that_answers_is_left_alone() -> None:
    bench = Recovering(1, 2, 3, live=(1, 3))
    bench.tick(LAPSED_NS)
    assert proposed(bench.raft) == []


def test_a_restarted_writer_is_sealed_at_once_for_it_never_resumes() -> None:
    bench = Recovering(1, 2, 3, live=(1, 3))
    bench.metadata.apply(register(1, incarnation=2))
    bench.tick(0)
    assert proposed(bench.raft) == [BeginSealing(TOPIC, 1, OPEN, 0, recoverer=2, term=2)]


def test_who_does_not_lead_begins_nothing() -> None:
    bench = Recovering(1, 2, 3)
    follower = raft_of(2, (1, 2, 3))
    Recoveries(bench.wire.out, settings(2), bench.metadata, follower, bench.leases, WallClock()).tick(LAPSED_NS)
    assert (proposed(follower), bench.wire.sent()) == ([], [])


def test_a_leader_takes_over_the_recovery_of_another_under_the_next_epoch() -> None:
    bench = Recovering(1, 2, 3)
    bench.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, recoverer=3, term=1))
    bench.metadata.drain()
    bench.tick(0)
    assert proposed(bench.raft) == [BeginSealing(TOPIC, 1, SEALING, 1, recoverer=2, term=2)]
    assert bench.wire.sent() == []
    bench.apply(0)
    assert bench.segment.epoch == 2
    assert [message for _, message in bench.wire.sent()] == [Fence(TOPIC, 1, 2)] * 3


def test_a_sealing_of_its_own_earlier_term_is_taken_over_as_well() -> None:
    bench = Recovering(1, 2, 3)
    bench.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, recoverer=2, term=1))
    bench.tick(0)
    assert proposed(bench.raft) == [BeginSealing(TOPIC, 1, SEALING, 1, recoverer=2, term=2)]


# --- fences and the tail ---


def test_once_sealing_applies_every_frozen_member_is_fenced() -> None:
    bench = Recovering(1, 2, 3).began()
    assert bench.wire.sent() == [(2, FENCE), (1, FENCE), (3, FENCE)]


def test_one_fenced_copy_of_three_is_not_enough() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.wire.sent()
    bench.answer(2, 5)
    bench.answer(2, 5)
    assert (bench.seals(), bench.wire.sent()) == ([], [])


def test_two_equal_copies_of_three_seal_at_their_length() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.answer(2, 5)
    bench.answer(3, 5)
    assert bench.seals() == [seal_at(5, 1, 2, 3)]


def test_the_tail_is_the_greatest_length_and_the_short_copy_is_repaired_first() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.wire.sent()
    bench.answer(2, 5)
    bench.answer(3, 7)
    assert bench.seals() == []
    assert bench.wire.sent() == [(2, Repair(TOPIC, 1, 1, tail=7, source=3))]
    bench.answer(2, 7)
    assert bench.seals() == [seal_at(7, 1, 2, 3)]


def test_a_copy_that_answers_late_with_more_does_not_move_the_tail() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.answer(2, 5)
    bench.answer(3, 5)
    bench.answer(1, 9)
    assert bench.seals() == [seal_at(5, 1, 2, 3)]


def test_of_two_members_one_fenced_copy_tells_the_tail_but_both_must_hold_it() -> None:
    bench = Recovering(1, 2, 3, copies=(1, 2)).began()
    bench.answer(2, 5)
    assert bench.seals() == []
    bench.answer(1, 5)
    assert [(s.count, s.members) for s in bench.seals()] == [(5, members(1, 2))]


@pytest.mark.parametrize(("status", "epoch"), [(UNTRUSTED, 1), (FENCED, 1), (ACCEPTED, 0), (ACCEPTED, 2)])
def test_an_answer_that_is_lost_fenced_or_of_another_epoch_does_not_count(status: int, epoch: int) -> None:
    bench = Recovering(1, 2, 3).began()
    bench.answer(2, 5)
    bench.answer(3, 9, status, epoch=epoch)
    assert bench.seals() == []


def test_the_answer_of_a_stranger_or_of_a_node_with_another_disk_does_not_count() -> None:
    bench = Recovering(1, 2, 3, 4).began()
    bench.answer(2, 5)
    bench.answer(4, 5)
    bench.recoveries.answered((3, 4711), FenceReply(TOPIC, 1, 1, ACCEPTED, 5), LAPSED_NS)
    assert bench.seals() == []


def test_silent_members_are_fenced_again() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.wire.sent()
    bench.answer(2, 5)
    bench.tick(LAPSED_NS + RESEND_NS - 1)
    assert bench.wire.sent() == []
    bench.tick(LAPSED_NS + RESEND_NS)
    assert bench.wire.sent() == [(1, FENCE), (3, FENCE)]


def test_a_seal_is_proposed_once_and_ends_the_recovery_when_it_applies() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.answer(2, 5)
    bench.answer(3, 5)
    bench.answer(1, 5)
    assert len(bench.seals()) == 1
    assert bench.apply(LAPSED_NS) == []
    bench.wire.sent()
    bench.tick(LAPSED_NS + RESEND_NS)
    assert bench.wire.sent() == []
    topic = bench.metadata.topics[TOPIC]
    assert (topic.segments[0].count, topic.last.number, topic.last.writer) == (5, 2, writer_of(2))


def test_a_leader_that_lost_its_office_forgets_its_recoveries() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.wire.sent()
    bench.raft.step(3, HeartbeatReply(9, 0, 0), LAPSED_NS)
    bench.tick(LAPSED_NS + RESEND_NS)
    bench.answer(2, 5)
    bench.answer(3, 5)
    assert (bench.wire.sent(), bench.seals()) == ([], [])


# --- spares ---


def with_a_dead_member() -> Recovering:
    """A set of nodes 1 and 3 of which 3 answers with 5; node 2, the leader, has none."""
    bench = Recovering(1, 2, 3, copies=(1, 3)).began()
    bench.answer(3, 5)
    bench.wire.sent()
    return bench


def test_a_live_spare_takes_the_place_of_a_dead_member_fenced_and_filled_like_it() -> None:
    bench = with_a_dead_member()
    bench.tick(LAPSED_NS + SPARES_AFTER_NS - 1)
    bench.wire.sent()
    bench.tick(LAPSED_NS + SPARES_AFTER_NS + RESEND_NS)
    bench.tick(LAPSED_NS + SPARES_AFTER_NS + 2 * RESEND_NS)
    assert (2, FENCE) in bench.wire.sent()
    bench.answer(2, 0)
    assert bench.wire.sent() == [(2, Repair(TOPIC, 1, 1, tail=5, source=3))]
    assert bench.seals() == []
    bench.answer(2, 5)
    [seal] = bench.seals()
    assert (seal.count, seal.members) == (5, members(2, 3))


def test_a_member_that_comes_back_takes_the_place_of_its_spare_that_died() -> None:
    bench = Recovering(1, 2, 3, copies=(1, 2)).began()
    bench.answer(2, 5)
    bench.tick(LAPSED_NS + SPARES_AFTER_NS)
    bench.tick(LAPSED_NS + SPARES_AFTER_NS + RESEND_NS)
    assert (3, FENCE) in bench.wire.sent()
    bench.live = (1,)
    later_ns = LAPSED_NS + SPARES_AFTER_NS + 2 * RESEND_NS
    for turn in range(8):
        bench.tick(later_ns + turn * RESEND_NS)
    bench.answer(1, 5, now_ns=later_ns + 8 * RESEND_NS)
    [seal] = bench.seals()
    assert (seal.count, seal.members) == (5, members(1, 2))


def test_a_member_that_answered_and_lost_its_copy_since_counts_no_more() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.live = (1, 3)
    bench.answer(3, 7)
    bench.answer(2, 5)
    bench.wire.sent()
    late_ns = LAPSED_NS + SPARES_AFTER_NS
    bench.tick(late_ns)
    assert (3, FENCE) in bench.wire.sent()
    bench.answer(3, 0, UNTRUSTED, now_ns=late_ns)
    bench.answer(1, 4, now_ns=late_ns)
    bench.tick(late_ns + RESEND_NS)
    bench.answer(1, 5, now_ns=late_ns + RESEND_NS)
    assert [seal.count for seal in bench.seals()] == [5]


def test_a_member_that_could_not_read_its_copy_counts_after_its_restart_at_a_new_epoch() -> None:
    bench = Recovering(1, 2, 3, copies=(2, 3)).began()
    bench.answer(2, 5)
    bench.answer(3, 0, UNTRUSTED)
    bench.tick(LAPSED_NS + RESEND_NS)
    assert bench.segment.epoch == 1
    bench.metadata.apply(register(3, 2))
    bench.metadata.drain()
    bench.tick(LAPSED_NS + 2 * RESEND_NS)
    assert bench.apply(LAPSED_NS + 2 * RESEND_NS) == []
    assert bench.segment.epoch == 2
    bench.answer(3, 6)
    bench.answer(2, 5, epoch=2)
    assert bench.seals() == [], "what was said before counts no more"


def test_no_spare_counts_among_the_fences_that_tell_the_tail() -> None:
    bench = Recovering(1, 2, 3, 4, live=(4,), copies=(1, 2, 3)).began()
    bench.answer(2, 5)
    bench.tick(LAPSED_NS + SPARES_AFTER_NS)
    bench.answer(4, 0)
    bench.tick(LAPSED_NS + 2 * SPARES_AFTER_NS)
    bench.answer(4, 0)
    assert bench.seals() == []


# --- stuck on purpose ---


def test_a_recovery_without_enough_copies_says_what_it_waits_for() -> None:
    bench = Recovering(1, 2, 3).began()
    bench.answer(2, 5)
    bench.answer(3, 0, UNTRUSTED)
    bench.wire.sent()
    bench.tick(LAPSED_NS + STUCK_AFTER_NS - 1)
    assert bench.recoveries.stuck() == {}
    bench.tick(LAPSED_NS + STUCK_AFTER_NS + RESEND_NS)
    reason = (
        "1 of nodes 1, 2, 3 have a copy and answered, 2 must; no answer from node 1: start it; "
        "lost or corrupt copy on node 3"
    )
    assert bench.recoveries.stuck() == {"logs:1": reason}
    bench.wire.sent()
    assert bench.wire.lines[-1] == ("error", f"Node 2: Cannot seal logs:1 yet: {reason}")


def test_a_set_of_one_whose_node_is_gone_waits_for_it() -> None:
    bench = Recovering(1, 2, 3, copies=(1,)).began()
    for tick in range(1, 30):
        bench.tick(LAPSED_NS + tick * RESEND_NS)
    assert bench.seals() == []
    assert bench.recoveries.stuck() == {
        "logs:1": "0 of nodes 1 have a copy and answered, 1 must; no answer from node 1: start it"
    }
    bench.answer(1, 4)
    assert [(s.count, s.members) for s in bench.seals()] == [(4, members(1))]


def test_where_nobody_who_holds_the_tail_can_be_reached_the_tail_of_enough_others_is_taken() -> None:
    bench = Recovering(1, 2, 3, 4, live=(3, 4)).began()
    bench.answer(1, 9)  # and falls silent
    bench.answer(2, 6)
    bench.answer(3, 8)
    bench.wire.sent()
    late_ns = LAPSED_NS + SPARES_AFTER_NS
    bench.tick(late_ns)
    bench.tick(late_ns + RESEND_NS)
    assert [seal.count for seal in bench.seals()] == [8]


def test_the_tail_of_too_few_is_never_taken() -> None:
    bench = Recovering(1, 2, 3, 4, live=(4,)).began()
    bench.answer(1, 9)
    bench.answer(2, 6)
    for turn in range(10):
        bench.tick(LAPSED_NS + SPARES_AFTER_NS + turn * RESEND_NS)
    assert bench.seals() == []
