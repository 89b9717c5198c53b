"""Who is shown which records of a copy: acknowledged ones while open, counted ones once sealed, all in a recovery."""

from types import SimpleNamespace

import pytest
from segment_copies import PATH, Copies, one
from segment_fixtures import KEY, TOPIC, metadata_with, sealed

from walrus.core.actions import Read
from walrus.core.segment.blockreader import BlockReader
from walrus.core.segment.messages import (
    ACCEPTED,
    READ_CLIENT,
    READ_ELSEWHERE,
    READ_END,
    READ_OK,
    READ_OWN,
    READ_RECOVERY,
    UNTRUSTED,
    Fence,
    FenceReply,
    ReadBlocks,
    ReadBlocksReply,
)
from walrus.core.segment.writer import DRAINING, PROPOSED, WRITING
from walrus.core.storage.appender import Tokens

ALL = 1 << 20


class Reading(Copies):
    """Node 2's copy of logs:1. ``acked`` at least 0: this process is its writer. Nothing is in the cache."""

    acked = -1
    state = WRITING
    readable = True
    lease = True

    def start(self) -> None:
        super().start()
        self.reader = BlockReader(self.wire.out, Tokens(), self.store, self)  # type: ignore[arg-type]

    def get(self, key: tuple[str, int]) -> SimpleNamespace | None:
        """Stands for :class:`Writers`."""
        assert key[0] == TOPIC
        if self.acked < 0:
            return None
        return SimpleNamespace(acked=self.acked, state=self.state, readable=self.readable)

    def lease_valid(self, now_ns: int) -> bool:
        assert now_ns == 0
        return self.lease

    def ask(self, offset: int, mode: int = READ_CLIENT, *, epoch: int = 0, size: int = ALL) -> tuple[int, bytes]:
        """(status, data) of what node 3 is answered, the disk having done its part."""
        self.reader.serve(3, ReadBlocks(5, TOPIC, 1, offset, mode, epoch, size), 0)
        return self.answer()

    def answer(self) -> tuple[int, bytes]:
        self.requests()
        for action in [action for action in self.disk if isinstance(action, Read)]:
            self.disk.remove(action)
            data = bytes(self.files[action.path][action.offset : action.offset + action.length])
            assert self.reader.read_completed(action.token, data)
        [(to, message)] = self.said()
        assert to == 3
        assert isinstance(message, ReadBlocksReply)
        assert message.rid == 5
        return message.status, message.data


def three() -> Reading:
    """A copy with the records a, b, c, one batch each, that were read from its file at the start of this process."""
    reading = Reading().filled(b"a", b"b", b"c")
    assert isinstance(reading, Reading)
    reading.start()
    reading.store.open(reading.replica)
    reading.settle()
    reading.said()
    return reading


A, B, C = one(0, b"a"), one(1, b"b"), one(2, b"c")


# --- an open segment ---


def test_the_writer_shows_what_is_acknowledged_and_says_where_it_ends() -> None:
    reading = three()
    reading.acked = 2
    assert reading.ask(0) == (READ_OK, A + B)
    assert reading.ask(1) == (READ_OK, B)
    assert reading.ask(2) == (READ_END, b"")
    assert reading.ask(9) == (READ_END, b"")


def test_another_copy_of_an_open_segment_shows_nothing_and_knows_no_end() -> None:
    reading = three()
    assert reading.ask(0) == (READ_ELSEWHERE, b"")
    assert reading.ask(3) == (READ_ELSEWHERE, b"")


@pytest.mark.parametrize("what", ["without a lease", "stopped"])
def test_a_writer_that_may_have_a_successor_shows_nothing(what: str) -> None:
    reading = three()
    reading.acked = 3
    reading.lease = what != "without a lease"
    reading.readable = what != "stopped"
    assert reading.ask(0) == (READ_ELSEWHERE, b"")
    assert reading.ask(3) == (READ_ELSEWHERE, b"")


def test_once_its_seal_is_proposed_a_writer_shows_its_records_but_vouches_for_no_end() -> None:
    reading = three()
    reading.acked, reading.state = 3, PROPOSED
    assert reading.ask(2) == (READ_OK, C)
    assert reading.ask(3) == (READ_ELSEWHERE, b"")


@pytest.mark.parametrize(
    ("state", "lease", "status"),
    [
        (WRITING, True, READ_END),
        (DRAINING, True, READ_END),
        (PROPOSED, True, READ_ELSEWHERE),
        (WRITING, False, READ_ELSEWHERE),
    ],
)
def test_of_a_segment_that_nobody_wrote_to_the_writer_alone_knows_that_it_is_empty(
    state: int, lease: bool, status: int
) -> None:
    reading = Reading()
    reading.acked, reading.state, reading.lease = 0, state, lease
    assert reading.ask(0) == (status, b"")
    reading.acked = -1
    assert reading.ask(0) == (READ_ELSEWHERE, b"")


# --- a sealed one ---


def test_any_member_shows_the_counted_records_of_a_sealed_segment() -> None:
    reading = three()
    sealed(reading.metadata, 2)
    assert reading.ask(0) == (READ_OK, A + B)
    assert reading.ask(2) == (READ_ELSEWHERE, b"")


def test_a_short_copy_sends_on_and_never_says_that_the_segment_ends() -> None:
    reading = three()
    sealed(reading.metadata, 5)
    assert reading.ask(2) == (READ_OK, C)
    assert reading.ask(3) == (READ_ELSEWHERE, b"")


