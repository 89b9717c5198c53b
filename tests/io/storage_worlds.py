"""The three disks of the conformance suite behind one handle: mmap, io_uring, the simulated one."""

import contextlib
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest

from walrus.core.actions import Change, Read
from walrus.core.events import Event, ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.io.storage import StorageAction, StorageDriver, ThreadedStorage
from walrus.io.storage_choice import choose
from walrus.io.storage_mmap import MappedFiles
from walrus.io.storage_uring import RingStorage
from walrus.sim.disk import Disk, paths_of
from walrus.sim.trace import Trace
from walrus.sim.world import MS, SECOND, World

DRIVERS = ("mmap", "io_uring")
PATIENCE_S = 60.0
STEP_NS = MS // 10
KIB = 1024
MIB = 1024 * KIB
Completion = WriteCompleted | WriteFailed | ReadCompleted | ReadFailed


class Store(Protocol):
    """A disk under test."""

    def submit(self, actions: Sequence[StorageAction]) -> None: ...

    def collect(self, count: int) -> list[Event]:
        """Wait for so many completions."""

    def has_completions(self) -> bool:
        """Whether completions wait, without waiting for any."""

    def finish(self) -> None:
        """Complete what was submitted and let go of all files; called twice, the second time nothing happens."""

    def reopen(self) -> None:
        """Finish, and go on in a process of its own: only what is on the disk is known."""


def make_driver(name: str, root: Path) -> StorageDriver:
    """A real driver; skips the test where io_uring cannot be had."""
    if name == "mmap":
        return ThreadedStorage(MappedFiles(root))
    choice = choose(disable_io_uring=False)
    if choice.name != "io_uring":
        pytest.skip(f"no io_uring here: {choice.reason}")
    return RingStorage(root)


class RealStore:
    """A driver over a directory."""

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self._root = root
        self.driver = make_driver(name, root)
        self._open = True
        self._done: list[Event] = []

    def submit(self, actions: Sequence[StorageAction]) -> None:
        self.driver.submit(actions)

    def collect(self, count: int) -> list[Event]:
        while len(self._done) < count:
            assert select.select([self.driver.fileno()], [], [], PATIENCE_S)[0], f"only {self._done} of {count}"
            self._done += self.driver.on_ready(0)
        taken, self._done = self._done[:count], self._done[count:]
        return taken

    def has_completions(self) -> bool:
        while select.select([self.driver.fileno()], [], [], 0)[0]:
            self._done += self.driver.on_ready(0)
        return bool(self._done)

    def finish(self) -> None:
        if self._open:
            self.driver.close()
            self._open = False

    def reopen(self) -> None:
        self.finish()
        self.driver = make_driver(self._name, self._root)
        self._open = True


class SimulatedStore:
    """The simulated disk. It holds callers to the core's promise of one change in flight per path, so changes
    queue here as they queue in the core.
    """

    def __init__(self, seed: int = 1) -> None:
        self.world = World(seed, Trace(), max_steps=1_000_000)
        self._done: list[Event] = []
        self.disk = Disk(self.world, self.world.rng, self._completed, (1_000, 2_000_000))
        self._queue: deque[Change] = deque()
        self._flying: dict[int, Change] = {}

    def submit(self, actions: Sequence[StorageAction]) -> None:
        for action in actions:
            if isinstance(action, Read):
                self.disk.read(action)
            else:
                self._queue.append(action)
        self._begin()

    def collect(self, count: int) -> list[Event]:
        end_ns = self.world.now_ns + int(PATIENCE_S * SECOND)
        while len(self._done) < count:
            assert self.world.now_ns < end_ns, f"only {self._done} of {count}"
            self.world.run_until(self.world.now_ns + STEP_NS)
        taken, self._done = self._done[:count], self._done[count:]
        return taken

    def has_completions(self) -> bool:
        return bool(self._done)

    def finish(self) -> None:
        while self._flying:
            self.world.run_until(self.world.now_ns + STEP_NS)

    def reopen(self) -> None:
        self.finish()
        self.disk.crash(0, torn=False)
        self._done.clear()

    def _completed(self, event: Event) -> None:
        self._done.append(event)
        if isinstance(event, WriteCompleted | WriteFailed | SpaceRanOut):
            del self._flying[event.change.token if isinstance(event, SpaceRanOut) else event.token]
            self._begin()

    def _begin(self) -> None:
        taken = {path for change in self._flying.values() for path in paths_of(change)}
        for change in list(self._queue):
            if taken.isdisjoint(paths_of(change)):
                self._queue.remove(change)
                self._flying[change.token] = change
                self.disk.change(change)
            taken.update(paths_of(change))


class FuseDisk:
    """``fuse_disk.py`` in a process of its own: a driver may wait for it holding the interpreter's lock."""

    def __init__(self, directory: Path) -> None:
        script = Path(__file__).with_name("fuse_disk.py")
        command = [sys.executable, str(script), str(directory)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._said = b""
        self.requests: list[str] = []

    def until(self, line: str) -> None:
        """Read what it says up to a line; the lines before are requests that it was sent."""
        assert self._process.stdout is not None
        while True:
            while b"\n" in self._said:
                said, _, self._said = self._said.partition(b"\n")
                if said.decode() == line:
                    return
                self.requests.append(said.decode())
            waiting = f"waited for {line!r}, heard {self.requests}"
            assert select.select([self._process.stdout], [], [], PATIENCE_S)[0], waiting
            heard = os.read(self._process.stdout.fileno(), 65536)
            assert heard, f"the FUSE disk ended; {waiting}"
            self._said += heard

    def order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self.until("done")

    def end(self) -> None:
        """End the process: whatever still waits for it gets an error."""
        self._process.communicate()


@contextlib.contextmanager
def fuse_disk(directory: Path) -> Iterator[FuseDisk]:
    """A FUSE disk on ``directory``; skips the test where it cannot be mounted."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("mounting a FUSE disk takes root and /dev/fuse")
    probe = subprocess.run(["umount", "--version"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("umount is missing")
    disk = FuseDisk(directory)
    try:
        disk.until("mounted")
        yield disk
    finally:
        disk.end()
        subprocess.run(["umount", "-l", directory], check=False, capture_output=True)


@contextlib.contextmanager
def small_tmpfs(directory: Path) -> Iterator[None]:
    """One MiB of memory as a disk on ``directory``; skips the test where it cannot be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs takes root")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)  # a ring lets go of its files a little later
