"""Mixed: a bit of everything on all topics, records of all sorts."""

from walrus.sim.deeds.clients import Request
from walrus.sim.workloads.worker import Worker

_WEIGHTS = (("PUT", 52), ("GET", 24), ("FETCH", 14), ("STATE", 5), ("REGISTER", 3), ("METRICS", 1), ("TOPICS", 1))
_VERBS = tuple(verb for verb, weight in _WEIGHTS for _ in range(weight))


class Mixed(Worker):
    """Every verb, with a few empty, binary and long records."""

    name = "mixed"

    def act(self, room: int) -> None:
        """Ask a few things in one piece."""
        self.client.request([self._request() for _ in range(self.count(room))])

    def _request(self) -> Request:
        verb = self.rng.choice(_VERBS)
        if verb in ("METRICS", "TOPICS"):
            return Request(verb)
        topic = self.rng.choice(self.topics)
        if verb == "PUT":
            return self._put(topic)
        return self.fetch(topic) if verb == "FETCH" else Request(verb, topic)

    def _put(self, topic: str) -> Request:
        kind = self.rng.randrange(100)
        if kind < 3:
            return Request("PUT", topic)
        if kind < 10:
            return self.put(topic, self.rng.randrange(1, 40))
        return self.put(topic, self.rng.randrange(1000, 5000) if kind < 13 else 0)
