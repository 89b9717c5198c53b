"""Simulated clients: the real session over simulated connections, every request noted in the history."""

from collections import deque

from walrus.client import calls
from walrus.client.session import ClientSession
from walrus.sim.cluster import Cluster
from walrus.sim.history import History, Operation
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.streams import Connection
from walrus.sim.world import MS

Request = tuple[str, str, bytes, int]
"""Verb, topic, payload (of a PUT), offset (of a FETCH, counted from segment 1)."""


def call_of(request: Request) -> calls.Call:
    """The request as the client library builds it."""
    verb, topic, payload, offset = request
    if verb == "PUT":
        return calls.put(topic, payload)
    if verb == "FETCH":
        return calls.fetch(topic, 1, offset)
    if verb == "METRICS":
        return calls.METRICS
    return {"REGISTER": calls.register, "GET": calls.get, "STATE": calls.state}[verb](topic)


class Link:
    """At most one connection at a time. ``ready``: requests can be sent on it."""

    def __init__(self, number: int, cluster: Cluster, history: History) -> None:
        self.number = number
        self.outstanding: deque[Operation] = deque()
        self.ready = False
        self.connection: Connection | None = None
        self._cluster = cluster
        self._history = history
        self._session = ClientSession()

    def dial(self, host: Host) -> Connection:
        """Connect to ``host`` anew."""
        self._session = ClientSession()
        self.connection = self._cluster.streams.open(self, host)
        return self.connection

    def send(self, requests: list[Request]) -> list[Operation]:
        """Send requests in one piece. Only while :attr:`ready`."""
        connection = self.connection
        assert connection is not None
        sent = []
        for request in requests:
            self._session.request(call_of(request))
            now, node = self._cluster.world.now_ns, connection.host.node_id
            sent.append(self._history.add(Operation(self.number, connection.number, *request, sent_ns=now, node=node)))
        self.outstanding.extend(sent)
        connection.write(self._session.data_to_send())
        return sent

    def leave(self) -> None:
        """Close the connection; what is not answered stays unknown."""
        if self.connection is not None:
            self.connection.close()
        self._forget()

    def on_open(self, connection: Connection) -> None:
        """The node accepted."""
        self.ready = connection is self.connection

    def on_bytes(self, connection: Connection, data: bytes) -> None:
        """Replies came."""
        if connection is self.connection:
            for reply in self._session.receive(data):
                self._history.answer(self.outstanding.popleft(), reply.body, self._cluster.world.now_ns)

    def on_closed(self, connection: Connection) -> None:
        """The connection is gone."""
        if connection is self.connection:
            self._forget()

    def _forget(self) -> None:
        self._session.connection_lost()
        self.connection = None
        self.ready = False
        self.outstanding.clear()


class SimClient(Link):
    """A client that moves on to another node when its connection breaks or is silent for ``timeout_ns``."""

    def __init__(self, number: int, cluster: Cluster, history: History, rng: Rng, timeout_ns: int) -> None:
        super().__init__(number, cluster, history)
        self.timeout_ns = timeout_ns
        self._rng = rng
        self._gone = False

    def begin(self, _: object = None) -> None:
        """Dial a random node."""
        if not self._gone:
            connection = self.dial(self._rng.choice(self._cluster.hosts))
            self._cluster.world.after(self.timeout_ns, self._check_dialled, connection)

    def send(self, requests: list[Request]) -> list[Operation]:
        """Send requests, and leave if they are not answered in time."""
        sent = super().send(requests)
        self._cluster.world.after(self.timeout_ns, self._check_answered, self.connection)
        return sent

    def leave_for_good(self) -> None:
        """Close the connection and dial no more."""
        self._gone = True
        self.leave()

    def on_closed(self, connection: Connection) -> None:
        """The connection is gone; try another node a little later."""
        if connection is self.connection:
            self._move_on()

    def _check_dialled(self, connection: Connection) -> None:
        if connection is self.connection and not self.ready:
            self._move_on()

    def _check_answered(self, connection: Connection) -> None:
        if connection is not self.connection or not self.outstanding:
            return
        if self.outstanding[0].sent_ns + self.timeout_ns <= self._cluster.world.now_ns:
            self._cluster.world.labels["client gave up waiting"] += 1
            self._move_on()

    def _move_on(self) -> None:
        self.leave()
        self._cluster.world.after(self._rng.randrange(1 * MS, 50 * MS), self.begin)
