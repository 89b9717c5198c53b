"""Churn of the membership: nodes are drained and called back, removed and taken in again, or lose their disk and come
back with an empty one under their old number, while everything else goes on.
"""

from typing import Final

from walrus.core.metadata.state import quorums
from walrus.core.segment.replica import segment_path
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.members import NewDisk, Operate
from walrus.sim.deeds.network import Cut, Mend
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.healing import may_be_damaged, may_lose_journal, newest_metadata
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_LOOK_NS: Final = 20 * MS
_LOOKS: Final = 150
_ALONE_PER_MILLION: Final = 700_000
_FOUNDER_PER_MILLION: Final = 600_000  # that it is node 1 which gets an empty disk, or who runs of the lowest number


class MembershipChurn(PeriodicFault):
    """One node at a time. Bites when a node is drained, or has become a voter again on another disk."""

    name = "membership-churn"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 800 * MS))
        self.acts = rng.choice((("drain",), ("remove",), ("new disk",), ("drain", "remove", "new disk")))
        self.down_most_ns = rng.choice((5, 100, 1000)) * MS
        self._busy = False

    def strike(self) -> None:
        """Choose a node and what happens to it."""
        hosts = [host for host in self.cluster.core if host.up and not host.paused]
        if self._busy or len(hosts) < 2:
            return
        host, act = self.rng.choice(hosts), self.rng.choice(self.acts)
        if act == "new disk" and self.cluster.setup.founder_asks and self.rng.chance(_FOUNDER_PER_MILLION):
            host = hosts[0]
        view = probe.raft(host)
        if view is None or host.node_id not in view.membership.voters:
            return
        if act == "new disk":
            self._renew(host)
        else:
            self._busy = True
            self.fired()
            self.fired(f"membership-churn: {act}")
            self._ask(host, "DRAIN" if act == "drain" else "REMOVE")
            self._look((host, host.disk.exchanged, _LOOKS, act))

    def _ask(self, host: Host, action: str) -> None:
        asked = [other for other in self.cluster.core if other.up and not other.paused]
        if asked:
            self.cluster.do(Operate(host.node_id, self.rng.choice(asked).node_id, action))

    def _renew(self, host: Host) -> None:
        """Only where others surely hold all that the disk holds."""
        cluster = self.cluster
        if host not in may_be_damaged(cluster) or not may_lose_journal(cluster, host) or self._is_needed(host):
            return
        self._busy = True
        self.fired()
        self.fired("membership-churn: new disk")
        cluster.do(NewDisk(host.node_id))
        if host.config.initial_peers and self.rng.chance(_ALONE_PER_MILLION):
            self._isolate(host)
        self.world.after(self.rng.randrange(1 * MS, self.down_most_ns), self._start, host)
        self._look((host, host.disk.exchanged - 1, _LOOKS, "new disk"))

    def _isolate(self, host: Host) -> None:
        """An empty founder that cannot hear its peers for a while."""
        number, others = self.cluster.number(), [other.node_id for other in self.cluster.hosts if other is not host]
        pairs = tuple(pair for other in others for pair in ((host.node_id, other), (other, host.node_id)))
        self.cluster.do(Cut(number, pairs, f"node {host.node_id} isolated with an empty disk"))
        self.world.after(self.rng.randrange(2 * host.config.found_after_ns), self._mend, number)

    def _mend(self, number: int) -> None:
        if self.active:
            self.cluster.do(Mend(number))

    def _is_needed(self, host: Host) -> bool:
        """Whether of some segment too few others have a sound copy."""
        state = newest_metadata(self.cluster.hosts)
        for topic in state.topics.values() if state is not None else ():
            for segment in topic.segments:
                nodes = [node for node, _ in segment.members]
                if host.node_id not in nodes:
                    continue
                path = segment_path((topic.name, segment.number))
                others = [self.cluster.host(m[0]) for m in segment.members if m not in self.cluster.lost_members]
                sound = [other for other in others if other is not host and path not in other.disk.damage.hurt]
                if sum(other in self.cluster.core for other in sound) < quorums(len(nodes))[1]:
                    return True
        return state is None

    def _start(self, host: Host) -> None:
        if self.active:
            self.cluster.restart(host)

    def _look(self, item: tuple[Host, int, int, str]) -> None:
        """Has it come about? After a while it is left alone, or called back."""
        host, exchanged, looks, act = item
        if not self.active:
            return
        state, view = probe.metadata(host), probe.raft(host)
        done = False
        if act == "drain" and state is not None and view is not None:
            done = not any(
                host.node_id in [node for node, _ in segment.members]
                for topic in state.topics.values()
                for segment in topic.segments
            )
        elif view is not None and host.disk.exchanged > exchanged:
            done = host.node_id in view.membership.voters
        if done:
            self.bit()
            self.bit(f"membership-churn: {act}")
        stays = act == "drain" or (act == "remove" and not done)
        if (done or not looks) and stays and self.rng.chance(700_000):
            self._ask(host, "UNDRAIN")
        if done or not looks:
            self._busy = False
        else:
            self.world.after(_LOOK_NS, self._look, (host, exchanged, looks - 1, act))
