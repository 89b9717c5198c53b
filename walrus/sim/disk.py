"""One node's simulated disk: every operation completes later, and only then has it happened for certain.

A crash decides for each operation still in flight, each on its own, whether it reached the disk.
``on_torn`` is the place for faults that let only part of a write arrive.
"""

from collections.abc import Callable
from typing import Final

from walrus.core.actions import Delete, Read, Truncate, Write
from walrus.core.events import Event, ReadCompleted, ReadFailed, WriteCompleted, WriteFailed
from walrus.sim.rng import Rng
from walrus.sim.world import US, Violation, World

ENOENT: Final = "ENOENT: No such file or directory"

Change = Write | Truncate | Delete


class Disk:
    """Files by path relative to the node's directory. ``notify`` receives completion events.

    ``latency_ns`` is (least, most); faults may change it. All other state outlives crashes of the node.
    """

    def __init__(self, world: World, rng: Rng, notify: Callable[[Event], None]) -> None:
        self.files: dict[str, bytearray] = {}
        self.latency_ns = (80 * US, 800 * US)
        self.on_torn: Callable[[Write], bytes] | None = None
        self.kept_in_flight = 0
        self.lost_in_flight = 0
        self._world = world
        self._rng = rng
        self._notify = notify
        self._life = 0
        self._in_flight: dict[str, Change] = {}  # one per path: the core never has two

    @property
    def busy(self) -> bool:
        """Whether a change is in flight."""
        return bool(self._in_flight)

    def sizes(self) -> dict[str, int]:
        """What :class:`walrus.core.events.Started` tells: path to size, in the order of the paths."""
        return {path: len(self.files[path]) for path in sorted(self.files)}

    def change(self, action: Change) -> None:
        """Begin a write, truncation or removal."""
        path = action.path
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

    def crash(self, keep_per_million: int = 500_000) -> None:
        """The node's process ended: nobody hears of completions, and each open change may be lost."""
        self._life += 1
        for action in self._in_flight.values():
            if self._rng.chance(keep_per_million):
                self.kept_in_flight += 1
                self._apply(action)
            elif self.on_torn is not None and isinstance(action, Write) and (kept := self.on_torn(action)):
                self._apply(Write(action.path, action.offset, kept, action.token))
            else:
                self.lost_in_flight += 1
        self._in_flight.clear()

    def _latency(self) -> int:
        least, most = self.latency_ns
        return self._rng.randrange(least, most + 1)

    def _complete(self, item: tuple[int, Change]) -> None:
        life, action = item
        if life != self._life:
            return
        del self._in_flight[action.path]
        if self._apply(action):
            self._notify(WriteCompleted(action.token))
        else:
            self._notify(WriteFailed(action.token, action.path, ENOENT))

    def _complete_read(self, item: tuple[int, Read]) -> None:
        life, action = item
        if life != self._life:
            return
        content = self.files.get(action.path)
        if content is None:
            self._notify(ReadFailed(action.token, action.path, ENOENT))
        else:
            end = action.offset + action.length
            self._notify(ReadCompleted(action.token, bytes(content[action.offset : end])))

    def _apply(self, action: Change) -> bool:
        """Carry out a change; False where there is nothing to truncate."""
        if isinstance(action, Delete):
            self.files.pop(action.path, None)
            return True
        if isinstance(action, Truncate):
            content = self.files.get(action.path)
            if content is None:
                return False
            _resize(content, action.size)
            return True
        content = self.files.setdefault(action.path, bytearray())
        if len(content) < action.offset:
            _resize(content, action.offset)
        content[action.offset : action.offset + len(action.data)] = action.data
        return True


def _resize(content: bytearray, size: int) -> None:
    if size <= len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))
