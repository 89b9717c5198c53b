"""Pause: a process stands still for a while, as when it is stopped or its machine swaps; the world goes on."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.processes import GoOn
from walrus.sim.deeds.processes import Pause as PauseNode
from walrus.sim.faults.aimed import AimedFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Pause(AimedFault):
    """Lets one node stand still; what arrives for it waits.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or the node loses its lease or
    leaves a request unanswered.
    """

    name = "pause"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(150 * MS, 1000 * MS))
        self.most_ns = rng.choice((50, 600, 1800)) * MS

    def hit(self, sender: int, to: int) -> None:
        """Pause one."""
        host = self.cluster.host(self.rng.choice((sender, to)))
        if host.up and not host.paused:
            lasts_ns = self.rng.randrange(1 * MS, self.most_ns)
            self.fired()
            self.on_trial((host.node_id,), lasts_ns)
            self.cluster.do(PauseNode(host.node_id))
            self.world.after(lasts_ns, self._go_on, (host, host.life))

    def _go_on(self, item: tuple[Host, int]) -> None:
        host, life = item
        if host.life == life and host.paused:
            self.cluster.do(GoOn(host.node_id))
