"""Pause: a process stands still for a while, as when it is stopped or its machine swaps; the world goes on."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import AimedFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Pause(AimedFault):
    """Lets one node stand still; what arrives for it waits."""

    name = "pause"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(150 * MS, 1000 * MS))
        self.most_ns = rng.choice((50, 600, 1800)) * MS

    def hit(self, sender: int, to: int) -> None:
        """Pause one."""
        host = self.cluster.host(self.rng.choice((sender, to)))
        if host.up and not host.paused:
            self.fired()
            self.world.note(f"node {host.node_id} stands still")
            host.pause()
            self.world.after(self.rng.randrange(1 * MS, self.most_ns), self._go_on, (host, host.life))

    def heal(self) -> None:
        """Let all go on."""
        super().heal()
        for host in self.cluster.hosts:
            self._go_on((host, host.life))

    def _go_on(self, item: tuple[Host, int]) -> None:
        host, life = item
        if host.life == life and host.paused:
            self.world.note(f"node {host.node_id} goes on")
            host.go_on()
