"""Copies that must not be dropped, trusted or given up although something nearby says so.

Each test is an interleaving that would lose an acknowledged record, or leave a copy short for ever.
"""

import pytest
from segment_copies import PATH, Copies, bytes_of, one
from segment_fixtures import KEY, TOPIC, members, metadata_with, sealed

from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import OPEN, SEALED, SEALING, BeginSealing, ChangeSet, Seal
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.segment.messages import (
    ACCEPTED,
    FENCED,
    READ_CLIENT,
    READ_ELSEWHERE,
    READ_OK,
    READ_RECOVERY,
    AppendAck,
    FenceReply,
    Hold,
    Holding,
    ReadBlocks,
    ReadBlocksReply,
    Repair,
)
from walrus.core.segment.repair import ASK_AGAIN_NS, PULL_BYTES, Repairs
from walrus.core.segment.replica import LOST, READY
from walrus.core.storage.blocks import FILE_HEADER_BYTES


class Doubtful(Copies):
    """Node 2's copies and repairs; what progressed is carried between them as the running node does."""

    def start(self) -> None:
        super().start()
        liveness = Liveness(0)
        liveness.told((1, 2, 3), 0)
        self.repairs = Repairs(self.wire.out, self.store, liveness, 1 << 30)

    def first(self) -> Segment:
        return self.metadata.topics[TOPIC].segments[0]

    def settle(self) -> None:
        super().settle()
        while self.store.progressed:
            progressed, self.store.progressed = self.store.progressed, {}
            for key in progressed:
                self.repairs.progressed(key, 0)
                replica = self.store.replicas.get(key)
                if replica is not None:
                    self.store.reconcile(replica, self.first())
            super().settle()

    def sealed_at(self, count: int) -> None:
        """SEALED applies."""
        self.repairs.sealed(KEY, sealed(self.metadata, count))
        if KEY in self.store.replicas:
            self.store.reconcile(self.store.replicas[KEY], self.first())
        self.settle()

    def reads(self, now_ns: int = 0) -> list[tuple[int, ReadBlocks]]:
        """A tick passes; (to, read) of what is asked of peers since the last call."""
        self.repairs.tick(now_ns)
        self.settle()
        found = []
        for to, message in self.said():
            assert isinstance(message, ReadBlocks)
            found.append((to, message))
        return found

    def give(self, read: ReadBlocks, *payloads: bytes) -> None:
        """A peer answers a read, one batch a record."""
        data = b"".join(one(read.offset + number, payload) for number, payload in enumerate(payloads))
        status = READ_OK if data else READ_ELSEWHERE
        assert self.repairs.answered(ReadBlocksReply(read.rid, status, data), 0)
        self.settle()


def complete(*payloads: bytes) -> Doubtful:
    """A copy that holds all of a sealed segment and is noted as complete."""
    copies = Doubtful()
    copies.filled(*payloads)
    copies.sealed_at(len(payloads))
    copies.said()
    assert copies.replica.complete
    return copies


def restarted(copies: Doubtful) -> Doubtful:
    """The process begins anew, and replays the metadata."""
    copies.start()
    copies.repairs.sealed(KEY, copies.first())
    return copies


# --- a spare whose metadata lags behind its fence ---


def spare() -> Doubtful:
    """Node 2 is no member of logs:1 and has not heard yet that it is being sealed."""
    return Doubtful(metadata_with(1, 2, 3, copies=(1, 3, 4)))


def test_a_spare_fenced_before_it_applied_the_sealing_keeps_its_copy_and_its_promise() -> None:
    copies = spare()
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, FenceReply(TOPIC, 1, 1, ACCEPTED, 0))]
    copies.append(0, one(0, b"late"))
    copies.settle()
    assert copies.said() == [(1, AppendAck(TOPIC, 1, 0, FENCED, 0, 1, 0))]


def test_a_spare_that_holds_the_tail_keeps_it_until_the_seal_names_who_does() -> None:
    copies = spare()
    copies.fence(1)
    copies.settle()
    copies.said()
    copies.repairs.ordered(3, Repair(TOPIC, 1, 1, 1, 4), 0)
    [(to, read)] = copies.said()
    assert isinstance(read, ReadBlocks)
    assert (to, read.mode, read.offset) == (4, READ_RECOVERY, 0)
    copies.give(read, b"a")
    assert copies.said() == [(3, FenceReply(TOPIC, 1, 1, ACCEPTED, 1, bytes_of(1)))]
    assert copies.waiting() == []
    assert PATH in copies.files
    metadata = copies.metadata
    metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    copies.store.reconcile(copies.replica, copies.first())
    metadata.apply(Seal(TOPIC, 1, SEALING, 1, 1, members(1, 2, 3), (3, 1003, 1), members(1, 2, 3), None))
    copies.store.reconcile(copies.replica, copies.first())
    copies.settle()
    assert (copies.replica.complete, copies.replica.length) == (True, 1)


def test_a_fenced_spare_that_the_seal_does_not_name_gives_its_copy_up() -> None:
    copies = spare()
    copies.fence(1)
    copies.settle()
    copies.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    command = Seal(TOPIC, 1, SEALING, 1, 0, members(1, 3, 4), (3, 1003, 1), members(1, 3, 4), None)
    assert copies.metadata.apply(command) == ""
    copies.store.reconcile(copies.replica, copies.first())
    copies.settle()
    assert copies.store.replicas == {}


