"""Whatever a stranger sends to either port: the documented error, a node that goes on, memory that stays."""

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Wire, eventually, started

from walrus.client.calls import Call
from walrus.io.peer_frames import NO_NODE, encode_hello

FRAME_BYTES_MAX = 16 * 1024 * 1024
GROWTH_BYTES_MAX = 48 * 1024 * 1024  # far below what the floods here send
HELLO_SENDER = 77  # no member


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory: Path = tmp_path_factory.mktemp("bad-input") / "data"
    with started(directory) as cluster:
        cluster.register("known")
        yield cluster


@pytest.fixture
def wire(cluster: Cluster) -> Iterator[Wire]:
    """A connection to a node that is not the one all topics began on."""
    with Wire(cluster.client_address(2)) as wire:
        yield wire


def frame(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def raft_socket(cluster: Cluster) -> socket.socket:
    return socket.create_connection(("127.0.0.1", cluster.raft_port), timeout=60.0)


def is_healthy(cluster: Cluster) -> bool:
    """All nodes run, agree, and take a record."""
    assert cluster.running() == [1, 2, 3]
    with cluster.client(1) as client:
        client.put("known", b"still there")
    return not cluster.why_not_formed()


LONG_NAME = b"x" * 201

REFUSED = [
    (b"PUT", b"ERR PUT requires a topic"),
    (b"PUT known", b"ERR PUT requires a payload"),
    (b"PUT nowhere x", b"ERR unknown topic nowhere"),
    (b"GET", b"ERR GET requires a topic"),
    (b"GET nowhere", b"ERR unknown topic nowhere"),
    (b"STATE", b"ERR STATE requires a topic"),
    (b"STATE nowhere", b"ERR unknown topic nowhere"),
    (b"REGISTER", b"ERR REGISTER requires a topic"),
    (b"FETCH", b"ERR FETCH requires a topic"),
    (b"FETCH nowhere 1 0", b"ERR unknown topic nowhere"),
    (b"FETCH known", b"ERR FETCH requires a segment and an offset"),
    (b"BOGUS", b"ERR unknown command"),
    (b"put known x", b"ERR unknown command"),
    (b" PUT known x", b"ERR unknown command"),
    (b"\xff\xfe\x00", b"ERR unknown command"),
    (b"TESTCONTROL drop", b"ERR unknown command"),
    *[
        (verb + b" " + name + rest, b"ERR invalid topic name")
        for name in (b".", b"..", b"../etc", b"a/b", b"a:b", b"caf\xc3\xa9", b"\x00", b"", LONG_NAME, b"a\n")
        for verb, rest in ((b"REGISTER", b""), (b"PUT", b" x"), (b"GET", b""), (b"STATE", b""), (b"FETCH", b" 1 0"))
    ],
]


def test_every_malformed_request_gets_the_documented_error_in_its_place(wire: Wire) -> None:
    """All of them in one piece on one connection, which stays usable."""
    assert wire.ask(*(Call(request) for request, _ in REFUSED)) == [reply for _, reply in REFUSED]
    assert wire.ask(Call(b"REGISTER known")) == [b"OK"]


def test_a_frame_of_length_zero_is_refused_and_the_connection_goes_on(wire: Wire) -> None:
    wire.expect(3)
    wire.send_raw(frame(b"") + frame(b"REGISTER known") + frame(b""))
    assert wire.replies(3) == [b"ERR invalid frame length", b"OK", b"ERR invalid frame length"]


def test_overlong_frames_are_skipped_without_being_held(cluster: Cluster, wire: Wire) -> None:
    before = cluster.memory_bytes(2)
    piece = bytes(1 << 20)
    for length in (FRAME_BYTES_MAX + 1, 100 << 20):
        wire.expect(2)
        wire.send_raw(struct.pack("<I", length))
        for _ in range(length >> 20):
            wire.send_raw(piece)
        wire.send_raw(piece[: length & (len(piece) - 1)] + frame(b"REGISTER known"))
        assert wire.replies(2) == [b"ERR invalid frame length", b"OK"]
    assert cluster.memory_bytes(2) - before < GROWTH_BYTES_MAX


def test_payloads_of_any_bytes_come_back_exactly(cluster: Cluster, wire: Wire) -> None:
    payloads = [bytes(range(256)), b"", b" ", b"trailing \t\r\n ", b"\x00", b"a  b   c", bytes(1 << 20), b"\xff" * 7]
    cluster.register("binary")
    assert wire.ask(*(Call(b"PUT binary " + payload) for payload in payloads)) == [b"OK"] * len(payloads)
    for node in (1, 2, 3):
        assert cluster.read_all("binary", node) == payloads
    assert wire.ask(*[Call(b"GET binary")] * (len(payloads) + 1)) == [*(b"OK " + p for p in payloads), b"EMPTY"]


def test_the_largest_frame_is_taken(cluster: Cluster, wire: Wire) -> None:
    head = b"PUT large "
    cluster.register("large")
    payload = random.Random(1).randbytes(FRAME_BYTES_MAX - len(head))
    assert wire.ask(Call(head + payload)) == [b"OK"]
    with cluster.client(3) as client:
        assert client.get("large") == payload


def test_half_a_frame_left_hanging_holds_up_nobody(cluster: Cluster) -> None:
    hanging = []
    for node in (1, 2, 3):
        for data in (b"\x05", struct.pack("<I", 100) + b"PUT known", struct.pack("<I", FRAME_BYTES_MAX), b"GET"):
            hanging.append(Wire(cluster.client_address(node)))
            hanging[-1].send_raw(data)
    assert is_healthy(cluster)
    for wire in hanging:
        wire.__exit__()
    assert is_healthy(cluster)


def test_random_bytes_on_the_client_port_do_no_harm(cluster: Cluster) -> None:
    rng = random.Random(7)
    before = cluster.memory_bytes(2)
    for number in range(200):
        with Wire(cluster.client_address(2)) as wire:
            data = rng.randbytes(rng.randrange(1, 1 << 16))
            wire.send_raw(data if number % 2 else frame(data))
            if not number % 2:
                wire.expect()
                assert wire.replies(1) == [b"ERR unknown command"]
    assert is_healthy(cluster)
    assert cluster.memory_bytes(2) - before < GROWTH_BYTES_MAX


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK"),
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (b"GET / nonsense\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /" + b"x" * 10_000, b"HTTP/1.1 431 Request Header Fields Too Large"),
    ],
    ids=["metrics", "healthz", "head", "not found", "bad", "too long"],
)
def test_http_on_the_client_port_gets_one_answer_and_the_connection_ends(
    wire: Wire, request_head: bytes, status: bytes
) -> None:
    wire.send_raw(request_head)
    assert wire.rest().split(b"\r\n", 1)[0] == status


