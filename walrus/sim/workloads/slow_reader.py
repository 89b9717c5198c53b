"""Slow reader: asks for more than it reads, so that its replies wait at the node."""

from walrus.sim.cluster import Cluster
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.workloads.worker import Worker
from walrus.sim.world import MS


class SlowReader(Worker):
    """Puts long records, fetches them again and again, and reads nothing meanwhile."""

    name = "slow reader"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self.window = 16
        self.pause_ns = 100 * MS
        self._topic = rng.choice(self.topics)
        self._most_ns = rng.choice((20, 200, 1000)) * MS

    def act(self, room: int) -> None:
        """Put one, fetch some, look away."""
        requests = [self.put(self._topic, self.rng.randrange(500, 2500))]
        requests += [self.fetch(self._topic) for _ in range(room - 1)]
        self.client.request(requests)
        if self.client.connection is not None and self.client.connection.reads:
            self.client.stop_reading(self.rng.randrange(1 * MS, self._most_ns))
