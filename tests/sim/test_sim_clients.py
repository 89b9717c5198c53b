"""Client connections under trouble: clients that do not read, are cut off, turn away; and how clients behave."""

import pytest
from fake_nodes import EchoNode, LogNode
from small_clusters import new_cluster, small_cluster

from walrus.core.actions import Reply
from walrus.core.events import ClientConnected, ClientDataReceived, ClientDisconnected, PeerDisconnected
from walrus.sim.client import Link
from walrus.sim.cluster import Cluster
from walrus.sim.deeds import Ask, CutClients, Dial, Hangup, MendClients, ReadOn, Request, ResetConnection, StopReading
from walrus.sim.history import UNKNOWN, History
from walrus.sim.options import Options
from walrus.sim.runner import run_seed
from walrus.sim.workload import Workload
from walrus.sim.workloads import MANNERS, Worker
from walrus.sim.workloads.follower import Follower
from walrus.sim.workloads.slow_reader import SlowReader
from walrus.sim.workloads.wanderer import Wanderer
from walrus.sim.world import MS, SECOND


class Client:
    """Remembers what it is told."""

    number = 1

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_open(self, connection: object) -> None:
        self.told.append("open")

    def on_bytes(self, connection: object, data: bytes) -> None:
        self.told.append(data)

    def on_closed(self, connection: object) -> None:
        self.told.append("closed")

    @property
    def read(self) -> bytes:
        return b"".join(piece for piece in self.told if isinstance(piece, bytes))


def settle(cluster: Cluster) -> None:
    cluster.world.run_until(cluster.world.now_ns + 50 * MS)


def reply(cluster: Cluster, *replies: Reply) -> EchoNode:
    echo = cluster.host(1).node
    assert isinstance(echo, EchoNode)
    echo.actions = list(replies)
    cluster.host(1).deliver(PeerDisconnected(99))
    settle(cluster)
    return echo


@pytest.mark.parametrize("seed", range(12))
def test_a_connection_that_breaks_before_it_is_accepted_is_soon_gone_at_both_ends(seed: int) -> None:
    """The break may overtake the acceptance, or not."""
    cluster, client = small_cluster(1, seed=seed), Client()
    connection = cluster.streams.open(client, cluster.host(1))
    cluster.streams.reset(connection)
    settle(cluster)
    assert client.told == ["closed"]
    assert cluster.streams.open_at[1] == {}


def test_a_client_that_does_not_read_is_told_later_in_order() -> None:
    cluster, client = small_cluster(1), Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    cluster.streams.stop_reading(connection)
    reply(cluster, Reply(connection.number, b"one "), Reply(connection.number, b"two", close=True))
    assert client.told == ["open"]
    cluster.streams.read_on(connection)
    assert client.told == ["open", b"one two", "closed"]


def test_a_node_reads_no_more_from_a_client_with_too_many_unread_bytes_until_half_are_read() -> None:
    cluster, client = small_cluster(1), Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    cluster.streams.stop_reading(connection)
    much = bytes(cluster.streams.unread_bytes_max + 1)
    echo = reply(cluster, Reply(connection.number, much))
    connection.write(b"held back")
    settle(cluster)
    assert echo.seen(ClientDataReceived) == []
    cluster.streams.read_on(connection)
    settle(cluster)
    assert [event.data for event in echo.seen(ClientDataReceived)] == [b"held back"]
    assert client.read == much


def test_few_unread_bytes_hold_nothing_up() -> None:
    cluster, client = small_cluster(1), Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    cluster.streams.stop_reading(connection)
    echo = reply(cluster, Reply(connection.number, bytes(cluster.streams.unread_bytes_max)))
    connection.write(b"taken")
    settle(cluster)
    assert b"".join(event.data for event in echo.seen(ClientDataReceived)) == b"taken"


def test_between_a_client_and_a_node_that_are_cut_off_everything_waits_in_its_order() -> None:
    cluster, client = small_cluster(1), Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    cluster.do(CutClients(7, ((1, 1),)))
    for n in range(20):
        connection.write(b"%d;" % n)
    echo = reply(cluster, Reply(connection.number, b"answer"))
    assert echo.seen(ClientDataReceived) == []
    assert client.read == b""
    cluster.do(MendClients(7))
    connection.write(b"end")
    settle(cluster)
    assert (
        b"".join(event.data for event in echo.seen(ClientDataReceived))
        == b"".join(b"%d;" % n for n in range(20)) + b"end"
    )
    assert client.read == b"answer"


def test_a_dial_waits_for_the_end_of_a_cut_and_others_do_not() -> None:
    cluster, client = small_cluster(2), Client()
    cluster.do(CutClients(7, ((1, 1),)))
    cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    assert client.told == []
    cluster.streams.open(client, cluster.host(2))
    settle(cluster)
    assert client.told == ["open"]
    cluster.streams.heal()
    settle(cluster)
    assert client.told == ["open", "open"]


def test_who_leaves_while_cut_off_is_missed_by_the_node_only_after_the_cut() -> None:
    cluster, client = small_cluster(1), Client()
    connection = cluster.streams.open(client, cluster.host(1))
    settle(cluster)
    cluster.do(CutClients(7, ((1, 1),)))
    connection.write(b"last words")
    connection.close()
    echo = reply(cluster)
    assert echo.seen(ClientDisconnected) == []
    assert cluster.streams.given_up == 1
    cluster.do(MendClients(7))
    settle(cluster)
    kinds = [type(event) for _, event in echo.events if isinstance(event, ClientDataReceived | ClientDisconnected)]
    assert kinds[-1] is ClientDisconnected
    assert ClientDataReceived in kinds


