"""Three nodes on each storage driver: written, read, killed, started again, also on the other driver."""

import pytest
from cluster import SMALL_SEGMENTS, Cluster, Start
from traffic import Writer, judge_everywhere

from walrus.io.storage_choice import choose

TOPIC = "driven"
DISABLED = {"io_uring": "0", "mmap": "1"}


def skip_without(driver: str) -> None:
    choice = choose(disable_io_uring=False)
    if driver == "io_uring" and choice.name != driver:
        pytest.skip(f"no io_uring here: {choice.reason}")


def drivers_told(cluster: Cluster, node: int) -> list[str]:
    """The driver of each of a node's lifetimes, as its log says."""
    lines = cluster.log_text(node).splitlines()
    return [line.partition("storage driver: ")[2].partition(" ")[0] for line in lines if "storage driver: " in line]


@pytest.mark.parametrize("driver", sorted(DISABLED))
def test_three_nodes_on_one_driver_lose_nothing_when_killed_and_restarted(start: Start, driver: str) -> None:
    """Small segments, so that files are created, sealed and cut all the time; each node is killed in turn."""
    skip_without(driver)
    cluster = start(**SMALL_SEGMENTS, WALRUS_DISABLE_IO_URING=DISABLED[driver])
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    addresses = [cluster.client_address(node) for node in (1, 2, 3)]
    writers = [Writer(f"w{node}", TOPIC, addresses[node - 1 :] + addresses[: node - 1]) for node in (1, 2, 3)]
    for writer in writers:
        writer.start()
    for victim in (1, 2, 3):
        for writer in writers:
            writer.until_acknowledged()
        cluster.kill(victim)
        for writer in writers:
            writer.until_acknowledged(5)
        cluster.start_node(victim)
        cluster.until_formed()
    for writer in writers:
        writer.finish()
    records = judge_everywhere(cluster, TOPIC, writers)
    with cluster.client(2) as client:
        assert client.get(TOPIC) == records[0]
    assert [drivers_told(cluster, node) for node in (1, 2, 3)] == [[driver] * 2] * 3


def test_a_node_reads_and_continues_what_it_wrote_with_the_other_driver(start: Start) -> None:
    """The drivers differ in how they write, never in what."""
    skip_without("io_uring")
    cluster = start(**SMALL_SEGMENTS, WALRUS_DISABLE_IO_URING="0")
    cluster.register(TOPIC)
    written: list[bytes] = []
    for driver in ("io_uring", "mmap", "io_uring"):
        with cluster.client() as client:
            for number in range(len(written), len(written) + 25):
                client.put(TOPIC, b"%d" % number)
                written.append(b"%d" % number)
        for node in (1, 2, 3):
            assert cluster.read_all(TOPIC, node) == written
            assert drivers_told(cluster, node)[-1] == driver
        cluster.kill_all()
        cluster.set_environment(WALRUS_DISABLE_IO_URING=DISABLED["io_uring" if driver == "mmap" else "mmap"])
        for node in (1, 2, 3):
            cluster.start_node(node)
        cluster.until_formed()
    for node in (1, 2, 3):
        assert cluster.read_all(TOPIC, node) == written
