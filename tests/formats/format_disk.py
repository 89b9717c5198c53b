"""A disk in memory that carries out a node's actions at once, and a node's start from it."""

import random

from walrus.core.actions import Action, Delete, Read, Rename, Truncate, Write
from walrus.core.outbox import Outbox
from walrus.core.startup import Ready, Startup
from walrus.core.storage.appender import Tokens


class Disk:
    """``files`` by path; ``done`` holds every read and change in order."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.done: list[Action] = []

    def sizes(self) -> dict[str, int]:
        return {path: len(data) for path, data in sorted(self.files.items())}

    def read(self, action: Read) -> bytes:
        self.done.append(action)
        return self.files[action.path][action.offset : action.offset + action.length]

    def change(self, action: Action) -> None:
        self.done.append(action)
        if isinstance(action, Delete):
            self.files.pop(action.path, None)
            return
        if isinstance(action, Rename):
            self.files[action.to] = self.files.pop(action.path)
            return
        assert isinstance(action, Write | Truncate)
        data = self.files.get(action.path, b"")
        if isinstance(action, Truncate):
            self.files[action.path] = data[: action.size]
        else:
            data = data.ljust(action.offset, b"\0")
            rest = data[action.offset + len(action.data) :]
            self.files[action.path] = data[: action.offset] + action.data + rest


def boot(disk: Disk, node: int = 1, seed: int = 1) -> Ready:
    """Start a node from ``disk`` up to the moment where it may speak. Raises RecoveryError."""
    out = Outbox(node)
    startup = Startup(out, Tokens(), random.Random(seed), disk.sizes())
    while startup.ready is None:
        actions = out.drain()
        assert len(actions) == 1, "one step at a time"
        action = actions[0]
        if isinstance(action, Read):
            startup.read_completed(action.token, disk.read(action))
        else:
            assert isinstance(action, Write | Truncate | Delete)
            disk.change(action)
            startup.write_completed(action.token)
    return startup.ready


def write_out(disk: Disk, ready: Ready) -> None:
    """Make durable what waits for the journal and the catalogue."""
    for log in (ready.journal_log, ready.catalogue_log):
        while (write := log.appender.flush()) is not None:
            disk.change(write)
            log.appender.completed(write.token)
