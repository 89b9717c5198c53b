"""Retention and deletion of topics on a cluster of real nodes, one of them down meanwhile."""

import subprocess
import sys
from pathlib import Path

from cluster import SMALL_SEGMENTS, Cluster, eventually, started

from walrus.client import WalrusClient, calls

RECORDS = 95  # nine sealed segments of ten, and an open one


def cli(cluster: Cluster, *words: str) -> str:
    """What ``walrus-cli`` prints; it must succeed."""
    command = [sys.executable, "-m", "walrus.cli.client", "--addr", cluster.client_address(1), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def put_at_last(client: WalrusClient, topic: str, payload: bytes) -> None:
    """Append a record, whatever becomes of earlier attempts."""
    eventually(lambda: client.call(calls.put(topic, payload)) == b"OK", f"{payload!r} in {topic}")


def files_of(directory: Path, topic: str) -> dict[int, list[int]]:
    """node -> numbers of the topic's segments that it has a file of."""
    return {
        node: sorted(int(path.stem.rpartition(":")[2]) for path in directory.glob(f"node_{node}/user_data/{topic}:*"))
        for node in (1, 2, 3)
    }


def test_retention_and_deletion_reach_every_node_also_one_that_was_down(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    with started(directory, environment=SMALL_SEGMENTS | {"WALRUS_SNAPSHOT_ENTRIES": "20"}) as cluster:
        assert cli(cluster, "topic", "create", "kept", "--retention-records", "40") == "OK\n"
        assert cli(cluster, "topic", "create", "gone") == "OK\n"
        cluster.until_formed()
        cluster.until_replicated("kept")
        cluster.until_replicated("gone")
        cluster.kill(3)
        with cluster.client(1, 2) as client:
            for topic in ("kept", "gone"):
                for number in range(RECORDS):
                    put_at_last(client, topic, b"%d" % number)
            eventually(lambda: cluster.state("kept", 1)["earliest_offset"] >= 40, "retention")
            found = cluster.state("kept", 1)
            sealed = found["sealed_segments"]
            assert sum(sealed.values()) >= 40, "more went than the setting allows"
            client.delete_topic("gone")
            for node in (1, 2):
                with cluster.client(node) as other:
                    for call in (calls.put("gone", b"late"), calls.get("gone"), calls.state("gone")):
                        assert other.call(call) == b"ERR unknown topic gone"
        cluster.start_node(3)
        cluster.until_formed()

        def earliest_everywhere() -> bool:
            first = cluster.state("kept", 1)["earliest_segment"]
            held = files_of(directory, "kept")
            return all(min(numbers, default=first) >= first for numbers in held.values()) and bool(held[3])

        eventually(earliest_everywhere, "what retention removed is removed on every node")
        eventually(lambda: not any(files_of(directory, "gone").values()), "the files of a deleted topic go everywhere")
        with cluster.client(2) as client:
            client.create_topic("gone", retention_ms=3_600_000)
            put_at_last(client, "gone", b"new")
            assert client.get("gone") == b"new"
            assert cluster.state("gone", 3)["retention_ms"] == 3_600_000
            earliest = cluster.state("kept", 2)["earliest_offset"]
            assert client.get("kept") == b"%d" % earliest, "the cursor moved to the earliest record"
