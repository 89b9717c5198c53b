"""The snapshot of the metadata: its bytes, its file, and what it and the journal say together."""

import struct
import zlib

import msgspec
import pytest
from format_disk import Disk, boot

from fuzz.samples import COMMANDS, NODE, SNAPSHOTS, STORAGE, cut_journal_file, snapshot_file
from walrus.core.actions import Delete
from walrus.core.metadata import snapshot as body
from walrus.core.metadata.commands import CreateTopic
from walrus.core.metadata.snapshot import Snapshot, SnapshotError
from walrus.core.metadata.state import Change, Metadata
from walrus.core.peer import Entry
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import HardState
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_NEW_PATH, JOURNAL_PATH, Base, JournalState
from walrus.core.storage.metarecovery import start_of_log
from walrus.core.storage.recordlog import RecoveryError, encode_whole
from walrus.core.storage.snapshotfile import (
    HEADER_BYTES,
    SNAPSHOT_NEW_PATH,
    SNAPSHOT_PATH,
    Damaged,
    SnapshotFile,
    decode_file,
)

WHOLE = body.decode(SNAPSHOTS["upto-7"])
TOPIC = WHOLE.topics[0]


def applied(count: int) -> Metadata:
    """The state after the first sample commands."""
    metadata = Metadata()
    for command in COMMANDS[:count]:
        metadata.apply(command)
    return metadata


def taken(metadata: Metadata, index: int = 9) -> Snapshot:
    """Its snapshot."""
    return body.take(metadata, 77, index, 2, WHOLE.membership)


# --- the state ---


def test_the_same_state_gives_the_same_bytes_and_another_one_others() -> None:
    encoded = [body.encode(taken(applied(count))) for count in range(len(COMMANDS) + 1)]
    assert encoded == [body.encode(taken(applied(count))) for count in range(len(COMMANDS) + 1)]
    changed = 1 + sum(not applied(count).apply(command) for count, command in enumerate(COMMANDS))
    assert len(set(encoded)) == changed >= 5


@pytest.mark.parametrize("upto", range(len(COMMANDS) + 1))
@pytest.mark.parametrize("known", range(len(COMMANDS) + 1))
def test_a_state_restored_over_any_earlier_one_is_the_later_one(known: int, upto: int) -> None:
    if known > upto:
        return
    metadata, later = applied(known), applied(upto)
    metadata.drain()
    body.restore(metadata, body.decode(body.encode(taken(later))))
    for name in ("nodes", "topics", "unsealed"):
        assert getattr(metadata, name) == getattr(later, name), name
        assert list(getattr(metadata, name)) == list(getattr(later, name)), "in the same order"
    for topic in metadata.topics.values():
        assert metadata.unsealed[topic.name] is topic.last


def test_parts_keep_the_segments_that_they_hold_and_hear_of_all_that_changed() -> None:
    metadata = applied(2)
    metadata.drain()
    held = metadata.topics["logs"].segments[0]
    body.restore(metadata, taken(applied(4)))
    assert metadata.topics["logs"].segments[0] is held
    assert (held.state, held.epoch, held.count) == (2, 1, 6)
    assert metadata.drain() == [Change("logs", 1), Change("logs", 2)]
    body.restore(metadata, taken(applied(4)))
    assert metadata.drain() == []


def test_a_restored_state_goes_on_as_the_original_does() -> None:
    restored, original = Metadata(), applied(4)
    body.restore(restored, taken(original))
    following = (*COMMANDS[4:], CreateTopic("more", (1, 2, 3), ((1, 2),)))
    assert [restored.apply(command) for command in following] == [original.apply(command) for command in following]
    assert taken(restored) == taken(original)


