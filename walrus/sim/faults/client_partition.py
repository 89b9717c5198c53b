"""Client partitions: some clients cannot reach some nodes, while the nodes reach each other."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import CutClients, MendClients
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class ClientPartition(PeriodicFault):
    """Cuts a node, or all but one, off from one client or from all. Connections do not break: what is sent waits.

    It bites where a client gives up on such a connection while something on it waits.
    """

    name = "client-partition"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(150 * MS, 900 * MS))
        self.most_ns = rng.choice((50, 500, 1500)) * MS
        self._number = 0
        self._before = 0

    def strike(self) -> None:
        """Cut, unless a cut of this kind is there."""
        clients = [number for number in self.cluster.clients if number]
        if self._number or not clients:
            return
        nodes = [host.node_id for host in self.cluster.hosts]
        spared = self.rng.choice(nodes)
        chosen = [node for node in nodes if node != spared] if self.rng.chance(300_000) else [spared]
        if self.rng.chance(500_000):
            clients = [self.rng.choice(clients)]
        self.fired()
        self._number = self.cluster.number()
        self._before = self.cluster.streams.given_up
        self.cluster.do(CutClients(self._number, tuple((client, node) for client in clients for node in chosen)))
        self.world.after(self.rng.randrange(10 * MS, self.most_ns), self._mend)

    def stop(self) -> None:
        """See whether it bit."""
        super().stop()
        self._look()

    def _mend(self, _: object) -> None:
        if self.active:
            self._look()
            self.cluster.do(MendClients(self._number))
            self._number = 0

    def _look(self) -> None:
        if self._number and self.cluster.streams.given_up > self._before:
            self.bit()
