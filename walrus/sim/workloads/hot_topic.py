"""Hot topic: many PUTs in flight, all to one topic."""

from walrus.sim.cluster import Cluster
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.workloads.worker import Worker


class HotTopic(Worker):
    """Keeps a deep pipeline full, on the topic that everybody uses."""

    name = "hot topic"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self.window = rng.choice((16, 40))

    def act(self, room: int) -> None:
        """Put a batch."""
        self.client.request([self.put(self.topics[0]) for _ in range(self.count(room))])
