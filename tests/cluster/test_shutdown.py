"""SIGTERM: segments and leadership are handed over, the cursor is exact, the exit code is 0."""

from cluster import Start, eventually
from traffic import Consumer, Writer, judge_everywhere, judge_gets

TOPIC = "orders"


def test_a_stopped_leader_hands_over_everything_and_the_next_get_is_exact(start: Start) -> None:
    cluster = start()
    victim = cluster.raft_leader()
    topic = cluster.topic_led_by(lambda node: node == victim)
    payloads = [b"%d" % number for number in range(100)]
    survivors = [node for node in (1, 2, 3) if node != victim]
    with cluster.client(*survivors) as client:
        assert client.put_many(topic, payloads) == 100
        assert [client.get(topic) for _ in range(37)] == payloads[:37]
        cluster.terminate(victim)
        assert cluster.exit_codes([victim]) == {victim: 0}
        assert client.get(topic) == payloads[37]
        state = client.state(topic)
    assert state["leader_node"] in survivors
    assert state["sealed_segments"] == {"1": 100}
    assert cluster.raft_leader() in survivors
    assert cluster.recoveries() == [], "a clean stop leaves no segment to be recovered"
    assert cluster.read_all(topic, survivors[0]) == payloads


def test_all_nodes_stopped_one_after_the_other_keep_the_cursor_exact(start: Start) -> None:
    """The last ones have no quorum, but nobody has read since there was one."""
    cluster = start()
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    payloads = [b"%d" % number for number in range(50)]
    with cluster.client() as client:
        assert client.put_many(TOPIC, payloads) == 50
        assert [client.get(TOPIC) for _ in range(21)] == payloads[:21]
    for node in (2, 3, 1):
        cluster.terminate(node)
        assert cluster.exit_codes([node]) == {node: 0}
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    with cluster.client() as client:
        assert [client.get(TOPIC) for _ in range(30)] == [*payloads[21:], None]


def test_all_nodes_stopped_at_once_end_cleanly(start: Start) -> None:
    cluster = start()
    with cluster.client() as client:
        assert client.put_many("logs", [b"%d" % number for number in range(50)]) == 50
    for node in (1, 2, 3):
        cluster.terminate(node)
    assert cluster.exit_codes([1, 2, 3]) == {1: 0, 2: 0, 3: 0}
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    assert cluster.read_all("logs", 1) == [b"%d" % number for number in range(50)]


def test_a_rolling_restart_under_load_loses_nothing(start: Start) -> None:
    cluster = start()
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    addresses = [cluster.client_address(node) for node in (1, 2, 3)]
    writers = [Writer(f"w{node}", TOPIC, addresses[node - 1 :] + addresses[: node - 1]) for node in (1, 2, 3)]
    consumer = Consumer(TOPIC, addresses)
    for thread in (*writers, consumer):
        thread.start()
    for node in (1, 2, 3):
        for writer in writers:
            writer.until_acknowledged()
        cluster.terminate(node)
        assert cluster.exit_codes([node]) == {node: 0}
        cluster.start_node(node)
        cluster.until_formed()
    for writer in writers:
        writer.until_acknowledged()
        writer.finish()
    records = judge_everywhere(cluster, TOPIC, writers)
    eventually(lambda: records[-1] in consumer.events[-10:], "the last record by GET")
    consumer.finish()
    judge_gets(records, consumer.events, [])
    refused = sum(len(writer.refused) for writer in writers)
    assert refused == 0, f"{refused} PUTs were refused during a rolling restart"
