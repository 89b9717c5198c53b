"""Late joining: nodes that come when the cluster is at work already, several at once, and crash while they join."""

from typing import Final

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.faults.fault import Fault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_LOOK_NS: Final = 20 * MS


class LateJoin(Fault):
    """Ends some nodes at their first start, before they have written or said anything, and starts them later.

    This is the one fault that acts before the others begin. It bites where such a node becomes a voter while other
    faults go on.
    """

    name = "late-join"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        setup = cluster.setup
        per_million = rng.choice((300_000, 700_000))
        self.at_once = rng.chance(400_000)
        self.crashes_most = rng.choice((0, 1, 4))
        self._crashes = dict.fromkeys(range(1, setup.nodes + 1), 0)
        faults_ns = max(setup.heal_ns - setup.faults_ns, 2 * MS)
        comes_ns = setup.faults_ns + rng.randrange(faults_ns // 2)
        for host in cluster.hosts[1:]:
            if rng.chance(per_million):
                if not self.at_once:
                    comes_ns = setup.faults_ns + rng.randrange(faults_ns // 2)
                self.world.at(setup.node_setups[host.node_id - 1].starts_ns + 1, self._keep_away, host)
                self.world.at(comes_ns, self._come, host)

    def _keep_away(self, host: Host) -> None:
        if host.up and host.life == 1 and not host.disk.files:
            self.fired()
            self.cluster.crash(host, "comes late", keep_per_million=0)

    def _come(self, host: Host) -> None:
        if not self.active:
            return
        self.cluster.restart(host)
        if self._crashes[host.node_id] < self.crashes_most and self.rng.chance(500_000):
            self.world.after(self.rng.randrange(self.rng.choice((5, 150)) * MS), self._crash, (host, host.life))
        self._look(host)

    def _crash(self, item: tuple[Host, int]) -> None:
        host, life = item
        if self.active and host.up and host.life == life:
            self._crashes[host.node_id] += 1
            self.fired("late-join crash while joining")
            self.cluster.crash(host, "in mid-join")
            self.world.after(self.rng.randrange(1 * MS, 200 * MS), self._come, host)

    def _look(self, host: Host) -> None:
        view = probe.raft(host)
        if not self.active or not host.up:
            return
        if view is not None and host.node_id in view.membership.voters:
            self.bit()
        else:
            self.world.after(_LOOK_NS, self._look, host)
