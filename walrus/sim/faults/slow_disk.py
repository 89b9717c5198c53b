"""Slow disk: for a while everything that a node's disk does takes far longer."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.disks import NormalSpeed, SlowDown
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class SlowDisk(PeriodicFault):
    """Slows one disk down at a time.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or the node loses its lease or
    leaves a request unanswered.
    """

    name = "slow-disk"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 800 * MS))
        self.latency_most_ns = rng.choice((5, 40, 250)) * MS
        self.lasts_most_ns = rng.choice((100, 1000)) * MS
        self._slow: set[int] = set()  # membership is asked for, its order never used

    def strike(self) -> None:
        """Slow down one disk that is not slow."""
        usual = [host for host in self.cluster.hosts if host.node_id not in self._slow]
        if not usual:
            return
        node = self.rng.choice(usual).node_id
        self._slow.add(node)
        lasts_ns = self.rng.randrange(10 * MS, self.lasts_most_ns)
        self.fired()
        self.on_trial((node,), lasts_ns)
        self.cluster.do(SlowDown(node, 1 * MS, self.latency_most_ns))
        self.world.after(lasts_ns, self._mend, node)

    def _mend(self, node: int) -> None:
        self._slow.discard(node)
        if self.active:
            self.cluster.do(NormalSpeed(node))
