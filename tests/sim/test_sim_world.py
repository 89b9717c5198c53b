"""Simulated time, disk, network, client streams and the driver, with nodes that only echo."""

from collections.abc import Callable
from itertools import count

import pytest
from fake_nodes import PATH, EchoNode
from small_clusters import small_cluster

from walrus.core.actions import Delete, PauseReading, Read, Reply, ResumeReading, Send, SetPeerAddress, Truncate, Write
from walrus.core.codec import encode_message
from walrus.core.config import Deadline
from walrus.core.events import (
    ClientConnected,
    ClientDataReceived,
    ClientDisconnected,
    MessageReceived,
    PeerDisconnected,
    PollFinished,
    ReadCompleted,
    ReadFailed,
    Started,
    TimerFired,
    WriteCompleted,
    WriteFailed,
)
from walrus.core.peer import Envelope, Ping, VoteReply
from walrus.sim.cluster import Cluster
from walrus.sim.streams import Connection
from walrus.sim.trace import Trace
from walrus.sim.world import MS, SECOND, US, Violation, World

NUMBERS = count()


def make_cluster() -> Cluster:
    return small_cluster(nodes=2)


def do(cluster: Cluster, node: int, *actions: object) -> EchoNode:
    """Let a node answer its next event with these actions."""
    host = cluster.host(node)
    echo = host.node
    assert isinstance(echo, EchoNode)
    echo.actions = list(actions)  # type: ignore[arg-type]
    host.deliver(PeerDisconnected(99))
    cluster.world.run_until(cluster.world.now_ns + 50 * MS)
    return echo


def test_things_due_at_one_instant_happen_in_the_order_they_were_scheduled() -> None:
    world, order = World(1, Trace(), 100), []
    for n in (3, 1, 2):
        world.at(5, order.append, n)
    world.at(4, order.append, 0)
    world.run_until(10)
    assert order == [0, 3, 1, 2]
    assert world.now_ns == 10


def test_a_run_that_spins_is_a_violation() -> None:
    world = World(1, Trace(), 50)

    def again(_: object) -> None:
        world.after(0, again)

    again(None)
    with pytest.raises(Violation, match="something spins"):
        world.run_until(1)


def test_a_node_starts_with_its_files_and_every_turn_ends_with_poll_finished() -> None:
    echo = make_cluster().host(1).node
    assert isinstance(echo, EchoNode)
    (now, first), (_, second) = echo.events[:2]
    assert first == Started({}, first.wall_ns, "boot 1")
    assert second == PollFinished()
    assert now >= SECOND, "a node's monotonic clock has a zero of its own"


def test_the_timer_fires_at_the_deadline_and_not_before() -> None:
    cluster = make_cluster()
    echo = do(cluster, 1)
    now = echo.events[-1][0]
    echo.deadline = Deadline(now + 300 * MS, "test")
    do(cluster, 1)
    cluster.world.run_until(cluster.world.now_ns + SECOND)
    fired = [at for at, event in echo.events if isinstance(event, TimerFired)]
    assert len(fired) == 1
    assert now + 300 * MS <= fired[0] < now + 301 * MS


def test_a_deadline_that_moves_forward_wakes_the_node_earlier() -> None:
    cluster = make_cluster()
    echo = do(cluster, 1)
    now = echo.events[-1][0]
    echo.deadline = Deadline(now + 900 * MS, "late")
    do(cluster, 1)
    echo.deadline = Deadline(now + 200 * MS, "early")
    do(cluster, 1)
    cluster.world.run_until(cluster.world.now_ns + SECOND)
    fired = [at for at, event in echo.events if isinstance(event, TimerFired)]
    assert [at - now < 201 * MS for at in fired] == [True]


def test_a_write_is_there_once_it_completes_and_can_be_read() -> None:
    cluster = make_cluster()
    echo = do(cluster, 1, Write(PATH, 2, b"abc", 5))
    assert echo.seen(WriteCompleted) == [WriteCompleted(5)]
    do(cluster, 1, Read(PATH, 1, 100, 6))
    assert echo.seen(ReadCompleted) == [ReadCompleted(6, b"\0abc")]
    do(cluster, 1, Truncate(PATH, 3, 7))
    assert cluster.host(1).disk.sizes() == {PATH: 3}
    do(cluster, 1, Delete(PATH, 8), Delete("other", 9))
    assert cluster.host(1).disk.sizes() == {}
    assert {event.token for event in echo.seen(WriteCompleted)} == {5, 7, 8, 9}


def test_missing_files_fail_as_they_do_on_a_real_disk() -> None:
    cluster = make_cluster()
    echo = do(cluster, 1, Read("x", 0, 1, 1), Truncate("y", 0, 2))
    assert echo.seen(ReadFailed)[0].error.startswith("ENOENT")
    assert echo.seen(WriteFailed)[0].token == 2


def test_two_changes_in_flight_on_one_path_are_a_violation() -> None:
    cluster = make_cluster()
    with pytest.raises(Violation, match="driver contract: Write of user_data/log"):
        do(cluster, 1, Write(PATH, 0, b"a", 1), Write(PATH, 1, b"b", 2))


