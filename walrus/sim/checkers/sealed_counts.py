"""Sealed counts are stable: once any node applied SEALED(count) for a segment, no node ever holds another count (design
4.4).
"""

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Segment
from walrus.sim.host import Host
from walrus.sim.world import Violation


class SealedCounts:
    """``counts``: of every segment that is SEALED in any node's state."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], int] = {}

    def segment(self, host: Host, topic: str, segment: Segment) -> None:
        """A node's state says this of a segment."""
        if segment.state != SEALED:
            return
        key = (topic, segment.number)
        if key not in self.counts:
            self.counts[key] = segment.count
            if segment.power_cut:
                host.note(
                    f"sees {topic}:{segment.number} sealed with what losses of power left", "sealed with what is left"
                )
            host.note(
                f"is the first to see {topic}:{segment.number} SEALED({segment.count})",
                "segment recovered and sealed" if segment.epoch else "segment rolled over",
            )
        if self.counts[key] != segment.count:
            raise Violation(
                f"sealed counts: node {host.node_id}: segment {topic}:{segment.number} is SEALED({segment.count}), "
                f"elsewhere SEALED({self.counts[key]})"
            )
