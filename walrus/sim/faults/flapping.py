"""Flapping: a link, or all links of a node, come and go quickly."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Cut, Disconnect, Mend
from walrus.sim.faults.aimed import node_that_matters
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Flapping(PeriodicFault):
    """Cuts and mends again and again; both ends may notice that their connection broke.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or one of the nodes loses its lease
    or leaves a request unanswered.
    """

    name = "flapping"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(300 * MS, 1200 * MS))
        self.off_most_ns = rng.choice((5, 40, 300)) * MS
        self.on_most_ns = rng.choice((5, 40, 300)) * MS
        self.noticed_per_million = rng.choice((0, 500_000))
        self._times = 0  # still to come
        self._pairs: tuple[tuple[int, int], ...] = ()
        self._number = 0

    def strike(self) -> None:
        """Choose a link or a node, unless one is flapping."""
        nodes = [host.node_id for host in self.cluster.hosts]
        if self._times or len(nodes) < 2:
            return
        node = node_that_matters(self.cluster, self.rng)
        others = [other for other in nodes if other != node]
        if self.rng.chance(500_000):
            others = [self.rng.choice(others)]
        self._pairs = tuple(pair for other in others for pair in ((node, other), (other, node)))
        self._times = self.rng.randrange(3, 12)
        self._number = self.cluster.number()
        self.fired()
        self.on_trial((node, *others), self._times * (self.off_most_ns + self.on_most_ns) // 2)
        self._off(None)

    def _off(self, _: object) -> None:
        if not self.active:
            return
        self.cluster.do(Cut(self._number, self._pairs, "flapping " + ", ".join(f"{a} -> {b}" for a, b in self._pairs)))
        if self.rng.chance(self.noticed_per_million):
            for node, other in self._pairs[::2]:
                self.cluster.do(Disconnect(node, other))
        self.world.after(self.rng.randrange(self.off_most_ns) + 1, self._on)

    def _on(self, _: object) -> None:
        if not self.active:
            return
        self.cluster.do(Mend(self._number))
        self._times -= 1
        if self._times:
            self.world.after(self.rng.randrange(self.on_most_ns) + 1, self._off)
