"""The load of ``walrus-bench``: connections in a closed loop, driven by one selector in one thread."""

import contextlib
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from walrus.client.address import Address, parse_address
from walrus.client.errors import NotConnected
from walrus.client.sync import WalrusClient

_OK_REPLY = struct.pack("<I", 2) + b"OK"
_RECEIVE_BYTES = 256 * 1024
_LEADER_CHECK_S = 0.5
_STALLED_S = 15.0


class LoadError(Exception):
    """A PUT was refused or not answered: a rate without it would mean nothing."""


class Outcome(NamedTuple):
    """What one run saw. ``latencies_ns`` has an entry for each acknowledged PUT, in that order."""

    latencies_ns: list[int]
    seconds: float
    cpu_seconds: float  # of this client


class _Connection:
    """One connection: what it still has to send, when each unanswered request was sent, half a reply."""

    __slots__ = ("backlog", "rest", "sent_ns", "socket")

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, 5.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.backlog = b""
        self.rest = b""
        self.sent_ns: deque[int] = deque()

    def take_replies(self) -> int:
        """Receive what is there and return how many PUTs it acknowledges. Raises :class:`LoadError`."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return 0
        if data == _OK_REPLY and not self.rest:
            return 1
        if not data:
            raise LoadError("the node closed a connection")
        data = self.rest + data
        count, rest_bytes = divmod(len(data), len(_OK_REPLY))
        whole = len(data) - rest_bytes
        if data[:whole] != _OK_REPLY * count or not _OK_REPLY.startswith(data[whole:]):
            raise LoadError(f"a PUT was not answered with OK but with {data[:200]!r}")
        self.rest = data[whole:]
        return count

    def flush(self) -> bool:
        """Send as much of the backlog as the system takes; True once it is empty."""
        try:
            sent = self.socket.send(self.backlog)
        except BlockingIOError:
            return False
        self.backlog = self.backlog[sent:] if sent < len(self.backlog) else b""
        return not self.backlog


class Load:
    """Connections with a number of requests in flight each, to the leader of a topic's open segment."""

    def __init__(
        self,
        addresses: Sequence[str],
        topic: str,
        payload_bytes: int,
        connections: int,
        window: int,
        follow_leader: bool,
    ) -> None:
        """Connect. Raises :class:`WalrusError` if no node answers, OSError if the leader refuses."""
        self._addresses = addresses
        self._topic = topic
        request = b"PUT " + topic.encode() + b" " + b"x" * payload_bytes
        self._frame = struct.pack("<I", len(request)) + request
        self._window = window
        self._follow_leader = follow_leader
        self._selector = selectors.DefaultSelector()
        self._leader = self._find_leader()
        self._connections = [self._connect() for _ in range(connections)]

    def run(self, seconds: float) -> Outcome:
        """Keep all windows full for ``seconds``, then drain. Raises :class:`LoadError`."""
        latencies: list[int] = []
        begin_ns, begin_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        end_ns = begin_ns + int(seconds * 1e9)
        next_check_ns = begin_ns + int(_LEADER_CHECK_S * 1e9)
        for connection in self._connections:
            self._send(connection, self._window, begin_ns)
        now_ns = begin_ns
        while now_ns < end_ns:
            self._turn(latencies, refill=True)
            now_ns = time.perf_counter_ns()
            if self._follow_leader and now_ns >= next_check_ns:
                self._move_to_leader(latencies)
                next_check_ns = now_ns + int(_LEADER_CHECK_S * 1e9)
        cpu_ns, counted = time.process_time_ns() - begin_cpu_ns, len(latencies)
        self._drain(latencies)
        return Outcome(latencies[:counted], (now_ns - begin_ns) / 1e9, cpu_ns / 1e9)

    def close(self) -> None:
        for connection in self._connections:
            connection.socket.close()
        self._selector.close()

    def _turn(self, latencies: list[int], *, refill: bool) -> None:
        """Handle everything that is ready, waiting for something to be."""
        ready = self._selector.select(_STALLED_S)
        if not ready:
            raise LoadError(f"no PUT was answered for {_STALLED_S:.0f} s")
        for key, mask in ready:
            connection: _Connection = key.data
            if mask & selectors.EVENT_WRITE and connection.flush():
                self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
            if not mask & selectors.EVENT_READ:
                continue
            count = connection.take_replies()
            now_ns = time.perf_counter_ns()
            sent_ns = connection.sent_ns
            for _ in range(count):
                latencies.append(now_ns - sent_ns.popleft())
            if refill and count:
                self._send(connection, count, now_ns)

    def _send(self, connection: _Connection, count: int, now_ns: int) -> None:
        connection.sent_ns.extend([now_ns] * count)
        if connection.backlog:
            connection.backlog += self._frame * count
            return
        connection.backlog = self._frame * count
        if not connection.flush():
            self._selector.modify(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _drain(self, latencies: list[int]) -> None:
        while any(connection.sent_ns for connection in self._connections):
            self._turn(latencies, refill=False)

    def _connect(self) -> _Connection:
        connection = _Connection(self._leader)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def _move_to_leader(self, latencies: list[int]) -> None:
        """Where another node leads by now: let what is in flight finish, then go on with that node."""
        leader = self._find_leader()
        if leader == self._leader:
            return
        self._leader = leader
        self._drain(latencies)
        for connection in self._connections:
            self._selector.unregister(connection.socket)
            connection.socket.close()
        self._connections = [self._connect() for _ in self._connections]
        now_ns = time.perf_counter_ns()
        for connection in self._connections:
            self._send(connection, self._window, now_ns)

    def _find_leader(self) -> Address:
        return parse_address(leader_address(self._addresses, self._topic))


def leader_address(addresses: Sequence[str], topic: str) -> str:
    """Which of ``addresses`` (``host:port``) is the node that leads the open segment of ``topic``.

    If it is none of them, the first one: it forwards. Raises :class:`WalrusError` if no node answers.
    """
    with WalrusClient(addresses) as client:
        leader: int = client.state(topic)["leader_node"]
    for address in addresses:
        with contextlib.suppress(NotConnected), WalrusClient([address], timeout_s=2.0) as client:
            if client.metrics()["id"] == leader:
                return address
    return addresses[0]
