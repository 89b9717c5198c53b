"""Sealed counts are stable: once any node applied SEALED(count) for a segment, no node ever holds another
count.

Also the metadata's own invariants: segments numbered without a gap, all but the last SEALED, bases the sums
of counts, and at equal applied index equal state.
"""

import msgspec

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Segment
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.world import Violation


class SealedCounts:
    """Watches the segments in every node's replicated state."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, int], int] = {}
        self._writers: dict[tuple[str, int], tuple[int, int, int]] = {}
        self._states: dict[int, bytes] = {}  # applied index -> encoded state, of nodes that ended a life at it
        self._looked: dict[int, tuple[int, int]] = {}  # node -> life, applied index
        self._first_unsealed: dict[tuple[int, int, str], int] = {}

    def after_turn(self, host: Host) -> None:
        """Look at the newest segments of a node that applied something."""
        raft = probe.raft(host)
        if raft is None or self._looked.get(host.node_id) == (host.life, raft.applied_index):
            return
        self._looked[host.node_id] = (host.life, raft.applied_index)
        state = probe.metadata(host)
        if state is None:
            return
        for name, topic in state.topics.items():
            key = (host.node_id, host.life, name)
            start = self._first_unsealed.get(key, 0)
            self._first_unsealed[key] = len(topic.segments) - 1
            self._look(host, name, topic.segments, start)

    def on_crash(self, host: Host) -> None:
        """Look at everything that a node has applied."""
        raft, state = probe.raft(host), probe.metadata(host)
        if raft is None or state is None:
            return
        for name, topic in state.topics.items():
            self._look(host, name, topic.segments, 0)
        encoded = msgspec.msgpack.encode((state.topics, state.nodes))
        if self._states.setdefault(raft.applied_index, encoded) != encoded:
            raise Violation(
                f"state machine safety: node {host.node_id} and another node applied everything up to index "
                f"{raft.applied_index} and differ"
            )

    def _look(self, host: Host, topic: str, segments: list[Segment], start: int) -> None:
        base = segments[start].base
        for index in range(start, len(segments)):
            segment = segments[index]
            key = (topic, segment.number)
            where = f"node {host.node_id}: segment {topic}:{segment.number}"
            if segment.number != index + 1 or segment.base != base:
                raise Violation(f"metadata: {where} stands at place {index + 1} with base {segment.base}, not {base}")
            if self._writers.setdefault(key, segment.writer) != segment.writer:
                raise Violation(f"one writer: {where} is written by {segment.writer}, elsewhere {self._writers[key]}")
            if segment.state == SEALED:
                base += segment.count
                if key not in self.counts:
                    host.note(
                        f"is the first to see {topic}:{segment.number} SEALED({segment.count})",
                        "segment recovered and sealed" if segment.epoch else "segment rolled over",
                    )
                if self.counts.setdefault(key, segment.count) != segment.count:
                    raise Violation(
                        f"sealed counts: {where} is SEALED({segment.count}), elsewhere SEALED({self.counts[key]})"
                    )
            elif index != len(segments) - 1:
                raise Violation(f"metadata: {where} is not SEALED but has a successor")
