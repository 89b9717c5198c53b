"""Isolation: at a moment that matters, a node that matters loses its peers, all of them or all but one.

Its clients still reach it: what it answers meanwhile is what they see. It may end at a moment too, and then let
the node's old messages meet what was decided without it.
"""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Cut, Mend
from walrus.sim.faults.aimed import AT_ONCE_NS, AimedFault, node_that_matters
from walrus.sim.moments import DECISIONS
from walrus.sim.rng import Rng
from walrus.sim.world import MS

LEASE_MIGHT_LAST_NS: Final = 300 * MS  # moments before that are of little interest: nothing is decided yet


class Isolation(AimedFault):
    """Cuts one node off, in both directions or in one.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or the node loses its lease or
    leaves a request unanswered.
    """

    name = "isolation"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 900 * MS))
        self.most_ns = rng.choice((300, 1500, 2500)) * MS
        self.least_ns = self.most_ns // rng.choice((2, 30))
        self.until = rng.choice(DECISIONS)
        self._number = 0  # of the cut there is
        self._pairs: list[tuple[int, int]] = []
        self._waiting_to_end = 0

    def hit(self, sender: int, to: int) -> None:
        """Cut off one of the two, or a node that matters, unless one is cut off already."""
        if self._number or len(self.cluster.hosts) < 2:
            return
        node = self.rng.choice((sender, to, node_that_matters(self.cluster, self.rng)))
        others = [host.node_id for host in self.cluster.hosts if host.node_id != node]
        friend = self.rng.choice(others) if len(others) > 1 and self.rng.chance(400_000) else 0
        directions = self.rng.choice(((1, 1), (1, 1), (1, 0), (0, 1)))
        pairs = []
        for other in others:
            if other != friend:
                pairs += [(node, other)] * directions[0] + [(other, node)] * directions[1]
        lasts_ns = self.rng.randrange(self.least_ns, self.most_ns)
        self.fired()
        self.on_trial((node,), lasts_ns)
        self._pairs = pairs
        self._number = self.cluster.number()
        self.cluster.do(
            Cut(self._number, tuple(pairs), f"node {node} isolated" + (f" but for node {friend}" if friend else ""))
        )
        self.world.after(lasts_ns, self._mend, self._number)
        if self.rng.chance(500_000):
            self.world.after(LEASE_MIGHT_LAST_NS, self._end_at_moment, self._number)

    def _end_at_moment(self, number: int) -> None:
        if self.active and number == self._number:
            self._waiting_to_end = self.cluster.moments.wait_for(
                self.until, lambda sender, to: self.world.after(AT_ONCE_NS, self._mend_partly, (number, sender))
            )

    def _mend_partly(self, item: tuple[int, int]) -> None:
        """All but the one who decides can be reached again, and that one a little later."""
        number, decider = item
        if self.active and number == self._number:
            mended = tuple(pair for pair in self._pairs if decider not in pair)
            if mended:
                self.cluster.do(Mend(number, mended))
            self.world.after(self.rng.randrange(1 * MS, 400 * MS), self._mend, number)

    def _mend(self, number: int) -> None:
        if self.active and number == self._number:
            self.cluster.moments.forget(self._waiting_to_end)
            self._number = 0
            self.cluster.do(Mend(number))
