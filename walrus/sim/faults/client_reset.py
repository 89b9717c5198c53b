"""Client resets: connections between clients and nodes break in the middle."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS


class ClientReset(PeriodicFault):
    """Breaks one client connection at a time."""

    name = "client-reset"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(30 * MS, 400 * MS))

    def strike(self) -> None:
        """Break one of the open connections."""
        streams = self.cluster.streams
        open_now = [
            connection
            for host in self.cluster.hosts
            for connection in streams.open_at[host.node_id].values()
            if not connection.broken
        ]
        if open_now:
            self.fired()
            streams.reset(self.rng.choice(open_now))
