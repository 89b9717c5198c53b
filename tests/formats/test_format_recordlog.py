"""Record files, the journal and the catalogue: group commit, torn tails, holes, foreign files."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.samples import JOURNAL_RECORDS, NODE, STORAGE, catalogue_file, journal_payload, record_file
from walrus.core.peer import Entry
from walrus.core.raft.output import HardState
from walrus.core.storage.appender import Appender, Tokens
from walrus.core.storage.catalogue import (
    CATALOGUE_MAGIC,
    CopyState,
    Dropped,
    Fenced,
    Held,
    encode_record,
    recover_catalogue,
)
from walrus.core.storage.journal import JOURNAL_MAGIC, recover_journal
from walrus.core.storage.recordlog import RecordLog, RecoveryError, recover

MAGIC = b"WALRTEST"
PAYLOADS = [b"one", b"", b"three" * 9, b"four"]
DATA, ENDS = record_file(MAGIC, PAYLOADS)


def test_what_is_appended_while_a_write_is_in_flight_goes_with_the_next() -> None:
    appender = Appender("file", Tokens(), 10)
    first = appender.append(b"ab")
    write = appender.flush()
    assert write is not None
    assert (write.offset, write.data, write.token) == (10, b"ab", first)
    second = appender.append(b"c")
    assert appender.append(b"d") == second != first
    assert appender.flush() is None
    assert (appender.durable_end, appender.has_waiting, appender.idle) == (10, True, False)
    appender.completed(first)
    write = appender.flush()
    assert write is not None
    assert (write.offset, write.data, write.token) == (12, b"cd", second)
    appender.completed(second)
    assert (appender.durable_end, appender.idle) == (14, True)


def test_a_completion_of_a_write_not_in_flight_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Appender("file", Tokens(), 0).completed(3)


def test_any_cut_of_a_record_file_keeps_the_whole_records() -> None:
    assert recover("f", MAGIC, DATA[: ENDS[0] - 1]) is None
    for cut in range(ENDS[0], len(DATA) + 1):
        found = recover("f", MAGIC, DATA[:cut])
        assert found is not None
        count = sum(end <= cut for end in ENDS) - 1
        assert (found.payloads, found.end) == (PAYLOADS[:count], ENDS[count])
        assert found.dirty_tail == (cut != ENDS[count])


def test_a_damaged_record_below_the_durable_mark_is_never_taken_for_a_torn_tail() -> None:
    for at in range(ENDS[-2]):
        damaged = bytearray(DATA)
        damaged[at] ^= 0x40
        with pytest.raises(RecoveryError, match=r"^f: "):
            recover("f", MAGIC, bytes(damaged))


def test_damage_to_the_last_record_is_a_torn_tail() -> None:
    for at in range(ENDS[-2], ENDS[-1]):
        damaged = bytearray(DATA)
        damaged[at] ^= 0x40
        found = recover("f", MAGIC, bytes(damaged))
        assert found is not None
        assert (found.payloads, found.dirty_tail) == (PAYLOADS[:-1], True)


def test_preallocated_zeros_after_the_records_are_no_dirt() -> None:
    found = recover("f", MAGIC, DATA + bytes(100))
    assert found is not None
    assert (found.payloads, found.end, found.dirty_tail) == (PAYLOADS, len(DATA), False)


def test_a_record_file_that_never_became_durable_holds_nothing() -> None:
    assert recover("f", MAGIC, b"") is None
    assert recover("f", MAGIC, bytes(200)) is None


def test_a_file_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(RecoveryError, match=r"f: not a file of this kind .*WALRTEST.*WALRAFT"):
        recover("f", JOURNAL_MAGIC, DATA)


@given(st.lists(st.tuples(st.binary(max_size=20), st.booleans()), max_size=12), st.integers(0, 2**32))
def test_a_crash_loses_nothing_durable_and_invents_nothing(steps: list[tuple[bytes, bool]], seed: int) -> None:
    """Each record either waits with others or is flushed; the write in flight at the crash reaches the disk in part."""
    log = RecordLog.create("f", MAGIC, NODE, STORAGE, Tokens())
    disk = b""
    completed = 0
    write = log.appender.flush()
    tokens = []
    for payload, flush in steps:
        tokens.append(log.append(payload))
        if flush and write is not None:
            disk += write.data
            log.appender.completed(write.token)
            completed = write.token
            write = log.appender.flush()
    torn = write.data[: random.Random(seed).randrange(len(write.data) + 1)] if write is not None else b""
    found = recover("f", MAGIC, disk + torn)
    payloads = found.payloads if found else []
    assert payloads == [payload for payload, _ in steps][: len(payloads)]
    assert len(payloads) >= sum(token <= completed for token in tokens)


def test_the_journal_replays_to_the_last_of_everything() -> None:
    data, ends = record_file(JOURNAL_MAGIC, [journal_payload(record) for record in JOURNAL_RECORDS])
    found = recover_journal(data)
    assert found is not None
    assert (found.node, found.storage, found.cluster, found.incarnation) == (NODE, STORAGE, 77, 2)
    assert found.hard_state == HardState(2, 3)
    assert [(entry.index, entry.term) for entry in found.entries] == [(1, 1), (2, 2)]
    for count, (end, after) in enumerate(pairwise(ends)):
        part = recover_journal(data[: after - 1])
        assert part is not None
        assert part.end == end
        assert len(part.entries) == min(2, sum(isinstance(record, Entry) for record in JOURNAL_RECORDS[:count]))


def test_a_journal_entry_replaces_everything_from_its_index_on() -> None:
    entries = [Entry(index, 1, 0, b"") for index in (1, 2, 3)]
    data, _ = record_file(JOURNAL_MAGIC, [journal_payload(entry) for entry in [*entries, Entry(2, 5, 0, b"")]])
    found = recover_journal(data)
    assert found is not None
    assert [(entry.index, entry.term) for entry in found.entries] == [(1, 1), (2, 5)]


@pytest.mark.parametrize("index", [0, 2])
def test_a_journal_that_skips_an_index_is_refused(index: int) -> None:
    data, _ = record_file(JOURNAL_MAGIC, [journal_payload(Entry(index, 1, 0, b""))])
    with pytest.raises(RecoveryError, match=f"record 0 holds index {index} after 0"):
        recover_journal(data)


@pytest.mark.parametrize("payload", [b"", b"rubbish", b"\x92\xa1b\xa1x", b"\x92\xa1\xff\x01"])
def test_a_sound_record_that_means_nothing_is_refused_by_its_number(payload: bytes) -> None:
    with pytest.raises(RecoveryError, match="record 0 cannot be read"):
        recover_journal(record_file(JOURNAL_MAGIC, [payload])[0])
    with pytest.raises(RecoveryError, match="record 0 cannot be read"):
        recover_catalogue(record_file(CATALOGUE_MAGIC, [payload])[0], NODE, STORAGE)


def test_the_catalogue_replays_to_what_each_copy_is() -> None:
    found = recover_catalogue(catalogue_file(), NODE, STORAGE)
    assert found is not None
    assert found.copies == {
        ("logs", 1): CopyState(held=True, version=1, fence_epoch=2, complete=True, length=5),
        ("logs", 2): CopyState(held=False, version=0),
        ("other", 1): CopyState(held=True, version=6, fence_epoch=4),
        ("other", 2): CopyState(held=True, version=3, fence_epoch=1, length=6),
    }


def test_a_fence_outlives_the_copy_it_was_promised_for() -> None:
    records = [Fenced("logs", 2, 7), Held("logs", 2, 1), Dropped("logs", 2)]
    data, _ = record_file(CATALOGUE_MAGIC, [encode_record(record) for record in records])
    found = recover_catalogue(data, NODE, STORAGE)
    assert found is not None
    assert found.copies["logs", 2] == CopyState(fence_epoch=7)


@pytest.mark.parametrize("identity", [(2, STORAGE), (NODE, 5)])
def test_the_catalogue_of_another_disk_is_refused(identity: tuple[int, int]) -> None:
    with pytest.raises(RecoveryError, match="do not mix data directories"):
        recover_catalogue(catalogue_file(), *identity)
