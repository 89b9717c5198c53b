"""Backups of a real cluster: made while it is written to, restored into one of another size, exact to the record."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from cluster import SMALL_SEGMENTS, Cluster, Start, eventually, started
from traffic import Consumer, Writer, judge

from walrus.cli.backup import create as creation
from walrus.cli.backup.create import Created, create
from walrus.cli.backup.errors import BackupError
from walrus.cli.backup.format import Manifest
from walrus.cli.backup.places import DirectoryPlace
from walrus.cli.backup.restore import restore
from walrus.cli.backup.source import Source
from walrus.cli.backup.verify import verify
from walrus.client.calls import create_topic

SMALL_OBJECTS = "from walrus.cli.backup import create; create.OBJECT_BYTES = 20_000; "
MAIN = "from walrus.cli.client import main; main()"


def backed_up(cluster: Cluster, place: Path, *nodes: int) -> Created:
    with cluster.client(*nodes) as client:
        return create(Source(client), DirectoryPlace(place), ())


def restored(cluster: Cluster, place: Path, manifest: Manifest) -> None:
    with cluster.client() as client:
        restore(client, DirectoryPlace(place), manifest, ())


def cursor_of(manifest: Manifest, topic: str) -> int:
    (row,) = [row for row in manifest.topics if row.name == topic]
    return row.cursor


def addresses(cluster: Cluster) -> list[str]:
    return [cluster.client_address(node) for node in cluster.node_ids]


def numbered(count: int, size: int = 200) -> list[bytes]:
    return [(b"record %d " % number).ljust(size, b".") for number in range(count)]


def begun(address: str, *arguments: object) -> subprocess.Popen[bytes]:
    """walrus-cli as a process that can be killed, with small objects, so that there are many."""
    program = [sys.executable, "-c", SMALL_OBJECTS + MAIN, "--addr", address, "backup", *map(str, arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))


def objects(place: Path) -> Sequence[Path]:
    return [path for path in place.glob("records/*/*/*") if not path.name.endswith(".new")]


def test_a_backup_under_writes_has_all_that_was_acknowledged_before_and_restores_into_a_cluster_of_one(
    start: Start, tmp_path: Path
) -> None:
    """Its records are the source's, in place; the restored cursor is exact; a second backup copies what is new."""
    cluster = start(**SMALL_SEGMENTS)
    cluster.register("busy")
    writers = [Writer(f"writer{n}", "busy", addresses(cluster)) for n in range(2)]
    consumer = Consumer("busy", addresses(cluster))
    for thread in (*writers, consumer):
        thread.start()
    for writer in writers:
        writer.until_acknowledged(60)
    consumer.until_delivered(20)
    eventually(lambda: cluster.state("busy")["cursor"] > 0, "a committed cursor")
    before = [list(writer.acknowledged) for writer in writers]
    first = backed_up(cluster, tmp_path / "place", 2)
    cluster.kill(3)
    for writer in writers:
        writer.until_acknowledged(40)
    second = backed_up(cluster, tmp_path / "place", 3, 1)  # the first of them does not answer
    for thread in (*writers, consumer):
        thread.finish()
    records = cluster.read_all("busy", 1)
    judge(records, writers)
    assert second.kept == first.copied
    assert second.copied > 0
    assert verify(DirectoryPlace(tmp_path / "place")).wrong == []
    for number, created in enumerate((first, second)):
        with started(tmp_path / f"target-{number}", nodes=1) as target:
            restored(target, tmp_path / "place", created.manifest)
            copied = target.read_all("busy", 1)
            assert copied == records[: len(copied)]
            cursor = cursor_of(created.manifest, "busy")
            assert target.state("busy")["cursor"] == cursor
            assert 0 < cursor <= len(copied) == sum(row.count for row in created.manifest.topics)
            with target.client() as client:
                assert client.get("busy") == (copied[cursor] if cursor < len(copied) else None)
        if created is first:
            assert all(set(acknowledged) <= set(copied) for acknowledged in before)


def test_the_restored_topics_go_through_a_cluster_of_five_and_its_limits(start: Start, tmp_path: Path) -> None:
    """From a cluster of one: payloads of any bytes, several topics, cursors at the start, within and at the end."""
    cluster = start(nodes=1, WALRUS_MAX_SEGMENT_ENTRIES="50")
    payloads = {
        "start": [bytes([number, 0, 10, 255]) * number for number in range(200)],
        "within": numbered(333, size=3000),
        "end": numbered(120),
        "none": [],
    }
    cursors = {"start": 0, "within": 77, "end": 120, "none": 0}
    with cluster.client() as client:
        for topic, records in payloads.items():
            client.register(topic)
            client.put_many(topic, records)
            for _ in range(cursors[topic]):
                client.get(topic)
    eventually(lambda: all(cluster.state(t)["cursor"] == c for t, c in cursors.items()), "committed cursors")
    manifest = backed_up(cluster, tmp_path / "place").manifest
    with started(tmp_path / "target", nodes=5, environment={"WALRUS_MAX_SEGMENT_ENTRIES": "35"}) as target:
        restored(target, tmp_path / "place", manifest)
        for topic, records in payloads.items():
            assert target.read_all(topic, 3) == records
            assert target.state(topic)["cursor"] == cursors[topic]
        assert target.state("within")["current_segment"] == 10


