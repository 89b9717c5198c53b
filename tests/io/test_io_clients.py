"""The client side: what the node is told, and what clients get, over real sockets."""

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Iterator

import pytest
from io_harness import Loop, ManualClock, MemoryLog, of_type

from walrus.core.actions import Reply
from walrus.core.events import ClientConnected, ClientDataReceived, ClientDisconnected
from walrus.io.clients import ClientServer
from walrus.io.listener import listen


class Fixture:
    """A client server on a free port."""

    def __init__(self, connections_max: int = 100) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog()
        self.loop = Loop(self.clock)
        listener = listen("127.0.0.1", 0, "client port")
        self.address = listener.getsockname()
        self.server = ClientServer(
            self.loop.selector,
            listener,
            self.clock,
            self.log,
            connections_max=connections_max,
            reply_timeout_ns=6_000_000_000,
        )
        self.loop.tickers.append(self.server)
        self.loop.flushes.append(self.server.flush)
        self.sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address)
        sock.settimeout(20)
        self.sockets.append(sock)
        return sock

    def data(self, conn: int = 1) -> bytes:
        """Everything received so far on connection ``conn``."""
        return b"".join(
            event.data for event in self.loop.events if isinstance(event, ClientDataReceived) and event.conn == conn
        )

    def disconnected(self) -> list[int]:
        return [event.conn for event in self.loop.events if isinstance(event, ClientDisconnected)]

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.server.close()
        self.loop.selector.close()


@pytest.fixture
def clients() -> Iterator[Fixture]:
    fixture = Fixture()
    yield fixture
    fixture.close()


def receive_exactly(loop: Loop, sock: socket.socket, count: int) -> bytes:
    """Read ``count`` bytes while serving the loop."""
    sock.setblocking(False)
    received = bytearray()

    def more() -> bool:
        with contextlib.suppress(BlockingIOError):
            received.extend(sock.recv(1 << 20))
        return len(received) >= count

    loop.until(more, f"{count} bytes")
    return bytes(received)


def wait_for_end(loop: Loop, sock: socket.socket) -> bytes:
    """Read until the server ends its side."""
    sock.setblocking(False)
    received = bytearray()

    def ended() -> bool:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return False
        received.extend(data)
        return not data

    loop.until(ended, "end of stream")
    return bytes(received)


def test_a_connection_reports_connect_data_and_disconnect_once_each(clients: Fixture) -> None:
    sock = clients.connect()
    sock.sendall(b"hello")
    clients.loop.until(lambda: clients.data() == b"hello")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    clients.loop.until(clients.disconnected)
    assert clients.loop.events == [
        ClientConnected(1),
        ClientDataReceived(1, b"hello", clients.clock.wall_ns()),
        ClientDisconnected(1),
    ]


def test_numbers_of_connections_are_never_reused(clients: Fixture) -> None:
    clients.connect().close()
    clients.loop.until(lambda: len(clients.loop.events) >= 1)
    clients.connect()
    clients.loop.until(lambda: len(of_type(clients.loop.events, ClientConnected)) == 2)
    assert of_type(clients.loop.events, ClientConnected) == [ClientConnected(1), ClientConnected(2)]


def test_length_and_body_written_apart_arrive_without_a_delayed_acknowledgement(clients: Fixture) -> None:
    sock = clients.connect()
    frame = struct.pack("<I", 3) + b"GET"
    for count in range(1, 4):
        sock.send(frame[:4])
        clients.loop.until(lambda count=count: len(clients.data()) == 7 * count - 3)
        sock.send(frame[4:])
        clients.loop.until(lambda count=count: len(clients.data()) == 7 * count)


def test_replies_of_one_turn_leave_in_one_piece_and_in_order(clients: Fixture) -> None:
    sock = clients.connect()
    clients.loop.until(lambda: clients.loop.events)
    for number in range(5):
        clients.server.reply(Reply(1, b"r%d " % number))
    clients.server.flush()
    assert sock.recv(100) == b"r0 r1 r2 r3 r4 "


def test_a_slow_reader_loses_nothing_and_is_not_read_meanwhile(clients: Fixture) -> None:
    sock = clients.connect()
    clients.loop.until(lambda: clients.loop.events)
    body = os.urandom(1 << 20)
    for _ in range(16):
        clients.server.reply(Reply(1, body))
    clients.loop.turn()
    assert clients.server.has_unsent()
    sock.sendall(b"more")
    clients.loop.turn(0.05)
    assert clients.data() == b""
    assert receive_exactly(clients.loop, sock, 16 << 20) == body * 16
    clients.loop.until(lambda: clients.data() == b"more")
    assert not clients.server.has_unsent()


