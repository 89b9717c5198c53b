"""One node's simulated disk: every operation completes later, and only then has it happened for certain.

A crash decides for each operation still in flight, each on its own, whether it reached the disk; of a write that did
not, the first sectors or the first bytes may have. A loss of power decides the same for each write that has completed
without a sync since the last sync of its file; the end of a process alone loses none of those. What else goes wrong
with a disk is done to it from outside (:mod:`walrus.sim.deeds.disks`) and noted in its ledger
(:mod:`walrus.sim.damage`).
"""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from walrus.core.actions import Change, Delete, Read, Rename, Truncate, Write
from walrus.core.events import Event, ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.sim.damage import LOGS, Damage
from walrus.sim.rng import Rng
from walrus.sim.world import Violation, World

SECTOR_BYTES: Final = 512
ENOENT: Final = "ENOENT: No such file or directory"
EIO: Final = "EIO: Input/output error"
ENOSPC: Final = "ENOSPC: No space left on device"
FAILED_SYNC: Final = "failed-sync"
READ_ERROR: Final = "read-error"


class Disk:
    """Files by path relative to the node's directory. ``notify`` receives completion events.

    ``latency_ns`` is (least, most); faults may change it. ``room_bytes``: how much more fits, None for any amount.
    ``failed``: what kind of failure this process was told of, after which it must stop itself. All state but the last
    outlives crashes of the node. ``files`` is what the operating system shows; ``unsynced`` has what of it the disk may
    not have: of a path, its content at the last sync and the writes since.
    """

    def __init__(self, world: World, rng: Rng, notify: Callable[[Event], None], latency_ns: tuple[int, int]) -> None:
        self.files: dict[str, bytearray] = {}
        self.latency_ns = latency_ns
        self.kept_in_flight = 0
        self.lost_in_flight = 0
        self.torn_in_flight = 0
        self.damage = Damage(world.labels)
        self.room_bytes: int | None = None
        self.failed = ""
        self.unsynced: dict[str, tuple[bytes, list[Write]]] = {}
        self.exchanged = 0  # how often an empty disk has taken its place
        self._world = world
        self._rng = rng
        self._notify = notify
        self._life = 0
        self._in_flight: dict[str, Change] = {}  # one per path: the core never has two
        self._failing_sync: tuple[str, int] | None = None  # (path prefix, bytes kept) of the next change to fail
        self._lying: set[str] = set()  # files whose sync has failed: this process is told lies about them
        self._listeners: list[Callable[[Change], None]] = []
        self._cut_listeners: list[Callable[[str, bytes], None]] = []

    @property
    def busy(self) -> bool:
        """Whether a change is in flight."""
        return bool(self._in_flight)

    def in_flight(self) -> Iterator[Change]:
        """The changes that were begun and are not done."""
        return iter(self._in_flight.values())

    @property
    def injury(self) -> str:
        """What may make a process on this disk stop itself now, or at its next start."""
        if self.damage.fatal or self.failed:
            return self.damage.fatal or self.failed
        if self._failing_sync is not None:
            return FAILED_SYNC
        return READ_ERROR if any(wound.path in LOGS for wound in self.damage.of_kind(READ_ERROR)) else ""

    def when_changed(self, listener: Callable[[Change], None]) -> None:
        """Tell a checker of each change that a process asked for, once it is on the disk, or as much of it as is."""
        self._listeners.append(listener)

    def when_cut(self, listener: Callable[[str, bytes], None]) -> None:
        """Tell a checker of each file that may have lost something with the power, and what is left of it."""
        self._cut_listeners.append(listener)

    def exchange(self) -> None:
        """An empty disk takes the place of this one, of which no process is running."""
        self.files.clear()
        self.unsynced.clear()
        self.damage = Damage(self._world.labels)
        self.damage.hurt["the whole disk"] = "new disk"  # so that no other one is damaged beyond what can be survived
        self.heal()
        self.failed = ""
        self.exchanged += 1

    def fail_sync(self, path_prefix: str, kept_bytes: int) -> None:
        """Let the next change to such a path fail; so many bytes of it, from the first on, are on the disk."""
        self._failing_sync = path_prefix, kept_bytes

    def heal(self) -> None:
        """From now on the disk works. What is damaged or lost stays so."""
        self.room_bytes = None
        self._failing_sync = None
        self.damage.end_of_kind(READ_ERROR)

    def sizes(self) -> dict[str, int]:
        """What :class:`walrus.core.events.Started` tells: path to size, in the order of the paths."""
        return {path: len(self.files[path]) for path in sorted(self.files)}

    def change(self, action: Change) -> None:
        """Begin a write, truncation or removal."""
        for path in paths_of(action):
            if path in self._in_flight:
                raise Violation(
                    f"driver contract: {action.__class__.__name__} of {path} (token {action.token}) while "
                    f"token {self._in_flight[path].token} is in flight on it"
                )
            if path.startswith("/") or ".." in path.split("/"):
                raise Violation(f"driver contract: {path!r} is not a path below the node's directory")
            self._in_flight[path] = action
        self._world.after(self._latency(), self._complete, (self._life, action))

    def read(self, action: Read) -> None:
        """Begin a read; it sees what is on the disk when it completes."""
        self._world.after(self._latency(), self._complete_read, (self._life, action))

    def crash(self, keep_per_million: int, *, torn: bool) -> None:
        """The node's process ended: nobody hears of completions, and each open change may be lost, or with ``torn``
        arrive in part. What arrived of a write is not synced: it may be lost with the power later.
        """
        self._life += 1
        rng = self._rng.stream(f"crash {self._life}")
        for path, action in self._in_flight.items():
            if path != action.path:
                continue  # a renaming, which has come up under its other path
            if rng.chance(keep_per_million):
                self.kept_in_flight += 1
                self._apply(replace(action, sync=False) if isinstance(action, Write) else action)
            elif torn and isinstance(action, Write) and (kept := _first_part(action, rng)):
                self.torn_in_flight += 1
                self._apply(Write(action.path, action.offset, kept, action.token, sync=False))
            else:
                self.lost_in_flight += 1
        self._in_flight.clear()
        self._lying.clear()
        self.failed = ""
        self.damage.forgotten()

    def cut_power(self, keep_per_million: int, *, torn: bool) -> dict[str, tuple[bytes, bytes]]:
        """The machine stops, its process with it. Of each file that lost something: what it held, and what is left.

        Each write without a sync is kept with that probability, in any combination; sizes stay, or shrink to what is
        there.
        """
        rng = self._rng.stream(f"power cut {self._life}")
        lost: dict[str, tuple[bytes, bytes]] = {}
        for path, (stable, writes) in self.unsynced.items():
            before, content = bytes(self.files[path]), bytearray(stable)
            for write in writes:
                kept = rng.chance(keep_per_million)
                data = write.data if kept else _first_part(write, rng) if torn else b""
                if data:
                    _put(content, write.offset, data)
            if rng.chance(500_000):
                _resize(content, max(len(content), len(before)))
            self._make_room(len(before) - len(content))
            self.files[path] = content
            if content[: len(before)] != before:
                lost[path] = before, bytes(content)
        paths = list(self.unsynced)
        self.unsynced.clear()
        self.crash(keep_per_million, torn=torn)
        paths += self.unsynced  # what was in flight, and is there
        self.unsynced.clear()
        for path in [path for path in paths if path in self.files]:  # what was in flight may have removed it
            for listener in self._cut_listeners:
                listener(path, bytes(self.files[path]))
        return lost

    def settle(self, path: str) -> None:
        """All that a file holds has reached the disk by itself."""
        self.unsynced.pop(path, None)

    def _latency(self) -> int:
        least, most = self.latency_ns
        return self._rng.randrange(least, most + 1)

    def _complete(self, item: tuple[int, Change]) -> None:
        life, action = item
        if life != self._life:
            return
        for path in paths_of(action):
            del self._in_flight[path]
        error = self._carry_out(action)
        if error == ENOSPC:
            self._notify(SpaceRanOut(action, error))
        else:
            self._notify(WriteFailed(action.token, action.path, error) if error else WriteCompleted(action.token))

    def _complete_read(self, item: tuple[int, Read]) -> None:
        life, action = item
        if life != self._life:
            return
        content, end = self.files.get(action.path), action.offset + action.length
        error = ENOENT if content is None else ""
        if any(wound.kind == READ_ERROR for wound in self.damage.read(action.path, action.offset, end)):
            error = EIO
            if action.path in LOGS:
                self.failed = READ_ERROR
        if error or content is None:
            self._notify(ReadFailed(action.token, action.path, error))
        else:
            self._notify(ReadCompleted(action.token, bytes(content[action.offset : end])))

    def _carry_out(self, action: Change) -> str:
        """Carry out a change that is due; "" or why it failed. After a failed sync, those that follow tell lies."""
        path = action.path
        if path in self._lying:
            return ""
        if self._failing_sync is None or not path.startswith(self._failing_sync[0]):
            return self._apply(action)
        kept_bytes, self._failing_sync = self._failing_sync[1], None
        self._lying.add(path)
        self.failed = FAILED_SYNC
        if isinstance(action, Write):
            kept = action.data[:kept_bytes]
            self._apply(Write(path, action.offset, kept, action.token, sync=path not in self.unsynced))
        elif kept_bytes:
            self._apply(action)
        return EIO

    def _apply(self, action: Change) -> str:
        """Change the files; "" or why that is not possible."""
        error = self._alter(action)
        if not error:
            for listener in self._listeners:
                listener(action)
        return error

    def _alter(self, action: Change) -> str:
        if not isinstance(action, Write) or action.sync:
            for path in paths_of(action):
                self.unsynced.pop(path, None)
        if isinstance(action, Delete):
            self._make_room(len(self.files.pop(action.path, b"")))
            self.damage.removed(action.path)
            return ""
        content = self.files.get(action.path)
        if isinstance(action, Rename):
            return self._rename(action)
        if isinstance(action, Truncate):
            if content is None:
                return ENOENT
            self._make_room(len(content) - action.size)
            _resize(content, action.size)
            self.damage.truncated(action.path, action.size)
            return ""
        return self._write(action, len(content) if content is not None else 0)

    def _rename(self, action: Rename) -> str:
        content = self.files.pop(action.path, None)
        if content is None:
            return ENOENT
        self._make_room(len(self.files.pop(action.to, b"")))
        self.files[action.to] = content
        self.damage.renamed(action.path, action.to)
        return ""

    def _write(self, action: Write, size: int) -> str:
        """The room is found before anything is written: first for the bytes, then for zeros ahead of them."""
        end, room_bytes = action.offset + len(action.data), self.room_bytes
        if room_bytes is not None and end - size > room_bytes:
            return ENOSPC
        content = self.files.setdefault(action.path, bytearray())
        if not action.sync:
            self.unsynced.setdefault(action.path, (bytes(content), []))[1].append(action)
        _put(content, action.offset, action.data)
        if len(content) < end + action.ahead // 2 and (room_bytes is None or end + action.ahead - size <= room_bytes):
            _resize(content, end + action.ahead)
        self._make_room(size - len(content))
        self.damage.written(action.path, action.offset, end)
        return ""

    def _make_room(self, freed_bytes: int) -> None:
        if self.room_bytes is not None:
            self.room_bytes += freed_bytes


def paths_of(action: Change) -> tuple[str, ...]:
    """The files that a change is about: one, or of a renaming two."""
    return (action.path, action.to) if isinstance(action, Rename) and action.to != action.path else (action.path,)


def _first_part(write: Write, rng: Rng) -> bytes:
    """A prefix, perhaps none: up to a border between sectors of the file, or to any byte (a short write)."""
    borders = range(-write.offset % SECTOR_BYTES, len(write.data), SECTOR_BYTES)
    if not borders or rng.chance(500_000):
        borders = range(len(write.data))
    return write.data[: rng.choice(borders)] if borders else b""


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        _resize(content, offset)
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size <= len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