def test_deeds_of_clients_that_make_no_sense_any_more_do_nothing() -> None:
    cluster = small_cluster(1, LogNode)
    cluster.clients[1] = Link(1, cluster.world, cluster.streams, History())
    for deed in (StopReading(1), ReadOn(1), ReadOn(2), Hangup(1), ResetConnection(1), MendClients(3)):
        cluster.do(deed)
    cluster.do(Dial(1, 1))
    cluster.do(ReadOn(1))
    settle(cluster)
    assert cluster.clients[1].ready


def test_requests_without_an_answer_are_counted_where_they_were_asked() -> None:
    cluster, history = small_cluster(2, LogNode), History()
    cluster.clients[1] = Link(1, cluster.world, cluster.streams, history)
    cluster.do(Dial(1, 2))
    settle(cluster)
    cluster.do(Ask(1, 2, (Request("PUT", "logs", "a"), Request("PUT", "logs", "b"))))
    cluster.do(Hangup(1))
    settle(cluster)
    assert [op.outcome for op in history.operations] == [UNKNOWN, UNKNOWN]
    assert dict(cluster.streams.unanswered) == {2: 2}


def at_work(manner: type[Worker], seed: int, **changes: object) -> tuple[Worker, History, Cluster]:
    """One client of this manner with a small cluster of right nodes."""
    cluster, history = new_cluster(3, LogNode, seed, **changes), History()
    worker = manner(1, cluster, history, cluster.world.rng.stream("test"))
    worker.start()
    cluster.world.run_until(4 * SECOND)
    worker.running = False
    cluster.world.run_until(6 * SECOND)
    return worker, history, cluster


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)
def test_every_manner_gets_answers_and_never_puts_the_same_twice(manner: type[Worker]) -> None:
    _, history, _ = at_work(manner, 1, topics=2)
    operations = [op for op in history.operations if op.verb != "REGISTER"]
    assert len(operations) > 10
    assert any(op.done_ns >= 0 for op in operations)
    payloads = [op.payload for op in operations if op.verb == "PUT" and op.payload]
    assert len(payloads) == len(set(payloads))


def test_the_manners_use_every_verb_between_them() -> None:
    verbs = {op.verb for manner in MANNERS for seed in (2, 3) for op in at_work(manner, seed)[1].operations}
    assert verbs == {"REGISTER", "PUT", "GET", "FETCH", "STATE", "METRICS", "TOPICS"}


def test_a_slow_reader_makes_its_node_stop_reading() -> None:
    assert sum(at_work(SlowReader, seed)[2].world.labels["client read too slowly"] for seed in range(4)) > 0


def test_a_follower_asks_for_records_before_and_after_they_are_there() -> None:
    _, history, _ = at_work(Follower, 1)
    replies: dict[int, set[str]] = {}
    for op in history.of_topic("logs", "FETCH"):
        replies.setdefault(op.offset, set()).add(op.outcome)
    assert sum({"empty", "done"} <= found for found in replies.values()) > 0


def test_a_wanderer_leaves_requests_behind_and_is_answered_elsewhere() -> None:
    _, history, _ = at_work(Wanderer, 1)
    unknown = {op.node for op in history.operations if op.outcome == UNKNOWN}
    assert unknown
    assert len({op.node for op in history.operations if op.done_ns >= 0}) == 3


def test_in_quiet_stretches_nobody_asks() -> None:
    quiet = (1500 * MS, 2500 * MS)
    for manner in MANNERS:
        sent = [op.sent_ns for op in at_work(manner, 3, quiet_ns=(quiet,))[1].operations]
        assert not any(quiet[0] <= at_ns < quiet[1] for at_ns in sent), manner.name
        assert any(at_ns >= quiet[1] for at_ns in sent), manner.name


def test_the_first_client_does_everything_and_seeds_differ_in_the_others() -> None:
    mixtures = set()
    for seed in range(30):
        workload = Workload(small_cluster(1, LogNode, seed), History(), clients=4)
        names = [worker.name for worker in workload.workers]
        assert names[0] == "mixed"
        mixtures.add(tuple(names[1:]))
    assert len(mixtures) > 15
    assert {name for mixture in mixtures for name in mixture} == {manner.name for manner in MANNERS}


def test_a_run_names_the_manners_of_its_clients() -> None:
    labels = run_seed(1, Options(clients=5, fault_ns=100 * MS, faults=()), LogNode).labels
    assert sum(count for label, count in labels.items() if label.startswith("client: ")) == 5
    assert labels["client: mixed"] >= 1


def test_a_connection_is_accepted_by_the_process_that_runs_when_a_cut_ends() -> None:
    cluster, client = small_cluster(1), Client()
    cluster.do(CutClients(7, ((1, 1),)))
    cluster.streams.open(client, cluster.host(1))
    cluster.crash(cluster.host(1), "test")
    cluster.restart(cluster.host(1))
    cluster.do(MendClients(7))
    settle(cluster)
    echo = cluster.host(1).node
    assert isinstance(echo, EchoNode)
    assert len(echo.seen(ClientConnected)) == 1
    assert client.told == ["open"]