def test_a_read_that_waits_for_a_copy_is_named_when_the_copy_goes() -> None:
    copies = Doubtful(metadata_with(1, 2, 3))
    copies.filled(b"a")
    copies.metadata.apply(ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 3, 4)))
    copies.store.progressed.clear()
    copies.store.reconcile(copies.replica, copies.first())
    copies.complete(PATH)
    assert KEY in copies.store.progressed
    assert copies.store.replicas == {}


# --- a copy that was complete once ---


def test_a_complete_copy_whose_file_is_gone_is_filled_again_and_says_nothing_before() -> None:
    copies = complete(b"a", b"b")
    del copies.files[PATH]
    restarted(copies)
    copies.repairs.hold(1, Hold(TOPIC, 1, 2, 2), 0)
    [(_, read)] = copies.reads()
    copies.give(read, b"b")
    [(_, again)] = copies.reads()
    copies.give(again, b"a", b"b")
    assert copies.said() == [(1, Holding(TOPIC, 1, 2))]
    assert (copies.replica.complete, copies.replica.durable_length) == (True, 2)


@pytest.mark.parametrize("damage", ["last block", "middle block"])
def test_a_complete_copy_that_reads_damaged_is_filled_again(damage: str) -> None:
    copies = complete(b"a", b"b", b"c")
    at = FILE_HEADER_BYTES + len(one(0, b"a")) + 50 if damage == "middle block" else len(copies.files[PATH]) - 1
    copies.files[PATH][at - 2] ^= 1
    restarted(copies)
    copies.store.open(copies.replica)
    copies.settle()
    assert not copies.replica.complete
    for _ in range(3):
        for _, read in copies.reads():
            copies.give(read, *[b"a", b"b", b"c"][read.offset :])
    assert (copies.replica.complete, copies.replica.durable_length) == (True, 3)
    assert copies.files[PATH].endswith(b"c")


def test_a_complete_copy_that_reads_sound_stays_complete() -> None:
    copies = restarted(complete(b"a", b"b"))
    copies.store.open(copies.replica)
    copies.settle()
    assert copies.replica.complete
    assert copies.reads() == []


# --- a lost copy of a sealed segment ---


def lost() -> Doubtful:
    """Three records are counted, but the first is damaged here."""
    copies = complete(b"a", b"b", b"c")
    copies.files[PATH][FILE_HEADER_BYTES + 45] ^= 1
    restarted(copies)
    copies.store.open(copies.replica)
    copies.settle()
    assert copies.replica.state == LOST
    return copies


def test_a_lost_copy_is_not_given_up_before_another_one_shows_the_last_record() -> None:
    copies = lost()
    before = bytes(copies.files[PATH])
    [(to, read)] = copies.reads()
    assert to in (1, 3)
    assert read == ReadBlocks(read.rid, TOPIC, 1, 2, READ_CLIENT, 0, 0)
    copies.give(read)
    [(_, again)] = copies.reads(ASK_AGAIN_NS)
    assert again.offset == 2
    assert (copies.replica.state, bytes(copies.files[PATH])) == (LOST, before)


def test_a_lost_copy_is_read_from_the_start_once_another_one_has_all_records() -> None:
    copies = lost()
    [(_, probe)] = copies.reads()
    copies.give(probe, b"c")
    assert copies.replica.state == READY
    [(_, read)] = copies.reads()
    assert (read.offset, read.max_bytes) == (0, PULL_BYTES)
    copies.give(read, b"a", b"b", b"c")
    assert copies.replica.complete


def test_a_lost_copy_in_a_set_of_one_is_left_as_it_is() -> None:
    copies = Doubtful(metadata_with(1, 2, 3, copies=(2,)))
    copies.filled(b"a", b"b")
    copies.sealed_at(2)
    copies.files[PATH][FILE_HEADER_BYTES + 45] ^= 1
    before = bytes(copies.files[PATH])
    restarted(copies)
    copies.store.open(copies.replica)
    copies.settle()
    assert copies.reads() == []
    assert copies.reads(ASK_AGAIN_NS) == []
    assert (copies.replica.state, bytes(copies.files[PATH])) == (LOST, before)


# --- a repair that outlives its recovery ---


def test_a_copy_left_short_by_its_recovery_is_completed_from_any_member() -> None:
    metadata: Metadata = metadata_with(1, 2, 3)
    copies = Doubtful(metadata)
    copies.filled(b"a")
    copies.fence(1)
    copies.settle()
    copies.said()
    copies.repairs.ordered(3, Repair(TOPIC, 1, 1, 2, 1), 0)
    [(source, _)] = copies.said()
    assert source == 1  # and falls silent
    metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    copies.sealed_at(2)
    asked = {to: read for now in range(1, 4) for to, read in copies.reads(now * ASK_AGAIN_NS)}
    assert (asked[3].mode, asked[3].offset) == (READ_CLIENT, 1)
    copies.give(copies.reads(4 * ASK_AGAIN_NS)[0][1], b"b")
    assert copies.replica.complete


def test_a_copy_that_its_set_no_longer_names_is_completed_no_further() -> None:
    copies = Doubtful(metadata_with(1, 2, 3))
    copies.filled(b"a")
    copies.sealed_at(2)
    assert len(copies.reads()) == 1
    copies.metadata.apply(ChangeSet(TOPIC, 1, SEALED, 0, 1, members(1, 3, 4)))
    copies.store.reconcile(copies.replica, copies.first())
    copies.settle()
    assert copies.reads(ASK_AGAIN_NS) == []
    assert (copies.repairs.waiting, PATH in copies.files) == (0, False)
