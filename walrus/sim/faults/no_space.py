"""No space: a disk is full for a while, and what makes a file longer is not begun.

A node on a full disk takes no PUT, but goes on: it serves reads and replicates metadata within what it has reserved
ahead. Other copies go on without its own. It takes PUTs again by itself once there is room.
"""

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.disks import FillUp, MakeRoom
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_LOOK_NS = 5 * MS


class NoSpace(DiskFault):
    """Fills one disk at a time, or all of them at once.

    Bites when a process says that its disk is full.
    """

    name = "no-space"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1000 * MS))
        self.room_most_bytes = rng.choice((1, 400, 5000))
        self.lasts_most_ns = rng.choice((50, 500, 1500)) * MS
        self.all_per_million = rng.choice((0, 0, 150_000))
        self._full: dict[int, Host] = {}

    def strike(self) -> None:
        """Fill a disk that is not full."""
        roomy = [host for host in self.cluster.hosts if host.node_id not in self._full]
        if not roomy:
            return
        for host in roomy if self.rng.chance(self.all_per_million) else [self.rng.choice(roomy)]:
            self._full[host.node_id] = host
            self.fired()
            self.cluster.do(FillUp(host.node_id, self.rng.randrange(self.room_most_bytes)))
            self.world.after(self.rng.randrange(10 * MS, self.lasts_most_ns), self._empty, host)
            self.world.after(_LOOK_NS, self._watch, host)

    def _watch(self, host: Host) -> None:
        if self.active and host.node_id in self._full:
            if probe.is_full(host):
                self.bit()
            else:
                self.world.after(_LOOK_NS, self._watch, host)

    def _empty(self, host: Host) -> None:
        if self.active:
            del self._full[host.node_id]
            self.cluster.do(MakeRoom(host.node_id))
