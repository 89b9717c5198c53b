"""Three nodes, one on a disk that really fills up: the others go on, it refuses, and it comes back by itself."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Start, eventually
from test_drivers import DISABLED, skip_without

from walrus.client.errors import WalrusError

SMALL = 2
SIZE_MIB = 24
PAYLOAD = b"x" * 64 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The data of node 2 is on a tmpfs of its own."""
    directory = tmp_path / "data" / f"node_{SMALL}"
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs takes root")
    directory.mkdir(parents=True)
    directory.with_name("node_1").mkdir()  # without it this would not be a cluster's data
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


def fill(directory: Path) -> None:
    """Somebody else takes all the room that is left."""
    free = os.statvfs(directory)
    with (directory / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)


def is_full(cluster: Cluster) -> Callable[[], bool]:
    return lambda: "No room on the disk" in cluster.log_text(SMALL)


@pytest.mark.parametrize("driver", sorted(DISABLED))
def test_a_full_disk_stops_one_nodes_writes_and_no_node(small_disk: Path, start: Start, driver: str) -> None:
    skip_without(driver)
    cluster = start(WALRUS_DISABLE_IO_URING=DISABLED[driver])
    assert cluster.data_directory / f"node_{SMALL}" == small_disk
    elsewhere = cluster.topic_led_by(lambda node: node != SMALL)
    its_own = cluster.topic_led_by(lambda node: node == SMALL)
    written: dict[str, list[bytes]] = {elsewhere: [], its_own: []}

    def put(topic: str, payload: bytes) -> str:
        with cluster.client() as client:
            try:
                client.put(topic, payload)
            except WalrusError as error:
                return str(error)
        written[topic].append(payload)
        return ""

    assert put(its_own, b"before") == put(elsewhere, b"before") == ""
    fill(small_disk)
    while not is_full(cluster)():
        assert put(elsewhere, PAYLOAD) == "", "two of three have room"
    refused = "no space left on node 2"
    eventually(lambda: refused in put(its_own, b"refused"), "a refusal by the full node")
    for number in range(20):
        assert put(elsewhere, b"meanwhile %d" % number) == ""
    assert cluster.read_all(its_own, SMALL) == written[its_own], "it still reads"
    topics = cluster.metrics(SMALL)["topics"]
    cluster.register("born-meanwhile")
    eventually(lambda: cluster.metrics(SMALL)["topics"] == topics + 1, "the new topic on the full node")
    assert SMALL in cluster.running()

    (small_disk / "ballast").unlink()
    eventually(lambda: put(its_own, b"after") == "", "a PUT that is taken again")
    assert put(elsewhere, b"after") == ""
    eventually(
        lambda: (small_disk / "user_data" / f"{elsewhere}:1.wal").read_bytes().count(b"after"), "the copy caught up"
    )
    cluster.kill(SMALL)
    cluster.start_node(SMALL)
    cluster.until_formed()
    for topic, records in written.items():
        for node in (1, 2, 3):
            assert cluster.read_all(topic, node) == records
