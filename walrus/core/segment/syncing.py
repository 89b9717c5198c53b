"""Copies of topics that acknowledge without a sync: what must be noted before, and when they are synced after all.

Before the first write without a sync the catalogue notes durably under which boot of the system that is (Unsynced), and
once a copy is synced and nothing is deferred any more, that this is over (Synced): from the first fence on, when its
writer hands over, when its segment is not open any more, and at a clean stop. Until the first note is durable every
write is synced, and from the second one on again. So a process that finds the first without the second, and another
boot id, knows that the power was lost meanwhile and that it cannot tell what it had acknowledged: its copy is doubtful.
"""

from typing import Final

from walrus.core.actions import Write
from walrus.core.config import MS
from walrus.core.metadata.commands import OPEN
from walrus.core.metadata.durability import ALWAYS, NEVER
from walrus.core.metadata.state import Segment
from walrus.core.segment.notes import UNSYNCED, Notes
from walrus.core.segment.opener import Opener
from walrus.core.segment.replica import READY, Key, Replica

NO_DEADLINE_NS: Final = 1 << 63


class Syncs:
    """``next_ns``: no interval ends earlier. Intervals count from the turn in which the first unsynced write was asked
    for.
    """

    def __init__(self, notes: Notes, opener: Opener, boot_id: str) -> None:
        """``boot_id`` "": not known, so the power may have been lost since any other lifetime."""
        self._notes = notes
        self._opener = opener
        self._boot_id = boot_id
        self._resting = False
        self.deferring: dict[Key, Replica] = {}  # copies that may have something unsynced, doubtful ones included
        self._wanted: dict[Key, Replica] = {}
        self.next_ns = NO_DEADLINE_NS
        self._fresh: dict[Key, Replica] = {}  # their intervals begin with this turn
        self._due: dict[Key, tuple[int, Replica]] = {}

    def recalled(self, replica: Replica) -> None:
        """An earlier lifetime may have noted that the copy acknowledged without a sync."""
        if replica.deferred:
            replica.doubtful = not self._boot_id or replica.unsynced_boot != self._boot_id
            replica.may_defer = not replica.doubtful
            self.deferring[replica.key] = replica

    def admitted_as(self, replica: Replica, mode: int, *, has_blocks: bool) -> None:
        """Its writer says how durable it wants the copy: at the end of the segment wholly, and then for good."""
        known = replica.durability
        replica.durability = ALWAYS if self._resting else mode if known is None else min(known, mode)
        if replica.strict:
            self.harden(replica)
        elif has_blocks and not replica.deferred:
            replica.deferred = True
            self.deferring[replica.key] = replica
            self._notes.unsynced(replica, self._boot_id)

    def harden(self, replica: Replica) -> None:
        """Have a copy synced for which nothing may be deferred any more, and then note it. To be called again whenever
        a write of its has completed.
        """
        if not replica.deferred or replica.doubtful or replica.state != READY or replica.synced_token:
            return
        if replica.needs_sync:
            self.want(replica)
        elif replica.at_rest:
            self._note_synced(replica)

    def want(self, replica: Replica) -> None:
        """Have a sync asked for as soon as it can be."""
        replica.sync_wanted = True
        self._wanted[replica.key] = replica

    def take(self) -> list[Replica]:
        """The copies of which a sync is wanted since the last call."""
        if not self._wanted:
            return []
        wanted, self._wanted = self._wanted, {}
        return [replica for replica in wanted.values() if replica.state == READY]

    def written(self, replica: Replica) -> None:
        """A write has completed, with a sync or without."""
        if not replica.deferred:
            return
        if not replica.unsynced:
            self.synced(replica)
        if replica.strict:
            self.harden(replica)

    def gave_up(self, replica: Replica) -> None:
        """A write found no room, and with it went the sync that was to go with it."""
        if replica.sync_wanted:
            self.want(replica)

    def opened(self, replica: Replica) -> None:
        """A copy from an earlier lifetime was read."""
        if replica.fence_epoch:
            self.harden(replica)

    def reconciled(self, replica: Replica, segment: Segment) -> None:
        """The metadata says this of its segment."""
        if replica.deferred and segment.state != OPEN:
            replica.durability = ALWAYS
            self.harden(replica)

    def vouch(self, replica: Replica) -> None:
        """A doubtful copy has been filled up to what a recoverer found: it counts again, once that is noted."""
        if replica.doubtful and replica.at_rest and not replica.synced_token:
            self._note_synced(replica)

    def _note_synced(self, replica: Replica) -> None:
        replica.may_defer = False
        self.synced(replica)
        replica.synced_token = self._notes.synced(replica)

    def noted(self, replica: Replica, kind: int) -> None:
        """One of the notes is durable."""
        if kind == UNSYNCED:
            replica.may_defer = not replica.synced_token
        else:
            replica.synced_token = 0
            self.end(replica)

    def end(self, replica: Replica) -> None:
        """The catalogue says something else of the copy that leaves nothing deferred."""
        if replica.deferred:
            replica.deferred = replica.doubtful = replica.may_defer = False
            replica.unsynced_boot = None
            self.deferring.pop(replica.key, None)
            self.synced(replica)

    def rest(self) -> bool:
        """The process is about to end: sync all copies that may count after it. True once that is noted."""
        self._resting = True
        waiting = False
        for replica in list(self.deferring.values()):
            if not replica.doubtful and (not self._opener.open(replica) or replica.state == READY):
                waiting = True
                replica.durability = ALWAYS
                self.harden(replica)
        return not waiting

    def value(self) -> dict[str, int]:
        """For METRICS."""
        return {
            "unsynced_copies": sum(bool(replica.unsynced) for replica in self.deferring.values()),
            "power_cut_copies": sum(replica.doubtful for replica in self.deferring.values()),
        }

    # --- intervals ---

    def asked(self, replica: Replica, write: Write) -> None:
        """A write of the copy was asked for."""
        if not write.sync and replica.durability != NEVER and replica.key not in self._due:
            self._fresh[replica.key] = replica

    def synced(self, replica: Replica) -> None:
        """Nothing of the copy is unsynced, or the copy is no more."""
        self._fresh.pop(replica.key, None)
        self._due.pop(replica.key, None)

    def schedule(self, now_ns: int) -> None:
        """The turn ends."""
        if self._fresh:
            for key, replica in self._fresh.items():
                due_ns = now_ns + (replica.durability or 0) * MS
                self._due[key] = (due_ns, replica)
                self.next_ns = min(self.next_ns, due_ns)
            self._fresh.clear()

    def tick(self, now_ns: int) -> None:
        """Want a sync of the copies whose interval is over."""
        if now_ns < self.next_ns:
            return
        for key in [key for key, (due_ns, _) in self._due.items() if due_ns <= now_ns]:
            replica = self._due.pop(key)[1]
            if replica.needs_sync:
                self.want(replica)
        self.next_ns = min((due_ns for due_ns, _ in self._due.values()), default=NO_DEADLINE_NS)
