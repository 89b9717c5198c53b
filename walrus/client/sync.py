"""The blocking client.

    with WalrusClient(["127.0.0.1:9091", "127.0.0.1:9092"]) as client:
        client.register("logs")
        client.put("logs", b"hello")
        print(client.get("logs"))

Any node takes any request. Addresses are tried in turn until one connects. A request that changes nothing
when repeated moves on to the next address if the connection breaks under it; a PUT or GET that may have
arrived never does: it raises OutcomeUnknown, and the caller decides.
"""

import socket
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from walrus.client import calls
from walrus.client.address import DEFAULT_ADDRESS, TIMEOUT_MAX_S, parse_address
from walrus.client.calls import Call, Record
from walrus.client.errors import (
    NotConnected,
    OutcomeUnknown,
    ProtocolError,
    PutManyFailed,
    ServerError,
    TimedOut,
)
from walrus.client.session import ClientSession

WINDOW_REQUESTS = 512  # in flight on one connection
WINDOW_BYTES = 1024 * 1024  # of requests handed to the socket at once, but never less than one request
_RECEIVE_BYTES = 256 * 1024


class _Exchange(msgspec.Struct, frozen=True):
    """How a pipeline went: a reply for each request sent, None where its outcome is unknown."""

    replies: list[bytes | None]
    problem: str = ""  # why it ended early
    timed_out: bool = False


