"""Failed sync: the disk reports that a write did not become durable; all of it may be there, a part, or nothing.

A process that goes on after that is lied to: what it syncs to the same file is reported done and is not there.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS, SEGMENTS
from walrus.sim.deeds.disks import FailSync
from walrus.sim.disk import EIO
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_WHOLE = 1 << 30
_ATTENDED_NS = 2_000 * MS


class FailedSync(DiskFault):
    """Lets the next sync of some file of one node fail.

    Bites when a process stops itself for it.
    """

    name = "failed-sync"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1500 * MS))
        self.part_most_bytes = rng.choice((100, 2000))

    def strike(self) -> None:
        """Choose a node that runs, a sort of file, and what becomes of the write."""
        running = [host for host in self.cluster.hosts if host.up]
        if not running:
            return
        host = self.rng.choice(running)
        kept_bytes = self.rng.choice((0, self.rng.randrange(self.part_most_bytes), _WHOLE))
        self.fired()
        self.cluster.do(FailSync(host.node_id, self.rng.choice(("", SEGMENTS, *LOGS)), kept_bytes))
        self.attend(host, EIO, _ATTENDED_NS)