def test_a_lost_copy_shows_nothing() -> None:
    reading = three()
    sealed(reading.metadata, 3)
    reading.files[PATH][512 + 46] ^= 1
    reading.start()
    reading.store.open(reading.replica)
    reading.settle()
    assert reading.ask(0) == (READ_ELSEWHERE, b"")


# --- a recovery, and the writer itself ---


def test_a_recovery_reads_everything_durable_under_its_own_fence_alone() -> None:
    reading = three()
    assert reading.ask(0, READ_RECOVERY, epoch=1) == (READ_ELSEWHERE, b"")
    reading.fence(1)
    reading.settle()
    reading.said()
    assert reading.ask(1, READ_RECOVERY, epoch=1) == (READ_OK, B + C)
    assert reading.ask(3, READ_RECOVERY, epoch=1) == (READ_ELSEWHERE, b"")
    assert reading.ask(1, READ_RECOVERY, epoch=2) == (READ_ELSEWHERE, b"")
    reading.store.fence(1, Fence(TOPIC, 1, 2))
    assert reading.ask(1, READ_RECOVERY, epoch=2) == (READ_ELSEWHERE, b""), "the fence is not durable yet"


def test_the_writer_reads_its_own_copy_as_far_as_it_is_durable() -> None:
    reading = three()
    reading.append(3, one(3, b"d"))
    reading.requests()
    assert reading.ask(2, READ_OWN) == (READ_OK, C)
    assert reading.ask(3, READ_OWN) == (READ_ELSEWHERE, b"")


# --- how much, and from where ---


def test_an_answer_holds_whole_batches_up_to_the_size_asked_for_and_at_least_one() -> None:
    reading = three()
    sealed(reading.metadata, 3)
    assert reading.ask(0, size=len(A) + len(B)) == (READ_OK, A + B)
    assert reading.ask(0, size=len(A) + len(B) - 1) == (READ_OK, A)
    assert reading.ask(0, size=0) == (READ_OK, A)


def test_what_was_read_once_is_served_from_memory() -> None:
    reading = three()
    sealed(reading.metadata, 3)
    reading.ask(0)
    del reading.files[PATH]
    assert reading.ask(1) == (READ_OK, B + C)


def test_who_asks_for_a_copy_that_is_being_opened_is_answered_once_it_is_open() -> None:
    reading = three()
    sealed(reading.metadata, 3)
    reading.start()
    reading.reader.serve(3, ReadBlocks(5, TOPIC, 1, 2, READ_CLIENT, 0, ALL), 0)
    assert reading.said() == []
    reading.settle()
    reading.reader.opened(KEY, 0)
    assert reading.answer() == (READ_OK, C)


def test_data_that_reads_damaged_is_not_passed_on() -> None:
    reading = three()
    sealed(reading.metadata, 3)
    reading.files[PATH][-1] ^= 1
    assert reading.ask(2) == (READ_ELSEWHERE, b"")
    assert reading.wire.logged()[-1] == (
        "error",
        "Node 2: corrupt data read from the copy of logs:1 near record 2; another copy is asked",
    )


def test_a_fenced_copy_that_reads_damaged_takes_back_what_it_said_of_its_length() -> None:
    """Found by the simulator (seed 20000222 of 3 nodes): its recoverer waited for ever for records that nobody has."""
    reading = three()
    reading.fence(1)
    reading.settle()
    [(_, told)] = reading.said()
    assert isinstance(told, FenceReply)
    assert (told.status, told.length) == (ACCEPTED, 3)
    reading.files[PATH][-1] ^= 1
    assert reading.ask(2, READ_RECOVERY, epoch=1) == (READ_ELSEWHERE, b"")
    reading.fence(1)
    reading.settle()
    [(_, told)] = reading.said()
    assert isinstance(told, FenceReply)
    assert (told.status, told.length) == (UNTRUSTED, 0)


def test_a_fenced_copy_whose_read_failed_once_may_be_read_later() -> None:
    reading = three()
    reading.fence(1)
    reading.settle()
    reading.said()
    reading.reader.serve(3, ReadBlocks(5, TOPIC, 1, 2, READ_RECOVERY, 1, ALL), 0)
    reading.requests()
    [read] = [action for action in reading.disk if isinstance(action, Read)]
    reading.disk.clear()
    assert reading.reader.read_failed(read.token, "EIO: Input/output error")
    assert reading.answer() == (READ_ELSEWHERE, b"")
    assert reading.ask(2, READ_RECOVERY, epoch=1) == (READ_OK, C)


def test_a_read_that_fails_sends_on_and_says_why() -> None:
    reading = three()
    sealed(reading.metadata, 3)
    reading.reader.serve(3, ReadBlocks(5, TOPIC, 1, 2, READ_CLIENT, 0, ALL), 0)
    reading.requests()
    [read] = [action for action in reading.disk if isinstance(action, Read)]
    reading.disk.clear()
    assert reading.reader.read_failed(read.token, "EIO: Input/output error")
    assert reading.answer() == (READ_ELSEWHERE, b"")
    assert reading.wire.logged() == [("error", "Node 2: cannot read the copy of logs:1: EIO: Input/output error")]


def test_a_read_of_another_part_is_not_taken_for_its_own() -> None:
    reading = Reading(metadata_with(1, 2, 3))
    assert not reading.reader.read_completed(99, b"")
    assert not reading.reader.read_failed(99, "EIO")
