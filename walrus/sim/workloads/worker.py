"""What all manners share: a client, a pace, a window of requests in flight."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from walrus.sim.client import SimClient
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clients import Request
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_AT_ONCE_MOST = 8


class Worker(ABC):
    """One client. ``name`` is how labels call its manner, ``window`` how many requests it has in flight at most, and
    ``pause_ns`` the mean time between two moments at which it may act.
    """

    name = ""

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng) -> None:
        self.running = False
        self.client = SimClient(
            number, cluster, history, rng.stream("client"), rng.randrange(100 * MS, rng.choice((300, 900, 3000)) * MS)
        )
        cluster.clients[number] = self.client
        self.rng = rng
        self.topics = cluster.setup.topic_names
        self.history = history
        self.window = rng.choice((1, 4, 8, 24))
        self.pause_ns = rng.choice((20, 60, 150)) * MS * rng.choice((1, cluster.setup.calm))
        self._number = number
        self._payloads = 0
        self._registered = 0
        self._world = cluster.world
        self._quiet_ns = cluster.setup.quiet_ns
        self._kept, self._retention = cluster.setup.kept_names, cluster.setup.retention

    def start(self) -> None:
        """Begin a little later."""
        self.running = True
        delay = self.rng.randrange(300 * MS)
        self._world.after(delay, self.client.begin)
        self._world.after(delay, self._tick)

    @abstractmethod
    def act(self, room: int) -> None:
        """Do something: there is a connection, and ``room`` (more than 0) more requests may be in flight."""

    def count(self, room: int) -> int:
        """How many requests to send at once."""
        return self.rng.randrange(1, min(room, _AT_ONCE_MOST) + 1)

    def put(self, topic: str, filling: int = 0) -> Request:
        """A PUT of something that no other PUT has, with so many bytes of anything behind it."""
        self._payloads += 1
        name = f"c{self._number}-{self._payloads}" + " " * bool(filling)  # ends where the filling begins
        return Request("PUT", topic, name + self.rng.randbytes(filling).decode("latin-1"))

    def fetch(self, topic: str) -> Request:
        """Mostly from near the end of the topic, where a stale answer shows."""
        length = self.history.acknowledged[topic]
        if self.rng.chance(600_000):
            return Request("FETCH", topic, "", max(0, length + self.rng.randint(-3, 1)))
        return Request("FETCH", topic, "", self.rng.randrange(length + 2))

    def later(self, delay_ns: int, callback: Callable[[Any], None], argument: object = None) -> None:
        """Call ``callback(argument)`` in ``delay_ns``."""
        self._world.after(delay_ns, callback, argument)

    def _tick(self, _: object) -> None:
        if not self.running:
            return
        room = self.window - len(self.client.outstanding)
        if self.client.ready and room > 0 and not self._is_quiet():
            if self._registered < len(self.topics):
                self._register()
            else:
                self.act(room)
        self._world.after(self.rng.randrange(self.pause_ns * 2) + 1, self._tick)

    def _register(self) -> None:
        """Everyone sees to it that all topics exist, one by one."""
        self._registered += 1
        topic = self.topics[self._registered - 1]
        verb = "CREATE" if topic in self._kept else "REGISTER"
        self.client.request([Request(verb, topic, self._retention if verb == "CREATE" else "")])

    def _is_quiet(self) -> bool:
        return any(start <= self._world.now_ns < end for start, end in self._quiet_ns)
