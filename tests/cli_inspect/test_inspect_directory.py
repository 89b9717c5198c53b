"""walrus-cli inspect of a node's whole directory: its files belong together, and a node would start on them."""

import fcntl
import os
from pathlib import Path

import pytest
from core_node import World
from inspect_samples import flipped, inspected, sample_directory, text_of, with_crc, written

from fuzz.samples import BLOCKS, HEADER, STORAGE, catalogue_of, segment_file
from walrus.cli.inspection.datafile import lock_holder
from walrus.core.config import MS
from walrus.core.segment.replica import segment_path
from walrus.core.space import ROOM_PATH
from walrus.core.storage.blocks import FILE_HEADER_BYTES, SegmentHeader, encode_header
from walrus.core.storage.catalogue import CATALOGUE_PATH, Complete, Durable, Held
from walrus.core.storage.journal import JOURNAL_NEW_PATH, JOURNAL_PATH
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH, encode_file

WHOLE = sample_directory()
SEGMENT = segment_path(("logs", 1))
HEAD = FILE_HEADER_BYTES


def test_a_whole_directory_is_sound_and_says_what_a_start_would_be(tmp_path: Path) -> None:
    outcome = inspected(written(tmp_path, WHOLE))
    assert (outcome.code, outcome.problems) == (0, [])
    assert [Path(said["file"]).name for said in outcome.said] == [
        "entries.log", "snapshot.bin", "replicas.log", "lock", "logs:1.wal", "node_1",
    ]  # fmt: skip
    assert outcome.last == {
        "file": str(tmp_path / "node_1"),
        "kind": "data directory",
        "facts": {
            "node": 1,
            "storage": "1234567890abcdef",
            "cluster": "000000000000004d",
            "files": 5,
            "a_start_would_be": "process lifetime 3 of node 1",
        },
        "problems": [],
        "notes": [],
        "verdict": "sound",
    }


def test_what_a_node_wrote_is_sound_at_every_step_of_its_life(tmp_path: Path) -> None:
    """Registrations, records over several segments, snapshots, cuts of the journal, restarts."""
    world = World(max_segment_entries=4, snapshot_entries=8).start().sleep(500 * MS)
    kinds, stored = set(), 0
    for number in range(24):
        topic = b"topic-%d" % (number % 3)
        stored += world.ask(b"REGISTER " + topic, b"PUT %s %d" % (topic, number))[1] == b"OK"
        if number % 6 == 5:
            world.crash().sleep(500 * MS)
        outcome = inspected(written(tmp_path / str(number), world.files))
        assert (outcome.code, outcome.problems) == (0, [])
        assert outcome.last["facts"]["a_start_would_be"] == f"process lifetime {world.life + 1} of node 1"
        kinds |= {said["kind"] for said in outcome.said}
    assert kinds == {"journal", "snapshot", "catalogue", "segment", "lock", "data directory"}
    records = sum(said["facts"]["records"] for said in outcome.said if said["kind"] == "segment")
    assert records >= stored > 16, "a PUT right after a restart may be refused"


def with_segment(header: SegmentHeader) -> dict[str, bytes]:
    return WHOLE | {SEGMENT: encode_header(header) + segment_file()[HEAD:]}


OTHER_NODE = SegmentHeader(2, STORAGE, HEADER.cluster, "logs", 1)
OTHER_DISK = SegmentHeader(1, 5, HEADER.cluster, "logs", 1)
OTHER_CLUSTER = SegmentHeader(1, STORAGE, 78, "logs", 1)
NAMED = WHOLE[CATALOGUE_PATH]
COMPLETE = catalogue_of(Held("logs", 1, 1), Complete("logs", 1, 6))
TOO_LITTLE = catalogue_of(Held("logs", 1, 1), Complete("logs", 1, 7))


def without(path: str) -> dict[str, bytes]:
    return {other: data for other, data in WHOLE.items() if other != path}


