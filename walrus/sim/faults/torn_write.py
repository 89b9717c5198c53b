"""Torn writes: of a write in flight at a crash only the first sectors, or the first bytes, reach the disk."""

from walrus.core.actions import Write
from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import Restarts
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_SECTOR_BYTES = 512
_LOOKS = 40


class TornWrite(PeriodicFault):
    """Kills a node with a write in flight, and makes the crashes of all other faults worse."""

    name = "torn-write"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(300 * MS, 1500 * MS))
        self._restarts = Restarts(cluster, rng, rng.choice((20, 300)) * MS)

    def start(self) -> None:
        """From now on a write that a crash does not keep whole may be kept in part."""
        super().start()
        for host in self.cluster.hosts:
            host.disk.on_torn = self._torn

    def strike(self) -> None:
        """Choose a node, and wait a little for a write of its."""
        host = self.rng.choice(self.cluster.hosts)
        self._look((host, host.life, _LOOKS))

    def heal(self) -> None:
        """No more; start what is down."""
        super().heal()
        for host in self.cluster.hosts:
            host.disk.on_torn = None
        self._restarts.all()

    def _look(self, item: tuple[Host, int, int]) -> None:
        host, life, looks = item
        if not self.active or host.life != life or not host.up or not looks:
            return
        if not host.disk.busy:
            self.world.after(self.rng.randrange(20 * US, 1 * MS), self._look, (host, life, looks - 1))
            return
        self.cluster.crash(host, "torn write", keep_per_million=0)
        self._restarts.later(host)

    def _torn(self, write: Write) -> bytes:
        """A prefix, perhaps none: up to a border between sectors of the file, or to any byte (a short write)."""
        borders = range(-write.offset % _SECTOR_BYTES, len(write.data), _SECTOR_BYTES)
        if not borders or self.rng.chance(500_000):
            borders = range(len(write.data))
        kept = write.data[: self.rng.choice(borders)] if borders else b""
        if kept:
            self.fired()
        return kept
