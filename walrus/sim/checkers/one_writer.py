"""One writer: a segment is only ever written by one process lifetime, the same in every node's state (design 4.1)."""

from walrus.core.metadata.commands import Writer
from walrus.core.metadata.state import Segment
from walrus.sim.host import Host
from walrus.sim.world import Violation


class OneWriter:
    """The writers of all segments that any node knew of."""

    def __init__(self) -> None:
        self._writers: dict[tuple[str, int], Writer] = {}

    def segment(self, host: Host, topic: str, segment: Segment) -> None:
        """A node's state says this of a segment."""
        known = self._writers.setdefault((topic, segment.number), segment.writer)
        if known != segment.writer:
            raise Violation(
                f"one writer: node {host.node_id} says that {topic}:{segment.number} is written by {segment.writer}, "
                f"elsewhere by {known}"
            )
