"""Client resets: connections between clients and nodes break in the middle."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import ResetConnection
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class ClientReset(PeriodicFault):
    """Breaks one client connection at a time.

    It bites where requests on it were unanswered.
    """

    name = "client-reset"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(30 * MS, 400 * MS))

    def strike(self) -> None:
        """Break one of the open connections."""
        connected = [number for number, client in self.cluster.clients.items() if client.ready]
        if connected:
            number = self.rng.choice(connected)
            self.fired()
            if self.cluster.clients[number].outstanding:
                self.bit()
            self.cluster.do(ResetConnection(number))
