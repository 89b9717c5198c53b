"""Topics that acknowledge before they are synced, on real nodes: a killed process loses nothing, whatever the mode."""

import pytest
from cluster import Cluster, Start, eventually
from traffic import judge_counts

TOPIC = "fast"


@pytest.mark.parametrize("mode", ["interval:50", "never"])
def test_all_nodes_are_killed_at_once_and_every_acknowledged_record_is_there(start: Start, mode: str) -> None:
    cluster: Cluster = start(WALRUS_DURABILITY=mode)
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    written = [b"%d" % number for number in range(300)]
    with cluster.client() as client:
        for payload in written:
            client.put(TOPIC, payload)
    assert cluster.state(TOPIC)["durability"] == cluster.state(TOPIC)["current_durability"] == mode
    cluster.kill_all()
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    judge_counts(cluster, TOPIC, written)
    assert cluster.state(TOPIC)["power_cut_segments"] == []
    for node in (1, 2, 3):
        assert cluster.read_all(TOPIC, node) == written


def test_a_clean_stop_leaves_no_copy_unsynced_in_the_catalogues(start: Start) -> None:
    cluster: Cluster = start(WALRUS_DURABILITY="never")
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        for _ in range(10):  # what comes first is synced
            assert client.put_many(TOPIC, [b"%d" % number for number in range(5)]) == 5
    eventually(lambda: any(cluster.metrics(n)["unsynced_copies"] for n in (1, 2, 3)), "something unsynced")
    cluster.stop()
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    eventually(lambda: cluster.state(TOPIC)["sealed_segments"].get("1") == 50, "segment 1 sealed at 50")
