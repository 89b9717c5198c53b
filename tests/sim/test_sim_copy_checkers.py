"""The checkers of copies: each broken rule is told, and what the rules allow passes."""

import pytest
from data_path_cluster import (
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

from walrus.core.actions import Delete, Truncate, Write
from walrus.core.metadata.commands import (
    OPEN,
    RemoveTopic,
)
from walrus.core.segment.messages import (
    ACCEPTED,
    FENCED,
    UNTRUSTED,
    AppendAck,
    FenceReply,
    Holding,
    Repair,
)
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH, Complete, Dropped, Fenced, Held
from walrus.core.storage.recordlog import encode_header
from walrus.sim.world import Violation


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


# --- the books ---


def test_a_copy_with_a_gap_is_told(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    with pytest.raises(Violation, match="copies are dense: node 2 writes a block with base 3"):
        cluster.change(2, Write(PATH, end_of(2), block(3), 1))


def test_a_write_behind_a_torn_tail_is_told(cluster: FakeCluster) -> None:
    cluster.change(2, Write(PATH, 0, HEADER + block(0) + block(1) + block(2)[:20], 1))
    end = end_of(2)
    with pytest.raises(Violation, match=f"writes to byte {end + 20} .* end at byte {end}"):
        cluster.change(2, Write(PATH, end + 20, block(2), 1))


def test_a_torn_tail_may_be_cut_and_written_anew(cluster: FakeCluster) -> None:
    cluster.change(2, Write(PATH, 0, HEADER + block(0) + block(1) + block(2)[:20], 1))
    end = end_of(2)
    cluster.change(2, Truncate(PATH, end, 1))
    cluster.change(2, Write(PATH, end, block(2), 1))
    cluster.note(2, Held(*KEY, 1))
    cluster.send(2, ack(3))


def test_a_torn_catalogue_is_made_anew(cluster: FakeCluster) -> None:
    header = encode_header(CATALOGUE_MAGIC, 2, 99)
    cluster.change(2, Write(CATALOGUE_PATH, 0, header[:30], 1))
    cluster.change(2, Write(CATALOGUE_PATH, 0, header, 1))


# --- what is said of a copy ---


def test_an_acknowledgement_of_more_than_is_durable_is_told(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    cluster.send(2, ack(2))
    cluster.send(2, AppendAck(*KEY, 0, FENCED, 9, 1, 1))
    with pytest.raises(Violation, match="node 2 acknowledges 3 records of t:1, 0 of them unsynced, and has synced 2"):
        cluster.send(2, ack(3))


def test_an_acknowledgement_of_a_copy_that_is_not_noted_is_told(cluster: FakeCluster) -> None:
    cluster.send(2, ack(0))
    cluster.hold(2, 2, noted=False)
    with pytest.raises(Violation, match="catalogue does not note the copy"):
        cluster.send(2, ack(2))


def test_an_acknowledgement_under_a_newer_set_than_is_noted_is_told(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    with pytest.raises(Violation, match="under version 2 of the set, and its catalogue notes 1"):
        cluster.send(2, ack(2, version=2))


def test_a_fence_that_is_not_durable_is_told(cluster: FakeCluster) -> None:
    with pytest.raises(Violation, match="fenced at 1, and its catalogue notes 0"):
        cluster.send(2, FenceReply(*KEY, 1, ACCEPTED, 0))


@pytest.mark.parametrize("length", [1, 3])
def test_a_fence_answer_with_another_length_than_the_copy_has_is_told(cluster: FakeCluster, length: int) -> None:
    cluster.hold(2, 2)
    with pytest.raises(Violation, match=f"holds {length} records, and it (durably holds|has synced) 2"):
        cluster.fenced(2, length)


def test_a_lost_copy_answers_unknown_and_one_that_was_never_noted_is_empty(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    cluster.hold(3, 2, noted=False)
    for host in cluster.hosts:
        host.disk.damage.hurt[PATH] = "disk-loss"
    cluster.note(2, Fenced(*KEY, 1))
    cluster.send(2, FenceReply(*KEY, 1, UNTRUSTED, 0))
    cluster.fenced(3, 0)
    with pytest.raises(Violation, match="durably holds 2"):
        cluster.fenced(2, 0)


def test_holding_means_all_records_under_that_version_durably(cluster: FakeCluster) -> None:
    cluster.hold(2, 2)
    cluster.commit(sealed(2, state=OPEN, epoch=0))
    with pytest.raises(Violation, match="durably has 0 of 2 records"):
        cluster.send(3, Holding(*KEY, 2))
    with pytest.raises(Violation, match="its catalogue notes version 1"):
        cluster.send(2, Holding(*KEY, 2))
    cluster.note(2, Held(*KEY, 2), Complete(*KEY, 2))
    cluster.send(2, Holding(*KEY, 2))


# --- fences are kept ---


def test_a_fenced_copy_that_goes_on_growing_is_told(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    cluster.fenced(3, 2)
    with pytest.raises(Violation, match="fences: the copy of t:1 on node 3 grows from 2 to 3"):
        cluster.change(3, Write(PATH, end_of(2), block(2), 1))


def test_a_fenced_copy_grows_as_its_recoverer_orders_and_as_sealed_counts(cluster: FakeCluster) -> None:
    cluster.seal_at()
    cluster.hold(1, 3)
    cluster.hold(3, 2)
    cluster.fenced(3, 2)
    cluster.fenced(1, 3)
    cluster.send(2, Repair(*KEY, 1, 3, 1), 3)
    end = end_of(2)
    cluster.change(3, Write(PATH, end, block(2), 1))
    cluster.commit(sealed(4))
    cluster.change(3, Write(PATH, end_of(3), block(3), 1))


def test_a_repair_of_an_epoch_before_the_fence_lets_nothing_grow(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    cluster.send(2, Repair(*KEY, 1, 3, 1), 3)
    cluster.fenced(3, 2, epoch=2)
    with pytest.raises(Violation, match="it has answered a fence at 2"):
        cluster.change(3, Write(PATH, end_of(2), block(2), 1))


def test_an_acknowledgement_of_a_lower_epoch_than_was_promised_is_told(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    cluster.send(3, ack(2))
    cluster.fenced(3, 2)
    cluster.send(2, FenceReply(*KEY, 0, FENCED, 0))
    with pytest.raises(Violation, match="acknowledges t:1 to epoch 0, and has answered a fence at 1"):
        cluster.send(3, ack(2))


# --- copies are kept ---


def test_a_copy_of_a_segment_that_is_not_sealed_never_gets_shorter(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    with pytest.raises(Violation, match="node 3 cuts its copy of t:1 from 2 to 0"):
        cluster.change(3, Truncate(PATH, end_of(0), 1))


def test_what_is_written_over_is_taken_back(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    with pytest.raises(Violation, match="node 3 cuts its copy of t:1 from 2 to 1"):
        cluster.change(3, Write(PATH, end_of(1), block(1), 1))


def test_a_copy_is_cut_to_the_count_and_not_below_unless_it_was_damaged(cluster: FakeCluster) -> None:
    cluster.hold(3, 3)
    cluster.commit(sealed(2, state=OPEN, epoch=0))
    cluster.change(3, Truncate(PATH, end_of(2), 1))
    with pytest.raises(Violation, match="from 2 to 1 records"):
        cluster.change(3, Truncate(PATH, end_of(1), 1))
    cluster.host(3).disk.damage.hurt[PATH] = "bit-rot"
    cluster.change(3, Truncate(PATH, 0, 1))


def test_a_member_drops_its_copy_only_for_a_set_since_that_leaves_it_out(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    with pytest.raises(Violation, match="taken on under version 1, and no set since leaves it out"):
        cluster.note(3, Dropped(*KEY))
    cluster.commit(changed_to(ONE, TWO))
    cluster.note(3, Held(*KEY, 3))
    with pytest.raises(Violation, match="taken on under version 3"):
        cluster.change(3, Delete(PATH, 1))
    cluster.commit(changed_to(ONE, TWO, THREE, version=2))
    cluster.commit(changed_to(ONE, TWO, version=3))
    cluster.note(3, Dropped(*KEY))
    cluster.change(3, Delete(PATH, 1))


def test_a_fenced_spare_keeps_its_copy_until_the_segment_is_sealed(cluster: FakeCluster) -> None:
    cluster.seal_at()
    cluster.fenced(4, 0)
    with pytest.raises(Violation, match="it is fenced at 1 and the segment not sealed"):
        cluster.change(4, Delete(PATH, 1))
    cluster.commit(sealed(0))
    cluster.change(4, Delete(PATH, 1))


def test_copies_of_what_is_gone_may_go(cluster: FakeCluster) -> None:
    cluster.hold(3, 2)
    cluster.note(3, Fenced(*KEY, 1))
    cluster.commit(RemoveTopic("t", 1))
    cluster.change(3, Truncate(PATH, 0, 1))
    cluster.change(3, Delete(PATH, 1))
