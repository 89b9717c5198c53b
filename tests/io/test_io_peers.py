"""The peer transport: two or more of them over loopback, and strangers at the door."""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from io_harness import Loop, ManualClock, MemoryLog, of_type

from walrus.core.events import MessageReceived, PeerDisconnected
from walrus.io.listener import listen
from walrus.io.peer_frames import NO_NODE, encode_hello
from walrus.io.peers import PeerTransport


class Site:
    """One transport with a loop of its own."""

    def __init__(self, node: int, clock: ManualClock, port: int = 0) -> None:
        self.node = node
        self.log = MemoryLog()
        self.loop = Loop(clock)
        listener = listen("127.0.0.1", port, "raft port")
        self.port: int = listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.transport = PeerTransport(node, self.loop.selector, listener, clock, self.log)
        self.loop.tickers.append(self.transport)
        self.loop.flushes.append(self.transport.flush)
        self.closed = False

    def received(self) -> list[bytes]:
        return [event.data for event in self.loop.events if isinstance(event, MessageReceived)]

    def lost(self) -> list[PeerDisconnected]:
        return [event for event in self.loop.events if isinstance(event, PeerDisconnected)]

    def sockets(self) -> int:
        """How many descriptors are watched, listener and resolver aside."""
        return len(self.loop.selector.get_map()) - 2

    def close(self) -> None:
        if not self.closed:
            self.transport.close()
            assert len(self.loop.selector.get_map()) == 0
            self.loop.selector.close()
            self.closed = True


