"""Clogging: a link takes messages and delivers none, then all of them in a burst."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Clog, Unclog
from walrus.sim.faults.aimed import node_that_matters
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Clogging(PeriodicFault):
    """Clogs what a node sends, what is sent to it, or both, to one peer or to all.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or one of the nodes loses its lease
    or leaves a request unanswered.
    """

    name = "clogging"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1200 * MS))
        self.most_ns = rng.choice((60, 500, 1800)) * MS
        self._number = 0

    def strike(self) -> None:
        """Clog, unless something is clogged."""
        nodes = [host.node_id for host in self.cluster.hosts]
        if self._number or len(nodes) < 2:
            return
        node = node_that_matters(self.cluster, self.rng)
        others = [other for other in nodes if other != node]
        if self.rng.chance(500_000):
            others = [self.rng.choice(others)]
        out, back = self.rng.choice(((1, 1), (1, 0), (0, 1)))
        pairs = [pair for other in others for pair in [(node, other)] * out + [(other, node)] * back]
        lasts_ns = self.rng.randrange(10 * MS, self.most_ns)
        self.fired()
        self.on_trial((node, *others), lasts_ns)
        self._number = self.cluster.number()
        self.cluster.do(Clog(self._number, tuple(pairs)))
        self.world.after(lasts_ns, self._unclog)

    def _unclog(self, _: object) -> None:
        if self.active:
            self.cluster.do(Unclog(self._number))
            self._number = 0
