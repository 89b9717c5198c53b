"""Partitions: two groups of nodes cannot talk, in both directions or in one."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Cut, Mend
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Partition(PeriodicFault):
    """Cuts the cluster into two random groups for a while.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or a node loses its lease or leaves
    a request unanswered.
    """

    name = "partition"
    one_way = False

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1000 * MS))
        self.most_ns = rng.choice((100, 800, 2500)) * MS
        self._number = 0  # of the cut there is

    def strike(self) -> None:
        """Cut, unless a cut of this kind is there."""
        if self._number or len(self.cluster.hosts) < 2:
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
        lasts_ns = self.rng.randrange(10 * MS, self.most_ns)
        self.fired()
        self.on_trial(tuple(nodes), lasts_ns)
        arrow = "-/->" if self.one_way else "<-/->"
        self._number = self.cluster.number()
        self.cluster.do(Cut(self._number, tuple(pairs), f"{left} {arrow} {right}"))
        self.world.after(lasts_ns, self._mend)

    def _mend(self, _: object) -> None:
        if self.active:
            self.cluster.do(Mend(self._number))
            self._number = 0


class OneWayPartition(Partition):
    """The same, but messages of the second group still reach the first."""

    name = "one-way-partition"
    one_way = True