class Net:
    """Sites that share a clock and are served in turn."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.sites: list[Site] = []
        self.strangers: list[socket.socket] = []

    def add(self, node: int, port: int = 0) -> Site:
        self.sites.append(Site(node, self.clock, port))
        return self.sites[-1]

    def until(self, condition: Callable[[], object], what: str = "condition") -> None:
        def check() -> object:
            for site in self.sites[1:]:
                if not site.closed:
                    site.loop.turn()
            return condition()

        self.sites[0].loop.until(check, what)

    def stranger(self, site: Site) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", site.port))
        sock.setblocking(False)
        self.strangers.append(sock)
        return sock

    def until_closed(self, sock: socket.socket) -> None:
        """Serve until the transport has closed its side of ``sock``."""

        def closed() -> bool:
            try:
                return not sock.recv(4096)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True

        self.until(closed, "connection closed")

    def close(self) -> None:
        for sock in self.strangers:
            sock.close()
        for site in self.sites:
            site.close()


@pytest.fixture
def net() -> Iterator[Net]:
    fixture = Net()
    yield fixture
    fixture.close()


def test_one_connection_serves_both_directions(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    one.transport.send(2, b"ping", urgent=False)
    net.until(lambda: two.received() == [b"ping"])
    two.transport.send(1, b"pong", urgent=False)  # node 2 was never told where node 1 is
    net.until(lambda: one.received() == [b"pong"])
    assert one.sockets() == two.sockets() == 1


def test_messages_keep_their_order_and_size(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    messages = [bytes([n % 256]) * (1 + n * n * 10) for n in range(1, 200)]
    for message in messages:
        one.transport.send(2, message, urgent=False)
    net.until(lambda: len(two.received()) == len(messages), "all messages")
    assert two.received() == messages


def test_urgent_messages_overtake_queued_ones_at_a_frame_border(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    one.transport.send(2, b"hello", urgent=False)
    net.until(two.received)
    bulk = [bytes([n]) * (1 << 20) for n in range(32)]
    for message in bulk:
        one.transport.send(2, message, urgent=False)
    one.transport.flush()
    one.transport.send(2, b"heartbeat", urgent=True)
    net.until(lambda: len(two.received()) == 34, "all messages")
    assert two.received().index(b"heartbeat") < 20
    assert [m for m in two.received() if m not in (b"heartbeat", b"hello")] == bulk


def test_both_dialling_at_once_ends_with_one_connection_and_nothing_lost(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    two.transport.set_address(1, one.address)
    for number in range(20):
        one.transport.send(2, b"a%d" % number, urgent=False)
        two.transport.send(1, b"b%d" % number, urgent=False)
        one.loop.turn()
        two.loop.turn()
    net.until(lambda: len(one.received()) == 20 and len(two.received()) == 20, "all messages")
    net.until(lambda: one.sockets() == two.sockets() == 1, "one connection each")
    assert one.lost() == two.lost() == []
    one.transport.send(2, b"still", urgent=False)
    two.transport.send(1, b"there", urgent=False)
    net.until(lambda: one.received()[-1] == b"there" and two.received()[-1] == b"still")


def test_a_restarted_node_is_reached_again(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    one.transport.send(2, b"first", urgent=False)
    net.until(two.received)
    two.close()
    net.until(lambda: one.lost() == [PeerDisconnected(2)])
    again = net.add(2, two.port)

    def knock() -> list[bytes]:
        net.clock.advance_ms(50)
        one.transport.send(2, b"second", urgent=False)
        return again.received()

    net.until(knock, "message after the restart")
    assert set(again.received()) == {b"second"}


def test_while_a_node_is_away_dials_back_off_up_to_a_second_and_one_line_is_logged(net: Net) -> None:
    one = net.add(1)
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    one.transport.set_address(2, f"127.0.0.1:{port}")
    link = one.transport._links[2]
    waits_ms = []
    for _ in range(8):
        failed_before = link.retry_at_ns
        one.transport.send(2, b"x", urgent=False)
        net.until(lambda before=failed_before: link.retry_at_ns != before, "a failed dial")
        waits_ms.append((link.retry_at_ns - net.clock.now_ns()) // 1_000_000)
        net.clock.time_ns = link.retry_at_ns
        assert link.queued_bytes == 0
    assert waits_ms == [50, 100, 200, 400, 800, 1000, 1000, 1000]
    assert len(one.log.lines) == 1
    assert f"cannot reach node 2 at 127.0.0.1:{port}: ECONNREFUSED" in one.log.texts()


def test_a_changed_address_is_dialled_at_once(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    one.transport.set_address(2, f"127.0.0.1:{port}")
    one.transport.send(2, b"lost", urgent=False)
    net.until(lambda: one.log.lines)
    one.transport.set_address(2, two.address)
    one.transport.send(2, b"found", urgent=False)
    net.until(lambda: two.received() == [b"found"])


def test_names_are_resolved_off_the_loop(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, f"localhost:{two.port}")
    one.transport.send(2, b"by name", urgent=False)
    net.until(lambda: two.received() == [b"by name"])


@pytest.mark.parametrize("address", ["no-such-name.invalid:6001", "..:6001", "no port at all"])
def test_an_address_that_leads_nowhere_is_logged_and_tried_again(net: Net, address: str) -> None:
    one = net.add(1)
    one.transport.set_address(2, address)
    one.transport.send(2, b"x", urgent=False)
    net.until(lambda: address in one.log.texts())
    assert one.transport._links[2].retry_at_ns > net.clock.now_ns()


def test_an_address_alone_is_enough_to_reach_a_node_and_be_answered(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    two.transport.send_to_address(one.address, b"join?")
    net.until(lambda: one.received() == [b"join?"])
    one.transport.send(2, b"welcome", urgent=False)
    net.until(lambda: two.received() == [b"welcome"])
    two.transport.send_to_address(one.address, b"thanks")
    net.until(lambda: one.received() == [b"join?", b"thanks"])
    assert one.sockets() == two.sockets() == 1


def test_a_forgotten_node_is_disconnected_and_not_dialled(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    one.transport.send(2, b"x", urgent=False)
    net.until(two.received)
    one.transport.forget(2)
    net.until(lambda: two.lost() == [PeerDisconnected(1)])
    one.transport.send(2, b"y", urgent=False)
    one.loop.turn()
    assert one.sockets() == 0
    assert one.lost() == []


def test_the_queue_of_a_destination_is_bounded(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    one.transport.set_address(2, two.address)
    for _ in range(80):
        one.transport.send(2, bytes(1 << 20), urgent=False)
    one.transport.send(2, b"urgent", urgent=True)
    assert one.transport._links[2].queued_bytes == (64 << 20) + 6
    net.until(lambda: len(two.received()) == 65, "what was queued")


def test_a_silent_stranger_is_let_go_after_five_seconds(net: Net) -> None:
    one = net.add(1)
    sock = net.stranger(one)
    net.until(lambda: one.sockets() == 1)
    net.clock.advance_ms(4_999)
    one.loop.turn()
    assert one.sockets() == 1
    net.clock.advance_ms(1)
    net.until_closed(sock)
    assert one.sockets() == 0


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0",
        b"\xff" * 100,
        encode_hello(9)[:-4] + b"\x09\0\0",
        encode_hello(9) + b"\0\0\0\0",
        encode_hello(9) + b"\xff\xff\xff\xff",
        struct.pack("<I", 13) + b"WLRSPEER\x63\x09\0\0\0",
    ],
)
def test_junk_closes_the_connection_and_is_logged_once_per_remote(net: Net, junk: bytes) -> None:
    one = net.add(1)
    for _ in range(3):
        sock = net.stranger(one)
        sock.send(junk)
        sock.shutdown(socket.SHUT_WR)
        net.until_closed(sock)
    complaints = [text for _, text in one.log.lines if text.startswith("closed the peer connection of 127.0.0.1:")]
    assert len(complaints) <= 1
    net.until(lambda: one.sockets() == 0)
    assert one.received() == []


def test_strangers_are_bounded_and_do_not_lock_nodes_out(net: Net) -> None:
    one, two = net.add(1), net.add(2)
    for _ in range(100):
        net.stranger(one)
    net.until(lambda: one.log.lines)
    two.transport.set_address(1, one.address)
    two.transport.send(1, b"let me in", urgent=False)
    net.until(lambda: one.received() == [b"let me in"])
    assert one.sockets() <= 65


def test_a_connection_without_node_id_may_speak_and_is_greeted(net: Net) -> None:
    one = net.add(1)
    sock = net.stranger(one)
    sock.send(encode_hello(NO_NODE) + struct.pack("<I", 2) + b"hi")
    net.until(lambda: one.received() == [b"hi"])
    net.until(lambda: one.sockets() == 1)
    sock.setblocking(True)
    assert sock.recv(100) == encode_hello(1)


def test_two_nodes_with_one_id_are_told_apart(net: Net) -> None:
    one, other = net.add(1), net.add(1)
    one.transport.set_address(2, other.address)
    one.transport.send(2, b"x", urgent=False)
    net.until(lambda: other.log.lines)
    assert "says that it is this node itself; are two nodes started with one id" in other.log.texts()
    assert other.received() == []


def test_an_address_that_answers_as_another_node_is_not_used(net: Net) -> None:
    one, three = net.add(1), net.add(3)
    one.transport.set_address(2, three.address)
    one.transport.send(2, b"for node 2 only", urgent=False)
    net.until(lambda: one.log.lines)
    assert "says that it is node 3" in one.log.texts()
    assert three.received() == []


def test_a_node_that_accepts_but_never_greets_is_given_up(net: Net) -> None:
    one = net.add(1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        one.transport.set_address(2, f"127.0.0.1:{mute.getsockname()[1]}")
        one.transport.send(2, b"x", urgent=False)
        net.until(lambda: one.sockets() == 1)
        net.clock.advance_ms(2_001)
        net.until(lambda: one.sockets() == 0)
    assert "no answer in time" in one.log.texts()


def test_a_newer_connection_of_a_peer_replaces_a_dead_one(net: Net) -> None:
    one = net.add(1)
    old, new = net.stranger(one), net.stranger(one)
    old.send(encode_hello(5) + struct.pack("<I", 3) + b"old")
    net.until(lambda: one.received() == [b"old"])
    new.send(encode_hello(5))
    greeted = bytearray()

    def has_greeted() -> bool:
        with contextlib.suppress(BlockingIOError):
            greeted.extend(new.recv(100))
        return len(greeted) == 17

    net.until(has_greeted, "hello on the new connection")
    one.transport.send(5, b"new", urgent=False)
    one.transport.flush()
    new.setblocking(True)
    assert new.recv(100) == struct.pack("<I", 3) + b"new"
    net.until_closed(old)
    net.clock.advance_ms(3_001)
    net.until(lambda: one.sockets() == 1, "the dead one cut")
    assert one.lost() == []


def test_a_connection_that_ends_while_another_is_on_its_way_is_no_loss_yet(net: Net) -> None:
    two = net.add(2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        two.transport.set_address(1, f"127.0.0.1:{mute.getsockname()[1]}")
        two.transport.send(1, b"x", urgent=False)
        net.until(lambda: two.sockets() == 1, "dial")
        peer = net.stranger(two)
        peer.send(encode_hello(1) + struct.pack("<I", 1) + b"m")
        peer.shutdown(socket.SHUT_WR)
        net.until_closed(peer)
        assert (two.received(), two.lost()) == ([b"m"], [])
        net.clock.advance_ms(2_001)
        net.until(lambda: two.lost() == [PeerDisconnected(1)])


def test_many_nodes_all_reach_each_other(net: Net) -> None:
    sites = [net.add(node) for node in range(1, 6)]
    for site in sites:
        for other in sites:
            if other is not site:
                site.transport.set_address(other.node, other.address)
                site.transport.send(other.node, b"%d" % site.node, urgent=True)
    net.until(lambda: all(len(of_type(site.loop.events, MessageReceived)) == 4 for site in sites), "20 messages")
    net.until(lambda: all(site.sockets() == 4 for site in sites), "one connection per pair")
    for site, other in pairwise(sites):
        site.transport.send(other.node, b"again", urgent=False)
    net.until(lambda: all(site.received()[-1] == b"again" for site in sites[1:]))
