"""Bit rot: bits of data at rest turn over, in a copy of a segment, a journal or a catalogue.

Rot of the last block of a copy or the last records of a journal waits for the durable-length mark of the storage issue.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS
from walrus.sim.deeds.disks import Rot
from walrus.sim.faults.disk_fault import DiskFault, before_the_last
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class BitRot(DiskFault):
    """Rots one byte or a few of a file; some nodes are made to read it soon, by a restart.

    Bites when a node reads what is rotten, or writes it anew.
    """

    name = "bit-rot"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(50 * MS, 500 * MS))
        self.bytes_most = rng.choice((1, 1, 8))
        self.restart_per_million = rng.choice((0, 300_000, 800_000))

    def strike(self) -> None:
        """Choose a file, and bytes before its last piece."""
        found = self.damageable()
        if not found:
            return
        host, path = self.rng.choice(found)
        pieces = before_the_last(path, bytes(host.disk.files[path]))
        if not pieces:
            return
        self.fired()
        if path in LOGS or self.rng.chance(self.restart_per_million):
            self.take_down(host)
        start, end = self.rng.choice([(0, pieces[0][0]), *pieces])
        for _ in range(self.rng.randint(1, self.bytes_most)):
            self.cluster.do(Rot(host.node_id, path, self.rng.randrange(start, end), self.rng.randrange(1, 256)))