def test_a_paused_connection_is_read_again_when_resumed(clients: Fixture) -> None:
    sock = clients.connect()
    clients.loop.until(lambda: clients.loop.events)
    clients.server.pause(1)
    sock.sendall(b"waits")
    clients.loop.turn(0.05)
    assert clients.data() == b""
    clients.server.resume(1)
    clients.loop.until(lambda: clients.data() == b"waits")


def test_a_client_that_has_ended_its_input_still_gets_its_reply(clients: Fixture) -> None:
    sock = clients.connect()
    sock.sendall(b"last request")
    sock.shutdown(socket.SHUT_WR)
    clients.loop.until(lambda: clients.data() == b"last request")
    clients.loop.turn(0.02)
    clients.clock.advance_ms(5_900)
    clients.loop.turn()
    assert clients.disconnected() == []
    clients.server.reply(Reply(1, b"answer"))
    clients.loop.turn()
    clients.clock.advance_ms(251)
    assert wait_for_end(clients.loop, sock) == b"answer"
    assert clients.disconnected() == [1]


def test_a_client_that_has_ended_its_input_is_let_go_if_no_reply_comes(clients: Fixture) -> None:
    sock = clients.connect()
    sock.sendall(b"request")
    sock.close()
    clients.loop.until(lambda: clients.data() == b"request")
    clients.loop.until(lambda: clients.server.deadline_ns, "end of input seen")
    clients.clock.advance_ms(6_001)
    clients.loop.until(clients.disconnected)


def test_closing_by_reply_sends_everything_first_and_ignores_later_input(clients: Fixture) -> None:
    sock = clients.connect()
    clients.loop.until(lambda: clients.loop.events)
    body = os.urandom(8 << 20)
    clients.server.reply(Reply(1, body, close=True))
    clients.server.reply(Reply(1, b"never sent"))
    sock.setblocking(False)
    sock.send(b"never heard")
    assert wait_for_end(clients.loop, sock) == body
    sock.close()
    clients.loop.until(clients.disconnected)
    assert clients.data() == b""


def test_a_closed_connection_that_lingers_is_cut_after_a_second(clients: Fixture) -> None:
    sock = clients.connect()
    clients.loop.until(lambda: clients.loop.events)
    clients.server.reply(Reply(1, b"bye", close=True))
    assert wait_for_end(clients.loop, sock) == b"bye"
    clients.clock.advance_ms(1_001)
    clients.loop.until(clients.disconnected)


def test_replies_to_a_connection_that_is_gone_are_dropped(clients: Fixture) -> None:
    clients.server.reply(Reply(99, b"nobody"))
    clients.server.pause(99)
    clients.server.flush()


def test_connections_beyond_the_limit_are_closed_and_logged_once() -> None:
    clients = Fixture(connections_max=2)
    first = clients.connect()
    clients.connect()
    clients.loop.until(lambda: len(clients.loop.events) == 2)
    for _ in range(3):
        assert wait_for_end(clients.loop, clients.connect()) == b""
    assert clients.log.lines == [("warn", "refusing clients: 2 connections are open")]
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    first.close()
    clients.loop.until(clients.disconnected)
    clients.connect()
    clients.loop.until(lambda: ClientConnected(3) in clients.loop.events)
    clients.close()


def test_running_out_of_descriptors_delays_clients_instead_of_spinning(clients: Fixture) -> None:
    first = clients.connect()
    clients.loop.until(lambda: clients.loop.events)
    waiting = clients.connect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
    try:
        while True:
            try:
                held.append(os.dup(first.fileno()))
            except OSError:
                break
        clients.loop.turn(0.05)
        assert "cannot accept clients for now: EMFILE" in clients.log.texts()
        assert clients.loop.turn() == []
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    clients.clock.advance_ms(101)
    clients.loop.until(lambda: ClientConnected(2) in clients.loop.events)
    waiting.sendall(b"served")
    clients.loop.until(lambda: clients.data(2) == b"served")


def test_one_turn_reads_a_bounded_share_and_starves_nobody(clients: Fixture) -> None:
    socks = [clients.connect() for _ in range(8)]
    clients.loop.until(lambda: len(clients.loop.events) == 8)
    chunk = bytes(1 << 20)
    for sock in socks:
        sock.setblocking(False)
    heard: set[int] = set()

    def everybody_was_heard() -> bool:
        for sock in socks:
            with contextlib.suppress(BlockingIOError):
                sock.send(chunk)
        events = [event for event in clients.loop.turn() if isinstance(event, ClientDataReceived)]
        assert sum(len(event.data) for event in events) <= (1 << 20) + (256 << 10)
        heard.update(event.conn for event in events)
        return len(heard) == 8

    clients.loop.until(everybody_was_heard)
