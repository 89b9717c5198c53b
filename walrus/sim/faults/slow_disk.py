"""Slow disk: for a while everything that a node's disk does takes far longer."""

from walrus.sim.cluster import Cluster
from walrus.sim.disk import Disk
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class SlowDisk(PeriodicFault):
    """Slows one disk down at a time."""

    name = "slow-disk"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 800 * MS))
        self.latency_most_ns = rng.choice((5, 40, 250)) * MS
        self.lasts_most_ns = rng.choice((100, 1000)) * MS
        self._slow: dict[int, tuple[int, int]] = {}  # node -> its usual latency

    def strike(self) -> None:
        """Slow down one disk that is not slow."""
        usual = [host for host in self.cluster.hosts if host.node_id not in self._slow]
        if not usual:
            return
        host = self.rng.choice(usual)
        disk: Disk = host.disk
        self._slow[host.node_id] = disk.latency_ns
        disk.latency_ns = (1 * MS, self.latency_most_ns)
        self.fired()
        self.world.note(f"disk of node {host.node_id} becomes slow (up to {self.latency_most_ns // MS} ms)")
        self.world.after(self.rng.randrange(10 * MS, self.lasts_most_ns), self._mend, host.node_id)

    def heal(self) -> None:
        """Give every disk its usual speed."""
        super().heal()
        for node in list(self._slow):
            self._mend(node)

    def _mend(self, node: int) -> None:
        latency = self._slow.pop(node, None)
        if latency is not None:
            self.cluster.host(node).disk.latency_ns = latency
