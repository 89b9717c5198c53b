"""Isolation: at a moment that matters, a node that matters loses its peers, all of them or all but one.

Its clients still reach it: what it answers meanwhile is what they see.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import AimedFault, node_that_matters
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class Isolation(AimedFault):
    """Cuts one node off, in both directions or in one."""

    name = "isolation"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 900 * MS))
        self.most_ns = rng.choice((300, 1500, 2500)) * MS
        self._cut: list[tuple[int, int]] = []
        self._number = 0

    def hit(self, sender: int, to: int) -> None:
        """Cut off one of the two, or a node that matters, unless one is cut off already."""
        if self._cut or len(self.cluster.hosts) < 2:
            return
        node = self.rng.choice((sender, to, node_that_matters(self.cluster, self.rng)))
        others = [host.node_id for host in self.cluster.hosts if host.node_id != node]
        friend = self.rng.choice(others) if len(others) > 1 and self.rng.chance(400_000) else 0
        directions = self.rng.choice(((1, 1), (1, 1), (1, 0), (0, 1)))
        pairs = []
        for other in others:
            if other != friend:
                pairs += [(node, other)] * directions[0] + [(other, node)] * directions[1]
        cut = self.cluster.network.cut
        self._cut = [pair for pair in pairs if pair not in cut]
        cut.update(self._cut)
        self.fired()
        self.world.note(f"node {node} isolated" + (f" but for node {friend}" if friend else ""))
        self._number += 1
        self.world.after(self.rng.randrange(10 * MS, self.most_ns), self._mend, self._number)

    def heal(self) -> None:
        """Mend."""
        super().heal()
        self._mend(self._number)

    def _mend(self, number: int) -> None:
        if self._cut and number == self._number:
            self.cluster.network.cut.difference_update(self._cut)
            self._cut = []
            self.world.note("isolation ends")
