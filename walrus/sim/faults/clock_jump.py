"""Clock jumps: a node's monotonic clock leaps forward, as after a suspension or a migration of its machine."""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clocks import Jump
from walrus.sim.faults.aimed import node_that_matters
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_BEYOND_PER_MILLION: Final = 300_000
_WITHIN_MS: Final = (5, 20)  # with nothing else wrong, leases allow for 50 ms
_BEYOND_MS: Final = (60, 150, 500, 5000)


class ClockJump(PeriodicFault):
    """Lets one clock jump at a time; in most seeds by so little that leases still hold.

    It bites where a deadline of the node lay in the time that was leapt over, and so comes early.
    """

    name = "clock-jump"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(600 * MS, 1500 * MS))
        self.most_ns = rng.choice(_BEYOND_MS if rng.chance(_BEYOND_PER_MILLION) else _WITHIN_MS) * MS

    def strike(self) -> None:
        """Jump."""
        host = self.cluster.host(node_that_matters(self.cluster, self.rng))
        deadline = host.node.next_deadline() if host.node is not None else None
        before_ns = host.now_ns()
        self.fired()
        self.cluster.do(Jump(host.node_id, self.rng.randrange(1 * MS, self.most_ns)))
        if deadline is not None and before_ns < deadline.at_ns <= host.now_ns():
            self.bit()