def segment(**changes: object) -> object:
    return msgspec.structs.replace(TOPIC.segments[-1], **changes)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"membership": Membership()}, "its members"),
        ({"membership": Membership(WHOLE.membership.members * 2)}, "its members"),
        ({"nodes": WHOLE.nodes * 2}, "it names a node twice"),
        ({"topics": (TOPIC, TOPIC)}, "it names a topic twice"),
        ({"topics": (msgspec.structs.replace(TOPIC, segments=TOPIC.segments[:-1]),)}, "only the last segment"),
        ({"topics": (msgspec.structs.replace(TOPIC, segments=TOPIC.segments[-1:] * 2),)}, "only the last segment"),
        ({"topics": (msgspec.structs.replace(TOPIC, segments=()),)}, "it cannot be read"),
        ({"topics": (msgspec.structs.replace(TOPIC, name="../up"),)}, "it cannot be read"),
        ({"topics": (msgspec.structs.replace(TOPIC, segments=(segment(members=()),)),)}, "it cannot be read"),
        ({"topics": (msgspec.structs.replace(TOPIC, segments=(segment(count=-1),)),)}, "it cannot be read"),
        ({"index": 0}, "it cannot be read"),
    ],
)
def test_what_no_state_can_be_is_no_snapshot(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(SnapshotError, match=why):
        body.decode(body.encode(msgspec.structs.replace(WHOLE, **wrong)))


# --- the file ---


def test_a_snapshot_file_gives_back_what_was_written_whatever_lies_behind_it() -> None:
    expected = SnapshotFile(NODE, STORAGE, WHOLE, SNAPSHOTS["upto-7"])
    assert decode_file(snapshot_file("upto-7")) == expected
    assert decode_file(snapshot_file("upto-7") + bytes(5_000)) == expected
    assert decode_file(snapshot_file("upto-7") + b"an older and longer file") == expected


def test_damage_of_any_byte_of_a_snapshot_file_is_noticed() -> None:
    sound = snapshot_file("upto-4")
    for position in range(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 0x40
        with pytest.raises(RecoveryError, match=r"raft_meta/snapshot.bin: .*(byte \d|format version)"):
            decode_file(bytes(damaged))
    for length in range(len(sound)):
        with pytest.raises(Damaged, match=r"raft_meta/snapshot\.bin"):
            decode_file(sound[:length])


def test_a_newer_format_is_not_damage() -> None:
    head = bytearray(snapshot_file()[: HEADER_BYTES - 4])
    struct.pack_into("<H", head, 8, 9)
    newer = bytes(head) + struct.pack("<I", zlib.crc32(head)) + SNAPSHOTS["upto-4"]
    with pytest.raises(RecoveryError, match="format version 9, this program reads 1; run a newer version") as refused:
        decode_file(newer)
    assert not isinstance(refused.value, Damaged)


# --- the table of what journal and snapshot say together ---


def journal(base: Base, *terms: int, hard: HardState | None = None) -> JournalState:
    """A journal whose entries have these terms."""
    entries = [Entry(base.index + place, term, 0, b"") for place, term in enumerate(terms, 1)]
    return JournalState(NODE, STORAGE, 77, 1, hard or HardState(4, 2), base, entries, 0, False, 0)


def at(index: int, term: int) -> SnapshotFile:
    """A sound snapshot file."""
    content = msgspec.structs.replace(WHOLE, index=index, term=term)
    return SnapshotFile(NODE, STORAGE, content, body.encode(content))


NONE, CUT = Base(0, 0), Base(3, 1)


@pytest.mark.parametrize(
    ("base", "terms", "snapshot", "expected_base", "kept", "stale"),
    [
        (NONE, (1, 1), None, NONE, 2, False),
        (NONE, (), at(5, 2), Base(5, 2), 0, True),
        (NONE, (1, 1, 1), at(2, 1), NONE, 3, False),
        (NONE, (1, 1, 1), at(3, 1), NONE, 3, False),
        (NONE, (1, 1, 1), at(4, 1), Base(4, 1), 0, True),
        (NONE, (1, 3, 3), at(2, 2), Base(2, 2), 0, True),
        (CUT, (), at(3, 1), CUT, 0, False),
        (CUT, (1, 2), at(3, 1), CUT, 2, False),
        (CUT, (1, 2), at(4, 1), CUT, 2, False),
        (CUT, (1, 2), at(5, 2), CUT, 2, False),
        (CUT, (1, 2), at(6, 2), Base(6, 2), 0, True),
        (CUT, (1, 3), at(5, 2), Base(5, 2), 0, True),
    ],
)
def test_a_node_starts_from_what_both_files_say(
    base: Base, terms: tuple[int, ...], snapshot: SnapshotFile | None, expected_base: Base, kept: int, stale: bool
) -> None:
    start = start_of_log(journal(base, *terms), snapshot, "")
    assert (start.base, len(start.entries), start.stale_journal) == (expected_base, kept, stale)
    assert start.snapshot is snapshot
    assert start.hard_state == HardState(4, 2)


@pytest.mark.parametrize(
    ("snapshot", "damage", "said"),
    [
        (None, "", "raft_meta/snapshot.bin is missing; raft_meta/entries.log begins only behind entry 3: restore it"),
        (None, "raft_meta/snapshot.bin: corrupt header at byte 0", "corrupt header at byte 0; raft_meta/entries.log"),
        (
            at(2, 1),
            "",
            "raft_meta/snapshot.bin ends with entry 2, but raft_meta/entries.log begins only behind entry 3",
        ),
    ],
)
def test_a_cut_journal_without_its_snapshot_stops_the_node(
    snapshot: SnapshotFile | None, damage: str, said: str
) -> None:
    with pytest.raises(RecoveryError) as refused:
        start_of_log(journal(CUT, 1, 2), snapshot, damage)
    assert said in str(refused.value)


def test_a_term_that_only_the_snapshot_knows_is_entered_and_nobody_was_voted_for_in_it() -> None:
    start = start_of_log(journal(NONE, 1, hard=HardState(1, 3)), at(5, 2), "")
    assert start.hard_state == HardState(2, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"node": 2}, "belongs to node 2 with storage id 1234567890abcdef, not to node 1"),
        ({"storage": 5}, "belongs to node 1 with storage id 0000000000000005, not to node 1 with 1234567890abcdef"),
        ({"snapshot": msgspec.structs.replace(WHOLE, cluster=78)}, "belongs to cluster 000000000000004e"),
    ],
)
def test_the_snapshot_of_another_directory_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RecoveryError, match=said):
        start_of_log(journal(CUT), msgspec.structs.replace(at(3, 1), **changes), "")


