"""The client side of the loop: accepting, reading within bounds, and one send per connection and turn.

Facts of the operating system that this relies on:

- Delayed acknowledgement: a client that writes a frame's length and its body separately, with Nagle's
  algorithm on, waits 40 ms for our acknowledgement of the length, unless we ask for it (``TCP_QUICKACK``,
  which the kernel forgets again, so it is asked for after each receipt that was not exactly one frame).
- A closed and a half-closed connection look alike to the reader. Replies still under way go out to both; the
  first one sent to a closed socket is answered with a reset.
- ``close`` with unread input in the kernel resets the connection and may take the last reply with it.
"""

import errno
import selectors
import socket
import struct
from typing import Final

from walrus.core.actions import Reply
from walrus.core.events import ClientConnected, ClientDataReceived, ClientDisconnected, Event
from walrus.io.clock import Clock
from walrus.io.errors import describe
from walrus.io.logs import Logger
from walrus.io.outbuffer import OutBuffer
from walrus.io.source import CLIENTS, READ, WRITE

_RECV_BYTES: Final = 256 * 1024
_TURN_BYTES: Final = 1024 * 1024  # over all connections, so that a turn stays short and heartbeats timely
_ACCEPTS_PER_TURN: Final = 64
_UNSENT_BYTES_MAX: Final = 1024 * 1024  # replies beyond this stop the reading, until half of it is gone
_ACCEPT_PAUSE_NS: Final = 100_000_000
_LAST_REPLY_NS: Final = 250_000_000  # after the end of input: quiet for this long, and all replies have gone out
_DISCARD_NS: Final = 1_000_000_000
_KEEPALIVE_S: Final = 60  # a client whose machine vanished is noticed some minutes later
_LENGTH: Final = struct.Struct("<I")
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Connection:
    """One client. Invariant: ``mask`` is what the selector watches it for (0: not registered)."""

    __slots__ = (
        "answered",
        "blocked",
        "closing",
        "deadline_ns",
        "dirty",
        "discarding",
        "ended",
        "full",
        "mask",
        "number",
        "order",
        "out",
        "paused",
        "server",
        "sock",
    )

    def __init__(self, server: "ClientServer", sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self.order = CLIENTS
        self.out = OutBuffer()
        self.mask = 0
        self.dirty = False  # has replies that this turn has not tried to send
        self.blocked = False  # the socket takes no more for now
        self.full = False  # too many unsent bytes: not read
        self.paused = False  # the node has enough of its requests: not read
        self.ended = False  # it sends no more, but may wait for replies
        self.closing = False  # to be closed once everything is sent
        self.discarding = False  # everything is sent; input is thrown away until it ends
        self.answered = True  # nothing came since the last reply
        self.deadline_ns = 0  # meaningful when ended or discarding

    def on_ready(self, mask: int) -> list[Event]:
        if mask & WRITE and not self.server.write(self):
            return self.server.drop(self)
        return self.server.read(self) if mask & READ else []


class ClientServer:
    """All client connections: Source of its listener, Ticker, and the actions on clients.

    Every connection gives one ``ClientConnected``, then ``ClientDataReceived``, then one
    ``ClientDisconnected``.
    """

    order = CLIENTS

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket,
        clock: Clock,
        log: Logger,
        *,
        connections_max: int,
        reply_timeout_ns: int,
    ) -> None:
        """``reply_timeout_ns``: how long a client that has ended its input may wait for its first reply."""
        self._selector = selector
        self._listener = listener
        self._clock = clock
        self._log = log
        self._connections_max = connections_max
        self._reply_timeout_ns = reply_timeout_ns
        self._connections: dict[int, _Connection] = {}
        self._last_number = 0
        self._scratch = bytearray(_RECV_BYTES)
        self._scratch_view = memoryview(self._scratch)
        self._dirty: list[_Connection] = []
        self._ending: dict[int, _Connection] = {}
        self._turn = 0
        self._turn_bytes = 0
        self._accept_at_ns: int | None = None
        self._refusing = False
        self._late_events: list[Event] = []
        self.deadline_ns: int | None = None
        selector.register(listener, READ, self)

    # --- the node's actions ---

    def reply(self, action: Reply) -> None:
        """Queue reply frames for :meth:`flush`; nothing if the connection is gone."""
        connection = self._connections.get(action.conn)
        if connection is None or connection.closing:
            return
        connection.out.push(action.data)
        connection.answered = True
        connection.closing = action.close
        if connection.ended:
            self._end_at(connection, self._clock.now_ns() + _LAST_REPLY_NS)
        if not connection.dirty:
            connection.dirty = True
            self._dirty.append(connection)

    def pause(self, number: int) -> None:
        self._set_paused(number, True)

    def resume(self, number: int) -> None:
        self._set_paused(number, False)

    def flush(self) -> None:
        """Send every connection's replies of this turn, each in one piece; begin the next turn."""
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.dirty = False
            if not connection.blocked and connection.number in self._connections and not self.write(connection):
                self._late_events += self.drop(connection)
                self.deadline_ns = 0
        self._turn += 1
        self._turn_bytes = 0

    def has_unsent(self) -> bool:
        """Whether some socket has not taken all its replies yet."""
        return any(connection.blocked for connection in self._connections.values())

    def unsent_bytes(self) -> int:
        """Bytes of replies that sockets have not taken. Linear in the connections."""
        return sum(connection.out.size for connection in self._connections.values())

    def close(self) -> None:
        for connection in list(self._connections.values()):
            self.drop(connection)
        if self._accept_at_ns is None:
            self._selector.unregister(self._listener)
        self._listener.close()

    # --- what sockets report ---

    def on_ready(self, mask: int) -> list[Event]:
        """Accept."""
        events: list[Event] = []
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._pause_accepting(error)
                    break
                continue  # that client has gone again
            events += self._welcome(sock)
        return events

    def tick(self, now_ns: int) -> list[Event]:
        events, self._late_events = self._late_events, []
        if self._accept_at_ns is not None and now_ns >= self._accept_at_ns:
            self._accept_at_ns = None
            self._selector.register(self._listener, READ, self)
        for connection in list(self._ending.values()):
            if now_ns >= connection.deadline_ns:
                if connection.blocked and not connection.discarding:
                    connection.deadline_ns = now_ns + _LAST_REPLY_NS
                else:
                    events += self.drop(connection)
        deadlines = [connection.deadline_ns for connection in self._ending.values()]
        if self._accept_at_ns is not None:
            deadlines.append(self._accept_at_ns)
        self.deadline_ns = min(deadlines) if deadlines else None
        return events

    def read(self, connection: _Connection) -> list[Event]:
        """Receive once, unless the turn has had its share of input; polling reports what is left."""
        if self._turn_bytes >= _TURN_BYTES:
            return []
        try:
            count = connection.sock.recv_into(self._scratch)
        except BlockingIOError:
            return []
        except OSError:
            return self.drop(connection)
        self._turn_bytes += count
        connection.order = CLIENTS + self._turn
        if not count:
            return self.drop(connection) if connection.discarding else self._input_ended(connection)
        if connection.closing:
            return []
        data = bytes(self._scratch_view[:count])
        if count < 4 or _LENGTH.unpack_from(data)[0] + 4 != count:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        connection.answered = False
        return [ClientDataReceived(connection.number, data, self._clock.wall_ns())]

    def write(self, connection: _Connection) -> bool:
        """Send what is queued; False if the connection broke."""
        try:
            connection.blocked = not connection.out.send_to(connection.sock)
            if connection.closing and not connection.blocked and not connection.discarding:
                connection.sock.shutdown(socket.SHUT_WR)
                connection.discarding = True
                self._end_at(connection, self._clock.now_ns() + _DISCARD_NS)
        except OSError:
            return False
        limit = _UNSENT_BYTES_MAX // 2 if connection.full else _UNSENT_BYTES_MAX
        connection.full = connection.out.size > limit
        self._watch(connection)
        return True

    def drop(self, connection: _Connection) -> list[Event]:
        """Close a connection; returns its last event."""
        if connection.mask:
            self._selector.unregister(connection.sock)
            connection.mask = 0
        connection.sock.close()
        del self._connections[connection.number]
        self._ending.pop(connection.number, None)
        return [ClientDisconnected(connection.number)]

    # --- inside ---

    def _welcome(self, sock: socket.socket) -> list[Event]:
        if len(self._connections) >= self._connections_max:
            sock.close()
            if not self._refusing:
                self._log.log("warn", f"refusing clients: {self._connections_max} connections are open")
            self._refusing = True
            return []
        self._refusing = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        self._last_number += 1
        connection = self._connections[self._last_number] = _Connection(self, sock, self._last_number)
        self._watch(connection)
        return [ClientConnected(connection.number)]

    def _pause_accepting(self, error: OSError) -> None:
        """Out of descriptors: leave clients in the kernel's queue for a moment."""
        if not self._refusing:
            self._log.log("warn", f"cannot accept clients for now: {describe(error)}")
        self._refusing = True
        self._selector.unregister(self._listener)
        self._accept_at_ns = self._clock.now_ns() + _ACCEPT_PAUSE_NS
        self._set_deadline(self._accept_at_ns)

    def _input_ended(self, connection: _Connection) -> list[Event]:
        connection.ended = True
        wait_ns = _LAST_REPLY_NS if connection.answered else self._reply_timeout_ns
        self._end_at(connection, self._clock.now_ns() + wait_ns)
        self._watch(connection)
        return []

    def _end_at(self, connection: _Connection, deadline_ns: int) -> None:
        connection.deadline_ns = deadline_ns
        self._ending[connection.number] = connection
        self._set_deadline(deadline_ns)

    def _set_deadline(self, deadline_ns: int) -> None:
        if self.deadline_ns is None or deadline_ns < self.deadline_ns:
            self.deadline_ns = deadline_ns

    def _set_paused(self, number: int, paused: bool) -> None:
        connection = self._connections.get(number)
        if connection is not None:
            connection.paused = paused
            self._watch(connection)

    def _watch(self, connection: _Connection) -> None:
        """Tell the selector what this connection waits for."""
        mask = WRITE if connection.blocked else 0
        unread = connection.paused or connection.full or connection.ended or connection.closing
        if connection.discarding or not unread:
            mask |= READ
        if mask == connection.mask:
            return
        if not connection.mask:
            self._selector.register(connection.sock, mask, connection)
        elif not mask:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, mask, connection)
        connection.mask = mask