# the files -> which of them is at fault (node_1: the directory), the level, the byte, words of what is said
TROUBLE = {
    "a segment of another node": (with_segment(OTHER_NODE), SEGMENT, "damaged", 12, "belongs to node 2 with storage"),
    "a segment of another disk": (with_segment(OTHER_DISK), SEGMENT, "damaged", 12, "storage id 0000000000000005"),
    "a segment of another cluster": (
        with_segment(OTHER_CLUSTER), SEGMENT, "damaged", 24, "belongs to cluster 000000000000004e",
    ),
    "a catalogue of another disk": (
        WHOLE | {CATALOGUE_PATH: with_crc(NAMED, 16, b"\7", 64)}, "node_1", "damaged", None,
        "user_data/replicas.log: belongs to node 1 with storage id 1234567890abcd07, not to node 1",
    ),
    "a catalogue of another node": (
        WHOLE | {CATALOGUE_PATH: with_crc(NAMED, 12, b"\7", 64)}, "node_1", "damaged", None, "belongs to node 7 with",
    ),
    "a snapshot of another disk": (
        WHOLE | {SNAPSHOT_PATH: encode_file(1, 5, WHOLE[SNAPSHOT_PATH][64:])}, "node_1", "damaged", None,
        "a node 1 would not start: raft_meta/snapshot.bin: belongs to node 1 with storage id 0000000000000005",
    ),
    "no journal": (without(JOURNAL_PATH), "node_1", "damaged", None, "entries.log is missing or empty, but there is"),
    "no catalogue": (without(CATALOGUE_PATH), "node_1", "damaged", None, "replicas.log is missing or empty, but an"),
    "no segment, but noted": (without(SEGMENT), "node_1", "damaged", None, "logs:1.wal is noted in user_data/replicas"),
    "an empty segment that is noted": (
        WHOLE | {SEGMENT: b""}, SEGMENT, "damaged", 0, "of a copy that replicas.log notes: it is lost",
    ),
    "a segment of zeros that is noted": (WHOLE | {SEGMENT: bytes(9000)}, SEGMENT, "damaged", 0, "corrupt header, of a"),
    "a segment with a broken magic": (
        WHOLE | {SEGMENT: flipped(WHOLE[SEGMENT], 1)}, SEGMENT, "damaged", 0, f"a sound block at byte {HEAD}",
    ),
    "fewer records than were durable": (
        WHOLE | {CATALOGUE_PATH: catalogue_of(Held("logs", 1, 1), Durable("logs", 1, 7))}, SEGMENT, "damaged",
        len(segment_file()), "6 sound records, but 7 are noted as durable",
    ),
    "rot in the last block, noted as durable": (
        WHOLE | {
            CATALOGUE_PATH: catalogue_of(Held("logs", 1, 1), Durable("logs", 1, 6)),
            SEGMENT: flipped(segment_file(), len(segment_file()) - 1),
        }, SEGMENT, "damaged", len(segment_file()) - len(BLOCKS[-1]), "4 sound records, but 6 are noted as durable",
    ),
    "fewer records than were complete": (
        WHOLE | {CATALOGUE_PATH: TOO_LITTLE}, SEGMENT, "damaged", len(segment_file()),
        "holds 6 records, but was complete with 7",
    ),
    "a snapshot that a cut journal needs": (
        sample_directory("cut-without-snapshot"), "node_1", "damaged", None, "begins only behind entry 4",
    ),
    "an older snapshot than the journal was cut behind": (
        sample_directory("cut-with-snapshot-upto-2"), "node_1", "damaged", None, "ends with entry 2",
    ),
    "a newer segment": (
        WHOLE | {SEGMENT: with_crc(WHOLE[SEGMENT], 8, b"\2", HEAD)}, SEGMENT, "newer format", 8, "run a newer version",
    ),
    "a file of somebody else": (WHOLE | {"notes.txt": b"x"}, "notes.txt", "not a Walrus file", None, "not looked at"),
}  # fmt: skip


@pytest.mark.parametrize("what", TROUBLE)
def test_files_that_do_not_belong_together_are_named(what: str, tmp_path: Path) -> None:
    files, name, level, position, words = TROUBLE[what]
    outcome = inspected(written(tmp_path, files))
    found = [(p["level"], p["position"]) for p in outcome.about(name)["problems"] if words in p["text"]]
    assert found == [(level, position)], outcome.about(name)
    assert outcome.code == (1 if level == "damaged" else 2)


# the files -> the byte and words of the torn tail
HARMLESS = {
    "a segment that was never noted, its header torn": (
        WHOLE | {segment_path(("logs", 2)): encode_header(HEADER)[:90]}, "logs:2.wal", "it never held anything",
    ),
    "a segment that was never noted, empty": (
        WHOLE | {segment_path(("logs", 2)): b""}, "logs:2.wal", "it never held anything",
    ),
    "a torn journal": (WHOLE | {JOURNAL_PATH: WHOLE[JOURNAL_PATH][:-2]}, "entries.log", "the next start cuts it"),
    "rot in the last block, noted as durable up to it": (
        WHOLE | {
            CATALOGUE_PATH: catalogue_of(Held("logs", 1, 1), Durable("logs", 1, 4)),
            SEGMENT: flipped(segment_file(), len(segment_file()) - 1),
        }, "logs:1.wal", "the next start cuts it (rot of what replicas.log does not note",
    ),
    "a torn catalogue": (WHOLE | {CATALOGUE_PATH: NAMED[:-2]}, "replicas.log", "the next start cuts it"),
}  # fmt: skip


