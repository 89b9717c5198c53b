"""Snapshots of the metadata in a real cluster: what the log takes on the disk, and who comes back after it was cut."""

from pathlib import Path

from cluster import Cluster, Start, Wire, eventually

from walrus.client.calls import register

FEW = {"WALRUS_SNAPSHOT_ENTRIES": "100"}
AT_ONCE = 250
LOG_BYTES_MAX = 256 * 1024  # of which half may be reserved only; without snapshots it would be 600 KiB and more


def names(first: int, last: int) -> list[str]:
    return [f"topic-{number}" for number in range(first, last)]


def create(cluster: Cluster, topics: list[str], *nodes: int) -> None:
    """Commands for the metadata: one per topic."""
    with Wire(cluster.client_address((nodes or tuple(cluster.running()))[0])) as wire:
        for start in range(0, len(topics), AT_ONCE):
            asked = topics[start : start + AT_ONCE]
            assert wire.ask(*map(register, asked)) == [b"OK"] * len(asked)


def log_bytes(cluster: Cluster, node: int) -> int:
    """Without what is reserved behind it."""
    folder: Path = cluster.data_directory / f"node_{node}" / "raft_meta"
    return sum(len(path.read_bytes().rstrip(b"\0")) for path in folder.glob("entries.log"))


def topics_of(cluster: Cluster, node: int) -> list[str]:
    with cluster.client(node) as client:
        return client.topics()


def test_a_node_that_was_away_while_the_log_was_cut_comes_back_by_a_snapshot(start: Start) -> None:
    cluster = start(**FEW)
    away = next(node for node in (2, 3) if node != cluster.raft_leader())
    cluster.kill(away)
    last = cluster.metrics(cluster.raft_leader())["last_log_index"]
    leader = cluster.raft_leader()
    made = 0

    def is_cut() -> bool:
        """Entries are kept for a follower that answered just now, so go on until it has been silent for long enough."""
        nonlocal made
        create(cluster, names(made, made + 100), leader)
        made += 100
        return bool(cluster.metrics(leader)["first_log_index"] > last + 1)

    eventually(is_cut, "a log that was cut")
    cluster.start_node(away)
    cluster.until_formed()
    assert "Installed the leader's snapshot" in cluster.log_text(away)
    assert topics_of(cluster, away) == sorted([*names(0, made), "logs"])
    with cluster.client(away) as client:
        client.put("topic-7", b"through the node that was away")
        assert client.get("topic-7") == b"through the node that was away"


def test_a_node_that_joins_late_gets_a_snapshot_and_becomes_a_voter(start: Start) -> None:
    cluster = start(**FEW)
    create(cluster, names(0, 250))
    eventually(lambda: cluster.metrics(cluster.raft_leader())["first_log_index"] > 1, "a log that was cut")
    cluster.join(4, through=2)
    cluster.until_formed()
    assert "Installed the leader's snapshot" in cluster.log_text(4)
    assert topics_of(cluster, 4) == sorted([*names(0, 250), "logs"])


def test_all_nodes_start_from_their_snapshots_and_know_what_they_knew(start: Start) -> None:
    cluster = start(**FEW)
    create(cluster, names(0, 250))
    with cluster.client() as client:
        for number in range(20):
            client.put(f"topic-{number}", b"record of %d" % number)
    for _ in range(2):
        cluster.kill_all()
        for node in (3, 1, 2):
            cluster.start_node(node)
        cluster.until_formed()
        for node in (1, 2, 3):
            assert topics_of(cluster, node) == sorted([*names(0, 250), "logs"])
            assert cluster.metrics(node)["first_log_index"] > 1
    with cluster.client(2) as client:
        assert [client.get(f"topic-{number}") for number in range(20)] == [b"record of %d" % n for n in range(20)]


def test_the_log_stays_small_over_five_thousand_commands(start: Start) -> None:
    """The state grows with the topics, and the snapshot with it, but not the log of changes. A burst may exceed what
    lies between two snapshots; it is cut after it.
    """
    cluster = start(WALRUS_SNAPSHOT_ENTRIES="200")

    def is_small() -> bool:
        return all(log_bytes(cluster, node) <= LOG_BYTES_MAX for node in (1, 2, 3))

    for first in range(0, 5_000, AT_ONCE):
        create(cluster, names(first, first + AT_ONCE))
        if first % 1_000 == 0:
            eventually(is_small, "small logs")
    eventually(is_small, "small logs")
    assert cluster.metrics(1)["commit_index"] > 5_000
