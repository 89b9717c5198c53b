"""What the runtime measures for METRICS: how long the disk takes, what the node uses of it and of the machine.

Sizes are found out on a thread of their own: listing tens of thousands of files takes a while, and a disk or a network
file system that hangs holds whoever asks it. The loop takes the newest result, however old it is.
"""

import contextlib
import os
import resource
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from walrus.core.actions import Read
from walrus.core.config import SECOND
from walrus.core.events import DriverMeasured, Event, WriteCompleted, WriteFailed
from walrus.core.meters import Histogram
from walrus.io.clock import Clock
from walrus.io.storage import StorageAction, StorageDriver

_REPORT_NS: Final = 2 * SECOND
_LOOK_S: Final = 5.0
_SHARE: Final = 50  # a look that takes long comes so much more rarely: at most one part in so many is spent looking
_BLOCK_BYTES: Final = 512  # the unit of st_blocks, whatever the file system's own is
_DESCRIPTORS: Final = "/proc/self/fd"
_MEMORY: Final = Path("/proc/self/statm")
_UNKNOWN: Final = -1


class TimedStorage:
    """A :class:`StorageDriver` around another: measures changes from being asked for until they are durable."""

    def __init__(self, storage: StorageDriver, clock: Clock) -> None:
        self.name = storage.name
        self.order = storage.order
        self.latency = Histogram()
        self._storage = storage
        self._clock = clock
        self._since_ns: dict[int, int] = {}  # token of a change under way -> when it was asked for

    def fileno(self) -> int:
        return self._storage.fileno()

    def submit(self, actions: Sequence[StorageAction]) -> None:
        now_ns = self._clock.now_ns()
        for action in actions:
            if not isinstance(action, Read):
                self._since_ns[action.token] = now_ns
        self._storage.submit(actions)

    def on_ready(self, mask: int) -> list[Event]:
        events = self._storage.on_ready(mask)
        now_ns = self._clock.now_ns()
        for event in events:
            if isinstance(event, WriteCompleted):
                self.latency.observe(now_ns - self._since_ns.pop(event.token))
            elif isinstance(event, WriteFailed):
                del self._since_ns[event.token]
        return events

    def close(self) -> None:
        self._storage.close()


@dataclass(frozen=True)
class Usage:
    """What :class:`DiskWatch` has found: bytes, files and descriptors; -1 for what could not be found out."""

    used_bytes: int = _UNKNOWN
    files: int = _UNKNOWN
    size_bytes: int = _UNKNOWN
    free_bytes: int = _UNKNOWN
    descriptors: int = _UNKNOWN


class DiskWatch:
    """Looks at a node's directory every few seconds, on a daemon thread; ``found`` is replaced as a whole."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.found = Usage()
        self._directory = directory
        self._clock = clock
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="disk-watch", daemon=True).start()

    def close(self) -> None:
        """Look no more. A look that hangs is left alone: the thread is a daemon."""
        self._stop.set()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stop.wait(wait_s):
            before_ns = self._clock.now_ns()
            self.found = look(self._directory)
            wait_s = max(_LOOK_S, (self._clock.now_ns() - before_ns) * _SHARE / SECOND)


def look(directory: Path) -> Usage:
    """What is used and free now, below ``directory`` and by this process. Blocks; a disk in trouble is unknown."""
    try:
        system = os.statvfs(directory)
        used, files = _used(directory)
    except OSError:
        return Usage()
    size, free = system.f_blocks * system.f_frsize, system.f_bavail * system.f_frsize
    try:
        descriptors = len(os.listdir(_DESCRIPTORS))
    except OSError:  # no /proc
        descriptors = _UNKNOWN
    return Usage(used, files, size, free, descriptors)


def _used(directory: Path) -> tuple[int, int]:
    """Bytes of all blocks, and files. What disappears meanwhile is not counted."""
    used = files = 0
    pending = [os.fspath(directory)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        used += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                        files += 1
        except FileNotFoundError:
            continue
    return used, files


class _Unsent(Protocol):
    def unsent_bytes(self) -> int: ...


class _Peers(_Unsent, Protocol):
    def open_connections(self) -> int: ...


class Gauges:
    """A Ticker that tells the node what the runtime has measured."""

    def __init__(self, storage: TimedStorage, disk: DiskWatch, clients: _Unsent, peers: _Peers, clock: Clock) -> None:
        self.deadline_ns: int | None = clock.now_ns()
        self._storage = storage
        self._disk = disk
        self._clients = clients
        self._peers = peers
        self._started_wall_ns = clock.wall_ns()

    def tick(self, now_ns: int) -> list[Event]:
        self.deadline_ns = now_ns + _REPORT_NS
        process = resource.getrusage(resource.RUSAGE_SELF)
        usage, latency = self._disk.found, self._storage.latency
        measured = DriverMeasured(
            disk_used_bytes=usage.used_bytes,
            disk_files=usage.files,
            disk_size_bytes=usage.size_bytes,
            disk_free_bytes=usage.free_bytes,
            started_wall_ns=self._started_wall_ns,
            processor_ns=int((process.ru_utime + process.ru_stime) * SECOND),
            resident_bytes=_resident_bytes(),
            descriptors=usage.descriptors,
            client_unsent_bytes=self._clients.unsent_bytes(),
            peer_unsent_bytes=self._peers.unsent_bytes(),
            peer_connections=self._peers.open_connections(),
            sync_counts=tuple(latency.counts),
            sync_sum_ns=latency.sum_ns,
        )
        return [measured]


def _resident_bytes() -> int:
    try:
        return int(_MEMORY.read_text().split()[1]) * resource.getpagesize()
    except OSError:  # no /proc
        return _UNKNOWN
