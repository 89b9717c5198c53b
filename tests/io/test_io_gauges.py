"""What the runtime measures: the time that changes of files take, the sizes of a directory, what the node is told."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from io_harness import ManualClock

from walrus.core.actions import Delete, Read, Write
from walrus.core.config import MS
from walrus.core.events import DriverMeasured, Event, ReadCompleted, WriteCompleted, WriteFailed
from walrus.core.meters import LATENCY_BOUNDS_NS
from walrus.io.gauges import DiskWatch, Gauges, TimedStorage, Usage, look
from walrus.io.storage import StorageAction, ThreadedStorage
from walrus.io.storage_mmap import MappedFiles


class ScriptedStorage:
    """Completes what the test says, when it says so."""

    name = "scripted"
    order = 0

    def __init__(self) -> None:
        self.submitted: list[StorageAction] = []
        self.done: list[Event] = []
        self.closed = False

    def fileno(self) -> int:
        return 7

    def submit(self, actions: Sequence[StorageAction]) -> None:
        self.submitted += actions

    def on_ready(self, mask: int) -> list[Event]:
        done, self.done = self.done, []
        return done

    def close(self) -> None:
        self.closed = True


class Transport:
    """Has so much to send."""

    def unsent_bytes(self) -> int:
        return 11

    def open_connections(self) -> int:
        return 2


def test_changes_are_timed_from_being_asked_for_until_they_are_durable_and_reads_are_not() -> None:
    inner, clock = ScriptedStorage(), ManualClock()
    timed = TimedStorage(inner, clock)
    actions = [Write("a", 0, b"x", 1), Read("a", 0, 1, 2), Delete("b", 3), Write("c", 0, b"", 4)]
    timed.submit(actions)
    assert inner.submitted == actions
    clock.advance_ms(2)
    inner.done = [WriteCompleted(1), ReadCompleted(2, b"x")]
    assert timed.on_ready(0) == [WriteCompleted(1), ReadCompleted(2, b"x")]
    clock.advance_ms(40)
    inner.done = [WriteCompleted(3), WriteFailed(4, "c", "EIO")]
    timed.on_ready(0)
    counts = dict(zip(LATENCY_BOUNDS_NS, timed.latency.counts, strict=False))
    assert {bound // MS: count for bound, count in counts.items() if count} == {2: 1, 50: 1}
    assert timed.latency.sum_ns == 44 * MS
    assert (timed.fileno(), timed.name) == (7, "scripted")
    timed.close()
    assert inner.closed


def test_a_real_driver_is_timed_as_well(tmp_path: Path) -> None:
    clock = ManualClock()
    timed = TimedStorage(ThreadedStorage(MappedFiles(tmp_path)), clock)
    try:
        timed.submit([Write("a", 0, b"x" * 100, 1)])
        found: list[Event] = []
        while not found:
            found = timed.on_ready(0)
        assert found == [WriteCompleted(1)]
        assert sum(timed.latency.counts) == 1
    finally:
        timed.close()


def test_a_look_counts_the_files_below_and_their_blocks_and_asks_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "user_data").mkdir()
    (tmp_path / "user_data" / "t:1.wal").write_bytes(b"x" * 100_000)
    (tmp_path / "lock").write_bytes(b"1")
    os.truncate(tmp_path / "lock", 1 << 30)  # a hole takes no blocks
    found = look(tmp_path)
    assert found.files == 2
    assert 100_000 <= found.used_bytes < 1 << 29
    assert 0 <= found.free_bytes <= found.size_bytes
    assert found.size_bytes > 0
    assert found.descriptors > 0


def test_a_directory_that_is_gone_is_unknown_and_no_error(tmp_path: Path) -> None:
    assert look(tmp_path / "gone") == Usage()


def test_a_file_that_disappears_under_the_look_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a snapshot does that takes another's place."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x")
    real = os.scandir

    def scandir(path: str) -> "contextlib.AbstractContextManager[Iterator[os.DirEntry[str]]]":
        with real(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        (tmp_path / "b").unlink()
        return contextlib.nullcontext(iter(found))

    monkeypatch.setattr(os, "scandir", scandir)
    assert look(tmp_path).files == 2


def test_the_watch_looks_by_itself_and_the_node_is_told_what_was_found_last(tmp_path: Path) -> None:
    clock = ManualClock()
    (tmp_path / "a").write_bytes(b"x")
    watch = DiskWatch(tmp_path, clock)
    try:
        while watch.found == Usage():
            os.sched_yield()
    finally:
        watch.close()
    gauges = Gauges(TimedStorage(ScriptedStorage(), clock), watch, Transport(), Transport(), clock)
    assert gauges.deadline_ns is not None
    assert gauges.deadline_ns <= clock.now_ns(), "the node is told as soon as the loop runs"
    (told,) = gauges.tick(clock.now_ns())
    assert isinstance(told, DriverMeasured)
    assert (told.disk_files, told.disk_free_bytes) == (1, watch.found.free_bytes)
    assert (told.client_unsent_bytes, told.peer_unsent_bytes, told.peer_connections) == (11, 11, 2)
    assert told.resident_bytes > 0
    assert told.processor_ns > 0
    assert told.sync_counts == (0,) * (len(LATENCY_BOUNDS_NS) + 1)
    assert gauges.deadline_ns is not None
    assert gauges.deadline_ns > clock.now_ns()
