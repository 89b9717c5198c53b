"""The ledger of what losses of power took from copies that acknowledge without a sync, and which records may be gone.

An acknowledged record was on a quorum of its set. It may be missing at the end only where its segment allows for it,
and where a quorum of copies had it and lost it: each to a loss of power before its sync, or with its whole disk, or
with the bytes of a damaged file. What one copy still had is never excused, nor what only a process that ended could
have lost.
"""

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.state import Segment
from walrus.core.segment.replica import segment_path
from walrus.sim.damage import is_segment, records_on, segment_of

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster
    from walrus.sim.host import Host


class Loss(NamedTuple):
    """One copy had the records from 0 to before ``had``, and has those to before ``left``."""

    node: int
    had: int
    left: int


class PowerCuts:
    """``losses`` by (topic, segment number)."""

    def __init__(self) -> None:
        self.losses: dict[tuple[str, int], list[Loss]] = {}
        self._segments: dict[tuple[str, int], Segment] = {}  # sealed ones in which something was lost, as first seen

    def cut(self, host: "Host", lost: dict[str, tuple[bytes, bytes]]) -> None:
        """A machine lost power: what its files held, and what is left."""
        for path, (before, after) in lost.items():
            if is_segment(path):
                loss = Loss(host.node_id, records_on(before), records_on(after))
                if loss.left < loss.had:
                    self.losses.setdefault(segment_of(path), []).append(loss)
                    host.note(f"lost records {loss.left} to {loss.had} of {path}", "unsynced records lost")

    def segment(self, topic: str, segment: Segment) -> None:
        """A node's state says this of a segment."""
        key = (topic, segment.number)
        if segment.state == SEALED and key in self.losses and key not in self._segments:
            self._segments[key] = replace(segment)

    def excused(self, cluster: "Cluster", topic: str, written: dict[tuple[str, int], list[bytes]]) -> list[bytes]:
        """The records of a topic that may be missing. ``written``: the longest that any copy of a segment ever was."""
        found: list[bytes] = []
        for key, losses in self.losses.items():
            segment = self._segments.get(key)
            if key[0] != topic or segment is None or segment.durability == ALWAYS:
                continue
            records, quorum = written.get(key, []), len(segment.members) // 2 + 1
            gone = {node for node, storage in cluster.lost_members}
            hurt = {host.node_id for host in cluster.hosts if segment_path(key) in host.disk.damage.hurt}
            for offset in range(segment.count, len(records)):
                hit = {loss.node for loss in losses if loss.left <= offset < loss.had}
                if len(hit | gone | hurt) >= quorum and hit:
                    found.append(records[offset])
        return found
