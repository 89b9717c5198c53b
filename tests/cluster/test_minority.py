"""A node cut off from the others acknowledges nothing; a node that was paused does not go on where it was."""

import pytest
from cluster import Cluster, Start, eventually
from traffic import Writer, judge_everywhere

from walrus.client.errors import OutcomeUnknown, ServerError, WalrusError

PATIENT_FOR_A_SECOND = {"WALRUS_RPC_TIMEOUT_MS": "1000"}


def others(node: int) -> list[int]:
    return [other for other in (1, 2, 3) if other != node]


def lease_is_gone(cluster: Cluster, node: int) -> bool:
    return not cluster.metrics(node)["lease_valid"]


@pytest.mark.parametrize("role", ["the leader of segment and Raft", "a follower"])
def test_a_minority_refuses_puts_and_everything_heals(start: Start, role: str) -> None:
    cluster = start(**PATIENT_FOR_A_SECOND)
    leader = cluster.raft_leader()
    topic = cluster.topic_led_by(lambda node: node == leader)
    remaining = leader if role != "a follower" else others(leader)[0]
    before = [b"before %d" % number for number in range(20)]
    with cluster.client() as client:
        assert client.put_many(topic, before) == len(before)
    for node in others(remaining):
        cluster.pause(node)
    refused = []
    unknown = []
    reasons: set[str] = set()
    with cluster.client(remaining) as client:
        for number in range(4):
            payload = b"while cut off %d" % number
            try:
                client.put(topic, payload)
            except OutcomeUnknown:
                unknown.append(payload)
            except ServerError as error:
                refused.append(payload)
                reasons.add(error.text.partition(":")[0])
            else:
                raise AssertionError(f"one node of three acknowledged {payload!r}")
        assert reasons <= {"NotLeaderForPartition", "no raft leader known"}
        eventually(lambda: lease_is_gone(cluster, remaining), "the end of the lease")
        for ask in (client.get, client.state):
            with pytest.raises(WalrusError, match=r"NotLeaderForPartition|no raft leader known"):
                ask(topic)
        with pytest.raises(ServerError, match="no raft leader known"):
            client.register("too-early")
    for node in others(remaining):
        cluster.go_on(node)
    cluster.until_formed()
    with cluster.client(remaining) as client:
        client.put(topic, b"after")
    for node in (1, 2, 3):
        records = cluster.read_all(topic, node)
        assert records[: len(before)] == before
        assert records[-1] == b"after"
        assert not set(records) & set(refused)
        assert set(records[len(before) : -1]) <= set(unknown)
        assert len(set(records)) == len(records)


def test_a_paused_segment_leader_acknowledges_nothing_after_its_successor_began(start: Start) -> None:
    """The others go on without it; when it wakes, its clients' records are unknown or go to the new leader."""
    cluster = start(**PATIENT_FOR_A_SECOND)
    leader = cluster.raft_leader()
    topic = cluster.topic_led_by(lambda node: node != leader)
    writers = [Writer(f"w{node}", topic, [cluster.client_address(node)]) for node in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.until_acknowledged()
    for _ in range(3):
        paused = cluster.segment_leader(topic)
        cluster.pause(paused)
        for node in others(paused):
            writers[node - 1].until_acknowledged()
        cluster.go_on(paused)
        cluster.until_formed()
        writers[paused - 1].until_acknowledged()
    for writer in writers:
        writer.finish()
    judge_everywhere(cluster, topic, writers)
    assert len(cluster.state(topic)["sealed_segments"]) >= 3


def test_one_dead_segment_leader_does_not_stall_reads_of_other_topics(start: Start) -> None:
    """A GET of a topic led elsewhere is answered while that of the dead leader's topic still waits."""
    cluster = start(WALRUS_RPC_TIMEOUT_MS="60000")
    leader = cluster.raft_leader()
    stalled = cluster.topic_led_by(lambda node: node != leader)
    victim = cluster.segment_leader(stalled)
    served = cluster.topic_led_by(lambda node: node != victim)
    with cluster.client(leader) as client:
        for topic in (stalled, served):
            client.put_many(topic, [b"%d" % number for number in range(20)])
        cluster.pause(victim)
        assert [client.get(served) for _ in range(20)] == [b"%d" % number for number in range(20)]
        assert client.get(stalled) == b"0", "a topic without its leader is served again, without an operator"
    cluster.go_on(victim)
    cluster.until_formed()
