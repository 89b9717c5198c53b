"""Simulated clients: the real session over simulated connections, every request noted in the history."""

from collections import deque
from typing import TYPE_CHECKING, Final

from walrus.client import calls
from walrus.client.session import ClientSession
from walrus.sim.deeds.clients import Ask, Dial, Hangup, ReadOn, Request, StopReading
from walrus.sim.history import UNKNOWN, History, Operation
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.streams import Connection, Streams
from walrus.sim.world import MS, World

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

_LEADERLESS: Final = (b"ERR NotLeader", b"ERR no raft leader")


_OF_A_TOPIC: Final = {
    "REGISTER": calls.register, "GET": calls.get, "STATE": calls.state, "INFO": calls.topic_info,
    "DELETE": calls.delete_topic,
}  # fmt: skip


def call_of(request: Request) -> calls.Call:
    """The request as the client library builds it."""
    verb, topic = request.verb, request.topic
    if verb == "PUT":
        return calls.put(topic, request.payload.encode("latin-1"))
    if verb == "NODE":
        return calls.node(topic, request.offset)
    if verb == "FETCH":
        return calls.fetch(topic, request.segment, request.offset)
    if verb in ("CREATE", "SET"):
        return calls.Call(f"{verb} {topic} {request.payload}".strip().encode("latin-1"))
    if verb == "METRICS":
        return calls.METRICS
    if verb == "TOPICS":
        return calls.TOPICS
    return _OF_A_TOPIC[verb](topic)


class Link:
    """At most one connection at a time. ``ready``: requests can be sent on it."""

    def __init__(self, number: int, world: World, streams: Streams, history: History) -> None:
        self.number = number
        self.outstanding: deque[Operation] = deque()
        self.ready = False
        self.connection: Connection | None = None
        self._world = world
        self._streams = streams
        self._history = history
        self._session = ClientSession()
        self._wanted: list[Request] = []  # to be sent once the connection is open

    @property
    def may_be_answered(self) -> bool:
        """Whether requests are under way to a process that still runs."""
        connection = self.connection
        if not self.outstanding or connection is None:
            return False
        return connection.host.up and connection.life == connection.host.life

    def dial(self, host: Host) -> Connection:
        """Leave the connection there is, and connect to ``host``."""
        self.leave()
        self._session = ClientSession()
        self.connection = self._streams.open(self, host)
        return self.connection

    def ask(self, host: Host, requests: list[Request]) -> None:
        """Send requests in one piece to ``host``, once there is a connection to it."""
        if self.connection is None or self.connection.host is not host:
            self.dial(host)
        self._wanted += requests
        if self.ready:
            self._send()

    def leave(self) -> None:
        """Close the connection; what is not answered stays unknown."""
        if self.connection is not None:
            self.connection.close()
        self._forget()

    def on_open(self, connection: Connection) -> None:
        """The node accepted."""
        if connection is self.connection:
            self.ready = True
            if self._wanted:
                self._send()

    def on_bytes(self, connection: Connection, data: bytes) -> None:
        """Replies came."""
        if connection is self.connection:
            for reply in self._session.receive(data):
                operation = self.outstanding.popleft()
                self._history.answer(operation, reply.body, self._world.now_ns)
                if operation.outcome == UNKNOWN or reply.body.startswith(_LEADERLESS):
                    self._streams.unanswered[operation.node] += 1

    def on_closed(self, connection: Connection) -> None:
        """The connection is gone."""
        if connection is self.connection:
            self._forget()

    def _send(self) -> None:
        connection = self.connection
        assert connection is not None
        wanted, self._wanted = self._wanted, []
        now, node = self._world.now_ns, connection.host.node_id
        for request in wanted:
            self._session.request(call_of(request))
            operation = Operation(
                self.number, connection.number, request.verb, request.topic, request.payload.encode("latin-1"),
                request.offset, sent_ns=now, node=node, segment=request.segment,
            )  # fmt: skip
            self.outstanding.append(self._history.add(operation))
        connection.write(self._session.data_to_send())

    def _forget(self) -> None:
        if self.outstanding and self.connection is not None:
            self._streams.unanswered[self.connection.host.node_id] += len(self.outstanding)
        self._session.connection_lost()
        self.connection = None
        self.ready = False
        self._wanted.clear()
        self.outstanding.clear()


class SimClient(Link):
    """A client that moves on to another node when its connection breaks or is silent for ``timeout_ns``."""

    def __init__(self, number: int, cluster: "Cluster", history: History, rng: Rng, timeout_ns: int) -> None:
        super().__init__(number, cluster.world, cluster.streams, history)
        self.timeout_ns = timeout_ns
        self._cluster = cluster
        self._rng = rng
        self._gone = False

    def begin(self, _: object = None) -> None:
        """Dial a random node."""
        if not self._gone:
            self.turn_to_another()

    def request(self, requests: list[Request]) -> None:
        """Send requests, and leave if they are not answered in time. Only while ``ready``."""
        assert self.connection is not None
        self._cluster.do(Ask(self.number, self.connection.host.node_id, tuple(requests)))
        self._world.after(self.timeout_ns, self._check_answered, self.connection)

    def leave_for_good(self) -> None:
        """Close the connection and dial no more."""
        self._gone = True
        self.leave()

    def turn_to_another(self) -> None:
        """Dial another node at once, whatever is unanswered."""
        self._cluster.do(Dial(self.number, self._rng.choice(self._cluster.hosts).node_id))
        self._world.after(self.timeout_ns, self._check_dialled, self.connection)

    def stop_reading(self, for_ns: int) -> None:
        """Read nothing for a while."""
        self._cluster.do(StopReading(self.number))
        self._world.after(for_ns, self._read_on, self.connection)

    def move_on(self) -> None:
        """Leave, and dial another node a little later."""
        self._cluster.do(Hangup(self.number))
        self._world.after(self._rng.randrange(1 * MS, 50 * MS), self.begin)

    def on_closed(self, connection: Connection) -> None:
        """The connection is gone; try another node a little later."""
        if connection is self.connection:
            self._forget()
            self._world.after(self._rng.randrange(1 * MS, 50 * MS), self.begin)

    def _read_on(self, connection: Connection) -> None:
        if connection is self.connection:
            self._cluster.do(ReadOn(self.number))

    def _check_dialled(self, connection: Connection) -> None:
        if connection is self.connection and not self.ready:
            self.move_on()

    def _check_answered(self, connection: Connection) -> None:
        if connection is not self.connection or not self.outstanding:
            return
        if self.outstanding[0].sent_ns + self.timeout_ns <= self._world.now_ns:
            self._world.labels["client gave up waiting"] += 1
            self.move_on()
