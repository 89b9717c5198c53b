"""Power loss: all machines stop at one instant, with writes in flight on as many disks as possible. What was written
without a sync is lost or kept write by write, on machines whose process was down already too.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import Restarts
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_LOOKS = 60


class PowerLoss(PeriodicFault):
    """Takes everything down; some nodes come back soon, others late.

    It bites where a write in flight is lost, or soon after a leader is elected, a segment recovered, or a request stays
    unanswered.
    """

    name = "power-loss"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(500 * MS, 1500 * MS))
        self.keep_per_million = rng.choice((0, 500_000))
        self.least_busy = rng.randrange(len(cluster.hosts) + 1)
        self._soon = Restarts(cluster, rng, 100 * MS)
        self._late = Restarts(cluster, rng, 2000 * MS)

    def strike(self) -> None:
        """Wait a little for busy disks, then switch off."""
        self._look(_LOOKS)

    def _look(self, looks: int) -> None:
        if not self.active:
            return
        running = [host for host in self.cluster.hosts if host.up]
        busy = sum(host.disk.busy for host in running)
        if looks and busy < self.least_busy:
            self.world.after(self.rng.randrange(20 * US, 1 * MS), self._look, looks - 1)
            return
        self.fired()
        if busy:
            self.fired("power-loss with writes in flight")
        self.kill(
            [host for host in self.cluster.hosts if not host.dead], "power loss", self.keep_per_million, power=True
        )
        for host in running:
            (self._late if self.rng.chance(300_000) else self._soon).later(host)
