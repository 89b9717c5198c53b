"""The segments of a topic are one chain: numbered without a gap, all but the last SEALED, each based on the sum
of the counts before it.
"""

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Segment
from walrus.sim.host import Host
from walrus.sim.world import Violation


def check_chain(host: Host, topic: str, segments: list[Segment], start: int) -> None:
    """Look at the segments from place ``start`` on; the one there was looked at before, or is the first."""
    base = segments[start].base
    for index in range(start, len(segments)):
        segment = segments[index]
        where = f"node {host.node_id}: segment {topic}:{segment.number}"
        if segment.number != segments[0].number + index or segment.base != base:
            raise Violation(
                f"metadata: {where} is {index} behind {segments[0].number}, with base {segment.base}, not {base}"
            )
        if segment.state == SEALED:
            base += segment.count
        elif index != len(segments) - 1:
            raise Violation(f"metadata: {where} is not SEALED but has a successor")
