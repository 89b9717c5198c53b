"""The transport between nodes: which connection leads to which node, and when to dial.

Rules:

- A connection, whoever opened it, serves both directions; a node behind a changed address or an
  unresolvable name is reached again as soon as it dials.
- Where two nodes have several connections, each sends on the newest. The node with the lower id, and only
  it, ends its side of the older ones and reads them to their end, so the two never end each other's.
- Messages may be lost: what waits for a dial that fails, or for a connection that breaks, is dropped.
"""

import functools
import selectors
import socket
from typing import Final

from walrus.core.events import Event, MessageReceived, PeerDisconnected
from walrus.io.addresses import format_address, parse_address
from walrus.io.clock import SECOND_NS, Clock
from walrus.io.errors import describe
from walrus.io.logs import Logger
from walrus.io.peer_connection import PeerConnection, dial, new_scratch
from walrus.io.peer_frames import NO_NODE
from walrus.io.peer_link import Link
from walrus.io.resolver import Resolver, SocketAddress
from walrus.io.source import PEERS, READ

_ACCEPTS_PER_TURN: Final = 16
_CONNECTIONS_MAX: Final = 1024
_STRANGERS_MAX: Final = 64
_HELLO_TIMEOUT_NS: Final = 5 * SECOND_NS
_CONNECT_TIMEOUT_NS: Final = 2 * SECOND_NS  # TCP handshake and hello, per address tried
_RETIRE_TIMEOUT_NS: Final = 3 * SECOND_NS
_COMPLAINTS_MAX: Final = 256