def test_a_crash_keeps_durable_writes_and_loses_some_of_those_in_flight() -> None:
    cluster = make_cluster()
    host = cluster.host(1)
    kept = []
    for token in range(1, 41):
        do(cluster, 1, Write("durable", token, b"d", 1000 + token))
        echo = host.node
        assert isinstance(echo, EchoNode)
        echo.actions = [Write(f"f{token}", 0, b"x", token)]
        host.deliver(PeerDisconnected(99))
        while not host.disk.busy:
            cluster.world.run_until(cluster.world.now_ns + 1 * US)
        cluster.crash(host, "test")
        cluster.restart(host)
        cluster.world.run_until(cluster.world.now_ns + 10 * MS)
        kept.append(f"f{token}" in host.disk.files)
        assert len(host.disk.files["durable"]) == token + 1
    assert 8 < sum(kept) < 32
    echo = host.node
    assert isinstance(echo, EchoNode)
    assert echo.seen(WriteCompleted) == [], "a restarted process hears nothing of its predecessor's writes"


def test_a_message_held_back_leaves_when_its_write_is_durable() -> None:
    cluster = make_cluster()
    cluster.network.delay_ns = (0, 1)
    cluster.host(1).disk.latency_ns = (20 * MS, 20 * MS)
    sender, other = cluster.host(1), cluster.host(2)
    sender._peers[2] = "node2:6001"
    do(cluster, 1, Send(2, b"after", after=9), Write(PATH, 0, b"x", 9), Send(2, b"at once"))
    echo = other.node
    assert isinstance(echo, EchoNode)
    times = {event.data: at for at, event in echo.events if isinstance(event, MessageReceived)}
    assert times[b"after"] - times[b"at once"] >= 19 * MS
    do(cluster, 1, Send(2, b"later", after=9))
    assert echo.seen(MessageReceived)[-1].data == b"later"


def test_a_message_may_wait_for_a_write_that_is_asked_for_after_it_in_the_same_step() -> None:
    cluster = make_cluster()
    cluster.host(1)._peers[2] = "node2:6001"
    do(cluster, 1, Send(2, b"early", after=77), Write(PATH, 0, b"x", 77))
    assert received(cluster, 2) == [b"early"]


def test_a_message_that_waits_for_a_write_never_asked_for_is_a_violation() -> None:
    cluster = make_cluster()
    with pytest.raises(Violation, match="a message wait for write 77, never asked for"):
        do(cluster, 1, Send(2, b"early", after=77))


def test_a_message_held_back_dies_with_its_process() -> None:
    cluster = make_cluster()
    host = cluster.host(1)
    host._peers[2] = "node2:6001"
    host.disk.latency_ns = (200 * MS, 200 * MS)
    do(cluster, 1, Write(PATH, 0, b"x", 9), Send(2, b"held", after=9))
    cluster.crash(host, "test")
    cluster.restart(host)
    cluster.world.run_until(cluster.world.now_ns + SECOND)
    echo = cluster.host(2).node
    assert isinstance(echo, EchoNode)
    assert echo.seen(MessageReceived) == []
    assert PeerDisconnected(1) in echo.seen(PeerDisconnected)


def received(cluster: Cluster, node: int) -> list[bytes]:
    echo = cluster.host(node).node
    assert isinstance(echo, EchoNode)
    return [event.data for event in echo.seen(MessageReceived)]


def send_many(cluster: Cluster, count: int = 50) -> list[bytes]:
    cluster.host(1)._peers[2] = "node2:6001"
    messages = [b"%d" % n for n in range(count)]
    do(cluster, 1, *(Send(2, message) for message in messages))
    cluster.world.run_until(cluster.world.now_ns + 2 * SECOND)
    return messages


def test_a_link_without_faults_keeps_the_order_of_its_messages() -> None:
    cluster = make_cluster()
    assert send_many(cluster) == received(cluster, 2)


def test_a_cut_link_carries_nothing_in_its_direction_only() -> None:
    cluster = make_cluster()
    cluster.network.cut(1, ((1, 2),))
    send_many(cluster)
    assert received(cluster, 2) == []
    cluster.host(2)._peers[1] = "node1:6001"
    do(cluster, 2, Send(1, b"back"))
    assert received(cluster, 1) == [b"back"]


def test_a_peer_without_an_address_is_reached_over_the_connection_it_opened() -> None:
    cluster = make_cluster()
    do(cluster, 2, Send(1, b"nowhere"))
    assert received(cluster, 1) == []
    send_many(cluster, 1)
    do(cluster, 2, Send(1, b"back"))
    assert received(cluster, 1) == [b"back"]


