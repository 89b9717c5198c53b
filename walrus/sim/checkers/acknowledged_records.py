"""Acknowledged means durable on a quorum, at that instant (design 4.3, 4.9).

Whenever the length that a writer has acknowledged grows, Q members of the set in force durably hold so many records
(the bytes on their disks are looked at, not what anybody believes), and as long as a change of the set may have been
proposed and its outcome is not known to the writer, Q members of the new set as well. A writer acknowledges nothing
once its seal may have been proposed, and nothing beyond a count that is committed.

Whenever a copy has answered a writer, what the writer counts of its copies is durable there: a refusal never counts as
an acknowledgement, nor does what was held in an earlier stay in the set.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import SEALED, ChangeSet
from walrus.core.metadata.state import quorums
from walrus.core.peer import Member
from walrus.core.segment.replica import Key
from walrus.core.segment.writer import STOPPED
from walrus.sim import probe
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import DurableCopies
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.core.segment.writer import SegmentWriter
    from walrus.sim.cluster import Cluster


class AcknowledgedRecords:
    """``acked``: how many records of each segment were acknowledged. ``changes`` and ``seals`` of OPEN segments that
    may have been proposed are put in by who hears of them.
    """

    def __init__(self, cluster: "Cluster", copies: DurableCopies, segments: CommittedSegments) -> None:
        self.acked: dict[Key, int] = {}
        self.changes: dict[Key, list[ChangeSet]] = {}
        self.seals: dict[Key, int] = {}  # -> count
        self._copies = copies
        self._segments = segments
        self._answered: dict[int, bool] = {}  # nodes that have heard of a copy in this turn
        cluster.network.when_received("AppendAck", self.answered)

    def answered(self, sender: int, to: int, data: bytes) -> None:
        """A copy's answer is about to be handled."""
        self._answered[to] = True

    def look(self, host: Host, writers: "dict[Key, SegmentWriter]") -> None:
        """Look at the segments that a node writes."""
        for key, writer in writers.items():
            if writer.acked > self.acked.get(key, 0):
                self._grown(host, key, writer)
        if self._answered and self._answered.pop(host.node_id, False):
            for key, writer in writers.items():
                self._check_counted(host, key, writer)

    def _grown(self, host: Host, key: Key, writer: "SegmentWriter") -> None:
        acked = writer.acked
        what = f"node {host.node_id} has acknowledged {acked} records of {key[0]}:{key[1]}"
        if key in self.seals:
            raise Violation(f"acknowledged records: {what} after it proposed to seal it at {self.seals[key]}")
        self.acked[key] = acked
        count, version = self._segments.count(key), self._version_in_force(host, key)
        if 0 <= count < acked:
            raise Violation(f"acknowledged records: {what}, and it is SEALED({count})")
        segment = self._segments.segment(key)
        if segment is None or count >= 0:
            return  # it is gone, or who holds it is no longer up to the writer
        self._check(what, key, acked, segment.members)
        for change in self.changes.get(key, ()):
            if change.version == version:
                self._check(what, key, acked, change.members)

    def _version_in_force(self, host: Host, key: Key) -> int:
        """Of the replica set that the writer's node knows, where that is the newest one of an OPEN or SEALING segment;
        else 0.
        """
        state, segment = probe.metadata(host), self._segments.segment(key)
        if state is None or state.is_gone(*key) or segment is None or segment.state == SEALED:
            return 0
        version = state.existing(*key).version
        return version if version == segment.version else 0

    def _check_counted(self, host: Host, key: Key, writer: "SegmentWriter") -> None:
        if writer.state == STOPPED or not self._version_in_force(host, key):
            return
        for target in writer.targets.values():
            records = self._copies.copy(target.member, key).acknowledgeable
            if target.match > records:
                raise Violation(
                    f"acknowledged records: node {host.node_id} counts {target.match} records of {key[0]}:{key[1]} on "
                    f"node {target.member[0]}, which durably holds {records}"
                )

    def _check(self, what: str, key: Key, acked: int, members: tuple[Member, ...]) -> None:
        holders = self._copies.holders(members, key, acked)
        if len(holders) < quorums(len(members))[0]:
            raise Violation(f"acknowledged records: {what}, and of {members} only {holders} durably hold them")
