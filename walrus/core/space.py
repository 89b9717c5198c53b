"""A full disk: what found no room waits, and the disk is asked again now and then whether it has some.

::

    ROOMY --a change finds no room--> FULL --a file of ``room_needed_bytes`` can be written--> ROOMY

While FULL no PUT is taken here. Journal and catalogue go on within what they have reserved ahead; what needs more waits
here and is asked for again, unchanged, once there is room. Copies of segments are the store's business, a new journal
is Raft's: they know what to give up instead.
"""

from typing import Final

from walrus.core.actions import Change, Delete, Write
from walrus.core.config import NodeConfig
from walrus.core.events import SpaceRanOut
from walrus.core.outbox import Outbox
from walrus.core.storage.appender import Tokens

ROOM_PATH: Final = "raft_meta/room.new"
"""Written to see whether there is room, and removed; by the next start if this process ends before."""


class Space:
    """Invariant: nothing waits unless ``full``."""

    def __init__(self, out: Outbox, config: NodeConfig, tokens: Tokens) -> None:
        self._out = out
        self._config = config
        self._tokens = tokens
        self._waiting: list[Change] = []
        self._trying = 0  # token of the write that looks for room
        self._removing = 0  # token of its removal
        self.full = False
        self.next_ns: int | None = None  # when to look again; None: not at a time

    def ran_out(self, event: SpaceRanOut, now_ns: int) -> None:
        """Some change found no room: from now on the disk is full."""
        if not self.full:
            self.full = True
            where = f"{event.change.path}: {event.error}"
            self._out.log("error", f"No room on the disk for {where}; PUTs are refused until there is")
        if event.change.path == ROOM_PATH:
            self._trying = self._removing = 0
        if not (self._trying or self._removing):
            self.next_ns = now_ns + self._config.room_check_ns

    def wait(self, change: Change) -> None:
        """Ask for this change again once there is room."""
        if change.path != ROOM_PATH:
            self._waiting.append(change)

    def tick(self, now_ns: int) -> None:
        """Look for room, if it is time."""
        if self.next_ns is not None and now_ns >= self.next_ns:
            self.next_ns = None
            self._trying = self._tokens.take()
            self._out.add(Write(ROOM_PATH, 0, bytes(self._config.room_needed_bytes), self._trying))

    def completed(self, token: int) -> bool:
        """Take a completed change; False if the token is not ours. ``full`` may be over by it."""
        if token == self._trying:
            self._trying, self._removing = 0, self._tokens.take()
            self._out.add(Delete(ROOM_PATH, self._removing))
            return True
        if token != self._removing:
            return False
        self._removing = 0
        self.full = False
        self._out.log("info", "The disk has room again; PUTs are taken")
        for change in self._waiting:
            self._out.add(change)
        self._waiting.clear()
        return True
