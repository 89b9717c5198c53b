"""Messages of one kind wait on some links until something has happened, and all others overtake them."""

import pytest
from fake_nodes import EchoNode
from small_clusters import new_cluster, small_cluster

from walrus.core.codec import encode_message
from walrus.core.events import MessageReceived
from walrus.core.peer import Envelope, Message, Ping
from walrus.core.segment.messages import ACCEPTED, Append, FenceReply
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Clog, Unclog
from walrus.sim.deeds.processes import Crash, StartNode
from walrus.sim.faults.late_messages import LateMessages
from walrus.sim.message_kinds import kind_of
from walrus.sim.trace import Trace
from walrus.sim.world import MS, SECOND, World


def send(cluster: Cluster, sender: int, to: int, message: Message) -> None:
    cluster.network.send(sender, to, encode_message(Envelope(1, sender, 0, to, 0), message), False)


def arrived(cluster: Cluster, node: int) -> list[str]:
    cluster.world.run_until(cluster.world.now_ns + 50 * MS)
    found: EchoNode = cluster.host(node).node
    return [kind_of(event.data) for event in found.seen(MessageReceived)]


BATCH = Append("t", 1, 0, 1, 0, b"")


def test_only_the_kind_that_is_held_back_waits_and_only_on_its_links() -> None:
    cluster = new_cluster(3, EchoNode)
    cluster.do(Clog(1, ((1, 2),), "Append"))
    for to in (2, 3):
        send(cluster, 1, to, BATCH)
        send(cluster, 1, to, Ping(answer=False))
    assert arrived(cluster, 2) == ["Ping"]
    assert arrived(cluster, 3) == ["Append", "Ping"]
    assert cluster.network.holds_back(1)
    cluster.do(Unclog(1))
    assert not cluster.network.holds_back(1)
    assert arrived(cluster, 2) == ["Ping", "Append"]
    send(cluster, 1, 2, BATCH)
    assert arrived(cluster, 2) == ["Ping", "Append", "Append"]


def test_what_two_clogs_hold_back_waits_for_both() -> None:
    cluster = new_cluster(3, EchoNode)
    cluster.do(Clog(1, ((1, 2),), "Append"))
    cluster.do(Clog(2, ((1, 2),)))
    send(cluster, 1, 2, BATCH)
    cluster.do(Unclog(2))
    assert arrived(cluster, 2) == []
    cluster.do(Unclog(1))
    assert arrived(cluster, 2) == ["Append"]


def waiting_for_a_batch(cluster: Cluster, gone_per_million: int) -> LateMessages:
    """A fault that holds back batches until a fence is answered, and nothing else."""
    cluster.deeds = []
    fault = LateMessages(cluster, World(1, Trace(), 1).rng.stream("test"))
    fault.kinds, fault.moments, fault.patience_ns = ("Append", "Append"), ("FenceReply", "FenceReply"), 100 * SECOND
    fault.gone_per_million, fault.gathers_most_ns = gone_per_million, 1 * MS
    fault.active = True
    fault.strike()
    send(cluster, 1, 2, BATCH)
    assert arrived(cluster, 2) == ["Append"]
    return fault


@pytest.mark.parametrize("gone_per_million", [0, 1_000_000])
def test_what_is_held_back_arrives_after_the_moment_whether_its_sender_is_there_or_not(gone_per_million: int) -> None:
    cluster = new_cluster(3, EchoNode)
    fault = waiting_for_a_batch(cluster, gone_per_million)
    crashed = [deed.node for _, deed in cluster.deeds or () if isinstance(deed, Crash)]
    assert crashed == [1] * bool(gone_per_million)
    fault.strike()
    send(cluster, 1, 2, BATCH)
    assert arrived(cluster, 2) == ["Append"]
    send(cluster, 3, 2, FenceReply("t", 1, 1, ACCEPTED, 0))
    assert arrived(cluster, 2) == ["Append", "FenceReply", "Append"]
    assert cluster.world.labels["bit: late-messages"] == 1


def test_where_no_such_message_is_sent_what_comes_later_waits() -> None:
    cluster = new_cluster(3, EchoNode)
    cluster.deeds = []
    fault = LateMessages(cluster, World(1, Trace(), 1).rng.stream("test"))
    fault.kinds, fault.patience_ns, fault.active = ("Append", "Append"), 100 * MS, True
    fault.strike()
    cluster.world.run_until(cluster.world.now_ns + 1 * SECOND)
    assert [type(deed) for _, deed in cluster.deeds if not isinstance(deed, Crash | StartNode)] == [Clog, Unclog]


def test_where_the_moment_does_not_come_or_the_faults_end_nothing_stays_behind() -> None:
    cluster = small_cluster(3)
    cluster.deeds = []
    for seed in range(30):
        fault = LateMessages(cluster, World(seed, Trace(), 1).rng.stream("test"))
        fault.start()
        for _ in range(30):
            send(cluster, 1, 2, BATCH)
            cluster.world.run_until(cluster.world.now_ns + 50 * MS)
        fault.stop()
        cluster.heal()
        assert not any(cluster.network.holds_back(deed.number) for _, deed in cluster.deeds if isinstance(deed, Clog))
    assert [deed.message for _, deed in cluster.deeds if isinstance(deed, Clog)].count("Append") > 2
