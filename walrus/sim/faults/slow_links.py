"""Slow links: a node that works, but whom everything takes long to reach ("gray failure", Huang et al. 2017)."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import SlowLinks as SlowDownLinks
from walrus.sim.deeds.network import UsualLinks
from walrus.sim.faults.aimed import node_that_matters
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class SlowLinks(PeriodicFault):
    """Makes all messages of one node slow, those it sends or in both directions; they keep their order.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or the node loses its lease or
    leaves a request unanswered.
    """

    name = "slow-links"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1200 * MS))
        self.most_ns = rng.choice((300, 2000)) * MS
        self.extra_most_ns = rng.choice((10, 100, 400)) * MS
        self._number = 0

    def strike(self) -> None:
        """Slow one node down, unless one is slow."""
        nodes = [host.node_id for host in self.cluster.hosts]
        if self._number or len(nodes) < 2:
            return
        node = node_that_matters(self.cluster, self.rng)
        pairs = [(node, other) for other in nodes if other != node]
        if self.rng.chance(700_000):
            pairs += [(other, node) for other in nodes if other != node]
        lasts_ns = self.rng.randrange(50 * MS, self.most_ns)
        self.fired()
        self.on_trial((node,), lasts_ns)
        self._number = self.cluster.number()
        self.cluster.do(SlowDownLinks(self._number, tuple(pairs), self.rng.randrange(1 * MS, self.extra_most_ns)))
        self.world.after(lasts_ns, self._end)

    def _end(self, _: object) -> None:
        if self.active:
            self.cluster.do(UsualLinks(self._number))
            self._number = 0
