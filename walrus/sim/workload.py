"""What the clients do while faults happen: a mix of requests, each client in its own manner."""

from walrus.sim.client import Request, SimClient
from walrus.sim.cluster import Cluster
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_MIX = (("PUT", 62), ("GET", 14), ("FETCH", 14), ("STATE", 5), ("REGISTER", 4), ("METRICS", 1))
_READER_MIX = (("FETCH", 1),)


def _verbs(mix: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return tuple(verb for verb, weight in mix for _ in range(weight))


class Workload:
    """Several clients, each with a random pace, window and patience."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        options = cluster.options
        rng = cluster.world.rng.stream("workload")
        self.topics = ["logs", *(f"topic-{n}" for n in range(1, options.topics))]
        self.history = history
        self.workers = [Worker(n, self, cluster, rng.stream(f"client {n}")) for n in range(1, options.clients + 1)]

    def start(self) -> None:
        """Every client begins within the first moments."""
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """No new requests; those under way may still be answered."""
        for worker in self.workers:
            worker.running = False

    @property
    def idle(self) -> bool:
        """Whether no answer is waited for."""
        return not any(worker.client.outstanding for worker in self.workers)

    def leave(self) -> None:
        """Close all connections."""
        for worker in self.workers:
            worker.client.leave_for_good()


class Worker:
    """One client's manner: how often, how many at a time, how much in flight."""

    def __init__(self, number: int, workload: Workload, cluster: Cluster, rng: Rng) -> None:
        self.running = False
        self.client = SimClient(
            number,
            cluster,
            workload.history,
            rng.stream("client"),
            rng.randrange(300 * MS, rng.choice((600, 3000)) * MS),
        )
        self._world = cluster.world
        self._topics = workload.topics
        self._history = workload.history
        self._rng = rng
        self._number = number
        self._sent = 0
        self._window = rng.choice((1, 1, 4, 16))
        self._pause_ns = rng.choice((15, 40, 100)) * MS
        # A reader is not held up by requests that hang, and so sees what a node out of date answers.
        self._verbs = _verbs(_READER_MIX if number > 1 and rng.chance(300_000) else _MIX)

    def start(self) -> None:
        """Begin a little later."""
        self.running = True
        delay = self._rng.randrange(300 * MS)
        self._world.after(delay, self.client.begin)
        self._world.after(delay, self._tick)

    def _tick(self, _: object) -> None:
        if not self.running:
            return
        room = self._window - len(self.client.outstanding)
        if self.client.ready and room > 0:
            count = self._rng.randrange(1, min(room, 8) + 1)
            self.client.send([self._request() for _ in range(count)])
        self._world.after(self._rng.randrange(self._pause_ns * 2) + 1, self._tick)

    def _request(self) -> Request:
        self._sent += 1
        if self._sent <= len(self._topics):
            return ("REGISTER", self._topics[self._sent - 1], b"", 0)
        verb = self._rng.choice(self._verbs)
        topic = "" if verb == "METRICS" else self._rng.choice(self._topics)
        if verb == "PUT":
            return (verb, topic, self._payload(), 0)
        if verb == "FETCH":
            return (verb, topic, b"", self._offset(topic))
        return (verb, topic, b"", 0)

    def _payload(self) -> bytes:
        kind = self._rng.randrange(100)
        if kind < 3:
            return b""
        name = b"c%d-%d" % (self._number, self._sent)
        if kind < 10:
            return name + b" \r\n\0\xff" + self._rng.randbytes(self._rng.randrange(1, 40))
        if kind < 13:
            return name.ljust(self._rng.randrange(1000, 5000), b".")
        return name

    def _offset(self, topic: str) -> int:
        """Mostly near the end of the topic, where a stale answer shows."""
        length = self._history.acknowledged[topic]
        if self._rng.chance(600_000):
            return max(0, length + self._rng.randint(-3, 1))
        return self._rng.randrange(length + 2)
