"""One whole node of a cluster of its own, on a disk that does at once what it is asked for."""

import random
from collections import deque
from typing import Final

from fuzz.samples import NODE
from walrus.core import events as ev
from walrus.core.actions import Action, Delete, Read, Rename, Reply, Stop, Truncate, Write
from walrus.core.config import NodeConfig
from walrus.core.node import Node

CONFIG: Final = NodeConfig(
    node_id=NODE, advertise_address="node:1", max_frame_bytes=256, max_pending_requests=8, max_segment_entries=4
)
WALL_NS: Final = 1_700_000_000 * 1_000_000_000
_TURNS_MAX: Final = 2_000


class Alone:
    """A process lifetime on ``files``. ``done`` holds every action in order, ``stopped`` the last one if it is Stop."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)
        self.now_ns = 0
        self.done: list[Action] = []
        self.stopped: Stop | None = None
        self._disk: deque[Action] = deque()
        self.node = Node(CONFIG, random.Random(1), self.now_ns)
        self.turn(ev.Started({path: len(data) for path, data in sorted(files.items())}, WALL_NS))

    def turn(self, *events: ev.Event) -> None:
        """Hand over events, and let the turn and all that follows on the disk come to an end."""
        for event in events:
            self._handle(event)
        self._handle(ev.PollFinished())
        for _ in range(_TURNS_MAX):
            if not self._disk:
                return
            self._handle(self._carry_out(self._disk.popleft()))
            self._handle(ev.PollFinished())
        raise AssertionError(f"the disk has been busy for {_TURNS_MAX} turns")

    def sleep(self, duration_ns: int) -> None:
        """Let time pass; every deadline on the way is kept."""
        end_ns = self.now_ns + duration_ns
        while (deadline := self.node.next_deadline()) is not None and deadline.at_ns <= end_ns:
            self.now_ns = max(self.now_ns, deadline.at_ns)
            self.turn(ev.TimerFired())
        self.now_ns = end_ns

    def replies(self, conn: int) -> tuple[bytes, bool]:
        """The bytes sent on a client's connection, and whether it was closed."""
        found = [action for action in self.done if isinstance(action, Reply) and action.conn == conn]
        return b"".join(action.data for action in found), any(action.close for action in found)

    def _handle(self, event: ev.Event) -> None:
        for action in self.node.handle(event, self.now_ns):
            self.done.append(action)
            if isinstance(action, Read | Write | Truncate | Rename | Delete):
                self._disk.append(action)
            elif isinstance(action, Stop):
                self.stopped = action
                self._disk.clear()

    def _carry_out(self, action: Action) -> ev.Event:
        if isinstance(action, Read):
            if action.path not in self.files:
                return ev.ReadFailed(action.token, action.path, "ENOENT: No such file or directory")
            return ev.ReadCompleted(action.token, self.files[action.path][action.offset :][: action.length])
        assert isinstance(action, Write | Truncate | Rename | Delete)
        if isinstance(action, Delete):
            self.files.pop(action.path, None)
        elif isinstance(action, Rename):
            self.files[action.to] = self.files.pop(action.path)
        else:
            content = self.files.get(action.path, b"")
            if isinstance(action, Truncate):
                self.files[action.path] = content[: action.size]
            else:
                end = action.offset + len(action.data)
                self.files[action.path] = (
                    content[: action.offset].ljust(action.offset, b"\0") + action.data + content[end:]
                )
        return ev.WriteCompleted(action.token)
