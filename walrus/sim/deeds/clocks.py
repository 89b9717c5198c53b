"""Clocks: they run fast or slow, jump, and tell wrong dates."""

from typing import TYPE_CHECKING, ClassVar

from walrus.sim.clock import within_margin
from walrus.sim.deeds.deed import Deed, ms

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class _OfClock(Deed, frozen=True):
    node: int
    kind: ClassVar[str] = "clock"

    @property
    def nodes(self) -> tuple[int, ...]:
        """The one whose clock it is."""
        return (self.node,)


def _judge(cluster: "Cluster") -> None:
    """Note it once clocks are further off than leases allow for."""
    config = cluster.hosts[0].config
    clocks = [host.clock for host in cluster.hosts]
    if not within_margin(clocks, config.lease_ns, config.lease_margin_ns):
        cluster.clocks_within_margin = False


class Drift(_OfClock, frozen=True, tag="drift"):
    """The monotonic clock runs faster (or, below 0, slower) by so many millionths."""

    rate_ppm: int

    def apply(self, cluster: "Cluster") -> None:
        """Change the rate."""
        host = cluster.host(self.node)
        host.clock.set_rate(self.rate_ppm)
        host.clock_changed()
        _judge(cluster)

    def __str__(self) -> str:
        return f"clock of node {self.node} runs {self.rate_ppm / 10_000:+g} % fast"


class Jump(_OfClock, frozen=True, tag="clock jump"):
    """The monotonic clock jumps forward, while those of other nodes do not."""

    forward_ns: int

    def apply(self, cluster: "Cluster") -> None:
        """Jump."""
        host = cluster.host(self.node)
        host.clock.jump(self.forward_ns)
        host.clock_changed()
        _judge(cluster)

    def __str__(self) -> str:
        return f"clock of node {self.node} jumps forward by {ms(self.forward_ns)}"


class SetCalendar(_OfClock, frozen=True, tag="set calendar"):
    """The wall clock is wrong by so much from now on."""

    offset_ns: int

    def apply(self, cluster: "Cluster") -> None:
        """Set it."""
        cluster.host(self.node).clock.set_calendar(self.offset_ns)

    def __str__(self) -> str:
        return f"calendar of node {self.node} is wrong by {ms(self.offset_ns)}"
