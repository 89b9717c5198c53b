"""Faults that strike at a moment, at nodes that matter."""

from abc import ABC, abstractmethod
from typing import Final

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.moments import KINDS
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

AT_ONCE_NS: Final = 97
"""Not within the very instant of a moment, nor one in a row of messages after it: a replay does its deeds before
anything else that happens at their time, and could not tell what of that came first.
"""


def node_that_matters(cluster: Cluster, rng: Rng) -> int:
    """A Raft leader, the writer of an open segment or a member of its replica set; else any node."""
    found: list[int] = []
    for host in cluster.hosts:
        raft, state = probe.raft(host), probe.metadata(host)
        if raft is None or state is None:
            continue
        if raft.leader:
            found.append(raft.leader)
        for segment in state.unsealed.values():
            found += [segment.writer[0], segment.writer[0], *(member[0] for member in segment.members)]
    return rng.choice(found) if found else rng.choice(cluster.hosts).node_id


class AimedFault(PeriodicFault, ABC):
    """Waits for a random moment, for ``patience_ns`` at most, and then strikes at once or a little later.

    One seed keeps to two kinds of moments, so that a campaign tries each often; with much patience it strikes at
    nothing but them.
    """

    def __init__(self, cluster: Cluster, rng: Rng, mean_ns: int) -> None:
        super().__init__(cluster, rng, mean_ns)
        self.moments = (rng.choice(KINDS), rng.choice(KINDS))
        self.patience_ns = rng.choice((300, 300, 3000)) * MS
        self.later_ns = rng.choice((1, 200 * US, 2 * MS, 10 * MS))
        self._waiting = 0

    def strike(self) -> None:
        """Wait for a moment, unless one is waited for already."""
        if self._waiting:
            return
        self._waiting = number = self.cluster.moments.wait_for(self.rng.choice(self.moments), self._now)
        self.world.after(self.patience_ns, self._give_up, number)

    @abstractmethod
    def hit(self, sender: int, to: int) -> None:
        """Do it: something just happened between these two nodes (or within one)."""

    def stop(self) -> None:
        """Wait no more."""
        super().stop()
        if self._waiting:
            self.cluster.moments.forget(self._waiting)
            self._waiting = 0

    def _now(self, sender: int, to: int) -> None:
        self._waiting = 0
        self.world.after(AT_ONCE_NS + self.rng.randrange(self.later_ns), self._hit, (sender, to))

    def _hit(self, nodes: tuple[int, int]) -> None:
        if self.active:
            self.hit(*nodes)

    def _give_up(self, number: int) -> None:
        if self._waiting == number:
            self.cluster.moments.forget(number)
            self._waiting = 0
            self._hit((node_that_matters(self.cluster, self.rng), node_that_matters(self.cluster, self.rng)))


class Restarts:
    """Starts again, after a random time, what a fault took down."""

    def __init__(self, cluster: Cluster, rng: Rng, down_most_ns: int) -> None:
        self.down_most_ns = down_most_ns
        self._cluster = cluster
        self._rng = rng
        self._down: dict[int, int] = {}  # node -> the life that ended

    def later(self, host: Host) -> None:
        """``host`` has just gone down; bring it back."""
        self._down[host.node_id] = host.life
        self._cluster.world.after(self._rng.randrange(1 * MS, self.down_most_ns), self._restart, (host, host.life))

    def _restart(self, item: tuple[Host, int]) -> None:
        host, life = item
        if self._down.get(host.node_id) == life:
            del self._down[host.node_id]
            if host.life == life:
                self._cluster.restart(host)
