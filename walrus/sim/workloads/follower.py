"""Follower: stays at the end of a topic and asks for what comes next, again and again while records arrive."""

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import Request
from walrus.sim.history import DONE, History, Operation
from walrus.sim.rng import Rng
from walrus.sim.workloads.worker import Worker
from walrus.sim.world import US

_QUESTIONS = 6
_WITHIN_NS = (300 * US, 3_000 * US, 20_000 * US)


class Follower(Worker):
    """Puts a record now and then, and asks for the next one several times around that: before it is acknowledged,
    just then, and after.
    """

    name = "follower"

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        super().__init__(number, cluster, history, rng)
        self.window = 4 * _QUESTIONS
        self._within_ns = rng.choice(_WITHIN_NS)
        self._next: dict[str, int] = {}  # topic -> offset
        history.listeners.append(self._heard)

    def act(self, room: int) -> None:
        """A record, and questions before and after it."""
        topic = self.rng.choice(self.topics)
        self._ask(topic)
        self.client.request([self.put(topic)])
        for _ in range(min(room, _QUESTIONS)):
            self.later(self.rng.randrange(self._within_ns), self._ask, topic)

    def _ask(self, topic: str) -> None:
        if self.running and self.client.ready and len(self.client.outstanding) < self.window:
            known = self._next.setdefault(topic, self.history.acknowledged[topic])
            verb = "GET" if self.rng.chance(200_000) else "FETCH"
            self.client.request([Request(verb, topic, "", known)])

    def _heard(self, op: Operation) -> None:
        if op.verb == "FETCH" and op.client == self._number and op.outcome == DONE:
            self._next[op.topic] = max(op.offset + 1, self._next.get(op.topic, 0))
