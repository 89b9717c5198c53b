"""Backups and restores that end anywhere: what is not whole is no backup, and what goes on ends up exact."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest
from fake_server import FakeServer
from fake_topics import FakeTopics, GoneAfter, MemoryPlace
from hypothesis import given, settings
from hypothesis import strategies as st

from walrus.cli.backup import create as creation
from walrus.cli.backup.create import Created, create
from walrus.cli.backup.errors import BackupError, PlaceError
from walrus.cli.backup.format import Manifest, decode_object, encode_object
from walrus.cli.backup.restore import restore
from walrus.cli.backup.shelf import read_shelf
from walrus.cli.backup.source import Piece, Source
from walrus.cli.backup.verify import verify
from walrus.client import WalrusClient, WalrusError

SMALL_OBJECT_BYTES = 40


@contextmanager
def client_of(cluster: FakeTopics) -> Iterator[WalrusClient]:
    with FakeServer(cluster) as server, WalrusClient([server.address]) as client:
        yield client


def backed_up(client: WalrusClient, place: MemoryPlace) -> Created:
    with mock.patch.object(creation, "OBJECT_BYTES", SMALL_OBJECT_BYTES):
        return create(Source(client), place, ())


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"record %d" % number for number in range(first, first + count)]


def filled() -> FakeTopics:
    """Two topics with sealed segments and an open one, a cursor and a setting; and one without records."""
    cluster = FakeTopics(segment_entries=12)
    cluster.put("a", *numbered(30)).cursor = 17
    cluster.put("b", *numbered(5), b"").settings = {"retention_ms": 1000}
    cluster.put("empty")
    return cluster


def held(cluster: FakeTopics) -> dict[str, tuple[list[bytes], int, dict[str, int]]]:
    return {name: (topic.records, topic.cursor, topic.settings) for name, topic in cluster.topics.items()}


def restored(place: MemoryPlace, manifest: Manifest) -> dict[str, tuple[list[bytes], int, dict[str, int]]]:
    fresh = FakeTopics(cluster=2, segment_entries=7)
    with client_of(fresh) as client:
        restore(client, place, manifest, ())
    return held(fresh)


def test_a_backup_restores_to_the_same_records_cursors_and_settings() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        created = backed_up(client, place)
    assert restored(place, created.manifest) == held(cluster)
    assert (verify(place).wrong, created.kept, created.copied) == ([], 0, len(place.objects) - 1)


def test_a_backup_that_ends_at_any_write_is_none_and_the_next_copies_only_the_rest() -> None:
    cluster = filled()
    whole = MemoryPlace()
    with client_of(cluster) as client:
        backed_up(client, whole)
        for number in range(len(whole.objects)):
            place = MemoryPlace()
            place.writes_left = number
            with pytest.raises(PlaceError):
                backed_up(client, place)
            assert read_shelf(place).manifests == []
            torn = [name for name, data in place.objects.items() if whole.objects.get(name) != data]
            sound = sum(name.startswith("records/") for name in place.objects.keys() - torn)
            assert sound == number
            place.writes_left = 1 << 30
            again = backed_up(client, place)
            assert (again.kept, again.copied) == (sound, len(whole.objects) - 1 - sound)
            assert {n: d for n, d in place.objects.items() if n in whole.objects and n.startswith("records/")} == {
                n: d for n, d in whole.objects.items() if n.startswith("records/")
            }
            assert restored(place, again.manifest) == held(cluster)


def test_a_later_backup_copies_only_what_is_new_and_reads_nothing_else() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        first = backed_up(client, place)
        assert (nothing := backed_up(client, place)).copied == 0
        assert nothing.kept == first.copied
        cluster.put("a", *numbered(2, first=30))
        before, reads = set(place.objects), place.reads
        later = backed_up(client, place)
    assert place.reads - reads == 2  # the manifests
    (new,) = [name for name in set(place.objects) - before if name.startswith("records/")]
    assert new == "records/a/0000000003/000000000006"
    assert restored(place, later.manifest) == held(cluster)
    assert restored(place, first.manifest)["a"][0] == numbered(30)
    assert len({first.manifest.id, nothing.manifest.id, later.manifest.id}) == 3
    assert [each.id for each in read_shelf(place).manifests][-1] == later.manifest.id


@settings(max_examples=30)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 9)),
            st.tuples(st.just("roll"), st.just(0)),
            st.tuples(st.just("backup"), st.integers(0, 8)),
            st.tuples(st.just("backup"), st.just(1 << 30)),
            st.tuples(st.just("get"), st.integers(1, 9)),
        ),
        max_size=14,
    )
)
def test_whatever_was_cut_off_between_them_every_backup_holds_its_own_moment(story: list[tuple[str, int]]) -> None:
    cluster, place = FakeTopics(), MemoryPlace()
    topic = cluster.put("t")
    moments = {}
    with client_of(cluster) as client:
        for deed, number in [*story, ("backup", 1 << 30)]:
            if deed == "put":
                cluster.put("t", *numbered(number, first=len(topic.records)))
            elif deed == "get":
                topic.cursor = min(topic.cursor + number, len(topic.records))
            elif deed == "roll":
                topic.roll()
            else:
                place.writes_left = number
                try:
                    moments[backed_up(client, place).manifest.id] = (topic.records, topic.cursor, {})
                except PlaceError:
                    assert number < 1 << 30
        place.writes_left = 1 << 30
    shelf = read_shelf(place)
    assert {manifest.id for manifest in shelf.manifests} == set(moments)
    assert [text for text in verify(place).wrong if text not in shelf.damaged.values()] == []
    for manifest in shelf.manifests:
        assert restored(place, manifest) == {"t": moments[manifest.id]}


def test_an_object_that_is_gone_or_cut_off_is_copied_again_by_the_next_backup() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        first = backed_up(client, place)
        gone, short = sorted(name for name in place.objects if name.startswith("records/a"))[:2]
        del place.objects[gone]
        place.objects[short] = place.objects[short][:-1]
        assert backed_up(client, place).copied == 2
    assert verify(place).wrong == []
    assert restored(place, first.manifest) == held(cluster)


def test_another_clusters_place_is_refused_and_so_is_a_cluster_that_lost_records() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        backed_up(client, place)
        del cluster.topics["a"].segments[-1][-1]
        with pytest.raises(BackupError, match="a:3 has 5 records, an earlier backup of it 6"):
            backed_up(client, place)
    with (
        client_of(FakeTopics(cluster=9)) as client,
        pytest.raises(BackupError, match="of cluster 0000000000000001, this is cluster 0000000000000009"),
    ):
        backed_up(client, place)


def test_a_backup_while_retention_removes_segments_holds_what_is_left() -> None:
    cluster, place = filled(), MemoryPlace()
    topic = cluster.topics["a"]
    fetched = []

    def trim(frame: bytes) -> None:
        if frame.startswith(b"FETCH a 1 "):
            fetched.append(frame)
            topic.removed = 1 if len(fetched) == 6 else topic.removed

    cluster.before = trim
    with client_of(cluster) as client:
        created = backed_up(client, place)
    (row,) = [row for row in created.manifest.topics if row.name == "a"]
    assert ([segment.number for segment in row.segments], row.cursor) == ([2, 3], 5)
    assert restored(place, created.manifest)["a"][0] == numbered(18, first=12)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_restore_that_ends_at_any_request_goes_on_to_the_exact_end(carried_out: bool) -> None:
    """A cluster that goes away for good, with the last request carried out or not; then it is back."""
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    for number in range(1, 70, 6):
        fresh = FakeTopics(cluster=2, segment_entries=7)
        with client_of(fresh) as client:
            setattr(fresh, "after" if carried_out else "before", GoneAfter(number, once=False))
            with pytest.raises(WalrusError):
                restore(client, place, manifest, ())
            fresh.before = fresh.after = lambda frame: None
            restore(client, place, manifest, ())
        assert held(fresh) == held(cluster)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_restore_survives_a_connection_lost_at_any_request(
    carried_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walrus.cli.backup.restore.PATIENCE_S", 60.0)
    monkeypatch.setattr("walrus.cli.backup.restore._PAUSE_S", 0.0)
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    for number in range(1, 70, 6):
        fresh = FakeTopics(cluster=2, segment_entries=7)
        with client_of(fresh) as client:
            setattr(fresh, "after" if carried_out else "before", GoneAfter(number, once=True))
            restore(client, place, manifest, ())
        assert held(fresh) == held(cluster)


def test_a_topic_with_other_records_is_refused_before_anything_is_written() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    refusals = {
        "its record 1 is not that of the backup": lambda fresh: fresh.put("b", b"record 0", b"other"),
        "it has 7 records, the backup 6": lambda fresh: fresh.put("b", *numbered(7)),
        "its cursor is at record 1, that of the backup at 0": lambda fresh: setattr(
            fresh.put("b", b"record 0"), "cursor", 1
        ),
    }
    for text, spoil in refusals.items():
        fresh = FakeTopics(cluster=2)
        spoil(fresh)
        before = held(fresh)
        with client_of(fresh) as client, pytest.raises(BackupError, match=f"topic b exists .*: {text}"):
            restore(client, place, manifest, ())
        assert held(fresh) == before


def test_a_cluster_that_drops_one_record_of_a_batch_is_found_out() -> None:
    """No restore passes for exact that is not: a refused record with others behind it cannot be put right."""
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    fresh = FakeTopics(cluster=2)
    inner = fresh._reply

    def refusing(frame: bytes) -> bytes:
        if frame == b"PUT a record 3":
            return b"ERR NotLeaderForPartition: a:1; no node holds a lease for it at the moment"
        return inner(frame)

    fresh._reply = refusing  # type: ignore[method-assign]
    with client_of(fresh) as client, pytest.raises(BackupError, match="a can no longer be restored exactly"):
        restore(client, place, manifest, ())


def test_a_damaged_object_is_refused_by_name_before_anything_is_written() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    name = sorted(name for name in place.objects if name.startswith("records/b"))[-1]
    data = place.objects[name]
    place.objects[name] = data[:60] + bytes([data[60] ^ 1]) + data[61:]
    assert [text.partition(":")[0] for text in verify(place).wrong] == [name]
    fresh = FakeTopics(cluster=2)
    with client_of(fresh) as client, pytest.raises(BackupError, match=name):
        restore(client, place, manifest, ())
    assert held(fresh) == {}
    with client_of(fresh) as client:
        restore(client, place, manifest, ["a"])
    assert fresh.topics["a"].records == numbered(30)


def test_what_is_copied_is_cut_into_objects_of_bounded_size() -> None:
    cluster, place = FakeTopics(), MemoryPlace()
    cluster.put("t", *(b"%02d" % number * 10 for number in range(20)))
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    (segment,) = manifest.topics[0].segments
    assert len(segment.objects) > 1
    for row in segment.objects:
        key = manifest.key(manifest.topics[0], segment, row)
        payloads = decode_object(key, place.objects[key.name])
        assert payloads == cluster.topics["t"].records[row.first : row.first + row.count]


def test_what_a_cut_off_backup_left_is_not_taken_where_the_cluster_has_fewer_records() -> None:
    cluster, place = FakeTopics(), MemoryPlace()
    topic = cluster.put("t", *numbered(10))
    with client_of(cluster) as client:
        place.writes_left = 1
        with pytest.raises(PlaceError):
            backed_up(client, place)
        place.writes_left = 1 << 30
        del topic.segments[0][8:]
        created = backed_up(client, place)
    assert (created.kept, created.copied) == (0, 1)
    assert restored(place, created.manifest)["t"][0] == numbered(8)


def test_a_segment_that_is_sealed_while_its_end_is_looked_for_counts_as_sealed() -> None:
    cluster = FakeTopics()
    topic = cluster.put("t", *numbered(5))

    def rolls(frame: bytes) -> None:
        if frame == b"FETCH t 1 4":
            topic.roll()
            topic.segments[-1].append(b"later")

    cluster.before = rolls
    with client_of(cluster) as client:
        assert Source(client).view("t").pieces == [Piece(1, 5, sealed=True)]


def test_a_sound_object_with_other_records_than_the_backup_says_is_named() -> None:
    cluster, place = filled(), MemoryPlace()
    with client_of(cluster) as client:
        manifest = backed_up(client, place).manifest
    (topic,) = [topic for topic in manifest.topics if topic.name == "b"]
    key = manifest.key(topic, topic.segments[0], topic.segments[0].objects[0])
    payloads = decode_object(key, place.objects[key.name])
    place.objects[key.name] = encode_object(key, [*payloads[:-1], b"X"])
    assert verify(place).wrong == [f"{key.name}: holds other records than the backup says"]
