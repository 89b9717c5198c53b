"""Kinds of messages that fare badly: only those, only for a while, in one manner."""

import pytest
from small_clusters import small_cluster

from walrus.core.codec import encode_message
from walrus.core.peer import Envelope, Message, Ping, VoteReply
from walrus.sim.cluster import Cluster
from walrus.sim.faults.unlucky_kinds import UnluckyKinds
from walrus.sim.rng import Rng
from walrus.sim.world import MS

MESSAGES: tuple[Message, ...] = (VoteReply(1, True, False), Ping(False))


def unlucky(manner: str, node: int = 0) -> tuple[Cluster, UnluckyKinds]:
    """A cluster in which VoteReply fares badly for a second."""
    cluster = small_cluster(3)
    fault = UnluckyKinds(cluster, Rng(1))
    fault.kinds, fault.manner, fault.per_million = ("VoteReply",), manner, 1_000_000
    fault.lasts_ns, fault.pause_ns, fault.late_most_ns = 2000 * MS, 1, 40 * MS
    fault.start()
    cluster.world.run_until(cluster.world.now_ns + 1 * MS)
    fault._node = node
    return cluster, fault


def arrived(cluster: Cluster) -> list[tuple[str, int]]:
    """Send both messages from node 1 to both others; which came within 100 ms, and where?"""
    came: list[tuple[str, int]] = []
    for message in MESSAGES:
        kind = type(message).__name__
        cluster.network.when_received(kind, lambda sender, to, data, kind=kind: came.append((kind, to)))
        for to in (2, 3):
            cluster.network.send(1, to, encode_message(Envelope(0, 1, 0, to, 0), message), urgent=False)
    cluster.world.run_until(cluster.world.now_ns + 100 * MS)
    return sorted(came)


PINGS = [("Ping", 2), ("Ping", 3)]


@pytest.mark.parametrize(
    ("manner", "node", "votes"), [("lose", 0, []), ("lose", 3, [2]), ("repeat", 0, [2, 2, 3, 3]), ("late", 0, [2, 3])]
)
def test_only_messages_of_that_kind_fare_badly(manner: str, node: int, votes: list[int]) -> None:
    cluster, _ = unlucky(manner, node)
    assert arrived(cluster) == [*PINGS, *[("VoteReply", to) for to in votes]]
    assert cluster.world.labels["fault: unlucky-kinds"] == (1 if node else 2)


def test_the_stretch_ends_and_the_next_one_comes() -> None:
    cluster, fault = unlucky("lose")
    fault.pause_ns = 5000 * MS
    cluster.world.run_until(cluster.world.now_ns + 2000 * MS)
    assert not cluster.network.kind_filters
    fault.pause_ns = 1
    cluster.world.run_until(cluster.world.now_ns + 5000 * MS)
    assert fault.active
    assert cluster.world.labels["fault: unlucky-kinds"] == 0
    assert cluster.network.kind_filters


@pytest.mark.parametrize("heals", [False, True])
def test_everything_is_as_before_once_it_stops(*, heals: bool) -> None:
    cluster, fault = unlucky("lose")
    if heals:
        cluster.network.heal()
    else:
        fault.stop()
        cluster.world.run_until(cluster.world.now_ns + 5000 * MS)
    assert arrived(cluster) == [*PINGS, ("VoteReply", 2), ("VoteReply", 3)]