BAD_PEERS = [
    pytest.param(struct.pack("<I", 0), id="length zero"),
    pytest.param(struct.pack("<I", 0xFFFFFFFF), id="over-long"),
    pytest.param(b"GET /metrics HTTP/1.1\r\n\r\n", id="HTTP"),
    pytest.param(frame(b"METRICS"), id="a client's frame"),
    pytest.param(frame(b"WLRSPEER" + bytes([9]) + bytes(4)), id="a hello of another version"),
    pytest.param(encode_hello(HELLO_SENDER) + struct.pack("<I", 0), id="length zero after a hello"),
    pytest.param(encode_hello(HELLO_SENDER) + struct.pack("<I", 65 << 20), id="over-long after a hello"),
]


@pytest.mark.parametrize("data", BAD_PEERS)
def test_what_is_no_peer_is_disconnected_from_the_raft_port(cluster: Cluster, data: bytes) -> None:
    with raft_socket(cluster) as peer:
        peer.sendall(data)
        ended = [b""]

        def closed() -> bool:
            try:
                return peer.recv(1 << 16) == b""
            except ConnectionResetError:
                return True

        eventually(closed, f"the end of the connection, not {ended}")
    assert is_healthy(cluster)


def test_random_frames_after_a_good_hello_are_dropped(cluster: Cluster) -> None:
    rng = random.Random(11)
    before = cluster.memory_bytes(1)
    for node in (NO_NODE, HELLO_SENDER):
        for _ in range(20):
            with raft_socket(cluster) as peer:
                peer.sendall(encode_hello(node))
                for _ in range(20):
                    peer.sendall(frame(rng.randbytes(rng.randrange(1, 1 << 16))))
    assert is_healthy(cluster)
    assert cluster.memory_bytes(1) - before < GROWTH_BYTES_MAX


def test_connections_left_hanging_on_the_raft_port_keep_no_peer_out(cluster: Cluster) -> None:
    """More strangers than are kept, half frames among them; then a node comes back through the same port."""
    strangers = [raft_socket(cluster) for _ in range(150)]
    for number, stranger in enumerate(strangers):
        stranger.sendall(b"\x0d\x00" if number % 2 else encode_hello(HELLO_SENDER) + struct.pack("<I", 1 << 20))
    cluster.kill(3)
    cluster.start_node(3)
    cluster.until_formed()
    assert is_healthy(cluster)
    for stranger in strangers:
        stranger.close()
