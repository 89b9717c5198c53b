"""Processes: they start, are killed, are asked to stop, stand still."""

from typing import TYPE_CHECKING, ClassVar, Final

from walrus.core.events import ShutdownRequested
from walrus.sim.deeds.deed import MS, Deed
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster
    from walrus.sim.host import Host

STOP_WITHIN_NS: Final = 2_500 * MS
_LOOK_NS: Final = 10 * MS
_SLOWEST: Final = 5  # a clock that is wrong beyond all margins makes everything last so many times longer

DEAD: Final = "dead"
ISOLATED: Final = "isolated"
DEAF: Final = "deaf"
MUTE: Final = "mute"
STOPPED: Final = "stopped"
MANNERS: Final = (DEAD, ISOLATED, DEAF, MUTE, STOPPED)
"""How a node may be broken for good: its process is gone; no message reaches or leaves it; none reaches it; none
leaves it; its process stands still."""


class _OfNode(Deed, frozen=True):
    node: int
    kind: ClassVar[str] = "process"

    @property
    def nodes(self) -> tuple[int, ...]:
        """The one."""
        return (self.node,)


class StartNode(_OfNode, frozen=True, tag="start"):
    """Start a node's process on what its disk holds."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that runs or is broken for good."""
        host = cluster.host(self.node)
        if not host.up and not host.dead and self.node not in cluster.broken:
            host.start()

    @property
    def ends(self) -> str:
        """Being down."""
        return f"node {self.node} is down"

    def __str__(self) -> str:
        return f"node {self.node} starts"


class Crash(_OfNode, frozen=True, tag="crash"):
    """Kill a process. Each write in flight is kept with a probability given in millionths; ``torn``: of those that are
    not, a part may be. ``power``: its machine loses power, and the same is so for what was written without a sync.
    """

    why: str
    keep_per_million: int = 500_000
    torn: bool = False
    power: bool = False

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that is down, unless its machine loses power."""
        host = cluster.host(self.node)
        if self.power:
            cluster.power_cuts.cut(host, host.cut_power(self.keep_per_million, torn=self.torn))
        elif host.up:
            host.crash(self.keep_per_million, torn=self.torn)

    @property
    def begins(self) -> str:
        """Being down."""
        return f"node {self.node} is down"

    def __str__(self) -> str:
        return f"node {self.node} crashes ({self.why})"


class ShutDown(_OfNode, frozen=True, tag="shut down"):
    """Ask a process to stop cleanly; it must do so in time."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that is down or stands still."""
        host = cluster.host(self.node)
        if host.up and not host.paused:
            host.deliver(ShutdownRequested())
            cluster.world.after(_LOOK_NS, _must_have_stopped, (cluster, host, host.life, cluster.world.now_ns))

    @property
    def begins(self) -> str:
        """Being down, a little later."""
        return f"node {self.node} is down"

    def __str__(self) -> str:
        return f"node {self.node} is asked to stop"


def _must_have_stopped(item: "tuple[Cluster, Host, int, int]") -> None:
    """Late is a violation, unless the process did not stand on its own feet meanwhile."""
    cluster, host, life, asked_ns = item
    waited_ns = cluster.world.now_ns - asked_ns
    within_ns = STOP_WITHIN_NS * (1 if cluster.clocks_within_margin else _SLOWEST)
    if host.life == life and host.up:
        if waited_ns > within_ns + host.stood_still_ns and host.node_id not in cluster.broken:
            raise Violation(f"clean shutdown: node {host.node_id} has not stopped {waited_ns // MS} ms after")
        cluster.world.after(_LOOK_NS, _must_have_stopped, item)
    elif host.life == life and host.stopped_because:
        cluster.world.labels["shutdown done"] += 1
        if cluster.healed_ns >= 0:
            cluster.restart(host)


class Pause(_OfNode, frozen=True, tag="pause"):
    """Let a process stand still; what arrives for it waits."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that is down."""
        host = cluster.host(self.node)
        if host.up and not host.paused:
            host.pause()

    @property
    def begins(self) -> str:
        """Standing still."""
        return f"node {self.node} stands still"

    def __str__(self) -> str:
        return f"node {self.node} stands still"


class GoOn(_OfNode, frozen=True, tag="go on"):
    """Let a process that stands still run again."""

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that runs or is broken for good."""
        host = cluster.host(self.node)
        if host.paused and self.node not in cluster.broken:
            host.go_on()

    @property
    def ends(self) -> str:
        """Standing still."""
        return f"node {self.node} stands still"

    def __str__(self) -> str:
        return f"node {self.node} goes on"


class BreakForGood(_OfNode, frozen=True, tag="break for good"):
    """From now on this node is broken in the given manner, and stays so when everything else heals."""

    manner: str

    def apply(self, cluster: "Cluster") -> None:
        """Break it."""
        host, others = cluster.host(self.node), [h.node_id for h in cluster.hosts if h.node_id != self.node]
        cluster.broken[self.node] = self.manner
        if self.manner == DEAD and host.up:
            host.crash()
        elif self.manner == STOPPED and host.up and not host.paused:
            host.pause()
        pairs = []
        for other in others:
            if self.manner in (ISOLATED, DEAF):
                pairs.append((other, self.node))
            if self.manner in (ISOLATED, MUTE):
                pairs.append((self.node, other))
        if pairs:
            cluster.network.cut(-self.node, tuple(pairs))

    @property
    def begins(self) -> str:
        """For ever."""
        return f"node {self.node} is {self.manner} for good"

    def __str__(self) -> str:
        return f"node {self.node} is {self.manner} for good"
