"""Partitions: two groups of nodes cannot talk, in both directions or in one."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Partition(PeriodicFault):
    """Cuts the cluster into two random groups for a while."""

    name = "partition"
    one_way = False

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1000 * MS))
        self.most_ns = rng.choice((100, 800, 2500)) * MS
        self._cut: list[tuple[int, int]] = []

    def strike(self) -> None:
        """Cut, unless a cut of this kind is there."""
        if self._cut or len(self.cluster.hosts) < 2:
            return
        nodes = [host.node_id for host in self.cluster.hosts]
        self.rng.shuffle(nodes)
        border = 1 if self.rng.chance(500_000) else self.rng.randrange(1, len(nodes))
        left, right = sorted(nodes[:border]), sorted(nodes[border:])
        if self.one_way and self.rng.chance(500_000):
            left, right = right, left
        pairs = [(a, b) for a in left for b in right]
        if not self.one_way:
            pairs += [(b, a) for a in left for b in right]
        cut = self.cluster.network.cut
        self._cut = [pair for pair in pairs if pair not in cut]
        cut.update(self._cut)
        self.fired()
        arrow = "-/->" if self.one_way else "<-/->"
        self.world.note(f"network cut: {left} {arrow} {right}")
        self.world.after(self.rng.randrange(10 * MS, self.most_ns), self._mend)

    def heal(self) -> None:
        """Mend."""
        super().heal()
        self._mend(None)

    def _mend(self, _: object) -> None:
        if self._cut:
            self.cluster.network.cut.difference_update(self._cut)
            self._cut = []
            self.world.note("network cut mended" + (" (one way)" if self.one_way else ""))


class OneWayPartition(Partition):
    """The same, but messages of the second group still reach the first."""

    name = "one-way-partition"
    one_way = True
