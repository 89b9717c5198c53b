"""A clean stop costs no reader anything: what was read through a live node before another one was asked to stop is
committed when that one is gone, in case it takes the quorum with it (reference: stop and start of the whole cluster).

A node that ran out of time, or had no quorum behind it, promises nothing.
"""

from walrus.core.metadata.commands import OPEN
from walrus.core.metadata.state import Segment, Topic
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.world import Violation


class CleanStops:
    """Watches nodes from the turn in which they were asked to stop to their end."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._read: dict[int, list[tuple[Host, int, str, int, int]]] = {}
        """node that stops -> host that keeps a cursor, its life, topic, segment, position"""
        self._newest: dict[str, tuple[int, bool]] = {}  # topic -> newest segment that any node knew, was it not OPEN
        self._committed: dict[str, int] = {}  # topic -> highest cursor that any node knew to be committed

    def topic(self, host: Host, topic: Topic) -> None:
        """A node's state changed, and says this of a topic."""
        last: Segment = topic.segments[-1]
        self._newest[topic.name] = max(self._newest.get(topic.name, (0, False)), (last.number, last.state != OPEN))
        self._committed[topic.name] = max(self._committed.get(topic.name, 0), topic.cursor)

    def after_turn(self, host: Host) -> None:
        """Note where cursors are once a node begins to leave."""
        if host.node_id in self._read or not probe.leaves(host):
            return
        self._read[host.node_id] = [
            (other, other.life, topic, owned.segment, owned.position)
            for other in self._cluster.hosts
            if other is not host
            for topic, owned in probe.cursors(other).items()
        ]

    def on_crash(self, host: Host) -> None:
        """A node's process ends, somehow."""
        read = self._read.pop(host.node_id, ())
        if not probe.left_in_order(host):
            return
        waited_for = probe.waits_for_when_leaving(host)
        self._cluster.world.labels["left in order"] += 1
        for other, life, topic, segment, position in read:
            if other.node_id not in waited_for or other.life != life or not other.up:
                continue
            state = probe.metadata(other)
            if state is None or topic not in state.topics:
                continue  # deleted
            if self._newest.get(topic) == (segment, False) and self._committed.get(topic, 0) < position:
                raise Violation(
                    f"clean stop: node {host.node_id} left in order, but of {topic} was read up to {position} through "
                    f"node {other.node_id} before, and only {self._committed.get(topic, 0)} is committed"
                )
