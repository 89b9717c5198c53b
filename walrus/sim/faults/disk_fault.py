"""What the faults of disks share: who may be hurt, and starting again what stops itself."""

from abc import ABC

from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS, is_segment
from walrus.sim.faults.aimed import Restarts
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.healing import may_be_damaged, may_lose_copy, may_lose_journal
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_LOOK_NS = 20 * MS


class DiskFault(PeriodicFault, ABC):
    """Damage keeps to few disks (:mod:`walrus.sim.healing`), so that what is acknowledged survives it.

    That a node was given the damaged bytes to read, or wrote them anew, is counted by the disk's ledger as a bite.
    ``logs_per_million``: how often a journal or catalogue is chosen instead of a copy, which costs the node.
    """

    def __init__(self, cluster: Cluster, rng: Rng, mean_ns: int) -> None:
        super().__init__(cluster, rng, mean_ns)
        self.restarts = Restarts(cluster, rng, rng.choice((20, 300)) * MS)
        self._handled: dict[int, int] = {}  # node -> the last life that stopped itself
        self.logs_per_million = rng.choice((0, 0, 50_000, 300_000))

    def damageable(self) -> list[tuple[Host, str]]:
        """Files that may be damaged, all of the sort that was drawn."""
        hosts = may_be_damaged(self.cluster)
        if self.rng.chance(self.logs_per_million):
            return [
                (host, path)
                for host in hosts
                if may_lose_journal(self.cluster, host)
                for path in LOGS
                if path in host.disk.files
            ]
        return [
            (host, path)
            for host in hosts
            for path in sorted(host.disk.files)
            if is_segment(path) and not host.disk.damage.on(path) and may_lose_copy(self.cluster, host, path)
        ]

    def take_down(self, host: Host) -> None:
        """Kill a process, if it runs, and start it a little later."""
        if host.up:
            self.cluster.crash(host, self.name)
        self.restarts.later(host)

    def attend(self, host: Host, error: str, for_ns: int) -> None:
        """For so long, start the process again, a little later, whenever it stops itself for this error. Bites once."""
        self._look((host, error, self.world.now_ns + for_ns, False))

    def _look(self, item: tuple[Host, str, int, bool]) -> None:
        host, error, until_ns, bitten = item
        if not self.active or self.world.now_ns >= until_ns:
            return
        if not host.up and error in host.stopped_because and self._handled.get(host.node_id) != host.life:
            self._handled[host.node_id] = host.life
            if not bitten:
                self.bit()
                bitten = True
            self.restarts.later(host)
        self.world.after(_LOOK_NS, self._look, (host, error, until_ns, bitten))
