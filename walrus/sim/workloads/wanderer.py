"""Wanderer: asks one node, and turns to another before it is answered."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import Request
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.streams import Connection
from walrus.sim.workloads.worker import Worker
from walrus.sim.world import MS


class Wanderer(Worker):
    """What it leaves behind may have happened or not."""

    name = "wanderer"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self._stays_most_ns = rng.choice((2, 10, 60)) * MS

    def act(self, room: int) -> None:
        """Put, or take; then go before long."""
        topic = self.rng.choice(self.topics)
        some = range(self.count(room))
        if self.rng.chance(700_000):
            self.client.request([self.put(topic) for _ in some])
        else:
            self.client.request([Request("GET", topic) for _ in some])
        if self.rng.chance(500_000):
            self.later(self.rng.randrange(self._stays_most_ns), self._go, self.client.connection)

    def _go(self, connection: Connection) -> None:
        if self.running and connection is self.client.connection and self.client.outstanding:
            self.client.turn_to_another()