@pytest.mark.parametrize("what", HARMLESS)
def test_what_a_crash_may_leave_is_told_and_is_no_damage(what: str, tmp_path: Path) -> None:
    files, name, words = HARMLESS[what]
    outcome = inspected(written(tmp_path, files))
    assert [problem["level"] for problem in outcome.about(name)["problems"]] == ["torn"]
    assert words in outcome.about(name)["problems"][0]["text"]
    assert outcome.code == 0
    assert outcome.last["verdict"] == "sound"


def test_a_complete_copy_is_sound_and_a_file_that_never_got_its_name_is_only_noted(tmp_path: Path) -> None:
    files = WHOLE | {CATALOGUE_PATH: COMPLETE, JOURNAL_NEW_PATH: WHOLE[JOURNAL_PATH][:70], ROOM_PATH: bytes(99)}
    outcome = inspected(written(tmp_path, files))
    assert (outcome.code, outcome.problems) == (0, [])
    for name in (JOURNAL_NEW_PATH, ROOM_PATH):
        assert "the next start removes it" in outcome.about(name)["notes"][0]


def test_a_directory_under_another_nodes_name_would_not_start(tmp_path: Path) -> None:
    outcome = inspected(written(tmp_path, WHOLE, node=2))
    assert outcome.code == 1
    (problem,) = outcome.last["problems"]
    assert "a node 2 would not start: raft_meta/entries.log belongs to node 1, not to node 2" in problem["text"]


def test_a_fresh_directory_is_sound(tmp_path: Path) -> None:
    outcome = inspected(written(tmp_path, {}))
    assert (outcome.code, outcome.problems) == (0, [])
    assert outcome.last["facts"] == {"files": 1, "a_start_would_be": "process lifetime 1 of node 1"}


def test_blocks_and_records_of_all_files_are_listed_under_their_file(tmp_path: Path) -> None:
    directory = written(tmp_path, WHOLE)
    listed = {item["file"] for item in inspected("--records", directory).said if "verdict" not in item}
    assert listed == {str(directory / path) for path in WHOLE}
    code, text = text_of("--records", directory)
    assert code == 0
    assert text.startswith(f"{directory / JOURNAL_PATH}:\n  record 0, position 64,")


def test_segments_are_shown_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = {segment_path(("logs", n)): encode_header(SegmentHeader(1, STORAGE, 77, "logs", n)) for n in (10, 9, 2)}
    outcome = inspected(written(tmp_path, WHOLE | files))
    assert [Path(said["file"]).name for said in outcome.said if said["kind"] == "segment"] == [
        "logs:1.wal", "logs:2.wal", "logs:9.wal", "logs:10.wal",
    ]  # fmt: skip


def test_inspecting_a_directory_changes_nothing_in_it(tmp_path: Path) -> None:
    directory = written(tmp_path, WHOLE | {JOURNAL_PATH: WHOLE[JOURNAL_PATH][:-2], JOURNAL_NEW_PATH: b"half"})

    def contents() -> dict[Path, tuple[bytes, int]]:
        return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()}

    before = contents()
    inspected("--records", directory)
    assert contents() == before


def test_a_lock_is_seen_as_held_only_where_the_kernel_lists_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_bytes(b"4711\n")
    status = lock.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    locks = tmp_path / "locks"
    other = f"1: FLOCK  ADVISORY  WRITE 17 {place}:{status.st_ino}1 0 EOF\n"
    for listed, holder in (
        ("", ""),
        (other, ""),
        (f"{other}2: FLOCK  ADVISORY  WRITE 4711 {place}:{status.st_ino} 0 EOF\n", "4711"),
        (f"{other}2: FLOCK  ADVISORY  WRITE -1 {place}:{status.st_ino} 0 EOF\n", "in another container"),
    ):
        locks.write_text(listed)
        assert lock_holder(lock, locks) == holder
    assert lock_holder(lock, tmp_path / "nothing") == ""
    assert lock_holder(tmp_path / "no lock", locks) == ""


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="the kernel does not list its locks here")
def test_a_running_nodes_directory_is_read_with_a_warning(tmp_path: Path) -> None:
    directory = written(tmp_path, WHOLE | {SEGMENT: WHOLE[SEGMENT][:-2]})
    with (directory / "lock").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcome = inspected(directory)
        assert outcome.code == 0
        assert f"a node is running here (process {os.getpid()})" in outcome.last["notes"][0]
        assert outcome.about("lock")["notes"] == ["held: a node is running"]
        assert "it may be about to finish" in inspected(directory / SEGMENT).last["notes"][0]
    assert inspected(directory).last["notes"] == []
