"""Disk loss: a whole disk is gone and its node with it, or one file is missing when a process starts.

The node that lost its disk waits for an operator to replace it, which comes with the issue that replaces nodes.
"""

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.disks import LoseDisk, LoseFile
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.healing import may_be_damaged, may_lose_journal
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class DiskLoss(DiskFault):
    """Loses one file of a node that is down, or a disk.

    Bites when the others must go on without a leader or a member of a segment, or when a lost copy is filled again.
    """

    name = "disk-loss"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(150 * MS, 1500 * MS))
        self.whole_per_million = rng.choice((0, 200_000, 1_000_000))

    def strike(self) -> None:
        """Choose between a disk and a file."""
        if self.rng.chance(self.whole_per_million):
            self._lose_disk()
            return
        found = self.damageable()
        if found:
            host, path = self.rng.choice(found)
            self.fired()
            self.take_down(host)
            self.cluster.do(LoseFile(host.node_id, path))

    def _lose_disk(self) -> None:
        hosts = [host for host in may_be_damaged(self.cluster) if may_lose_journal(self.cluster, host)]
        if hosts:
            host = self.rng.choice(hosts)
            self.fired()
            self.fired("disk-loss of a whole disk")
            if self._matters(host):
                self.bit()
            self.cluster.do(LoseDisk(host.node_id))

    def _matters(self, host: Host) -> bool:
        """Whether it leads, or is a member of a segment that is not sealed."""
        state = probe.metadata(host)
        return probe.leads(host) or any(
            host.node_id in [node for node, _ in segment.members]
            for segment in (state.unsealed.values() if state is not None else ())
        )
