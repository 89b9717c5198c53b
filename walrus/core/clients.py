"""The server side of client connections: requests in, replies out in the order of the requests.

Each request gets a :class:`Slot`. The node answers slots whenever it can; a reply leaves once all earlier
ones on its connection have. Everything a stranger can make a node hold is bounded here: requests and bytes
under way (reading pauses, nothing is dropped), an unfinished frame (by size and by time), an HTTP head.
"""

from collections import OrderedDict, deque

from walrus.core.actions import Action, PauseReading, Reply, ResumeReading
from walrus.core.config import NodeConfig
from walrus.core.http_head import HEAD_BYTES_MAX, PREFIXES, HttpHead, parse_head, render_response
from walrus.core.wire import HTTP, INVALID_FRAME_LENGTH, FrameParser, Request, encode_frame, parse_request

_PREFIX_BYTES = max(len(prefix) for prefix in PREFIXES)


class Slot:
    """The place of one request's reply among those of its connection."""

    __slots__ = ("_bytes", "_connection", "_reply", "conn")

    def __init__(self, connection: "_Connection", length_bytes: int) -> None:
        self.conn = connection.conn
        self._connection = connection
        self._bytes = length_bytes  # held in memory for this slot: the request, then also a reply that waits
        self._reply: bytes | None = None  # as it goes onto the wire

    @property
    def alive(self) -> bool:
        """Whether the connection is still there to take the reply."""
        return self._connection.alive


class _Connection:
    __slots__ = (
        "alive",
        "close",
        "conn",
        "deadline_ns",
        "dirty",
        "first",
        "head_only",
        "http",
        "parser",
        "paused",
        "pending_bytes",
        "ready",
        "waiting",
        "was_paused",
    )

    def __init__(self, conn: int, max_frame_bytes: int) -> None:
        self.conn = conn
        self.parser = FrameParser(max_frame_bytes)
        self.alive = True
        self.waiting: deque[Slot] = deque()  # in request order; the first has no reply yet
        self.pending_bytes = 0  # sum of _bytes over waiting
        self.ready: list[bytes] = []  # framed replies that may leave
        self.dirty = False  # in ClientSessions._dirty
        self.close = False  # once ready has left
        self.paused = False
        self.was_paused = False  # at some time since deadline_ns was set
        self.first: bytes | None = b""  # all bytes so far, while this may be HTTP; None: it is frames
        self.http = False
        self.head_only = False  # HTTP HEAD: the answer has no body
        self.deadline_ns = 0  # when the unfinished frame closes the connection; only while in _partial


