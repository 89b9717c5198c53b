"""``kill -9`` under load: what was acknowledged stays, once, in order."""

from collections.abc import Callable

import pytest
from cluster import Cluster, Start, eventually
from traffic import Consumer, Writer, judge_everywhere, judge_gets

NODES = (1, 2, 3)


def prepare(cluster: Cluster, *, leads_raft: bool) -> str:
    """A topic whose segment leader is the Raft leader, or is not."""
    raft_leader = cluster.raft_leader()
    return cluster.topic_led_by(lambda node: (node == raft_leader) == leads_raft)


def segment_leader(cluster: Cluster, topic: str) -> list[int]:
    return [cluster.segment_leader(topic)]


def raft_leader(cluster: Cluster, topic: str) -> list[int]:
    return [cluster.raft_leader()]


def follower(cluster: Cluster, topic: str) -> list[int]:
    roles = {cluster.segment_leader(topic), cluster.raft_leader()}
    return [next(node for node in NODES if node not in roles)]


def all_nodes(cluster: Cluster, topic: str) -> list[int]:
    return list(NODES)


@pytest.mark.parametrize(
    ("victims", "leads_raft"),
    [
        pytest.param(segment_leader, False, id="the leader of the segment"),
        pytest.param(segment_leader, True, id="the leader of both the segment and Raft"),
        pytest.param(follower, False, id="a follower"),
        pytest.param(raft_leader, False, id="the Raft leader"),
        pytest.param(all_nodes, False, id="all three at once"),
    ],
)
def test_no_acknowledged_record_is_lost_when_a_node_is_killed(
    start: Start, victims: Callable[[Cluster, str], list[int]], leads_raft: bool
) -> None:
    """Twice the victims are killed while clients write and read through all nodes, and started again."""
    cluster = start()
    topic = prepare(cluster, leads_raft=leads_raft)
    addresses = [cluster.client_address(node) for node in NODES]
    writers = [Writer(f"w{node}", topic, addresses[node - 1 :] + addresses[: node - 1]) for node in NODES]
    consumer = Consumer(topic, addresses)
    for thread in (*writers, consumer):
        thread.start()
    floors = []
    writers_killed = 0
    for _ in range(2):
        for writer in writers:
            writer.until_acknowledged()
        consumer.until_delivered()
        killed = victims(cluster, topic)
        writers_killed += cluster.segment_leader(topic) in killed
        floors.append(consumer.floor(cluster))
        for node in killed:
            cluster.kill(node)
        if cluster.running():
            for writer in writers:
                writer.until_acknowledged()
        for node in killed:
            cluster.start_node(node)
        cluster.until_formed()
    for writer in writers:
        writer.until_acknowledged()
        writer.finish()
    records = judge_everywhere(cluster, topic, writers)
    eventually(lambda: records[-1] in consumer.events[-10:], "the last record by GET")
    consumer.finish()
    judge_gets(records, consumer.events, floors)
    assert cluster.state(topic)["current_segment"] > writers_killed


def test_the_killed_nodes_copies_are_completed(start: Start) -> None:
    """A segment sealed while a node was down is served whole by that node alone once it is back."""
    cluster = start()
    topic = prepare(cluster, leads_raft=False)
    (victim,) = follower(cluster, topic)
    cluster.kill(victim)
    with cluster.client() as client:
        assert client.put_many(topic, [b"%d" % number for number in range(500)]) == 500
    cluster.start_node(victim)
    cluster.until_formed()
    eventually(lambda: not cluster.metrics(victim)["repairs_waiting"], "repaired copies")
    cluster.until_replicated(topic)
    assert cluster.read_all(topic, victim) == [b"%d" % number for number in range(500)]
