"""Aimed crash: the nodes between which something is just happening are killed, one of them or both, or a
whole majority with them.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import AimedFault, Restarts
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class AimedCrash(AimedFault):
    """Kills around a moment.

    It bites where a write in flight is lost, or soon after a leader is elected, a segment recovered, or a request of
    the node stays unanswered.
    """

    name = "aimed-crash"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 700 * MS))
        self.keep_per_million = rng.choice((0, 500_000, 1_000_000))
        self._restarts = Restarts(cluster, rng, rng.choice((5, 100, 1500)) * MS)

    def hit(self, sender: int, to: int) -> None:
        """Kill one, both, or more until a majority is gone."""
        everyone = [host.node_id for host in self.cluster.hosts]
        majority = [sender, *self.rng.sample([node for node in everyone if node != sender], len(everyone) // 2)]
        chosen = self.rng.choice(([sender], [to], [sender, to], majority))
        for node in dict.fromkeys(chosen):
            host = self.cluster.host(node)
            if host.up:
                self.fired()
                self.kill([host], "aimed", self.keep_per_million)
                self._restarts.later(host)
