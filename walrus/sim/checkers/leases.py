"""Leases never overlap: once a segment was taken from its writer, that serves it no more under a lease (design 5).

From the moment at which the first node applied SEALING, others may open the next segment and acknowledge records in it;
whoever still reads from the old writer sees a topic that ends too early. A writer that has stopped, or that has no
lease, serves nothing. Fences keep records safe without any lease; here it is about what readers see.

Clocks that were ever further off than leases allow for prove nothing.
"""

from walrus.core.metadata.commands import OPEN
from walrus.core.metadata.state import Segment
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.world import Violation


class Leases:
    """``taken``: segments that were taken from a process that still runs and may not have heard of it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: set[tuple[str, int]] = set()  # membership only
        self.taken: dict[int, dict[tuple[str, int], int]] = {}  # node -> segment -> life

    def segment(self, host: Host, topic: str, segment: Segment) -> None:
        """A node's state says this of a segment."""
        key = (topic, segment.number)
        if segment.state == OPEN or not segment.epoch or key in self._known:
            return
        self._known.add(key)
        writer = self._cluster.host(segment.writer[0])
        if probe.writes(writer, key):
            self.taken.setdefault(writer.node_id, {})[key] = writer.life
            self._cluster.world.labels["segment taken from a running writer"] += 1
            self.after_turn(writer)

    def after_turn(self, host: Host) -> None:
        """A node that a segment was taken from."""
        taken = self.taken.get(host.node_id)
        if not taken:
            return
        for key, life in list(taken.items()):
            if life != host.life or not probe.writes(host, key):
                del taken[key]
            elif probe.holds_lease(host) and self._cluster.clocks_within_margin:
                raise Violation(
                    f"leases overlap: {key[0]}:{key[1]} was taken from node {host.node_id}, "
                    "which still serves it under its lease"
                )

    def on_crash(self, host: Host) -> None:
        """Nothing: a process that ended serves nothing."""
