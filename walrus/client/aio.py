"""The asyncio client: the methods of :class:`walrus.client.WalrusClient`, to be awaited.

Concurrent requests share one connection and are pipelined on it. The rules for broken connections are those
of the blocking client: only what may be repeated moves on to the next address.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from walrus.client import calls
from walrus.client.address import DEFAULT_ADDRESS, TIMEOUT_MAX_S, parse_address
from walrus.client.calls import Call, Record
from walrus.client.errors import NotConnected, OutcomeUnknown, ProtocolError, TimedOut
from walrus.client.session import ClientSession


class _Lost(Exception):
    """The connection ended before the reply."""


class _Connection(asyncio.Protocol):
    """One connection; ``replies`` are the futures of the requests without a reply, in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = ClientSession()
        self.replies: deque[asyncio.Future[bytes]] = deque()
        self.transport: asyncio.Transport | None = None
        self._problem = "closed by the node"
        self._retired = False  # takes no more requests

    @property
    def open(self) -> bool:
        return self.transport is not None and not self.transport.is_closing() and not self._retired

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            arrived = self.session.receive(data)
        except ProtocolError as error:
            self.drop(str(error))
            return
        for reply in arrived:
            future = self.replies.popleft()
            if not future.done():
                future.set_result(reply.body)
        if self._retired:
            self.retire()

    def connection_lost(self, exc: Exception | None) -> None:
        self.session.connection_lost()
        replies, self.replies = self.replies, deque()
        for future in replies:
            if not future.done():
                future.set_exception(_Lost(f"connection to {self.address} lost: {str(exc) if exc else self._problem}"))

    def send(self, call: Call) -> asyncio.Future[bytes]:
        """Send a request; the future is its reply, or ``_Lost``. Only while :attr:`open`."""
        assert self.transport is not None
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.session.request(call)
        self.replies.append(future)
        self.transport.write(self.session.data_to_send())
        return future

    def retire(self) -> None:
        """Take no more requests, and close once nobody waits for a reply."""
        self._retired = True
        if all(future.done() for future in self.replies):
            self.drop("no longer in use")

    def drop(self, problem: str) -> None:
        """End the connection at once."""
        self._problem = problem
        if self.transport is not None:
            self.transport.abort()


class AsyncWalrusClient:
    """A connection to whichever of ``addresses`` (``host:port``) answers. ``timeout_s`` bounds a request."""

    def __init__(self, addresses: Sequence[str] = (DEFAULT_ADDRESS,), timeout_s: float = 10.0) -> None:
        if not addresses:
            raise ValueError("no address given: expected at least one HOST:PORT")
        if not 0 < timeout_s <= TIMEOUT_MAX_S:
            raise ValueError(f"bad timeout {timeout_s} s: expected more than 0, at most {TIMEOUT_MAX_S}")
        self._addresses = [parse_address(text) for text in addresses]
        self._timeout_s = timeout_s
        self._at = 0
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, if any; requests without a reply fail."""
        if self._connection is not None:
            self._connection.drop("closed by the client")
            self._connection = None

    async def register(self, topic: str) -> None:
        """Create ``topic``; nothing happens if it exists."""
        calls.check_ok(await self.call(calls.register(topic)))

    async def put(self, topic: str, payload: bytes) -> None:
        """Append a record; returns once a quorum of replicas holds it."""
        calls.check_ok(await self.call(calls.put(topic, payload)))

    async def get(self, topic: str) -> bytes | None:
        """Take the next record at the topic's shared cursor; None if there is none."""
        return calls.payload_of(await self.call(calls.get(topic)))

    async def fetch(self, topic: str, segment: int, offset: int) -> Record | None:
        """Read the record at ``offset``, counted from the start of ``segment``; None past the end."""
        return calls.record_of(await self.call(calls.fetch(topic, segment, offset)))

    async def state(self, topic: str) -> dict[str, Any]:
        """The topic's segments, as STATE tells them."""
        state: dict[str, Any] = calls.json_of(await self.call(calls.state(topic)))
        return state

    async def metrics(self) -> dict[str, Any]:
        """The metrics of the node that answers."""
        metrics: dict[str, Any] = calls.json_of(await self.call(calls.METRICS))
        return metrics

    async def create_topic(self, topic: str, **settings: int) -> None:
        """Create a topic with settings (``retention_ms=...``); ServerError if it exists with others."""
        calls.check_ok(await self.call(calls.create_topic(topic, settings)))

    async def set_topic(self, topic: str, **settings: int) -> None:
        """Change settings of a topic; those that are not named stay."""
        calls.check_ok(await self.call(calls.set_topic(topic, settings)))

    async def topic_info(self, topic: str) -> dict[str, Any]:
        """The settings of a topic, and what retention goes by."""
        info: dict[str, Any] = calls.json_of(await self.call(calls.topic_info(topic)))
        return info

    async def delete_topic(self, topic: str) -> None:
        """Delete a topic with all its records."""
        calls.check_ok(await self.call(calls.delete_topic(topic)))

    async def topics(self) -> list[str]:
        """The names of all topics."""
        topics: list[str] = calls.json_of(await self.call(calls.TOPICS))
        return topics

    async def call(self, call: Call) -> bytes:
        """Send one request and return its reply as it came, errors of the node included."""
        problem = ""
        connection: _Connection | None = None  # on which the request may have left
        try:
            async with asyncio.timeout(self._timeout_s):
                for _ in range(len(self._addresses) + 1):
                    connection = await self._connected()
                    try:
                        return await connection.send(call)
                    except _Lost as lost:
                        problem = str(lost)
                    self._move_on(connection)
                    connection = None
                    if not call.repeatable:
                        raise OutcomeUnknown(f"outcome unknown: {call.name}: {problem}")
        except TimeoutError:
            # The node may have hung: none shall queue behind this; those that have may get replies yet.
            problem = f"no reply within {self._timeout_s:g} s"
            if connection is not None:
                self._move_on(connection)
                connection.retire()
            if connection is not None and not call.repeatable:
                raise OutcomeUnknown(f"outcome unknown: {call.name}: {problem}") from None
            raise TimedOut(f"{call.name}: {problem}") from None
        raise NotConnected(f"{call.name}: {problem}")

    async def _connected(self) -> _Connection:
        """The open connection, or a new one to the first address that takes it; NotConnected if none does."""
        async with self._connecting:
            if self._connection is not None and self._connection.open:
                return self._connection
            problems = []
            for _ in self._addresses:
                address = self._addresses[self._at]
                try:
                    async with asyncio.timeout(self._timeout_s / len(self._addresses)):
                        _, connection = await asyncio.get_running_loop().create_connection(
                            partial(_Connection, str(address)), *address
                        )
                except (OSError, UnicodeError) as error:  # TimeoutError included
                    problems.append(f"{address}: {getattr(error, 'strerror', None) or error or 'timed out'}")
                    self._at = (self._at + 1) % len(self._addresses)
                    continue
                self._connection = connection
                return connection
            raise NotConnected(f"cannot connect to {'; '.join(problems)}")

    def _move_on(self, connection: _Connection) -> None:
        """Leave ``connection``, unless another request has already."""
        if self._connection is connection:
            self._connection = None
            self._at = (self._at + 1) % len(self._addresses)
