"""Churn of processes: a node is restarted again and again, before it can come to rest."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import node_that_matters
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class ProcessChurn(PeriodicFault):
    """Kills and starts one node many times in a row.

    It bites as a crash does: a write in flight is lost, or soon after a leader is elected, a segment recovered, or a
    request of the node stays unanswered.
    """

    name = "process-churn"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(500 * MS, 1800 * MS))
        self.up_most_ns = rng.choice((5, 60, 400)) * MS
        self.down_most_ns = rng.choice((5, 60)) * MS
        self.keep_per_million = rng.choice((0, 500_000, 1_000_000))
        self._times = 0  # still to come

    def strike(self) -> None:
        """Choose a node, unless one is being restarted."""
        if not self._times:
            self._times = self.rng.randrange(3, 10)
            self._kill(self.cluster.host(node_that_matters(self.cluster, self.rng)))

    def _kill(self, host: Host) -> None:
        if not self.active:
            return
        self._times -= 1
        if host.up:
            self.fired()
            self.kill([host], "churn", self.keep_per_million)
        self.world.after(self.rng.randrange(self.down_most_ns) + 1, self._start, host)

    def _start(self, host: Host) -> None:
        if not self.active:
            return
        self.cluster.restart(host)
        if self._times:
            self.world.after(self.rng.randrange(self.up_most_ns) + 1, self._kill, host)
