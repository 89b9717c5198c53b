"""Read error: some bytes of a file cannot be read, until they are written anew or for a while."""

from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS
from walrus.sim.deeds.disks import ReadErrors, ReadsAgain
from walrus.sim.disk import SECTOR_BYTES
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class ReadError(DiskFault):
    """Makes sectors of one file unreadable; a node whose journal it is stops itself and is started until it can read.

    Bites when a read fails.
    """

    name = "read-error"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(50 * MS, 500 * MS))
        self.restart_per_million = rng.choice((0, 300_000, 800_000))
        self.lasts_most_ns = rng.choice((30, 400, 2000)) * MS

    def strike(self) -> None:
        """Choose a file and sectors in it."""
        found = self.damageable()
        if not found:
            return
        host, path = self.rng.choice(found)
        sectors = -(-len(host.disk.files[path]) // SECTOR_BYTES)
        if not sectors:
            return
        first = self.rng.randrange(sectors)
        behind = self.rng.randint(first + 1, sectors)
        self.fired()
        if path in LOGS or self.rng.chance(self.restart_per_million):
            self.take_down(host)
            self.world.after(self.rng.randrange(1 * MS, self.lasts_most_ns), self._try, host)
        self.cluster.do(ReadErrors(host.node_id, path, first * SECTOR_BYTES, behind * SECTOR_BYTES))
        self.world.after(self.rng.randrange(10 * MS, self.lasts_most_ns), self._mend, host)

    def _mend(self, host: Host) -> None:
        if self.active:
            self.cluster.do(ReadsAgain(host.node_id))

    def _try(self, host: Host) -> None:
        """The operator's patience."""
        if self.active and not host.up and not host.dead:
            self.take_down(host)
            self.world.after(self.rng.randrange(1 * MS, self.lasts_most_ns), self._try, host)
