"""Node 1 has lost its disk and is started as ever, without --join: its initial peers say whether there is a cluster."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, eventually

TOPIC = "logs"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes, of which node 1 knows the others; formed, with a record."""
    found = Cluster(tmp_path / "data")
    found.set_initial_peers(1, 2, 3)
    try:
        found.start()
        found.until_formed()
        found.until_replicated(TOPIC)
        with found.client() as client:
            client.put(TOPIC, b"before")
        yield found
    finally:
        found.dispose()


def lose_disk(cluster: Cluster) -> None:
    cluster.kill(1)
    shutil.rmtree(cluster.data_directory / "node_1")


def clusters(cluster: Cluster) -> set[str]:
    return {cluster.metrics(node)["cluster"] for node in cluster.running()}


def test_it_joins_its_cluster_again_and_founds_none(cluster: Cluster) -> None:
    before = cluster.metrics(2)["cluster"]
    lose_disk(cluster)
    cluster.start_node(1)
    eventually(lambda: not cluster.why_not_formed() and clusters(cluster) == {before}, "one cluster of all three")
    assert cluster.log_text(1).count("Bootstrapped cluster") == 1, "the first time only"
    cluster.until_replicated(TOPIC)
    assert cluster.read_all(TOPIC, 1) == [b"before"]


@pytest.mark.parametrize("acknowledges", [False, True])
def test_if_it_could_not_hear_them_it_stops_as_soon_as_it_can_and_says_what_to_do(
    cluster: Cluster, acknowledges: bool
) -> None:
    lose_disk(cluster)
    cluster.pause(2)
    cluster.pause(3)
    cluster.start_node(1)
    with cluster.client(1) as client:
        eventually(lambda: client.metrics()["lease_valid"], "a cluster of its own")
        if acknowledges:
            client.put(TOPIC, b"beside")
    cluster.go_on(2)
    cluster.go_on(3)
    assert cluster.exit_codes([1]) == {1: 1}
    said = "clients have been acknowledged here" if acknowledges else "remove this data directory and start again"
    assert said in cluster.log_text(1)
    shutil.rmtree(cluster.data_directory / "node_1")
    cluster.start_node(1)
    eventually(lambda: not cluster.why_not_formed() and len(clusters(cluster)) == 1, "one cluster of all three")
    assert cluster.read_all(TOPIC, 1) == [b"before"]