def test_a_create_and_a_restore_that_are_killed_go_on_to_the_exact_end(start: Start, tmp_path: Path) -> None:
    cluster = start(nodes=1)
    records = numbered(20_000)
    with cluster.client() as client:
        client.register("t")
        client.put_many("t", records)
        for _ in range(100):
            client.get("t")
    eventually(lambda: cluster.state("t")["cursor"] == 100, "the committed cursor")
    place = tmp_path / "place"
    with begun(cluster.client_address(1), "create", place) as process:
        eventually(lambda: len(objects(place)) >= 5, "some objects")
        process.kill()
    assert list(place.glob("backups/*")) == []
    left = len(objects(place))
    with begun(cluster.client_address(1), "create", place) as process:
        told = process.communicate()[1].decode()
    assert process.returncode == 0, told
    assert f", {left} were there" in told
    with started(tmp_path / "target", nodes=1) as target:

        def count() -> int:
            with target.client() as client:
                return Source(client).view("t").count

        with begun(target.client_address(1), "restore", place) as process:
            eventually(lambda: count() > 1000, "some records")
            process.kill()
        assert count() < len(records)
        with begun(target.client_address(1), "restore", place) as process:
            told = process.communicate()[1].decode()
        assert process.returncode == 0, told
        assert target.read_all("t", 1) == records
        assert target.state("t")["cursor"] == 100


def test_a_damaged_object_and_a_topic_with_records_are_refused_by_name(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "OBJECT_BYTES", 5_000)
    cluster = start(nodes=1)
    with cluster.client() as client:
        client.put_many("logs", numbered(500))
    manifest = backed_up(cluster, tmp_path / "place").manifest
    with cluster.client() as client:
        client.put("logs", b"one more")
    with pytest.raises(BackupError, match=r"topic logs exists and is no interrupted restore .*: it has 501 records"):
        restored(cluster, tmp_path / "place", manifest)
    victim = sorted(objects(tmp_path / "place"))[2]
    data = victim.read_bytes()
    victim.write_bytes(data[:3000] + bytes([data[3000] ^ 4]) + data[3001:])
    name = victim.relative_to(tmp_path / "place").as_posix()
    assert [text.partition(":")[0] for text in verify(DirectoryPlace(tmp_path / "place")).wrong] == [name]
    with started(tmp_path / "target", nodes=1) as target:
        with pytest.raises(BackupError, match=name):
            restored(target, tmp_path / "place", manifest)
        assert target.read_all("logs", 1) == []


def test_a_restore_during_which_a_node_dies_ends_exact_or_says_that_it_did_not(start: Start, tmp_path: Path) -> None:
    """The node that takes the requests dies, and another that leads goes on with them."""
    cluster = start(nodes=1)
    records = numbered(30_000)
    with cluster.client() as client:
        client.register("t")
        client.put_many("t", records)
    place = tmp_path / "place"
    backed_up(cluster, place)
    with started(tmp_path / "target") as target:
        leader = target.segment_leader("logs")
        asked = next(node for node in target.node_ids if node != leader)
        others = [node for node in target.node_ids if node != asked]
        first, *rest = [target.client_address(node) for node in (asked, *others)]

        def count() -> int:
            with target.client(*others) as client:
                return Source(client).view("t").count

        with begun(f"{first},{','.join(rest)}", "restore", place) as process:
            eventually(lambda: count() > 1000, "some records")
            assert process.poll() is None
            target.kill(asked)
            told = process.communicate()[1].decode()
        if process.returncode == 0:
            assert target.read_all("t", others[0]) == records
        else:
            assert "t can no longer be restored exactly" in told
            assert target.read_all("t", others[0]) != records


def test_settings_come_back_and_what_retention_removed_is_no_part_of_it(start: Start, tmp_path: Path) -> None:
    cluster = start(nodes=1, WALRUS_MAX_SEGMENT_ENTRIES="10")
    payloads = [b"%d" % number for number in range(95)]
    with cluster.client() as client:
        client.call(create_topic("events", {"retention_ms": 86_400_000, "retention_records": 20}))
        assert client.put_many("events", payloads) == len(payloads)
        eventually(lambda: cluster.state("events")["earliest_offset"] >= 70, "segments removed by retention")
        for _ in range(3):
            client.get("events")
    earliest = cluster.state("events")["earliest_offset"]
    eventually(lambda: cluster.state("events")["cursor"] == earliest + 3, "a committed cursor")
    manifest = backed_up(cluster, tmp_path / "place").manifest
    with started(tmp_path / "target", nodes=1) as target:
        restored(target, tmp_path / "place", manifest)
        state = target.state("events")
        assert (state["retention_ms"], state["retention_records"], state["cursor"]) == (86_400_000, 20, 3)
        assert target.read_all("events", 1) == payloads[earliest:]
