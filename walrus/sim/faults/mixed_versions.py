"""Mixed versions: nodes of the next version beside those of this one, in rolling upgrades and downgrades."""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Downgrade, Upgrade
from walrus.sim.deeds.processes import ShutDown
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_LOOK_NS: Final = 10 * MS


class MixedVersions(PeriodicFault):
    """Restarts one node after the other in another version, cleanly or by a crash; some are newer from the start.

    It bites where a node of this version takes in messages of the next: counted once for each time it is looked at.
    """

    name = "mixed-versions"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1500 * MS))
        self.newer_per_million = rng.choice((0, 400_000))
        self.down_most_ns = rng.choice((5, 100)) * MS
        self._next = rng.randrange(len(cluster.hosts))
        self._taken = 0
        self._busy = False

    def start(self) -> None:
        """Some are newer already."""
        super().start()
        for host in self.cluster.hosts:
            if self.rng.chance(self.newer_per_million):
                self.fired()
                self.cluster.do(Upgrade(host.node_id))

    def stop(self) -> None:
        """Look a last time."""
        super().stop()
        self._look()

    def strike(self) -> None:
        """End the next node, unless one is at it."""
        self._look()
        host = self.cluster.hosts[self._next % len(self.cluster.hosts)]
        if self._busy or host.paused:
            return
        self._next += 1
        self._busy = True
        if self.rng.chance(500_000):
            self.cluster.do(ShutDown(host.node_id))
        elif host.up:
            self.cluster.crash(host, "for another version")
        self._await_end((host, host.life))

    def _await_end(self, item: tuple[Host, int]) -> None:
        host, life = item
        if self.active and host.up and host.life == life:
            self.world.after(_LOOK_NS, self._await_end, item)
        else:
            self.world.after(self.rng.randrange(self.down_most_ns) + 1, self._start_other, item)

    def _start_other(self, item: tuple[Host, int]) -> None:
        host, life = item
        self._busy = False
        if self.active and host.life == life and not host.up:
            self.fired()
            newer = host.node_id in self.cluster.network.newer
            self.cluster.do(Downgrade(host.node_id) if newer else Upgrade(host.node_id))
            self.cluster.restart(host)

    def _look(self) -> None:
        taken = self.cluster.network.fates["read by an older node"]
        if taken > self._taken:
            self.bit()
        self._taken = taken
