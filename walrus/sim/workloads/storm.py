"""Storm: long silence, then PUTs for many segments at once, so that one rollover follows the other."""

from walrus.sim.cluster import Cluster
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.workloads.worker import Worker
from walrus.sim.world import MS

_MOST = 48
_SEGMENTS = (2, 4)


class Storm(Worker):
    """Puts several segments' worth of records, in one piece or in a few."""

    name = "rollover storm"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self.pause_ns = rng.choice((150, 500)) * MS
        self.window = min(_MOST, cluster.setup.max_segment_entries * rng.choice(_SEGMENTS))
        self._pieces = rng.choice((1, 3, 8))

    def act(self, room: int) -> None:
        """Put all at once."""
        topic = self.rng.choice(self.topics)
        puts = [self.put(topic) for _ in range(room)]
        size = -(-room // self._pieces)
        for first in range(0, room, size):
            self.client.request(puts[first : first + size])
