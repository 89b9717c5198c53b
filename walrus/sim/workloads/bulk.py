"""Bulk: long records, empty ones, and bytes of all values."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import Request
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.workloads.worker import Worker
from walrus.sim.world import MS


class Bulk(Worker):
    """Alternates between the extremes of what a record may be, and reads some of it."""

    name = "bulk"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self.pause_ns = 100 * MS
        self._most_bytes = rng.choice((300, 5_000, 40_000))

    def act(self, room: int) -> None:
        """A few records in one piece, the longest alone."""
        self.client.request([self._request() for _ in range(min(self.count(room), 3))])

    def _request(self) -> Request:
        topic = self.rng.choice(self.topics)
        kind = self.rng.randrange(10)
        if kind < 4:
            return self.put(topic, self.rng.randrange(self._most_bytes))
        if kind < 6:
            return Request("PUT", topic)
        return self.fetch(topic) if kind < 8 else Request("GET", topic)