class ClientSessions:
    """All client connections of one node. Connections are numbers given by the driver, never used twice."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._connections: dict[int, _Connection] = {}
        self._dirty: list[_Connection] = []  # with replies that may leave, in the order they became ready
        self._controls: list[PauseReading | ResumeReading] = []
        # Connections that hold an unfinished frame, soonest deadline first: the timeout is the same for all.
        self._partial: OrderedDict[int, _Connection] = OrderedDict()
        self._stopping = False

    def connected(self, conn: int, now_ns: int) -> None:
        """Connection ``conn`` was opened."""
        connection = self._connections[conn] = _Connection(conn, self._config.max_frame_bytes)
        if self._stopping:
            self._pause(connection)

    def disconnected(self, conn: int) -> None:
        """Connection ``conn`` is gone: its slots are no longer alive, and answers to them are dropped."""
        connection = self._connections.pop(conn, None)
        if connection is not None:
            self._forget(connection)

    def received(self, conn: int, data: bytes, now_ns: int) -> list[tuple[Slot, Request]]:
        """The well-formed requests that ``data`` completes, in order.

        Malformed ones are answered here, in their place. Bytes for a connection that is gone or closing
        are ignored.
        """
        connection = self._connections.get(conn)
        if connection is None or connection.close:
            return []
        if connection.first is not None:
            if not self._is_framed(connection, data):
                return self._http_received(connection, data, now_ns)
            data = connection.first + data
            connection.first = None
        frames = connection.parser.feed(data)
        requests: list[tuple[Slot, Request]] = []
        waiting = connection.waiting
        for frame in frames:
            if frame is None:
                self._refuse(connection, INVALID_FRAME_LENGTH)
                continue
            request = parse_request(frame)
            if isinstance(request, bytes):
                self._refuse(connection, request)
                continue
            length = len(frame)
            slot = Slot(connection, length)
            waiting.append(slot)
            connection.pending_bytes += length
            requests.append((slot, request))
        config = self._config
        if not connection.paused and (
            len(waiting) > config.max_pending_requests or connection.pending_bytes > config.max_pending_bytes
        ):
            self._pause(connection)
        if connection.parser.partial:
            # A frame being skipped costs no memory, so it may take as long as it makes progress.
            if frames or connection.parser.skipping or conn not in self._partial:
                self._expect_rest(connection, now_ns)
        elif self._partial:
            self._partial.pop(conn, None)
        return requests

    def answer(self, slot: Slot, body: bytes) -> None:
        """Reply to ``slot`` with ``body`` (unframed). It leaves at a drain after all earlier replies have."""
        self._settle(slot, encode_frame(body))

    def answer_http(self, slot: Slot, status: int, content_type: str, body: bytes) -> None:
        """Reply to an HTTP request with a whole response, after which the connection closes."""
        connection = slot._connection
        connection.close = True
        self._settle(slot, render_response(status, content_type, body, head_only=connection.head_only))

    def drain(self) -> list[Action]:
        """Pauses and resumptions, then one ``Reply`` per connection that has any; each is told once."""
        actions: list[Action] = []
        if self._controls:
            actions += [action for action in self._controls if action.conn in self._connections]
            self._controls = []
        dirty = self._dirty
        if dirty:
            self._dirty = []
            for connection in dirty:
                connection.dirty = False
                if not connection.alive:
                    continue
                ready = connection.ready
                data = ready[0] if len(ready) == 1 else b"".join(ready)
                connection.ready = []
                if connection.close:
                    self.disconnected(connection.conn)
                actions.append(Reply(connection.conn, data, connection.close))
        return actions

    def deadline_ns(self) -> int | None:
        """When :meth:`tick` is due; None while no frame is unfinished."""
        if not self._partial:
            return None
        return next(iter(self._partial.values())).deadline_ns

    def tick(self, now_ns: int) -> None:
        """Close the connections whose unfinished frame is overdue, after the replies that are ready."""
        while self._partial:
            connection = next(iter(self._partial.values()))
            if connection.deadline_ns > now_ns:
                return
            if connection.was_paused:
                # The client could not send the rest, for it was not being read: begin again.
                self._expect_rest(connection, now_ns)
                continue
            del self._partial[connection.conn]
            connection.close = True
            self._mark_dirty(connection)

    @property
    def open_connections(self) -> int:
        """Connections that are open, HTTP included."""
        return len(self._connections)

    @property
    def pending_requests(self) -> int:
        """Requests whose reply has not become ready to leave. Takes time linear in the connections."""
        return sum(len(connection.waiting) for connection in self._connections.values())

    @property
    def buffered_bytes(self) -> int:
        """Bytes held for requests, unfinished frames and replies out of order. Linear in the connections."""
        return sum(
            connection.pending_bytes + connection.parser.held_bytes + len(connection.first or b"")
            for connection in self._connections.values()
        )

    def stop_reading(self) -> None:
        """Take no more requests: the node shuts down and answers what it has."""
        self._stopping = True
        for connection in self._connections.values():
            if not connection.paused:
                self._pause(connection)

    def _pause(self, connection: _Connection) -> None:
        connection.paused = connection.was_paused = True
        self._controls.append(PauseReading(connection.conn))

    def _settle(self, slot: Slot, reply: bytes) -> None:
        connection = slot._connection
        if not connection.alive:
            return
        assert slot._reply is None, f"request on connection {slot.conn} answered twice"
        slot._reply = reply
        waiting = connection.waiting
        if waiting[0] is not slot:
            slot._bytes += len(reply)
            connection.pending_bytes += len(reply)
            return
        ready = connection.ready
        while waiting and (framed := waiting[0]._reply) is not None:
            connection.pending_bytes -= waiting.popleft()._bytes
            ready.append(framed)
        if not connection.dirty:
            self._mark_dirty(connection)
        if connection.paused and not self._stopping:
            self._resume_if_drained(connection)

    def _resume_if_drained(self, connection: _Connection) -> None:
        config = self._config
        if (
            len(connection.waiting) <= config.max_pending_requests // 2
            and connection.pending_bytes <= config.max_pending_bytes // 2
        ):
            connection.paused = False
            self._controls.append(ResumeReading(connection.conn))

    def _refuse(self, connection: _Connection, body: bytes) -> None:
        slot = Slot(connection, 0)
        connection.waiting.append(slot)
        self._settle(slot, encode_frame(body))

    def _mark_dirty(self, connection: _Connection) -> None:
        if not connection.dirty:
            connection.dirty = True
            self._dirty.append(connection)

    def _expect_rest(self, connection: _Connection, now_ns: int) -> None:
        connection.deadline_ns = now_ns + self._config.frame_timeout_ns
        connection.was_paused = connection.paused
        self._partial[connection.conn] = connection
        self._partial.move_to_end(connection.conn)

    def _forget(self, connection: _Connection) -> None:
        connection.alive = False
        connection.waiting.clear()
        connection.ready = []
        self._partial.pop(connection.conn, None)

    @staticmethod
    def _is_framed(connection: _Connection, data: bytes) -> bool:
        """Whether the connection's first bytes, ``data`` now among them, cannot begin an HTTP request."""
        if connection.http:
            return False
        start = (connection.first or b"") + data[:_PREFIX_BYTES]
        return not any(start.startswith(prefix) or prefix.startswith(start) for prefix in PREFIXES)

    def _http_received(self, connection: _Connection, data: bytes, now_ns: int) -> list[tuple[Slot, Request]]:
        """``data`` for a connection that is HTTP, or that has sent too little to tell."""
        if connection.first is None or connection.waiting:  # one request is all that is answered
            return []
        # Cut before joining: only the head is wanted, and what a stranger sends after it is not kept.
        connection.first += data[: HEAD_BYTES_MAX + 1 - len(connection.first)]
        connection.http = connection.first.startswith(PREFIXES)
        if connection.conn not in self._partial:
            self._expect_rest(connection, now_ns)
        if not connection.http:
            return []
        head = parse_head(connection.first)
        if head is None:
            return []
        self._partial.pop(connection.conn, None)
        connection.first = b""
        slot = Slot(connection, 0)
        connection.waiting.append(slot)
        if isinstance(head, HttpHead):
            connection.head_only = head.head_only
            return [(slot, Request(HTTP, head.path, head.accept))]
        self.answer_http(slot, head, "text/plain; charset=utf-8", b"")
        return []
