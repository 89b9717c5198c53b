"""One client connection without its socket: requests queue up, replies are matched to them in order.

The session has no clock, no randomness and no I/O, so the blocking client, the asyncio client and the
simulator all drive this same class.
"""

from collections import deque

import msgspec

from walrus.client.calls import Call
from walrus.client.errors import ProtocolError
from walrus.core.wire import FrameParser, encode_frame

# A reply holds one record or one JSON document. The limit also tells other protocols apart: the first bytes
# of an SSH or HTTP server, read as a length, are far above it.
REPLY_BYTES_MAX = 256 * 1024 * 1024


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A request of a session; ``number`` counts its requests from 0."""

    number: int
    call: Call


class Reply(msgspec.Struct, frozen=True, gc=False):
    """The reply to a request: ``body`` is what the frame held, such as ``OK`` or ``ERR unknown topic t``."""

    sent: Sent
    body: bytes


class Lost(msgspec.Struct, frozen=True, gc=False):
    """What became of the requests without a reply when a connection ended, both in order.

    ``unknown`` may have reached the node and may have been carried out; ``unsent`` certainly have not.
    """

    unknown: list[Sent]
    unsent: list[Sent]


class ClientSession:
    """One connection's requests and replies, from connect to :meth:`connection_lost`."""

    def __init__(self) -> None:
        self._parser = FrameParser(REPLY_BYTES_MAX)
        self._sent: deque[Sent] = deque()  # handed out by data_to_send, without a reply yet
        self._queued: list[Sent] = []  # not handed out yet
        self._next_number = 0

    @property
    def outstanding(self) -> int:
        """Requests without a reply, sent or not."""
        return len(self._sent) + len(self._queued)

    def request(self, call: Call) -> int:
        """Queue a request; return its number, by which its reply or loss is known."""
        number = self._next_number
        self._next_number += 1
        self._queued.append(Sent(number, call))
        return number

    def data_to_send(self) -> bytes:
        """All queued requests as frames, in one piece. From now on they count as perhaps sent."""
        queued = self._queued
        if not queued:
            return b""
        self._queued = []
        self._sent.extend(queued)
        return b"".join([encode_frame(sent.call.body) for sent in queued])

    def receive(self, data: bytes) -> list[Reply]:
        """The replies that ``data``, the next bytes from the node, completes, in order of the requests.

        Raises ProtocolError where this cannot be a Walrus node; the connection is of no use after that.
        """
        replies = []
        for body in self._parser.feed(data):
            if body is None:
                raise ProtocolError("a reply has an impossible length: not a Walrus node")
            if not self._sent:
                raise ProtocolError(f"a reply came without a request: {body[:60]!r}")
            replies.append(Reply(self._sent.popleft(), body))
        return replies

    def connection_lost(self) -> Lost:
        """End the session; what the caller may do with each request that has no reply."""
        lost = Lost(list(self._sent), self._queued)
        self._sent = deque()
        self._queued = []
        return lost
