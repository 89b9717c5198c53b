"""Clean shutdown: nodes are asked to stop, must do so in time, and start again; sometimes one after the other."""

from typing import Final

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.processes import ShutDown
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_LOOK_NS: Final = 10 * MS
_TELLS_NS: Final = 400 * MS


class Shutdown(PeriodicFault):
    """Stops one node at a time, at random or all in turn.

    It bites where soon after another leader is elected, a segment recovered, or a request of the node stays unanswered.
    """

    name = "shutdown"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(200 * MS, 1200 * MS))
        self.down_most_ns = rng.choice((20, 300, 1000)) * MS
        self.rolling = rng.chance(400_000)
        self._next = rng.randrange(len(cluster.hosts))
        self._leaving: Host | None = None

    def strike(self) -> None:
        """Ask a node to stop, unless one is at it."""
        hosts = self.cluster.hosts
        if self._leaving is not None:
            return
        if self.rolling:
            host = hosts[self._next % len(hosts)]
            self._next += 1
        else:
            host = self.rng.choice(hosts)
        if not host.up or host.paused:
            return
        self._leaving = host
        self.fired()
        if probe.leads(host):
            self.fired("shutdown of a Raft leader")
        self.on_trial((host.node_id,), _TELLS_NS)
        self.cluster.do(ShutDown(host.node_id))
        self._look((host, host.life))

    def _look(self, item: tuple[Host, int]) -> None:
        """Has it stopped? The deed itself watches that it does so in time."""
        host, life = item
        if host.life == life and host.up:
            self.world.after(_LOOK_NS, self._look, item)
            return
        delay = self.rng.randrange(1 * MS, self.down_most_ns) if self.active else 0
        self.world.after(delay, self._restart, (host, life))

    def _restart(self, item: tuple[Host, int]) -> None:
        host, life = item
        self._leaving = None
        if host.life == life and self.active:
            self.cluster.restart(host)
            if self.rolling:  # the next one while this one is hardly back
                self.world.after(self.rng.randrange(self.down_most_ns), self._roll_on)

    def _roll_on(self, _: object) -> None:
        if self.active:
            self.strike()
