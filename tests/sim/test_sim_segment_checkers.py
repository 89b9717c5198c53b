"""The checkers of writers and recoverers: each broken rule is told, and what the rules allow passes."""

from types import SimpleNamespace

import pytest
from data_path_cluster import (
    FOUR,
    HEADER,
    KEY,
    ONE,
    PATH,
    THREE,
    TWO,
    FakeCluster,
    ack,
    block,
    changed_to,
    end_of,
    sealed,
)

from walrus.core.actions import Delete, Write
from walrus.core.clients import Slot
from walrus.core.metadata.commands import (
    OPEN,
    SEALED,
    CreateTopic,
    RemoveTopic,
    encode,
)
from walrus.core.peer import ENTRY_NORMAL, Entry, Propose
from walrus.core.raft.output import Role
from walrus.core.requests import Pending
from walrus.core.segment.messages import (
    GAP,
    AppendAck,
    Repair,
)
from walrus.core.segment.targets import Target
from walrus.core.segment.writer import STOPPED
from walrus.core.storage import blocks
from walrus.core.storage.catalogue import Dropped
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.world import Violation


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


# --- acknowledged records ---


def test_what_a_writer_acknowledges_a_quorum_durably_holds(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.hold(2, 2)
    cluster.write(1, acked=2)
    with pytest.raises(Violation, match=r"node 1 has acknowledged 3 records of t:1, and of .* only \[\] durably"):
        cluster.write(1, acked=3)


def test_a_copy_of_an_earlier_disk_or_one_that_was_dropped_holds_nothing(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.commit(changed_to(ONE, (3, 31)))
    cluster.hold(3, 2)
    with pytest.raises(Violation, match=r"of \(\(1, 10\), \(3, 31\)\) only \[\(1, 10\)\]"):
        cluster.write(1, acked=2)


def test_while_a_set_change_may_be_proposed_both_sets_must_hold_what_is_acknowledged(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.hold(2, 2)
    cluster.send(1, Propose(1, encode(changed_to(ONE, THREE, FOUR))), 2)
    with pytest.raises(Violation, match=r"of \(\(1, 10\), \(3, 30\), \(4, 40\)\) only"):
        cluster.write(1, acked=2)


def test_what_a_writer_counts_of_a_copy_is_durable_there(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    writer = cluster.write(1, acked=0)
    writer.targets[2] = target = Target(TWO, 1)
    target.match = 2
    cluster.arrive(2, ack(2))
    cluster.path.after_turn(cluster.host(1))
    target.match = 3
    cluster.path.after_turn(cluster.host(1))
    cluster.arrive(2, AppendAck(*KEY, 0, GAP, 3, 0, 1))
    with pytest.raises(Violation, match="node 1 counts 3 records of t:1 on node 2, which durably holds 2"):
        cluster.path.after_turn(cluster.host(1))


def test_what_a_writer_that_is_behind_counts_is_no_longer_asked(cluster: FakeCluster) -> None:
    writer = cluster.write(1, acked=0)
    writer.targets[2] = target = Target(TWO, 1)
    target.match = 2
    cluster.commit(sealed(2, (ONE, THREE), OPEN, 0))
    cluster.arrive(2, ack(2))
    cluster.path.after_turn(cluster.host(1))


def test_nothing_is_acknowledged_after_the_seal_was_proposed(cluster: FakeCluster) -> None:
    for node in (1, 2):
        cluster.hold(node, 3)
    cluster.write(1, acked=2)
    cluster.send(1, Propose(1, encode(sealed(2, state=OPEN, epoch=0))), 2)
    with pytest.raises(Violation, match="acknowledged 3 records of t:1 after it proposed to seal it at 2"):
        cluster.write(1, acked=3)


def test_what_is_gone_or_sealed_with_all_that_is_acknowledged_needs_no_writer_to_hold_it(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    cluster.commit(sealed(2, (TWO, THREE), OPEN, 0))
    cluster.write(1, acked=2)
    with pytest.raises(Violation, match=r"acknowledged 3 records of t:1, and it is SEALED\(2\)"):
        cluster.write(1, acked=3)
    cluster.commit(RemoveTopic("t", 1))
    cluster.write(1, acked=4)


def test_a_set_that_was_replaced_needs_to_hold_nothing(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.hold(2, 2)
    cluster.hold(4, 2)
    cluster.write(1, acked=1)
    cluster.host(1).node.metadata = CommittedSegments()._state
    cluster.host(1).node.metadata.apply(CreateTopic("t", (1, 10, 1), (ONE, TWO, THREE)))
    change = changed_to(ONE, THREE, FOUR)
    cluster.send(1, Propose(1, encode(change)), 2)
    cluster.commit(change)
    cluster.note(2, Dropped(*KEY))
    cluster.change(2, Delete(PATH, 1))
    cluster.write(1, acked=2)


# --- proposals ---


def test_a_rollover_seals_all_that_was_written_once_it_is_acknowledged(cluster: FakeCluster) -> None:
    for node in (1, 2):
        cluster.hold(node, 3)
    cluster.write(1, acked=2, length=3)
    with pytest.raises(Violation, match="proposes to seal t:1 at 2, and has acknowledged 2 of 3 records"):
        cluster.send(1, Propose(1, encode(sealed(2, state=OPEN, epoch=0))), 2)


def test_no_rollover_and_no_other_change_while_the_outcome_of_a_set_change_is_not_known(cluster: FakeCluster) -> None:
    cluster.write(1, acked=0)
    change = changed_to(ONE, TWO, FOUR)
    cluster.send(1, Propose(1, encode(change)), 2)
    cluster.send(1, Propose(2, encode(change)), 3)
    with pytest.raises(Violation, match=r"rollover: .* is proposed while the outcome"):
        cluster.send(1, Propose(3, encode(sealed(0, state=OPEN, epoch=0))), 2)
    with pytest.raises(Violation, match=r"set changes: .* is proposed while the outcome"):
        cluster.send(1, Propose(4, encode(changed_to(ONE, THREE, FOUR))), 2)
    cluster.commit(change)
    cluster.send(1, Propose(5, encode(sealed(0, (ONE, TWO, FOUR), OPEN, 0))), 2)


def test_a_set_change_waits_for_a_quorum_of_the_new_set(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.hold(2, 2)
    cluster.write(1, acked=2)
    with pytest.raises(Violation, match=r"2 records are acknowledged; of .* only \[\(1, 10\)\]"):
        cluster.send(1, Propose(1, encode(changed_to(ONE, THREE, FOUR))), 2)


def test_a_sealed_segments_set_changes_once_a_quorum_of_the_new_one_has_all(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.commit(sealed(2, state=OPEN, epoch=0))
    leader = cluster.host(2)
    leader.node.raft.role = Role.LEADER
    leader.node.log.append(Entry(1, 1, ENTRY_NORMAL, encode(changed_to(ONE, FOUR, state=SEALED))))
    with pytest.raises(Violation, match=r"of \(\(1, 10\), \(4, 40\)\) only \[\(1, 10\)\] durably hold 2 records"):
        cluster.path.after_turn(leader)


def test_a_recoverer_needs_the_answers_of_a_seal_quorum_before_it_has_anything_copied(cluster: FakeCluster) -> None:
    cluster.seal_at()
    cluster.hold(3, 2)
    cluster.fenced(3, 2)
    with pytest.raises(Violation, match=r"recovery: node 2 orders .*lengths told: {\(3, 30\): 2}"):
        cluster.send(2, Repair(*KEY, 1, 2, 3), 1)


def test_a_recoverer_takes_the_greatest_length_of_a_seal_quorum(cluster: FakeCluster) -> None:
    cluster.seal_at()
    for node, records in ((1, 3), (3, 2)):
        cluster.hold(node, records)
        cluster.fenced(node, records)
    with pytest.raises(Violation, match=r"recovery: .* is proposed; .*lengths told"):
        cluster.send(2, Propose(1, encode(sealed(2))), 3)
    with pytest.raises(Violation, match=r"replica sets: .*only \[\(1, 10\)\] durably hold 3 records"):
        cluster.send(2, Propose(2, encode(sealed(3))), 3)
    cluster.send(2, Repair(*KEY, 1, 3, 1), 3)
    cluster.change(3, Write(PATH, end_of(2), block(2), 1))
    cluster.send(2, Propose(3, encode(sealed(3, (ONE, THREE, FOUR)))), 3)


def test_a_recoverer_fences_the_set_that_its_sealing_froze(cluster: FakeCluster) -> None:
    cluster.commit(changed_to(ONE, TWO, FOUR))
    cluster.seal_at()
    for node in (2, 3):
        cluster.fenced(node, 0)
    with pytest.raises(Violation, match=r"of \(\(1, 10\), \(2, 20\), \(4, 40\)\), fenced at 1, lengths told"):
        cluster.send(2, Propose(1, encode(sealed(0, (ONE, TWO, THREE)))), 3)


def test_a_recoverer_seals_nothing_below_what_was_acknowledged(cluster: FakeCluster) -> None:
    for node in (1, 2):
        cluster.hold(node, 3)
    cluster.write(1, acked=3)
    cluster.seal_at()
    with pytest.raises(Violation, match="and 3 records were acknowledged"):
        cluster.send(2, Propose(1, encode(sealed(2))), 3)


def test_a_proposal_that_comes_too_late_is_let_pass(cluster: FakeCluster) -> None:
    cluster.seal_at()
    cluster.seal_at(2)
    cluster.send(2, Propose(1, encode(sealed(9))), 3)
    cluster.send(2, Repair(*KEY, 1, 2, 3), 1)


# --- records and those who wait for them ---


def test_two_copies_that_differ_are_told_as_soon_as_they_are_written(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    cluster.hold(2, 2)
    with pytest.raises(Violation, match="replicas are prefixes: node 3 writes another block to offset 0"):
        cluster.change(3, Write(PATH, 0, HEADER + block(0, "x"), 1))


def test_a_record_that_is_written_to_two_places_is_told(cluster: FakeCluster) -> None:
    cluster.hold(1, 2)
    empty = Write("user_data/t:2.wal", 0, HEADER + blocks.encode_block(0, 0, 0, 0, [b"", b""]), 1)
    cluster.change(2, empty)
    again = Write("user_data/t:3.wal", 0, HEADER + blocks.encode_block(0, 0, 0, 0, [b"1"]), 1)
    with pytest.raises(Violation, match=r"node 2 writes b'1' to t:3 offset 0, and it was written to .* \(1, 1\)"):
        cluster.change(2, again)


def test_when_a_writer_stops_nobody_is_left_waiting_for_it(cluster: FakeCluster) -> None:
    writer = cluster.write(1, acked=0)
    running = cluster.host(1).node.running
    running.puts._routes["t"] = route = SimpleNamespace(target=1, under_way=1)
    writer.unsent.append(Pending("t", b"", 0, slot=Slot(SimpleNamespace(conn=1), 0)))
    writer.state = STOPPED
    cluster.path.after_turn(cluster.host(1))
    del running.writers._writers[KEY]
    with pytest.raises(Violation, match="writes t:1 no more, and 1 PUTs of its own clients"):
        cluster.path.after_turn(cluster.host(1))
    cluster.write(1, acked=0)
    route.under_way = 2
    with pytest.raises(Violation, match="and 2 PUTs of its own clients"):
        cluster.write(1, acked=0, state=STOPPED)