class PeerTransport:
    """All connections to other nodes: a Source for the listener, a Ticker, and the actions on peers."""

    order = PEERS

    def __init__(
        self,
        node_id: int,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        clock: Clock,
        log: Logger,
    ) -> None:
        self.node_id = node_id
        self.selector = selector
        self.scratch = new_scratch()
        self._listener = listener
        self._clock = clock
        self._log = log
        self._links: dict[int, Link] = {}
        self._joins: dict[str, Link] = {}  # by address, until the node there has said who it is
        self._joined: dict[str, int] = {}  # and then its id
        self._attempts: dict[PeerConnection, Link] = {}
        self._strangers: dict[PeerConnection, None] = {}  # accepted, no node id yet or none at all; oldest first
        self._retired: dict[PeerConnection, None] = {}  # we have ended our side
        self._dirty: dict[Link, None] = {}
        self._late_events: list[Event] = []
        self._complaints: set[str] = set()
        self._resolver = Resolver()
        self.deadline_ns: int | None = None
        selector.register(listener, READ, self)
        selector.register(self._resolver.fileno(), READ, self._resolver)

    # --- the node's actions ---

    def send(self, to: int, data: bytes, urgent: bool) -> None:
        """Queue a message for node ``to``; :meth:`flush` sends it."""
        link = self._link(to)
        if link.push(data, urgent):
            self._dirty[link] = None

    def send_to_address(self, address: str, data: bytes) -> None:
        """Queue a message for whoever listens at ``address``."""
        node = self._joined.get(address)
        if node is not None and node in self._links and self._links[node].connections:
            self.send(node, data, urgent=False)
            return
        link = self._joins.get(address)
        if link is None:
            link = self._joins[address] = Link(address, None)
        if link.push(data, urgent=False):
            self._dirty[link] = None

    def set_address(self, node: int, address: str) -> None:
        """Dial ``node`` at ``address`` from now on; an open connection to it stays in use."""
        link = self._link(node)
        if link.address == address or node == self.node_id:
            return
        link.address = address
        self._stop_dialling(link)
        if link.bereft:
            self._cut_off(link, "its address has changed")
        link.forget_backoff()
        self._dirty[link] = None

    def forget(self, node: int) -> None:
        """Close the connections of ``node`` and dial it no more."""
        link = self._links.pop(node, None)
        if link is None:
            return
        self._stop_dialling(link)
        for connection in [*link.connections, *(c for c in self._retired if c.node == node)]:
            self._retired.pop(connection, None)
            connection.close()
        self._dirty.pop(link, None)

    def flush(self) -> None:
        """Send what was queued, as far as connections take it; dial where there is none."""
        dirty, self._dirty = self._dirty, {}
        for link in dirty:
            self._pump(link)

    def has_unsent(self) -> bool:
        """Whether something waits for a connection that is open."""
        return any(
            link.connections and (link.queued_bytes or link.connections[-1].out.size) for link in self._links.values()
        )

    def unsent_bytes(self) -> int:
        """Bytes of messages that wait for a connection, or that sockets have not taken."""
        return sum(
            link.queued_bytes + sum(connection.out.size for connection in link.connections)
            for link in self._links.values()
        )

    def open_connections(self) -> int:
        """Connections with nodes that have said who they are."""
        return sum(len(link.connections) for link in self._links.values())

    def close(self) -> None:
        for node in list(self._links):
            self.forget(node)
        for link in self._joins.values():
            self._stop_dialling(link)
        for connection in [*self._strangers, *self._retired]:
            connection.close()
        self.selector.unregister(self._listener)
        self._listener.close()
        self.selector.unregister(self._resolver.fileno())
        self._resolver.close()

    # --- what sockets and time report ---

    def on_ready(self, mask: int) -> list[Event]:
        """Accept."""
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                self._complain("accept", f"cannot accept a peer connection: {describe(error)}")
                break
            self._welcome(sock, format_address(address[0], address[1]))
        return []

    def tick(self, now_ns: int) -> list[Event]:
        """Give up on what took too long, and dial where a back-off has passed."""
        events: list[Event] = []
        for connection in [*self._strangers, *self._attempts, *self._retired]:
            if connection.deadline_ns is not None and now_ns >= connection.deadline_ns:
                connection.close()
                events += self.on_lost(connection, "no answer in time")
        for link in [*self._links.values(), *self._joins.values()]:
            if link.queued_bytes and not link.connections:
                self._dial_when_due(link)
        events += self._late_events
        self._late_events = []
        self._set_deadlines()
        return events

    def on_hello(self, connection: PeerConnection, node: int) -> list[Event]:
        dialled = self._attempts.get(connection)
        if node == self.node_id or (dialled is not None and dialled.node not in (None, node)):
            whom = "this node itself" if node == self.node_id else f"node {node}"
            connection.close()
            text = f"{connection.remote} says that it is {whom}; are two nodes started with one id or address?"
            self._complain(connection.host, text)
            return self.on_lost(connection, f"answered as {whom}")
        connection.node = node
        connection.deadline_ns = None
        if dialled is None:
            connection.say_hello()
        if node == NO_NODE:
            return self._send_on(connection)
        del (self._strangers if dialled is None else self._attempts)[connection]
        link = self._link(node)
        if dialled is not None:
            dialled.abandon_dial()
            if dialled.node is None:
                del self._joins[dialled.address]
                self._joined[dialled.address] = node
                dialled.move_queue_to(link)
        link.reached(connection)
        if self.node_id < node:
            for older in link.connections[:-1]:
                self._retire(link, older)
        self._dirty[link] = None
        return self._send_on(connection)

    def on_frames(self, connection: PeerConnection, frames: list[bytes]) -> list[Event]:
        return [MessageReceived(frame) for frame in frames]

    def on_writable(self, connection: PeerConnection) -> None:
        if connection in self._retired:
            connection.end_output()
        elif connection.node is not None and connection.node in self._links:
            self._dirty[self._links[connection.node]] = None

    def on_bad_frame(self, connection: PeerConnection, reason: str) -> list[Event]:
        self._complain(connection.host, f"closed the peer connection of {connection.remote}: it sent {reason}")
        return self.on_lost(connection, f"sent {reason}")

    def on_lost(self, connection: PeerConnection, reason: str) -> list[Event]:
        if connection in self._strangers:
            del self._strangers[connection]
            return []
        if connection in self._retired:
            del self._retired[connection]
            return []
        dialled = self._attempts.pop(connection, None)
        if dialled is not None:
            dialled.attempt = None
            self._try_next(dialled, reason)
            return []
        link = self._links.get(connection.node) if connection.node is not None else None
        if link is None or connection not in link.connections:
            return []
        link.connections.remove(connection)
        if link.connections:
            self._dirty[link] = None
            return []
        if link.is_dialling():
            # Often the other side has ended this connection because ours, on its way, is newer.
            link.bereft = True
            return []
        self._cut_off(link, reason)
        return []

    # --- connections ---

    def _cut_off(self, link: Link, reason: str) -> None:
        """The last connection to a node is gone and no dial is under way; the node hears of it this turn."""
        assert link.node is not None, "only a link to a node has connections"
        link.lost(self._clock.now_ns())
        if not link.address:
            del self._links[link.node]
        self._log.log("info", f"lost the connection to node {link.node}: {reason}")
        self._late_events.append(PeerDisconnected(link.node))
        self._set_deadline(0)

    def _link(self, node: int) -> Link:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = Link("", node)
        return link

    def _pump(self, link: Link) -> None:
        """Send what waits on the newest connection, until it is full; without a connection, dial."""
        if not link.connections:
            self._dial_when_due(link)
            return
        connection = link.connections[-1]
        while link.queued_bytes and not connection.out.size:
            link.fill(connection.out)
            self._late_events += self._send_on(connection)
            if not connection.mask:
                self._set_deadline(0)
                return

    def _send_on(self, connection: PeerConnection) -> list[Event]:
        """Send what the connection holds; if that shows it broken, what follows from that."""
        reason = connection.send()
        if not reason:
            return []
        connection.close()
        return self.on_lost(connection, reason)

    def _welcome(self, sock: socket.socket, remote: str) -> None:
        known = sum(len(link.connections) for link in self._links.values())
        if known + len(self._attempts) + len(self._retired) >= _CONNECTIONS_MAX:
            sock.close()
            self._complain("full", f"refused the peer connection of {remote}: {_CONNECTIONS_MAX} are open")
            return
        if len(self._strangers) >= _STRANGERS_MAX:
            oldest = next(iter(self._strangers))
            oldest.close()
            del self._strangers[oldest]
            self._complain("strangers", f"more than {_STRANGERS_MAX} peer connections without a hello; closing some")
        connection = PeerConnection(self, sock, remote, connecting=False)
        connection.deadline_ns = self._clock.now_ns() + _HELLO_TIMEOUT_NS
        self._strangers[connection] = None
        self._set_deadline(connection.deadline_ns)

    def _retire(self, link: Link, connection: PeerConnection) -> None:
        link.connections.remove(connection)
        self._retired[connection] = None
        connection.deadline_ns = self._clock.now_ns() + _RETIRE_TIMEOUT_NS
        self._set_deadline(connection.deadline_ns)
        if not connection.out.size:
            connection.end_output()

    # --- dialling ---

    def _dial_when_due(self, link: Link) -> None:
        if link.is_dialling():
            return
        if not link.address:
            link.drop_queue()
            return
        if self._clock.now_ns() < link.retry_at_ns:
            self._set_deadline(link.retry_at_ns)
            return
        try:
            host, port = parse_address(link.address)
        except ValueError as error:  # another node told us this address
            self._try_next(link, str(error))
            return
        link.resolving = True
        self._resolver.look_up(host, port, functools.partial(self._found, link, link.dial_number))

    def _found(self, link: Link, dial_number: int, addresses: list[SocketAddress]) -> None:
        if link.dial_number != dial_number:
            return
        link.resolving = False
        link.candidates = addresses
        self._try_next(link, "the name does not resolve")

    def _try_next(self, link: Link, reason: str) -> None:
        """Dial the next address that the name resolved to; ``reason``: why the one before was no good."""
        while link.candidates:
            try:
                connection = dial(self, link.candidates.pop(0))
            except OSError as error:
                reason = describe(error)
                continue
            link.attempt = connection
            self._attempts[connection] = link
            connection.deadline_ns = self._clock.now_ns() + _CONNECT_TIMEOUT_NS
            self._set_deadline(connection.deadline_ns)
            return
        if not link.complained:
            self._log.log("warn", f"cannot reach {link}: {reason}; trying again")
            link.complained = True
        if link.bereft:
            self._cut_off(link, reason)
        link.failed(self._clock.now_ns())

    def _stop_dialling(self, link: Link) -> None:
        if link.attempt is not None:
            self._attempts.pop(link.attempt, None)
            link.attempt.close()
        link.abandon_dial()

    # --- deadlines and complaints ---

    def _set_deadline(self, at_ns: int) -> None:
        if self.deadline_ns is None or at_ns < self.deadline_ns:
            self.deadline_ns = at_ns

    def _set_deadlines(self) -> None:
        waiting = [*self._strangers, *self._attempts, *self._retired]
        deadlines = [c.deadline_ns for c in waiting if c.deadline_ns is not None]
        for link in [*self._links.values(), *self._joins.values()]:
            if link.queued_bytes and not link.connections and link.address and not link.is_dialling():
                deadlines.append(link.retry_at_ns)
        self.deadline_ns = min(deadlines) if deadlines else None

    def _complain(self, key: str, text: str) -> None:
        """Log once per ``key``, for a bounded number of keys."""
        if key not in self._complaints and len(self._complaints) < _COMPLAINTS_MAX:
            self._complaints.add(key)
            self._log.log("warn", text)
