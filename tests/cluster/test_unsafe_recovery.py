"""Two of three nodes are gone for good: what the third one holds is served again by an operator's command only."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cluster import SMALL_SEGMENTS, Cluster, Start, eventually

from walrus.cli.client import main
from walrus.client.errors import OutcomeUnknown, WalrusError

TOPIC = "kept"
SURVIVOR = 2
SURE = "--yes-i-know-that-records-may-be-lost"


def recover(cluster: Cluster, node: int, *arguments: str, answer: str = "") -> Result:
    """The operator's command."""
    return CliRunner().invoke(main, ["recover", str(directory(cluster, node)), *arguments], input=answer)


def directory(cluster: Cluster, node: int) -> Path:
    return cluster.data_directory / f"node_{node}"


def written(cluster: Cluster, count: int) -> list[bytes]:
    """Records of a topic, all of them on all three nodes."""
    records = [b"%d" % number for number in range(count)]
    with cluster.client() as client:
        client.register(TOPIC)
        cluster.until_replicated(TOPIC)
        for record in records:
            client.put(TOPIC, record)
    eventually(lambda: cluster.metrics(SURVIVOR)["repairs_waiting"] == 0, "all copies whole")
    return records


def lose(cluster: Cluster, *nodes: int) -> None:
    """These nodes and their disks are gone."""
    for node in nodes:
        if node in cluster.running():
            cluster.kill(node)
        shutil.rmtree(directory(cluster, node))


def is_put(cluster: Cluster, payload: bytes) -> bool:
    """Whether a PUT was acknowledged; the segment may still be the one that is about to be taken from a gone writer."""
    try:
        with cluster.client(SURVIVOR) as client:
            client.put(TOPIC, payload)
    except OutcomeUnknown:
        return False
    return True


def test_a_survivor_goes_on_with_what_it_holds_when_an_operator_says_so_and_new_nodes_join_it(
    start: Start, tmp_path: Path
) -> None:
    cluster = start(WALRUS_RPC_TIMEOUT_MS="500", **SMALL_SEGMENTS)
    records = written(cluster, 35)
    cluster.kill(3)
    old = shutil.copytree(directory(cluster, 3), tmp_path / "old")
    lose(cluster, 1, 3)
    eventually(lambda: not cluster.metrics(SURVIVOR)["lease_valid"], "a survivor that serves nothing it cannot prove")
    with cluster.client(SURVIVOR) as client, pytest.raises(WalrusError):
        client.put(TOPIC, b"no")
    running = recover(cluster, SURVIVOR, SURE)
    assert running.exit_code == 1
    assert "is in use" in running.output
    cluster.kill(SURVIVOR)

    refused = recover(cluster, SURVIVOR, answer="n\n")
    assert refused.exit_code == 1
    assert "given up for good: node 1" in refused.output
    assert "given up for good: node 3" in refused.output
    assert f"topic {TOPIC}: 35 records are here, no sealed one is lost" in refused.output
    done = recover(cluster, SURVIVOR, SURE)
    assert done.exit_code == 0, done.output
    assert recover(cluster, SURVIVOR, SURE).output.startswith("Nothing to be done")

    cluster.start_node(SURVIVOR)
    eventually(lambda: cluster.metrics(SURVIVOR)["lease_valid"], "a survivor that leads alone")
    eventually(lambda: cluster.state(TOPIC)["segment_state"] == "OPEN", "a segment to write to")
    eventually(lambda: is_put(cluster, b"after"), "a PUT")
    kept = cluster.read_all(TOPIC, SURVIVOR)
    assert kept[: len(records)] == records
    assert set(kept[len(records) :]) == {b"after"}
    (told,) = cluster.state(TOPIC)["unsafe_recoveries"]
    assert told["nodes_given_up"] == [1, 3]
    assert "unsafe recovery was used" in cluster.log_text(SURVIVOR)

    shutil.move(old, directory(cluster, 3))
    cluster.start_node(3)  # on its old data: it finds the survivor at its old address
    assert cluster.exit_codes([3]) == {3: 1}
    assert "was removed from the cluster, which has gone on without it" in cluster.log_text(3)
    shutil.rmtree(directory(cluster, 3))
    cluster.join(3, through=SURVIVOR)
    cluster.join(4, through=SURVIVOR)
    cluster.until_replicated(TOPIC)
    eventually(lambda: cluster.read_all(TOPIC, 4) == kept, "all records on a new node")
    assert cluster.metrics(4)["unsafe_recoveries"] == cluster.metrics(SURVIVOR)["unsafe_recoveries"]


def test_a_plain_copy_of_a_stopped_nodes_directory_becomes_a_cluster_of_its_own(start: Start, tmp_path: Path) -> None:
    """The deployment document's first way to back up: what it does not cover is what that one node lacked."""
    cluster = start(**SMALL_SEGMENTS)
    records = written(cluster, 25)
    cluster.terminate(SURVIVOR)
    assert cluster.exit_codes([SURVIVOR]) == {SURVIVOR: 0}
    backup = shutil.copytree(directory(cluster, SURVIVOR), tmp_path / "backup")
    with cluster.client(1) as client:
        client.put(TOPIC, b"later")
    lose(cluster, 1, 3)
    shutil.rmtree(directory(cluster, SURVIVOR))

    shutil.copytree(backup, directory(cluster, SURVIVOR))
    done = recover(cluster, SURVIVOR, SURE)
    assert done.exit_code == 0, done.output
    cluster.start_node(SURVIVOR)
    eventually(lambda: cluster.metrics(SURVIVOR)["lease_valid"], "a node that leads alone")
    eventually(lambda: cluster.read_all(TOPIC, SURVIVOR) == records, "every record of the copy")
