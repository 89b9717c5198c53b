"""A writer changes its replica set: who is fed, what a proposal and an acknowledgement need, how it ends."""

from segment_fixtures import block, member, members
from segment_writing import Writing

from walrus.core.metadata.commands import OPEN, ChangeSet
from walrus.core.segment.messages import DONE, GAP

PROPOSAL = ChangeSet("logs", 1, OPEN, 0, 1, members(1, 2, 3))


def alone_with(*payloads: bytes) -> Writing:
    """A segment on node 1 alone that has acknowledged ``payloads``, one batch each."""
    bench = Writing(1)
    for number, payload in enumerate(payloads, start=1):
        bench.put(payload)
        bench.ack(1, number)
    bench.sent()
    bench.results()
    return bench


def growing() -> Writing:
    """The same with one record, on its way to nodes 1, 2 and 3."""
    bench = alone_with(b"a")
    bench.writer.begin_change(members(1, 2, 3))
    return bench


def joint() -> Writing:
    """The same once node 2 holds everything and the change was proposed."""
    bench = growing()
    bench.ack(2, 1)
    assert bench.writer.propose_change() == PROPOSAL
    return bench


def test_new_members_are_fed_from_the_own_copy_under_the_next_version() -> None:
    bench = growing()
    assert [t.member for t in bench.writer.lagging()] == [member(2), member(3)]
    bench.writer.caught(2, block(0, b"a"), 0)
    [(to, append)] = bench.appends()
    assert (to, append.base, append.version) == (2, 0, 2)


def test_old_members_are_fed_under_the_version_that_they_are_in() -> None:
    bench = joint()
    bench.put(b"b")
    assert [(to, append.version) for to, append in bench.appends()] == [(1, 1), (2, 2)]


def test_a_change_is_proposed_once_a_quorum_of_the_new_set_holds_all_that_is_acknowledged() -> None:
    bench = growing()
    assert bench.writer.propose_change() is None
    bench.ack(2, 0, GAP)
    assert bench.writer.propose_change() is None
    bench.ack(2, 1)
    assert bench.writer.propose_change() == PROPOSAL


def test_a_change_is_proposed_once_however_often_it_is_asked_for() -> None:
    bench = joint()
    assert bench.writer.propose_change() is None


def test_before_the_proposal_the_old_quorum_suffices() -> None:
    bench = growing()
    bench.put(b"b")
    bench.ack(1, 2)
    assert bench.results() == [(DONE, [b"b"])]


def test_what_the_old_quorum_took_meanwhile_must_reach_the_new_one_before_the_proposal() -> None:
    bench = growing()
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 1)
    assert bench.writer.propose_change() is None
    bench.ack(2, 2)
    assert bench.writer.propose_change() == PROPOSAL


def test_from_the_proposal_on_an_acknowledgement_needs_both_quorums() -> None:
    bench = joint()
    bench.put(b"b")
    bench.ack(1, 2)
    assert (bench.results(), bench.writer.acked) == ([], 1)
    bench.ack(3, 2)
    assert bench.results() == [(DONE, [b"b"])]


def test_the_new_quorum_alone_acknowledges_nothing() -> None:
    bench = joint()
    bench.put(b"b")
    bench.ack(2, 2)
    bench.ack(3, 2)
    assert bench.results() == []
    bench.ack(1, 2)
    assert bench.results() == [(DONE, [b"b"])]


def applied(bench: Writing, *nodes: int) -> None:
    bench.segment.members = members(*nodes)
    bench.segment.version = 2
    bench.writer.change_applied(bench.segment)


def test_once_applied_the_new_quorum_alone_acknowledges_and_what_it_held_is_done_at_once() -> None:
    bench = joint()
    bench.put(b"b")
    bench.ack(2, 2)
    bench.ack(3, 2)
    applied(bench, 1, 2, 3)
    assert bench.results() == [(DONE, [b"b"])]
    assert (bench.writer.members, bench.writer.version, bench.writer.changing) == (members(1, 2, 3), 2, None)


def test_a_member_that_left_is_fed_no_more() -> None:
    bench = Writing(1, 2, 3)
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1)
    bench.writer.begin_change(members(1, 2, 4))
    assert bench.writer.propose_change() is not None
    applied(bench, 1, 2, 4)
    bench.sent()
    bench.put(b"b")
    assert sorted(bench.writer.targets) == [1, 2, 4]
    assert 3 not in [to for to, _ in bench.appends()]


def test_a_drain_gives_up_a_change_that_was_not_proposed() -> None:
    bench = growing()
    bench.writer.roll()
    assert bench.writer.ready_to_seal
    assert (bench.writer.changing, sorted(bench.writer.targets)) == (None, [1])


def test_a_drain_waits_for_the_outcome_of_a_change_that_may_have_been_proposed() -> None:
    bench = joint()
    bench.writer.roll()
    assert not bench.writer.ready_to_seal
    applied(bench, 1, 2, 3)
    assert bench.writer.ready_to_seal


def test_a_draining_writer_proposes_no_change() -> None:
    bench = growing()
    bench.ack(2, 1)
    bench.writer.roll()
    assert bench.writer.propose_change() is None


def test_a_node_with_a_new_disk_starts_at_nothing_and_its_old_disk_counts_no_more() -> None:
    bench = Writing(1, 2)
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1)
    assert bench.results() == [(DONE, [b"a"])]
    bench.writer.begin_change((member(1), (2, 4711)))
    assert bench.writer.targets[2].match == 0
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 2)
    assert bench.results() == []


def test_a_draining_writer_whose_pending_records_find_no_quorum_changes_its_set_and_drains() -> None:
    bench = Writing(1, 2)
    bench.put(b"a")
    bench.ack(1, 1)
    bench.writer.roll()
    assert bench.writer.may_change
    bench.writer.begin_change(members(1, 3))
    bench.ack(3, 1)
    assert not bench.writer.ready_to_seal
    assert bench.writer.propose_change() == ChangeSet("logs", 1, OPEN, 0, 1, members(1, 3))
    applied(bench, 1, 3)
    assert bench.results() == [(DONE, [b"a"])]
    assert bench.writer.ready_to_seal


def test_a_change_that_was_not_proposed_gives_way_to_another() -> None:
    bench = growing()
    bench.writer.begin_change(members(1, 4))
    assert sorted(bench.writer.targets) == [1, 4]
    bench.ack(2, 1)
    assert bench.writer.propose_change() is None
    bench.ack(4, 1)
    assert bench.writer.propose_change() == ChangeSet("logs", 1, OPEN, 0, 1, members(1, 4))