@pytest.mark.parametrize(
    ("transform", "check"),
    [
        (lambda delays: [], lambda sent, got: got == []),
        (lambda delays: [*delays, delays[0] + MS], lambda sent, got: sorted(got) == sorted(sent * 2)),
        (
            lambda delays: [delays[0] + next(NUMBERS) * 3 % 7 * 10 * MS],
            lambda sent, got: sorted(got) == sorted(sent),
        ),
    ],
    ids=["drop", "duplicate", "reorder"],
)
def test_filters_decide_how_many_copies_arrive_and_when(
    transform: Callable[[list[int]], list[int]], check: Callable[[list[bytes], list[bytes]], bool]
) -> None:
    cluster = make_cluster()
    cluster.network.filters.append(lambda sender, to, delays: transform(delays))
    sent = send_many(cluster)
    got = received(cluster, 2)
    assert check(sent, got)
    assert got != sent


def test_listeners_hear_of_every_message_that_leaves_and_of_every_copy_that_arrives() -> None:
    cluster = make_cluster()
    vote, ping = (
        encode_message(Envelope(0, 1, 0, 2, 0), message) for message in (VoteReply(1, True, False), Ping(False))
    )
    heard: dict[str, list[tuple[int, int, bytes]]] = {"sent": [], "received": []}
    cluster.network.when_sent("VoteReply", lambda *message: heard["sent"].append(message))
    cluster.network.when_received("VoteReply", lambda *message: heard["received"].append(message))
    do(cluster, 1, SetPeerAddress(2, "node2:6001"), Send(2, vote), Send(2, ping))
    assert heard == {"sent": [(1, 2, vote)], "received": [(1, 2, vote)]}
    cluster.network.filters.append(lambda sender, to, delays: [])
    do(cluster, 1, Send(2, vote))
    assert (len(heard["sent"]), len(heard["received"])) == (2, 1)
    cluster.network.filters[:] = [lambda sender, to, delays: [*delays, MS]]
    do(cluster, 1, Send(2, vote))
    assert (len(heard["sent"]), len(heard["received"])) == (3, 3)


class Client:
    """Remembers what it is told."""

    def __init__(self, number: int = 1) -> None:
        self.number = number
        self.told: list[object] = []

    def on_open(self, connection: Connection) -> None:
        self.told.append("open")

    def on_bytes(self, connection: Connection, data: bytes) -> None:
        self.told.append(data)

    def on_closed(self, connection: Connection) -> None:
        self.told.append("closed")


def settle(cluster: Cluster) -> None:
    cluster.world.run_until(cluster.world.now_ns + 50 * MS)


def test_a_client_stream_keeps_the_order_of_its_bytes_however_they_are_cut() -> None:
    cluster = make_cluster()
    cluster.streams.cut_per_million = 500_000
    client = Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    for n in range(30):
        connection.write(b"request %d;" % n)
    settle(cluster)
    echo = do(cluster, 1, Reply(connection.number, b"answer" * 10), Reply(connection.number, b"end", close=True))
    expected = b"".join(b"request %d;" % n for n in range(30))
    assert echo.seen(ClientConnected) == [ClientConnected(connection.number)]
    assert b"".join(event.data for event in echo.seen(ClientDataReceived)) == expected
    assert client.told[0] == "open"
    assert b"".join(piece for piece in client.told if isinstance(piece, bytes)) == b"answer" * 10 + b"end"
    assert client.told[-1] == "closed"


def test_reading_pauses_and_goes_on_without_losing_a_byte() -> None:
    cluster = make_cluster()
    connection = cluster.streams.open(Client(), cluster.host(1))
    settle(cluster)
    echo = do(cluster, 1, PauseReading(connection.number))
    connection.write(b"first ")
    connection.write(b"second")
    settle(cluster)
    assert echo.seen(ClientDataReceived) == []
    do(cluster, 1, ResumeReading(connection.number))
    assert b"".join(event.data for event in echo.seen(ClientDataReceived)) == b"first second"


def test_a_reset_tells_both_ends_and_drops_what_is_on_its_way() -> None:
    cluster = make_cluster()
    client = Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    connection.write(b"lost")
    cluster.streams.reset(connection)
    settle(cluster)
    echo = cluster.host(1).node
    assert isinstance(echo, EchoNode)
    assert echo.seen(ClientDataReceived) == []
    assert echo.seen(ClientDisconnected) == [ClientDisconnected(connection.number)]
    assert client.told == ["open", "closed"]


def test_a_client_that_closes_still_delivers_what_it_wrote() -> None:
    cluster = make_cluster()
    connection = cluster.streams.open(Client(), cluster.host(1))
    settle(cluster)
    connection.write(b"last words")
    connection.close()
    settle(cluster)
    echo = cluster.host(1).node
    assert isinstance(echo, EchoNode)
    assert b"".join(event.data for event in echo.seen(ClientDataReceived)) == b"last words"
    assert echo.seen(ClientDisconnected) == [ClientDisconnected(connection.number)]


def test_a_crash_ends_client_connections_and_refuses_new_ones() -> None:
    cluster = make_cluster()
    cluster.streams.silent_per_million = 0
    before, after = Client(1), Client(2)
    cluster.streams.open(before, cluster.host(1))
    settle(cluster)
    cluster.crash(cluster.host(1), "test")
    cluster.streams.open(after, cluster.host(1))
    settle(cluster)
    assert before.told == ["open", "closed"]
    assert after.told == ["closed"]
