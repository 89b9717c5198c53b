"""Misdirected write: the disk puts whole sectors somewhere else and reports success.

Two places are wrong then: the intended one keeps what it had, the other has lost what it had. Done where after a
restart it can be told from a torn tail: to writes that later ones have followed, or that are noted as durable.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS, is_segment, tellable
from walrus.sim.deeds.disks import Misdirect
from walrus.sim.disk import SECTOR_BYTES
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.healing import may_lose_copy
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class MisdirectedWrite(DiskFault):
    """Lets the write of one block, or record, go elsewhere in its file or into another file of the disk.

    Bites when a node reads one of the two places, or writes it anew.
    """

    name = "misdirected-write"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(50 * MS, 500 * MS))
        self.restart_per_million = rng.choice((0, 300_000, 800_000))

    def strike(self) -> None:
        """Choose a block, and a sector before the last block of a file of the same sort."""
        found = self.damageable()
        if not found:
            return
        host, path = self.rng.choice(found)
        pieces = tellable(path, host.disk.files)
        targets = [
            other for other in sorted(host.disk.files)
            if (other in LOGS if path in LOGS else is_segment(other) and may_lose_copy(self.cluster, host, other))
        ]  # fmt: skip
        if not pieces or not targets:
            return
        start, end = self.rng.choice(pieces)
        to_path = self.rng.choice([path, *targets])
        kept = tellable(to_path, host.disk.files)
        if not kept:
            return
        sector = self.rng.randrange(-(-kept[-1][1] // SECTOR_BYTES)) * SECTOR_BYTES
        self.fired()
        if path in LOGS or self.rng.chance(self.restart_per_million):
            self.take_down(host)
        self.cluster.do(Misdirect(host.node_id, path, start, end - start, to_path, sector))
