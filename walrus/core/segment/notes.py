"""What the catalogue is told of this disk's copies, who waits for that, and up to where each is known durable.

A mark says that a copy's first records are durable, so that damage of them is never taken for a torn tail. Nobody
waits for one: they are noted with whatever else the catalogue is told, and by themselves once in ``mark_interval_ns``.
Where a copy is to be cut below its mark, the lower one is durable first.
"""

from typing import Final

from walrus.core.outbox import Outbox
from walrus.core.segment.replica import READY, Key, Replica
from walrus.core.storage.catalogue import (
    Complete,
    Dropped,
    Durable,
    Fenced,
    Held,
    Incomplete,
    Record,
    Synced,
    Unsynced,
    Whole,
)
from walrus.core.storage.cataloguelog import CatalogueLog

_HELD: Final = 0
FENCED_NOTE: Final = 1
EMPTIED: Final = 2
LOWERED: Final = 3
UNSYNCED: Final = 4
SYNCED: Final = 5

Note = tuple[Replica, int, int]
"""(copy, what was noted of it, value)."""


class Notes:
    """``replicas`` are the store's copies. ``mark_interval_ns`` 0: no marks."""

    def __init__(
        self, out: Outbox, catalogue: CatalogueLog, replicas: dict[Key, Replica], mark_interval_ns: int
    ) -> None:
        self._out = out
        self._catalogue = catalogue
        self._replicas = replicas
        self._interval_ns = mark_interval_ns
        self._next_marks_ns = 0
        self._grown: dict[Key, None] = {}  # copies that may be durable beyond their mark
        self._waiting: dict[int, list[Note]] = {}  # token -> what is durable with it
        self.given_up: dict[Replica, None] = {}  # copies whose file is being removed: nothing is to be said of them

    def _note(self, replica: Replica, record: Record, kind: int, value: int = 0) -> int:
        token = self._catalogue.append(record)
        self._waiting.setdefault(token, []).append((replica, kind, value))
        return token

    def held(self, replica: Replica) -> None:
        """The copy is held under its version; told to the catalogue unless it says so, or is about to."""
        if replica.held_version < replica.version or not (replica.held or replica.held_token):
            replica.held_version = replica.version
            replica.held_token = self._note(replica, Held(*replica.key, replica.version), _HELD)

    def fenced(self, replica: Replica, epoch: int) -> None:
        """Nothing below ``epoch`` is admitted to the copy."""
        self._note(replica, Fenced(*replica.key, epoch), FENCED_NOTE, epoch)

    def emptied(self, replica: Replica) -> None:
        """A lost copy is about to be filled anew: a crash meanwhile must not leave it believed complete."""
        replica.marked = 0
        self._note(replica, Incomplete(*replica.key), EMPTIED)

    def lowered(self, replica: Replica, length: int) -> None:
        """The copy is about to be cut to so many records, fewer than its mark says."""
        replica.marked = length
        self._note(replica, Durable(*replica.key, length), LOWERED, length)

    def complete(self, replica: Replica, count: int) -> None:
        """The copy has all records of its SEALED segment."""
        replica.complete = True
        replica.marked = count
        self._catalogue.append(Complete(*replica.key, count))

    def not_complete(self, replica: Replica) -> None:
        """It was found damaged or short: noted at once, so that the next process lifetime knows too."""
        replica.complete = False
        replica.marked = 0
        self._catalogue.append(Incomplete(*replica.key))

    def dropped(self, replica: Replica) -> None:
        """The copy is given up."""
        replica.complete = False
        replica.marked = 0
        self.given_up[replica] = None
        self._catalogue.append(Dropped(*replica.key))

    def unsynced(self, replica: Replica, boot_id: str) -> None:
        """The copy is about to acknowledge what is in the memory of the system with this boot id only."""
        replica.unsynced_boot = boot_id
        self._note(replica, Unsynced(*replica.key, boot_id), UNSYNCED)

    def synced(self, replica: Replica) -> int:
        """All that the copy acknowledged is synced. Of one of which a loss of power left nothing: it is as if it had
        never been held, since its file may have no header. Returns the token of the note.
        """
        if replica.length or not replica.doubtful:
            return self._note(replica, Synced(*replica.key), SYNCED)
        replica.held = False
        replica.held_version = replica.marked = 0
        return self._note(replica, Dropped(*replica.key), SYNCED)

    # --- marks ---

    def grew(self, replica: Replica) -> None:
        """More of the copy is durable, or known to be."""
        if self._interval_ns:
            self._grown[replica.key] = None

    def tick(self, now_ns: int) -> None:
        """Note the marks that are due."""
        if self._grown and now_ns >= self._next_marks_ns and not self._catalogue.full:
            self._mark()
            self._next_marks_ns = now_ns + self._interval_ns

    def _mark(self) -> None:
        if not self._catalogue.is_current:
            return
        grown, self._grown = self._grown, {}
        for key in grown:
            replica = self._replicas.get(key)
            if replica is None or replica.state != READY or replica.refilling:
                continue
            if replica.synced_length > replica.marked:
                replica.marked = replica.synced_length
                self._catalogue.append(Durable(*key, replica.marked))

    # --- the file ---

    def flush(self) -> None:
        """Write what waits, with the marks that can go with it."""
        if self._grown and self._catalogue.has_waiting:
            self._mark()
        change = self._catalogue.flush(self._whole)
        if change is not None:
            self._out.add(change)

    def _whole(self) -> list[Whole]:
        """What a new catalogue says. It is begun while nothing is under way: all of it is durable in the old one."""
        return [
            Whole(*key, r.held, r.held_version, r.fence_durable, r.marked, r.complete, r.unsynced_boot)
            for key, r in self._replicas.items()
            if (r.held or r.fence_durable) and r not in self.given_up
        ]

    def completed(self, token: int) -> list[Note] | None:
        """Take a completed change: what is noted durably by it; None if it is not the catalogue's."""
        ours, change = self._catalogue.completed(token)
        if change is not None:
            self._out.add(change)
        return self._waiting.pop(token, []) if ours else None

    def no_room(self, token: int) -> bool:
        """There is no room for a change; False if it must wait for some."""
        return self._catalogue.give_up_rewrite(token)

    def has_room(self, has_room: bool) -> None:
        """While the disk is full, what can wait does."""
        self._catalogue.full = not has_room
