"""Replies that reach nobody, disks that are gone, files that changed: reads go on with the truth."""

import shutil
from pathlib import Path

from cluster import SMALL_SEGMENTS, Cluster, Start, Wire, eventually

from walrus.client.calls import get

TOPIC = "orders"


def numbered(count: int) -> list[bytes]:
    return [b"record %d" % number for number in range(count)]


def segment_file(cluster: Cluster, node: int, segment: int) -> Path:
    return cluster.data_directory / f"node_{node}" / "user_data" / f"{TOPIC}:{segment}.wal"


def stored(cluster: Cluster, node: int, segment: int) -> int:
    """How many of this test's records a copy holds unharmed."""
    return segment_file(cluster, node, segment).read_bytes().count(b"record ")


def damage(path: Path) -> None:
    """Change one byte of the first record's payload, which is in the middle of what the file holds."""
    data = bytearray(path.read_bytes())
    data[data.index(b"record ")] ^= 0x40
    path.write_bytes(data)


def test_a_get_whose_client_is_gone_before_the_reply_takes_nothing(start: Start) -> None:
    """The owner of the cursor answers when the client's connection to another node is broken: handed out again."""
    cluster = start()
    topic = cluster.topic_led_by(lambda node: node != cluster.raft_leader())
    owner = cluster.segment_leader(topic)
    through = next(node for node in (1, 2, 3) if node not in (owner, cluster.raft_leader()))
    with cluster.client() as client:
        client.put_many(topic, numbered(10))
    with cluster.client(through) as watcher, Wire(cluster.client_address(through)) as wire:
        cluster.pause(owner)
        wire.send(*[get(topic)] * 5)
        eventually(lambda: watcher.metrics()["requests_waiting"] == 5, "five GETs under way")
        before = watcher.metrics()["client_connections"]
        wire.abort()
        eventually(lambda: watcher.metrics()["client_connections"] < before, "the end of the connection")
    cluster.go_on(owner)
    cluster.until_formed()
    with cluster.client(through) as client:
        assert [client.get(topic) for _ in range(11)] == [*numbered(10), None]


def test_the_loss_of_a_whole_disk_loses_no_record_and_stops_no_topic(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        assert client.put_many(TOPIC, numbered(55)) == 55
        victim = client.state(TOPIC)["leader_node"]
    cluster.kill(victim)
    shutil.rmtree(cluster.data_directory / f"node_{victim}")
    survivors = cluster.running()
    with cluster.client(*survivors) as client:
        client.put(TOPIC, b"afterwards")
        assert [client.get(TOPIC) for _ in range(57)] == [*numbered(55), b"afterwards", None]
    for node in survivors:
        assert cluster.read_all(TOPIC, node) == [*numbered(55), b"afterwards"]


def with_damaged_copies(cluster: Cluster) -> int:
    """Seal three segments, then change the middle of their files on one node while it is down; that node."""
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        assert client.put_many(TOPIC, numbered(35)) == 35
    eventually(lambda: cluster.state(TOPIC)["current_segment"] == 4, "three sealed segments")
    eventually(lambda: [stored(cluster, n, s) for n in (1, 2, 3) for s in (1, 2, 3)] == [10] * 9, "complete copies")
    victim = next(node for node in (1, 2, 3) if node != cluster.segment_leader(TOPIC))
    cluster.kill(victim)
    for segment in (1, 2, 3):
        damage(segment_file(cluster, victim, segment))
    cluster.start_node(victim)
    cluster.until_formed()
    return victim


def test_a_damaged_copy_is_never_read(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    victim = with_damaged_copies(cluster)
    for node in (victim, 1, 2, 3):
        assert cluster.read_all(TOPIC, node) == numbered(35)
    with cluster.client(victim) as client:
        assert [client.get(TOPIC) for _ in range(36)] == [*numbered(35), None]


def test_a_damaged_copy_is_filled_again_once_it_was_found(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    victim = with_damaged_copies(cluster)
    assert cluster.read_all(TOPIC, victim) == numbered(35)
    eventually(lambda: [stored(cluster, victim, segment) for segment in (1, 2, 3)] == [10] * 3, "sound copies")


def test_a_damaged_copy_of_the_open_segment_does_not_count_and_costs_no_record(start: Start) -> None:
    """All nodes were down, one copy is corrupt in the middle: the other two seal the segment and fill it again."""
    cluster = start()
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        for payload in numbered(30):
            client.put(TOPIC, payload)
    cluster.kill_all()
    damage(segment_file(cluster, 2, 1))
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    for node in (1, 2, 3):
        assert cluster.read_all(TOPIC, node) == numbered(30)
    assert cluster.state(TOPIC)["sealed_segments"] == {"1": 30}


def test_a_torn_tail_is_cut_and_completed(start: Start) -> None:
    """The last bytes of one copy never reached its disk, as after a power failure without a sync."""
    cluster = start()
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        for payload in numbered(30):
            client.put(TOPIC, payload)
    eventually(lambda: all(stored(cluster, node, 1) == 30 for node in (1, 2, 3)), "whole copies on the other two")
    cluster.kill_all()
    path = segment_file(cluster, 3, 1)
    data = path.read_bytes()
    end = data.rindex(b"record ")
    path.write_bytes(data[: end + len(b"record ") - 3])
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    for node in (1, 2, 3):
        assert cluster.read_all(TOPIC, node) == numbered(30)


def test_rot_in_a_sealed_copy_that_nobody_reads_is_found_and_repaired(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS, WALRUS_SCRUB_INTERVAL_MS="300")
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        client.put_many(TOPIC, numbered(25))
        eventually(lambda: client.state(TOPIC)["sealed_segments"].get("1") == 10, "a sealed segment")
    before = {node: segment_file(cluster, node, 1) for node in (1, 2, 3)}
    eventually(lambda: all(stored(cluster, node, 1) == 10 for node in before), "three whole copies")
    sound = before[2].read_bytes()
    damage(before[2])
    eventually(lambda: before[2].read_bytes() == sound, "the repair of a copy that nobody has read")
    assert "orders:1.wal: looked through, and found unsound" in cluster.log_text(2)
