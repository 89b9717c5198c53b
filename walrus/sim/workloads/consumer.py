"""Consumer: GETs only, so that several move one cursor."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import Request
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.workloads.worker import Worker


class Consumer(Worker):
    """Takes what there is on one topic, or on all."""

    name = "consumer"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self._own = self.topics[:1] if rng.chance(500_000) else self.topics

    def act(self, room: int) -> None:
        """Take a few records."""
        self.client.request([Request("GET", self.rng.choice(self._own)) for _ in range(self.count(room))])
