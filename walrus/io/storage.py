"""What the runtime asks of a storage driver, and the two threads that any blocking one runs in.

A driver is given the core's storage actions: write at an offset (the reservation of the file's next blocks is part of
it, and so is its data sync unless the action says otherwise), cut, rename, remove, read. Listing is start-up's
business, before any driver runs (:meth:`walrus.io.datadir.DataDirectory.files`). Two drivers and the simulated disk
pass one suite of tests.

In a blocking driver changes go through one thread, in the order given, a batch at a time: everything that queued
while the disk was busy shares the next syncs, and what needs none does not wait for them. Reads have a thread of their
own, so that a read never waits behind a sync. Completions travel back through one descriptor.

A failed write-back is told to whoever syncs the file next, and only while somebody has it open: so a driver syncs what
it has written without before it closes the file.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from walrus.core.actions import Change, Read, Write
from walrus.core.events import Event, ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.io.source import FIRST, Source
from walrus.io.wakeup import Wakeup

_T = TypeVar("_T")

Changed = WriteCompleted | WriteFailed | SpaceRanOut
"""What becomes of a change."""

StorageAction = Change | Read

_BATCH_FILES_MAX: Final = 64
_BATCH_BYTES_MAX: Final = 64 * 1024 * 1024
_READ_BATCH_BYTES_MAX: Final = 1024 * 1024
_CLOSE_TIMEOUT_S: Final = 2.0


class StorageDriver(Source, Protocol):
    """Executes file actions and hands back their completions when its descriptor is readable."""

    name: str  # as in the log line "storage driver: mmap"

    def fileno(self) -> int:
        """The descriptor that becomes readable when completions wait."""

    def submit(self, actions: Sequence[StorageAction]) -> None:
        """Begin ``actions``; those on one path take effect in the order given. Never blocks."""

    def close(self) -> None:
        """Finish what was submitted (for a bounded time) and let go of all files."""


class Files(Protocol):
    """Blocking file operations. One thread calls ``apply`` while another calls ``read``."""

    name: str

    def apply(self, batch: Sequence[Change]) -> Iterator[list[Changed]]:
        """Carry out ``batch`` in order and make durable what is to be; one completion per change, those of one path in
        order. What needs no sync comes first.
        """

    def read(self, action: Read) -> ReadCompleted | ReadFailed:
        """Read; fewer bytes than asked for only where the file ends."""

    def close(self) -> None:
        """Let go of all files."""


class ThreadedStorage:
    """A :class:`StorageDriver` made of blocking :class:`Files`."""

    order = FIRST

    def __init__(self, files: Files) -> None:
        self.name = files.name
        self._files = files
        self._wakeup = Wakeup()
        self._changes: queue.SimpleQueue[list[Change] | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[list[Read] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._done: list[Event] = []
        self._broken = False  # a thread has ended without being told to
        self._threads = [
            threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)
            for name, work in (("storage-write", self._run_changes), ("storage-read", self._run_reads))
        ]
        for thread in self._threads:
            thread.start()

    def fileno(self) -> int:
        return self._wakeup.fileno()

    def submit(self, actions: Sequence[StorageAction]) -> None:
        reads: list[Read] = []
        changes: list[Change] = []
        for action in actions:
            if isinstance(action, Read):
                reads.append(action)
            else:
                changes.append(action)
        if changes:
            self._changes.put(changes)
        if reads:
            self._reads.put(reads)

    def on_ready(self, mask: int) -> list[Event]:
        """Return the completions since the last call.

        Raises:
            RuntimeError: a storage thread died of a bug (its traceback is on stderr and in the log); going on
                would leave every write waiting for ever.
        """
        self._wakeup.clear()
        with self._lock:
            done, self._done = self._done, []
        if self._broken:
            raise RuntimeError("a storage thread ended unexpectedly")
        return done

    def close(self) -> None:
        self._changes.put(None)
        self._reads.put(None)
        for thread in self._threads:
            thread.join(_CLOSE_TIMEOUT_S)
        if not any(thread.is_alive() for thread in self._threads):
            self._files.close()
            self._wakeup.close()

    def _guard(self, work: Callable[[], None]) -> None:
        """Run ``work``; should it raise, tell the loop before the thread is gone: it looks only when woken."""
        finished = False
        try:
            work()
            finished = True
        finally:
            if not finished:
                self._broken = True
                self._wakeup.set()

    def _post(self, events: Sequence[Event]) -> None:
        with self._lock:
            was_empty = not self._done
            self._done.extend(events)
        if was_empty:
            self._wakeup.set()

    def _run_changes(self) -> None:
        pending: deque[Change] = deque()
        closing = False
        while pending or not closing:
            closing = _refill(self._changes, pending) or closing
            if pending:
                for done in self._files.apply(_next_batch(pending)):
                    self._post(done)

    def _run_reads(self) -> None:
        pending: deque[Read] = deque()
        closing = False
        while pending or not closing:
            closing = _refill(self._reads, pending) or closing
            done: list[Event] = []
            size_bytes = 0
            while pending and size_bytes < _READ_BATCH_BYTES_MAX:
                size_bytes += pending[0].length
                done.append(self._files.read(pending.popleft()))
            self._post(done)


def _refill(source: "queue.SimpleQueue[list[_T] | None]", pending: deque[_T]) -> bool:
    """Move everything queued to ``pending``, waiting only if that is empty; True once asked to close."""
    closing = False
    while not (closing or (pending and source.empty())):
        items = source.get()
        if items is None:
            closing = True
        else:
            pending.extend(items)
    return closing


def _next_batch(pending: deque[Change]) -> list[Change]:
    """Take what one round of syncs covers: bounded, so that the first of many need not wait for the last."""
    batch: list[Change] = []
    paths: set[str] = set()
    size_bytes = 0
    while pending and len(paths) < _BATCH_FILES_MAX and size_bytes < _BATCH_BYTES_MAX:
        change = pending.popleft()
        batch.append(change)
        paths.add(change.path)
        if isinstance(change, Write):
            size_bytes += len(change.data)
    return batch
