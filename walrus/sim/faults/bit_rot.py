"""Bit rot: bits of data at rest turn over, in a copy of a segment, a journal or a catalogue.

In the last block of a copy where the catalogue notes it as durable, which is what most of these aim at; never in the
last records of a journal, which no mark covers.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS, tellable
from walrus.sim.deeds.disks import Rot
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class BitRot(DiskFault):
    """Rots one byte or a few of a file, often at its end; some nodes are made to read it soon, by a restart.

    Bites when a node reads what is rotten, or writes it anew.
    """

    name = "bit-rot"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(50 * MS, 500 * MS))
        self.bytes_most = rng.choice((1, 1, 8))
        self.restart_per_million = rng.choice((0, 300_000, 800_000))
        self.last_per_million = rng.choice((0, 500_000, 1_000_000))

    def strike(self) -> None:
        """Choose a file, and bytes whose damage can be told."""
        found = self.damageable()
        if not found:
            return
        host, path = self.rng.choice(found)
        pieces = tellable(path, host.disk.files)
        if not pieces:
            return
        self.fired()
        if path in LOGS or self.rng.chance(self.restart_per_million):
            self.take_down(host)
        at_the_end = self.rng.chance(self.last_per_million)
        start, end = pieces[-1] if at_the_end else self.rng.choice([(0, pieces[0][0]), *pieces])
        for _ in range(self.rng.randint(1, self.bytes_most)):
            self.cluster.do(Rot(host.node_id, path, self.rng.randrange(start, end), self.rng.randrange(1, 256)))
