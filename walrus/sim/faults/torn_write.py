"""Torn writes: of a write in flight at a crash only the first sectors, or the first bytes, reach the disk."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import Restarts
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_LOOKS = 40


class TornWrite(PeriodicFault):
    """Kills a node with a write in flight, and makes the crashes of all other faults worse.

    It bites where a part of a write, and not all of it, has reached a disk, whoever caused the crash.
    """

    name = "torn-write"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(300 * MS, 1500 * MS))
        self._restarts = Restarts(cluster, rng, rng.choice((20, 300)) * MS)

    def start(self) -> None:
        """From now on a write that a crash does not keep whole may be kept in part."""
        super().start()
        self.cluster.tearing = True
        self._torn = self._count()

    def stop(self) -> None:
        """Count what was torn."""
        super().stop()
        for _ in range(self._torn, self._count()):
            self.bit()

    def _count(self) -> int:
        return sum(host.disk.torn_in_flight for host in self.cluster.hosts)

    def strike(self) -> None:
        """Choose a node, and wait a little for a write of its."""
        host = self.rng.choice(self.cluster.hosts)
        self._look((host, host.life, _LOOKS))

    def _look(self, item: tuple[Host, int, int]) -> None:
        host, life, looks = item
        if not self.active or host.life != life or not host.up or not looks:
            return
        if not host.disk.busy:
            self.world.after(self.rng.randrange(20 * US, 1 * MS), self._look, (host, life, looks - 1))
            return
        self.fired()
        self.cluster.crash(host, "torn write", keep_per_million=0)
        self._restarts.later(host)
