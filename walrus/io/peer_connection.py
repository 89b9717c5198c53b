"""One TCP connection between two nodes: connecting, hello, frames in, frames out.

Facts of the operating system that this relies on: a machine that vanishes sends nothing, so without
``TCP_USER_TIMEOUT`` the kernel would retransmit for a quarter of an hour; keepalive probes make the same
limit hold for a connection that is silent. ``TCP_NOTSENT_LOWAT`` keeps the kernel's own queue short, so
that an urgent frame overtakes bulk data in ours instead of waiting behind megabytes in the kernel's.
"""

import errno
import os
import selectors
import socket
from typing import Final, Protocol

from walrus.core.events import Event
from walrus.io.addresses import format_address
from walrus.io.errors import describe
from walrus.io.outbuffer import OutBuffer
from walrus.io.peer_frames import BadFrame, FrameReader, decode_hello, encode_hello
from walrus.io.resolver import SocketAddress
from walrus.io.source import PEERS, READ, WRITE

_RECV_BYTES: Final = 256 * 1024
_TURN_BYTES: Final = 4 * 1024 * 1024
_NOTSENT_BYTES: Final = 256 * 1024
_USER_TIMEOUT_MS: Final = 2_000
_KEEPALIVE_S: Final = 1
_KEEPALIVE_PROBES: Final = 2
_NOTHING: Final = memoryview(b"")


class ConnectionOwner(Protocol):
    """The transport, as one connection sees it."""

    node_id: int
    selector: selectors.BaseSelector
    scratch: bytearray

    def on_hello(self, connection: "PeerConnection", node: int) -> list[Event]:
        """The other side has said who it is; may close the connection."""

    def on_frames(self, connection: "PeerConnection", frames: list[bytes]) -> list[Event]:
        """Whole messages came."""

    def on_writable(self, connection: "PeerConnection") -> None:
        """Everything handed to the connection has gone to the kernel; it takes more."""

    def on_bad_frame(self, connection: "PeerConnection", reason: str) -> list[Event]:
        """The connection is closed because what came on it is not this protocol."""

    def on_lost(self, connection: "PeerConnection", reason: str) -> list[Event]:
        """The connection is closed, by the other side or because it broke."""


class PeerConnection:
    """``node`` is None until a good hello came; ``mask`` is what the selector watches for (0: closed)."""

    __slots__ = (
        "_frames",
        "_owner",
        "connecting",
        "deadline_ns",
        "mask",
        "node",
        "order",
        "out",
        "remote",
        "sock",
    )

    def __init__(self, owner: ConnectionOwner, sock: socket.socket, remote: str, connecting: bool) -> None:
        """``remote``: host and port for the log; ``connecting``: the TCP handshake is still under way."""
        _tune(sock)
        self._owner = owner
        self._frames = FrameReader()
        self.sock = sock
        self.remote = remote
        self.connecting = connecting
        self.node: int | None = None
        self.order = PEERS
        self.out = OutBuffer()
        self.deadline_ns: int | None = None  # when the transport loses patience with it
        self.mask = WRITE if connecting else READ
        owner.selector.register(sock, self.mask, self)

    @property
    def host(self) -> str:
        return self.remote.rpartition(":")[0]

    def on_ready(self, mask: int) -> list[Event]:
        events: list[Event] = []
        if mask & WRITE:
            if self.connecting:
                return self._finish_connecting()
            reason = self.send()
            if reason:
                return self._lose(reason)
            if not self.out.size:
                self._owner.on_writable(self)
        if mask & READ and self.mask:
            events += self._receive()
        return events

    def send(self) -> str:
        """Hand the kernel what it takes of ``out``; returns why the connection broke, or nothing.

        The rest goes out by itself as the socket takes more.
        """
        if self.connecting or not self.mask:
            return ""
        try:
            done = self.out.send_to(self.sock)
        except OSError as error:
            return describe(error)
        mask = READ if done else READ | WRITE
        if mask != self.mask:
            self.mask = mask
            self._owner.selector.modify(self.sock, mask, self)
        return ""

    def say_hello(self) -> None:
        self.out.push(encode_hello(self._owner.node_id))

    def end_output(self) -> None:
        """Tell the other side that nothing more will come; what it still sends is read."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise

    def close(self) -> None:
        """Close without telling the owner; closing twice does nothing."""
        if self.mask:
            self._owner.selector.unregister(self.sock)
            self.mask = 0
            self.sock.close()

    def _lose(self, reason: str) -> list[Event]:
        self.close()
        return self._owner.on_lost(self, reason)

    def _finish_connecting(self) -> list[Event]:
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return self._lose(f"{errno.errorcode.get(code, code)}: {os.strerror(code)}")
        self.connecting = False
        self.say_hello()
        reason = self.send()
        return self._lose(reason) if reason else []

    def _receive(self) -> list[Event]:
        """Read until the kernel has no more or the turn's share is used up."""
        events: list[Event] = []
        scratch = self._owner.scratch
        view = memoryview(scratch)
        taken = 0
        while self.mask and taken < _TURN_BYTES:
            try:
                count = self.sock.recv_into(scratch)
            except BlockingIOError:
                break
            except OSError as error:
                return events + self._lose(describe(error))
            if not count:
                return events + self._lose("closed by the other side")
            taken += count
            try:
                events += self._take(self._frames.feed(view[:count]))
            except BadFrame as error:
                self.close()
                return events + self._owner.on_bad_frame(self, str(error))
            if count < _RECV_BYTES:
                break
        return events

    def _take(self, frames: list[bytes]) -> list[Event]:
        if not frames:
            return []
        if self.node is not None:
            return self._owner.on_frames(self, frames)
        node = decode_hello(frames[0])
        self._frames.greeted = True
        events = self._owner.on_hello(self, node)
        return events + self._take(self._frames.feed(_NOTHING)) if self.mask else events


def new_scratch() -> bytearray:
    """Return the receive buffer that all connections of one owner share."""
    return bytearray(_RECV_BYTES)


def dial(owner: ConnectionOwner, address: SocketAddress) -> PeerConnection:
    """Begin to connect; raises OSError where that fails at once."""
    family, (host, port) = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex((host, port))
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, os.strerror(code))
    return PeerConnection(owner, sock, format_address(host, port), connecting=True)


def _tune(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOTSENT_BYTES)
