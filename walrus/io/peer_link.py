"""What waits for one destination, and how far the way there is."""

from collections import deque
from typing import Final

from walrus.io.outbuffer import OutBuffer
from walrus.io.peer_connection import PeerConnection
from walrus.io.peer_frames import LENGTH
from walrus.io.resolver import SocketAddress

QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
_URGENT_EXTRA_BYTES: Final = 1024 * 1024
_FILL_BYTES: Final = 256 * 1024
_BACKOFF_NS_MIN: Final = 50_000_000
_BACKOFF_NS_MAX: Final = 1_000_000_000


class Link:
    """One destination: a node, or an address whose node is not known yet.

    Invariants: ``connections`` are those that said hello as this node, oldest first; messages leave on the
    newest, since whoever opened it had a reason to. At most one dial is under way, in one of two stages:
    ``resolving``, or ``attempt`` connecting and greeting. ``queued_bytes`` is the size of what waits.
    """

    def __init__(self, address: str, node: int | None) -> None:
        self.node = node
        self.address = address  # host:port; empty: it can be reached only over a connection that it opens
        self.connections: list[PeerConnection] = []
        self.attempt: PeerConnection | None = None
        self.resolving = False
        self.candidates: list[SocketAddress] = []
        self.dial_number = 0  # an answer of the resolver for an earlier number is void
        self.retry_at_ns = 0
        self.complained = False  # the log has said that it cannot be reached
        self.bereft = False  # the last connection has ended; whether the node is cut off is for the dial to show
        self.queued_bytes = 0
        self._backoff_ns = 0
        self._urgent: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()

    def __str__(self) -> str:
        return f"{self.address}" if self.node is None else f"node {self.node} at {self.address}"

    def push(self, data: bytes, urgent: bool) -> bool:
        """Queue a message; False if the queue is full and it was dropped, as messages may be."""
        limit = QUEUE_BYTES_MAX + _URGENT_EXTRA_BYTES if urgent else QUEUE_BYTES_MAX
        if self.queued_bytes + len(data) > limit:
            return False
        (self._urgent if urgent else self._bulk).append(data)
        self.queued_bytes += len(data)
        return True

    def fill(self, out: OutBuffer) -> None:
        """Move the next frames to ``out``, urgent first, up to a bound that keeps later urgent ones early."""
        while self.queued_bytes and out.size < _FILL_BYTES:
            data = (self._urgent or self._bulk).popleft()
            self.queued_bytes -= len(data)
            out.push(LENGTH.pack(len(data)))
            out.push(data)

    def move_queue_to(self, other: "Link") -> None:
        for urgent, queue in ((True, self._urgent), (False, self._bulk)):
            for data in queue:
                other.push(data, urgent)
        self.drop_queue()

    def drop_queue(self) -> None:
        self._urgent.clear()
        self._bulk.clear()
        self.queued_bytes = 0

    def is_dialling(self) -> bool:
        return self.resolving or self.attempt is not None

    def failed(self, now_ns: int) -> None:
        """A dial came to nothing: drop what waited, stale by now, and wait longer than the last time."""
        self.drop_queue()
        self.abandon_dial()
        self._backoff_ns = min(max(2 * self._backoff_ns, _BACKOFF_NS_MIN), _BACKOFF_NS_MAX)
        self.retry_at_ns = now_ns + self._backoff_ns

    def lost(self, now_ns: int) -> None:
        """The node is cut off: what waited for it is dropped; the first dial comes soon."""
        self.bereft = False
        self.drop_queue()
        self.retry_at_ns = now_ns + _BACKOFF_NS_MIN

    def reached(self, connection: PeerConnection) -> None:
        """``connection`` said hello as this node."""
        self.connections.append(connection)
        self.complained = False
        self.bereft = False
        self.forget_backoff()

    def forget_backoff(self) -> None:
        self._backoff_ns = 0
        self.retry_at_ns = 0

    def abandon_dial(self) -> None:
        """Forget the dial under way; closing its connection is the caller's part."""
        self.dial_number += 1
        self.resolving = False
        self.attempt = None
        self.candidates = []