class WalrusClient:
    """A connection to whichever of ``addresses`` (``host:port``) answers. Not for use by two threads at once.

    ``timeout_s`` bounds each request, connecting included, and in ``put_many`` each wait for progress.
    """

    def __init__(self, addresses: Sequence[str] = (DEFAULT_ADDRESS,), timeout_s: float = 10.0) -> None:
        if not addresses:
            raise ValueError("no address given: expected at least one HOST:PORT")
        if not 0 < timeout_s <= TIMEOUT_MAX_S:
            raise ValueError(f"bad timeout {timeout_s} s: expected more than 0, at most {TIMEOUT_MAX_S}")
        self._addresses = [parse_address(text) for text in addresses]
        self._timeout_s = timeout_s
        self._at = 0  # index of the address in use, or to try next
        self._socket: socket.socket | None = None
        self._session = ClientSession()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if any; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def address(self) -> str:
        """The address in use, or the one to be tried next."""
        return str(self._addresses[self._at])

    def register(self, topic: str) -> None:
        """Create ``topic``; nothing happens if it exists."""
        calls.check_ok(self.call(calls.register(topic)))

    def put(self, topic: str, payload: bytes) -> None:
        """Append a record; returns once a quorum of replicas holds it."""
        calls.check_ok(self.call(calls.put(topic, payload)))

    def put_many(self, topic: str, payloads: Iterable[bytes]) -> int:
        """Append records in order, pipelined; return their number. PutManyFailed if any was not taken."""
        requests = [calls.put(topic, payload) for payload in payloads]
        exchange = self._exchange(requests, time.monotonic() + self._timeout_s)
        refused: dict[int, str] = {}
        unknown: list[int] = []
        for index, reply in enumerate(exchange.replies):
            if reply is None:
                unknown.append(index)
                continue
            try:
                calls.check_ok(reply)
            except ServerError as error:
                refused[index] = error.text
            except OutcomeUnknown:
                unknown.append(index)
        sent = len(exchange.replies)
        acknowledged = sent - len(refused) - len(unknown)
        if acknowledged == len(requests):
            return acknowledged
        reasons = dict.fromkeys([*refused.values(), *([exchange.problem] if exchange.problem else [])])
        raise PutManyFailed(
            f"{acknowledged} of {len(requests)} records acknowledged, {len(refused)} refused, "
            f"{len(unknown)} with unknown outcome, {len(requests) - sent} not sent: "
            + ("; ".join(reasons) or "outcome unknown"),
            acknowledged,
            refused,
            unknown,
            sent,
            exchange.problem,
        )

    def get(self, topic: str) -> bytes | None:
        """Take the next record at the topic's shared cursor; None if there is none."""
        return calls.payload_of(self.call(calls.get(topic)))

    def fetch(self, topic: str, segment: int, offset: int) -> Record | None:
        """Read the record at ``offset``, counted from the start of ``segment``; None past the end."""
        return calls.record_of(self.call(calls.fetch(topic, segment, offset)))

    def state(self, topic: str) -> dict[str, Any]:
        """The topic's segments, as STATE tells them."""
        state: dict[str, Any] = calls.json_of(self.call(calls.state(topic)))
        return state

    def metrics(self) -> dict[str, Any]:
        """The metrics of the node at :attr:`address`."""
        metrics: dict[str, Any] = calls.json_of(self.call(calls.METRICS))
        return metrics

    def create_topic(self, topic: str, **settings: int) -> None:
        """Create a topic with settings (``retention_ms=...``); ServerError if it exists with others."""
        calls.check_ok(self.call(calls.create_topic(topic, settings)))

    def set_topic(self, topic: str, **settings: int) -> None:
        """Change settings of a topic; those that are not named stay."""
        calls.check_ok(self.call(calls.set_topic(topic, settings)))

    def topic_info(self, topic: str) -> dict[str, Any]:
        """The settings of a topic, and what retention goes by."""
        info: dict[str, Any] = calls.json_of(self.call(calls.topic_info(topic)))
        return info

    def delete_topic(self, topic: str) -> None:
        """Delete a topic with all its records."""
        calls.check_ok(self.call(calls.delete_topic(topic)))

    def topics(self) -> list[str]:
        """The names of all topics."""
        topics: list[str] = calls.json_of(self.call(calls.TOPICS))
        return topics

    def call(self, call: Call) -> bytes:
        """Send one request and return its reply as it came, errors of the node included."""
        deadline_s = time.monotonic() + self._timeout_s
        problem = ""
        for _ in range(len(self._addresses) + 1):
            exchange = self._exchange([call], deadline_s)
            if exchange.replies and exchange.replies[0] is not None:
                return exchange.replies[0]
            problem = exchange.problem
            if exchange.replies and not call.repeatable:
                raise OutcomeUnknown(f"outcome unknown: {call.name}: {problem}")
            if exchange.timed_out:
                raise TimedOut(f"{call.name}: {problem}")
        raise NotConnected(f"{call.name}: {problem}")

    def call_many(self, requests: Sequence[Call], reply_bytes_max: int | None = None) -> list[bytes]:
        """Send requests pipelined; their replies in order, as they came, errors of the node included.

        They may be fewer than the requests, but not none: where the connection broke on the way, or once they exceed
        ``reply_bytes_max`` together, which drops the connection. OutcomeUnknown where one without a reply may not be
        repeated.
        """
        if not requests:
            return []
        exchange = self._exchange(requests, time.monotonic() + self._timeout_s, reply_bytes_max)
        replies = [reply for reply in exchange.replies if reply is not None]
        lost = [call for call in requests[len(replies) : len(exchange.replies)] if not call.repeatable]
        if lost:
            raise OutcomeUnknown(f"outcome unknown: {lost[0].name}: {exchange.problem}")
        return replies or [self.call(requests[0])]

    def _exchange(self, requests: Sequence[Call], deadline_s: float, reply_bytes_max: int | None = None) -> _Exchange:
        """Send ``requests`` and collect their replies; every reply moves the deadline on."""
        connection = self._connection(deadline_s)
        session = self._session
        replies: list[bytes | None] = []
        given = 0
        arrived_bytes = 0
        finished = False
        try:
            while len(replies) < len(requests):
                window_bytes = 0
                while given < len(requests) and session.outstanding < WINDOW_REQUESTS and window_bytes < WINDOW_BYTES:
                    session.request(requests[given])
                    window_bytes += len(requests[given].body)
                    given += 1
                _wait_until(connection, deadline_s)
                connection.sendall(session.data_to_send())
                _wait_until(connection, deadline_s)
                data = connection.recv(_RECEIVE_BYTES)
                if not data:
                    raise ConnectionResetError("closed by the node")
                arrived = session.receive(data)
                if arrived:
                    deadline_s = max(deadline_s, time.monotonic() + self._timeout_s)
                    replies += [reply.body for reply in arrived]
                    arrived_bytes += sum(len(reply.body) for reply in arrived)
                    if reply_bytes_max is not None and arrived_bytes > reply_bytes_max:
                        return _Exchange(replies, f"more than {reply_bytes_max} bytes came from {self.address}")
            finished = True
        except (OSError, ProtocolError) as error:
            timed_out = isinstance(error, TimeoutError)
            if timed_out:
                problem = f"no reply from {self.address} within {self._timeout_s:g} s"
            else:
                problem = f"connection to {self.address} lost: {getattr(error, 'strerror', None) or error}"
            replies += [None] * len(session.connection_lost().unknown)
            return _Exchange(replies, problem, timed_out)
        finally:
            # Also on Ctrl-C, and where enough has come: later replies must not be taken for those of other requests.
            if not finished:
                self._move_on()
        return _Exchange(replies)

    def _connection(self, deadline_s: float) -> socket.socket:
        """The open connection, or a new one to the first address that takes it; NotConnected if none does."""
        if self._socket is not None and _is_idle(self._socket):
            return self._socket
        self.close()
        problems = []
        for left in range(len(self._addresses), 0, -1):
            # A share of the time each, so that one silent address does not use up what the others need.
            share_s = max((deadline_s - time.monotonic()) / left, 0.001)
            try:
                connection = socket.create_connection(self._addresses[self._at], timeout=share_s)
            except (OSError, UnicodeError) as error:  # UnicodeError: a host that no name can be
                problems.append(f"{self.address}: {getattr(error, 'strerror', None) or error}")
                self._move_on()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = connection
            self._session = ClientSession()
            return connection
        raise NotConnected(f"cannot connect to {'; '.join(problems)}")

    def _move_on(self) -> None:
        self.close()
        self._at = (self._at + 1) % len(self._addresses)


def _wait_until(connection: socket.socket, deadline_s: float) -> None:
    """Bound the next operation on ``connection``; TimeoutError if the time is up already."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(left_s)


def _is_idle(connection: socket.socket) -> bool:
    """Whether an open connection has neither been closed by the node nor anything to read, as it should be.

    Asked before each request: a node that restarted since the last one would else make the next PUT unknown.
    """
    connection.settimeout(0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
