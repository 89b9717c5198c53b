"""Churner: creates topics, uses them and deletes them again, and changes the settings of those that are kept."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import Request
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.setup import draw_retention, draw_setting
from walrus.sim.workloads.worker import Worker

_WEIGHTS = (
    *(("CREATE", 12), ("REGISTER", 3), ("DELETE", 7), ("PUT", 50), ("GET", 12), ("FETCH", 12)),
    *(("STATE", 2), ("INFO", 2), ("SET", 4)),
)
_VERBS = tuple(verb for verb, weight in _WEIGHTS for _ in range(weight))
_SEGMENTS_MOST = 6


class Churner(Worker):
    """Every verb on topics that come and go."""

    name = "churner"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self.topics = cluster.setup.churned_names
        self._weak = bool(cluster.setup.durability)
        self._registered = len(self.topics)  # nobody sees to it that they exist

    def act(self, room: int) -> None:
        """Ask a few things in one piece."""
        self.client.request([self._request() for _ in range(self.count(room))])

    def _request(self) -> Request:
        verb, topic = self.rng.choice(_VERBS), self.rng.choice(self.topics)
        if verb == "PUT":
            return self.put(topic)
        if verb == "FETCH":
            return Request(verb, topic, "", self.rng.randrange(4), self.rng.randrange(1, _SEGMENTS_MOST))
        if verb == "SET":
            return Request(verb, self.rng.choice([topic, *self._kept]), draw_setting(self.rng, weak=self._weak))
        return Request(verb, topic, draw_retention(self.rng) if verb == "CREATE" and self.rng.chance(200_000) else "")