# --- the start of a node ---


def used_disk(cut: bool) -> Disk:
    """The files of a node that has taken a snapshot up to entry 4."""
    disk = Disk()
    disk.files[CATALOGUE_PATH] = encode_whole(CATALOGUE_MAGIC, NODE, STORAGE, [])
    disk.files[SNAPSHOT_PATH] = snapshot_file("upto-4")
    if cut:
        disk.files[JOURNAL_PATH] = cut_journal_file()
    return disk


def test_files_that_were_never_finished_are_removed_before_anything_is_read() -> None:
    disk = used_disk(cut=True)
    whole = dict(disk.files)
    disk.files |= {JOURNAL_NEW_PATH: b"half a journal", SNAPSHOT_NEW_PATH: b"half a snapshot"}
    ready = boot(disk)
    assert {action.path for action in disk.done[:2] if isinstance(action, Delete)} == {
        JOURNAL_NEW_PATH,
        SNAPSHOT_NEW_PATH,
    }
    assert sorted(disk.files) == sorted(whole)
    assert ready.log is not None
    assert ready.log.snapshot is not None
    assert [entry.index for entry in ready.log.entries] == [4, 5]


@pytest.mark.parametrize("data", [b"", b"x", bytes(70), snapshot_file()[:-1]])
def test_a_damaged_snapshot_stops_a_node_whose_journal_was_cut(data: bytes) -> None:
    disk = used_disk(cut=True)
    disk.files[SNAPSHOT_PATH] = data
    with pytest.raises(RecoveryError, match=r"raft_meta/snapshot.bin: .* byte \d.*begins only behind entry 3"):
        boot(disk)


def test_a_snapshot_without_a_journal_is_refused_because_votes_are_forgotten() -> None:
    with pytest.raises(RecoveryError, match=r"entries\.log is missing or empty, but there is raft_meta/snapshot\.bin"):
        boot(used_disk(cut=False))


def test_damage_of_any_byte_of_a_cut_journal_is_noticed_even_in_its_last_record() -> None:
    """It got its name when all of it was durable, so nothing of it can be a torn tail."""
    sound = cut_journal_file()
    for position in range(len(sound)):
        disk = used_disk(cut=True)
        damaged = bytearray(sound)
        damaged[position] ^= 0x40
        disk.files[JOURNAL_PATH] = bytes(damaged)
        with pytest.raises(RecoveryError, match=r"entries\.log"):
            boot(disk)


def test_what_is_appended_to_a_cut_journal_may_be_torn() -> None:
    disk = used_disk(cut=True)
    size = len(disk.files[JOURNAL_PATH])
    boot(disk)
    disk.files[JOURNAL_PATH] = disk.files[JOURNAL_PATH][: size + 5]
    again = boot(disk)
    assert again.incarnation == 3
    assert again.journal is not None
    assert again.journal.made_bytes == size
