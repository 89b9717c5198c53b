"""Nodes join a running cluster, through any of its nodes."""

from cluster import SMALL_SEGMENTS, Start, eventually
from traffic import Writer, judge_everywhere

from walrus.client.sync import WalrusClient


def gets_its_turn(client: WalrusClient, topic: str, node: int) -> bool:
    """Write until a segment of the topic has been led by ``node``."""
    client.put_many(topic, [b"-"] * 10)
    return node in client.state(topic)["segment_leaders"].values()


def test_a_fourth_node_joins_through_a_follower_and_gets_its_turn_as_leader(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register("turns")
    leader = cluster.raft_leader()
    contact = next(node for node in (3, 2, 1) if node != leader)
    writer = Writer("w", "turns", [cluster.client_address(contact)])
    writer.start()
    cluster.join(4, through=contact)
    cluster.until_formed()
    assert "Added learner 4\n" in cluster.log_text(leader)
    assert "Promoted learner 4\n" in cluster.log_text(leader)
    with cluster.client(4) as client:
        client.register("other")
        eventually(lambda: gets_its_turn(client, "other", 4), "a segment led by node 4")
    writer.until_acknowledged()
    writer.finish()
    judge_everywhere(cluster, "turns", [writer])


def test_two_nodes_join_at_once_and_no_voter_is_dropped(start: Start) -> None:
    cluster = start(2)
    follower = 3 - cluster.raft_leader()
    cluster.join(3, through=follower)
    cluster.join(4, through=follower)
    cluster.until_formed()
    for node in (1, 2, 3, 4):
        assert cluster.metrics(node)["membership_config"]["membership"]["configs"] == [[1, 2, 3, 4]]


def test_logs_born_on_node_1_alone_gets_three_copies_and_stays_in_segment_1(start: Start) -> None:
    cluster = start(1)
    payloads = [b"early %d" % number for number in range(500)]
    with cluster.client(1) as client:
        assert client.put_many("logs", payloads) == len(payloads)
    assert cluster.replicas("logs") == [1]
    writer = Writer("w", "logs", [cluster.client_address(1)])
    writer.start()
    cluster.join(2, through=1)
    cluster.join(3, through=1)
    cluster.until_formed()
    cluster.until_replicated("logs")
    assert cluster.recoveries() == [], "the machine was so slow that leases lapsed"
    assert cluster.state("logs")["current_segment"] == 1
    assert sorted(cluster.replicas("logs")) == [1, 2, 3]
    writer.until_acknowledged()
    writer.finish()
    cluster.kill(1)
    with cluster.client() as client:
        eventually(lambda: client.fetch("logs", 1, 0), "the first record without node 1")
    for node in (2, 3):
        records = cluster.read_all("logs", node)
        assert records[:500] == payloads
        assert [record for record in records[500:] if record in writer.acknowledged] == writer.acknowledged


def test_a_node_that_has_data_does_not_join_again(start: Start) -> None:
    cluster = start()
    cluster.kill_all()
    for node in (3, 2, 1):
        cluster.start_node(node)
    cluster.until_formed()
    assert cluster.metrics(1)["membership_config"]["membership"]["configs"] == [[1, 2, 3]]
