"""Acknowledged means durable on a quorum, at that instant (design 4.3, 4.9).

Whenever the length that a writer has acknowledged grows, Q members of the set in force durably hold so many records
(the bytes on their disks are looked at, not what anybody believes), and as long as a change of the set may have been
proposed and its outcome is not known to the writer, Q members of the new set as well. A writer acknowledges nothing
once its seal may have been proposed, and nothing beyond a count that is committed.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import SEALED, ChangeSet
from walrus.core.metadata.state import quorums
from walrus.core.peer import Member
from walrus.core.segment.replica import Key
from walrus.sim import probe
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import DurableCopies
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.core.segment.writer import SegmentWriter


class AcknowledgedRecords:
    """``acked``: how many records of each segment were acknowledged. ``changes`` and ``seals`` of OPEN segments that
    may have been proposed are put in by who hears of them.
    """

    def __init__(self, copies: DurableCopies, segments: CommittedSegments) -> None:
        self.acked: dict[Key, int] = {}
        self.changes: dict[Key, list[ChangeSet]] = {}
        self.seals: dict[Key, int] = {}  # -> count
        self._copies = copies
        self._segments = segments

    def look(self, host: Host, writers: "dict[Key, SegmentWriter]") -> None:
        """Look at the segments that a node writes."""
        for key, writer in writers.items():
            if writer.acked > self.acked.get(key, 0):
                self._grown(host, key, writer)

    def _grown(self, host: Host, key: Key, writer: "SegmentWriter") -> None:
        acked = writer.acked
        what = f"node {host.node_id} has acknowledged {acked} records of {key[0]}:{key[1]}"
        if key in self.seals:
            raise Violation(f"acknowledged records: {what} after it proposed to seal it at {self.seals[key]}")
        self.acked[key] = acked
        state, committed = probe.metadata(host), self._segments.segment(key)
        known = state.existing(*key) if state is not None and not state.is_gone(*key) else None
        if known is None or committed is None:
            return  # it is gone, with its copies
        if committed.state == SEALED:  # who holds it now is no longer up to the writer
            if committed.count < acked:
                raise Violation(f"acknowledged records: {what}, and it is SEALED({committed.count})")
            return
        self._check(what, key, acked, committed.members)
        if known.version == committed.version:
            for change in self.changes.get(key, ()):
                if change.version == known.version:
                    self._check(what, key, acked, change.members)

    def _check(self, what: str, key: Key, acked: int, members: tuple[Member, ...]) -> None:
        holders = self._copies.holders(members, key, acked)
        if len(holders) < quorums(len(members))[0]:
            raise Violation(f"acknowledged records: {what}, and of {members} only {holders} durably hold them")
