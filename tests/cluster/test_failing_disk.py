"""Three nodes, the copies of one of them on a disk (FUSE) that fails to sync or to read on demand."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import SMALL_SEGMENTS, Cluster, Start, eventually
from storage_worlds import FuseDisk, fuse_disk

TOPIC = "orders"
ON_FUSE = 3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FuseDisk]:
    """What node 3 keeps in ``user_data`` is on it."""
    directory = tmp_path / "data" / f"node_{ON_FUSE}" / "user_data"
    directory.mkdir(parents=True)
    directory.parent.with_name("node_1").mkdir()  # without it this would not be a cluster's data
    with fuse_disk(directory) as mounted:
        yield mounted


def records(count: int) -> list[bytes]:
    return [b"record %d" % number for number in range(count)]


def said(cluster: Cluster, *words: str) -> Callable[[], bool]:
    """Whether a line of node 3's log has all these words."""
    return lambda: any(all(word in line for word in words) for line in cluster.log_text(ON_FUSE).splitlines())


def test_a_failed_sync_stops_the_node_with_file_and_errno_and_the_others_go_on(disk: FuseDisk, start: Start) -> None:
    """The core never asks for that sync again: what reached the disk is read by the next process."""
    cluster = start(**SMALL_SEGMENTS)
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client(1, 2) as client:
        assert client.put_many(TOPIC, records(25)) == 25
        disk.order("fail fsync 5")
        client.put(TOPIC, b"record 25")
        assert cluster.exit_codes([ON_FUSE]) == {ON_FUSE: 1}
        assert said(cluster, "ERROR", "user_data/", "EIO: Input/output error", "stopping")()
        client.put(TOPIC, b"record 26")
    assert cluster.read_all(TOPIC, 1) == records(27)
    cluster.start_node(ON_FUSE)
    cluster.until_formed()
    assert cluster.read_all(TOPIC, ON_FUSE) == records(27)


def content(path: Path) -> bytes:
    """Of a file; nothing as long as the disk refuses to read it."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_copy_that_cannot_be_read_is_not_counted_and_filled_again(disk: FuseDisk, start: Start) -> None:
    """In a file of its own, which takes the place of the one that cannot be read."""
    cluster = start(**SMALL_SEGMENTS)
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        assert client.put_many(TOPIC, records(25)) == 25
    eventually(lambda: cluster.metrics(ON_FUSE)["repairs_waiting"] == 0, "whole copies")
    cluster.kill(ON_FUSE)
    cluster.start_node(ON_FUSE)
    cluster.until_formed()
    disk.order(f"refuse read 5 {TOPIC}:1.wal")
    assert cluster.read_all(TOPIC, ON_FUSE) == records(25), "from the copies of others"
    assert said(cluster, f"user_data/{TOPIC}:1.wal", "EIO: Input/output error", "counts in no quorum until repaired")()
    eventually(said(cluster, f"user_data/{TOPIC}:1.wal", "lost copy is filled again"), "the copy, filled again")
    whole = cluster.data_directory / "node_1" / "user_data" / f"{TOPIC}:1.wal"
    mine = cluster.data_directory / f"node_{ON_FUSE}" / "user_data" / f"{TOPIC}:1.wal"
    eventually(lambda: content(mine)[512:] == whole.read_bytes()[512:], "a file that can be read")
    assert cluster.read_all(TOPIC, ON_FUSE) == records(25)
