"""Clock drift: nodes' monotonic clocks run at different speeds."""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clocks import Drift
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_BEYOND_PER_MILLION: Final = 400_000
_WITHIN_PPM: Final = 30_000  # in either direction: the most that leases allow for (see walrus.sim.clock.within_margin)
_SLOWEST_PPM: Final = -750_000  # a lease lasts so much longer than others think that fences alone keep records safe
_FASTEST_PPM: Final = 1_500_000


class ClockDrift(PeriodicFault):
    """Changes the speed of one clock at a time; in most seeds by so little that leases still hold.

    It bites when a clock has gone wrong by more than the time between two heartbeats, so that deadlines come in another
    order on different nodes than they would.
    """

    name = "clock-drift"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 1000 * MS))
        beyond = rng.chance(_BEYOND_PER_MILLION)
        self.slowest_ppm, self.fastest_ppm = (_SLOWEST_PPM, _FASTEST_PPM) if beyond else (-_WITHIN_PPM, _WITHIN_PPM)
        self._since_ns = 0
        self._wrong: dict[int, int] = {}  # node -> by how much, in ns times a million

    def start(self) -> None:
        """All clocks begin to drift."""
        super().start()
        self._since_ns = self.world.now_ns
        for host in self.cluster.hosts:
            self._change(host.node_id)

    def stop(self) -> None:
        """Look a last time."""
        super().stop()
        self._look()

    def strike(self) -> None:
        """Change one."""
        self._look()
        self._change(self.rng.choice(self.cluster.hosts).node_id)

    def _change(self, node: int) -> None:
        # The extremes are what others find hard: they come often.
        extreme = self.rng.choice((self.slowest_ppm, self.fastest_ppm, 0))
        rate = extreme or self.rng.randint(self.slowest_ppm, self.fastest_ppm)
        self.fired()
        self.cluster.do(Drift(node, rate))

    def _look(self) -> None:
        passed_ns = self.world.now_ns - self._since_ns
        self._since_ns = self.world.now_ns
        for host in self.cluster.hosts:
            wrong = self._wrong.get(host.node_id, 0) + passed_ns * host.clock.rate_ppm
            if abs(wrong) >= host.config.heartbeat_interval_ns * 1_000_000:
                wrong = 0
                self.bit()
            self._wrong[host.node_id] = wrong
