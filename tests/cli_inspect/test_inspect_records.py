"""walrus-cli inspect of journal, catalogue and snapshot: what they hold, and where what is wrong with them begins."""

from pathlib import Path

import msgspec
import pytest
from inspect_samples import flipped, inspected, sample_directory, text_of, with_crc

from fuzz.samples import (
    CUT_JOURNAL_RECORDS,
    STARTUP_RECORDS,
    catalogue_file,
    journal_payload,
    record_file,
    snapshot_file,
)
from walrus.core.metadata import snapshot as snapshot_body
from walrus.core.peer import ENTRY_NOOP, ENTRY_NORMAL, Entry
from walrus.core.storage import journal
from walrus.core.storage.catalogue import CATALOGUE_MAGIC
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_PATH
from walrus.core.storage.recordlog import encode_record, encode_whole
from walrus.core.storage.snapshotfile import SNAPSHOT_MAGIC, encode_file

HEAD = 64
JOURNAL, ENDS = record_file(JOURNAL_MAGIC, [journal_payload(record) for record in STARTUP_RECORDS])
LAST = ENDS[-2]  # where the last record begins
SNAPSHOT = snapshot_file("upto-6")
BODY_END = len(SNAPSHOT)


def put(root: Path, data: bytes, name: str) -> Path:
    path = root / name
    path.write_bytes(data)
    return path


def journal_of(*records: object) -> bytes:
    return record_file(JOURNAL_MAGIC, [journal_payload(record) for record in records])[0]


def test_a_sound_journal_says_what_its_records_came_to(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, JOURNAL, "entries.log"))
    assert (outcome.code, outcome.problems, outcome.last["kind"]) == (0, [], "journal")
    assert outcome.last["facts"] == {
        "version": 1,
        "node": 1,
        "storage": "1234567890abcdef",
        "size_bytes": len(JOURNAL),
        "sound_bytes": len(JOURNAL),
        "records": len(STARTUP_RECORDS),
        "durable_mark": LAST,
        "cluster": "000000000000004d",
        "process_lifetimes": 2,
        "term": 2,
        "vote": 1,
        "entries": 7,
        "log_indexes": [1, 7],
        "log_terms": [1, 2],
    }


def test_a_journal_that_was_cut_says_behind_which_entry_it_begins(tmp_path: Path) -> None:
    payloads = [journal_payload(record) for record in CUT_JOURNAL_RECORDS[:4]]
    data = encode_whole(JOURNAL_MAGIC, 1, 5, payloads)
    facts = inspected(put(tmp_path, data, "x")).last["facts"]
    assert (facts["behind_snapshot"], facts["entries"], facts["made_bytes"]) == ({"index": 3, "term": 1}, 0, len(data))


def test_a_sound_catalogue_says_which_copies_it_notes(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, catalogue_file(), "replicas.log"))
    assert (outcome.code, outcome.problems, outcome.last["kind"]) == (0, [], "catalogue")
    assert outcome.last["facts"]["copies"] == [
        {"segment": "logs:1", "set_version": 1, "fence_epoch": 2, "durable_records": 5, "complete": 5},
        {"segment": "other:1", "set_version": 6, "fence_epoch": 4},
        {"segment": "other:2", "set_version": 3, "fence_epoch": 1, "durable_records": 6},
    ]
    assert outcome.last["facts"]["fences_of_copies_not_held"] == []


def test_a_sound_snapshot_says_what_it_includes(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, SNAPSHOT + bytes(9), "snapshot.bin"))
    assert (outcome.code, outcome.problems, outcome.last["kind"]) == (0, [], "snapshot")
    facts = outcome.last["facts"]
    assert (facts["log_index"], facts["log_term"], facts["cluster"]) == (6, 2, "000000000000004d")
    assert (facts["voters"], facts["topics"], facts["segments"]) == ([1], 1, 1)
    assert outcome.last["notes"] == ["9 zeros behind the body are ignored"]


def test_records_are_listed_with_position_checksum_and_what_they_say(tmp_path: Path) -> None:
    path = put(tmp_path, JOURNAL, "entries.log")
    records = [item for item in inspected("--records", path).said if "record" in item]
    assert [item["position"] for item in records] == ENDS[:-1]
    assert [item["crc"] for item in records] == [
        f"{int.from_bytes(JOURNAL[position + 4 : position + 8], 'little'):08x}" for position in ENDS[:-1]
    ]
    assert records[2]["payload"] == "Hard(term=1, vote=1)"
    assert records[6]["payload"].startswith("entry 4, term 1: CreateTopic(topic='logs'")
    assert all(item["file"] == str(path) for item in records)
    snapshot = put(tmp_path, SNAPSHOT, "snapshot.bin")
    assert "  segment logs:1, state SEALING, epoch 1," in text_of("--records", snapshot)[1]


UNKNOWN_RECORD = encode_record(msgspec.msgpack.encode(["z", 1]), len(JOURNAL))
UNKNOWN_COMMAND = encode_record(journal.encode_raft(Entry(8, 2, ENTRY_NORMAL, b"\x91\xa1z")), len(JOURNAL))
GAP = encode_record(journal.encode_raft(Entry(9, 2, ENTRY_NOOP, b"")), len(JOURNAL))
SECOND_BASE = encode_record(journal.encode_record(journal.Base(3, 1)), len(JOURNAL))
UNFINISHED = encode_record(b"", LAST)  # of a write that was in flight with the last one
HOLE = flipped(JOURNAL, ENDS[3] + 30)

# what the file holds -> level, first byte concerned, words of what is said of it
JOURNALS = {
    "a torn last record": (JOURNAL[:-1], "torn", LAST, "not known durable: the next start cuts it"),
    "a torn last record, then zeros": (JOURNAL[:-3] + bytes(64), "torn", LAST, f"up to byte {len(JOURNAL) - 4}"),
    "rubbish": (JOURNAL + b"rubbish", "torn", len(JOURNAL), f"up to byte {len(JOURNAL) + 6}"),
    "a record lost in flight": (
        JOURNAL[:LAST] + bytes(len(JOURNAL) - LAST) + UNFINISHED, "torn", LAST,
        f"the next sound record is at byte {len(JOURNAL)}: the next start cuts it",
    ),
    "rot in a record": (
        HOLE, "damaged", ENDS[3], f"below byte {LAST} that was durable; the next sound record is at byte {ENDS[4]}",
    ),
    "rot in a record's magic": (flipped(JOURNAL, HEAD), "damaged", HEAD, "restore this file or replace the node"),
    "cut at the end of a record, above all marks": (JOURNAL[: ENDS[5]], "sound", 0, ""),
    "cut below the mark of a file made whole": (
        encode_whole(JOURNAL_MAGIC, 1, 5, [journal.encode_record(journal.Boot(n)) for n in (1, 2)])[:-24], "damaged",
        88, "the records end here, below byte 112 that was durable",
    ),
    "rot in the header": (flipped(JOURNAL, 17), "damaged", 0, "corrupt header, but records behind it"),
    "a header cut short": (JOURNAL[:60], "torn", 60, "it never became durable, so the file counts as not there"),
    "a newer version": (with_crc(JOURNAL, 8, b"\3", HEAD), "newer format", 8, "version 3, this program"),
    "a record of an unknown kind": (JOURNAL + UNKNOWN_RECORD, "damaged", len(JOURNAL), "cannot be read"),
    "a command of an unknown kind": (JOURNAL + UNKNOWN_COMMAND, "damaged", len(JOURNAL), "log entry 8 holds a command"),
    "a missing entry": (JOURNAL + GAP, "damaged", len(JOURNAL), "log entry 9, which cannot follow entry 7"),
    "a second beginning": (JOURNAL + SECOND_BASE, "damaged", len(JOURNAL), "begins the log anew behind entry 3"),
}  # fmt: skip


@pytest.mark.parametrize("what", JOURNALS)
def test_what_is_wrong_with_a_journal_is_told_with_its_position(what: str, tmp_path: Path) -> None:
    data, level, position, words = JOURNALS[what]
    outcome = inspected(put(tmp_path, data, "entries.log"))
    expected = [] if level == "sound" else [(level, position)]
    assert [problem[:2] for problem in outcome.problems] == expected
    assert words in "".join(problem[2] for problem in outcome.problems)
    assert outcome.code == {"sound": 0, "torn": 0, "damaged": 1, "newer format": 2}[level]


def test_records_behind_a_hole_are_listed_as_such(tmp_path: Path) -> None:
    outcome = inspected("--records", put(tmp_path, HOLE, "entries.log"))
    listed = [item for item in outcome.said if "record" in item]
    assert [item["position"] for item in listed] == ENDS[:3] + ENDS[4:-1]
    assert [item["payload"].startswith("behind a hole") for item in listed] == [False] * 3 + [True] * (len(ENDS) - 5)


CATALOGUE = catalogue_file()
CATALOGUES = {
    "torn": (CATALOGUE[:-1], 0, "torn"),
    "rot": (flipped(CATALOGUE, HEAD + 21), 1, "damaged"),
    "an unknown kind": (CATALOGUE + encode_record(b"\x91\xa1z", len(CATALOGUE)), 1, "damaged"),
    "a newer version": (with_crc(CATALOGUE, 8, b"\3", HEAD), 2, "newer format"),
}


@pytest.mark.parametrize("what", CATALOGUES)
def test_what_is_wrong_with_a_catalogue_is_told_with_its_position(what: str, tmp_path: Path) -> None:
    data, code, level = CATALOGUES[what]
    outcome = inspected(put(tmp_path, data, "replicas.log"))
    last = CATALOGUE.rindex(b"WREC")
    position = {"torn": last, "rot": HEAD, "an unknown kind": len(CATALOGUE), "a newer version": 8}[what]
    assert [problem[:2] for problem in outcome.problems] == [(level, position)]
    assert outcome.code == code


TWICE = snapshot_body.decode(SNAPSHOT[HEAD:])
TWICE = msgspec.structs.replace(TWICE, topics=TWICE.topics * 2)
SNAPSHOTS = {
    "a header cut short": (SNAPSHOT[:40], "damaged", 40, "cut short at byte 40 of the 64"),
    "a body cut short": (SNAPSHOT[:-1], "damaged", BODY_END - 1, f"cut short, of {BODY_END} bytes"),
    "rot in the header": (flipped(SNAPSHOT, 25), "damaged", 0, "corrupt header"),
    "rot in the body": (flipped(SNAPSHOT, BODY_END - 1), "damaged", HEAD, f"somewhere in its {BODY_END - HEAD} bytes"),
    "a newer version": (with_crc(SNAPSHOT, 8, b"\2", HEAD), "newer format", 8, "run a newer version"),
    "a body that is none": (encode_file(1, 5, b"\x90"), "damaged", HEAD, "a sound body, but it cannot be read"),
    "a body that contradicts itself": (
        encode_file(1, 5, snapshot_body.encode(TWICE)), "damaged", HEAD, "names a topic twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SNAPSHOTS)
def test_what_is_wrong_with_a_snapshot_is_told_with_its_position(what: str, tmp_path: Path) -> None:
    data, level, position, words = SNAPSHOTS[what]
    outcome = inspected(put(tmp_path, data, "snapshot.bin"))
    assert [problem[:2] for problem in outcome.problems] == [(level, position)]
    assert words in outcome.problems[0][2]
    assert outcome.code == {"damaged": 1, "newer format": 2}[level]


def test_a_file_that_never_got_its_name_is_no_problem_whatever_it_holds(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, HOLE, "entries.log.new"), put(tmp_path, SNAPSHOT[:-1], "snapshot.bin.new"))
    assert (outcome.code, outcome.problems) == (0, [])
    assert ["the next start removes it" in said["notes"][0] for said in outcome.said] == [True, True]


# what the file holds, under which name -> words of what is said of it
STRANGERS = {
    "empty": (b"", "logs:1.wal", "it is empty, where every Walrus file has the magic"),
    "zeros": (bytes(2000), "entries.log", "by its name it should be a journal: give its node's directory"),
    "text": (b"hello, world", "notes.txt", "it starts with b'hello, w'"),
    "a broken magic": (flipped(JOURNAL, 2), "snapshot.bin", "by its name it should be a snapshot"),
    "a lock of something else": (b"123\n", "other.pid", "it starts with"),
    "four bytes": (JOURNAL_MAGIC[:4], "replicas.log", "should be a catalogue"),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_file_that_is_not_walruss_is_called_so_in_a_plain_sentence(what: str, tmp_path: Path) -> None:
    data, name, words = STRANGERS[what]
    outcome = inspected(put(tmp_path, data, name))
    assert [problem[:2] for problem in outcome.problems] == [("not a Walrus file", 0)]
    assert words in outcome.problems[0][2]
    assert outcome.code == 2


def test_a_file_that_is_not_there_or_no_file_at_all_is_wrong_usage(tmp_path: Path) -> None:
    code, text = text_of(tmp_path / "missing")
    assert code == 2
    assert "missing: unknown\n  not a Walrus file: cannot be read: ENOENT: No such file or directory" in text
    code, text = text_of(tmp_path)
    assert code == 2
    assert "there is no raft_meta or user_data in it: give a node's directory, such as data/node_1" in text
    assert text_of()[0] == 2
    assert text_of("--format", "xml", tmp_path)[0] == 2


def test_a_directory_of_several_nodes_is_told_to_give_one(tmp_path: Path) -> None:
    (tmp_path / "node_1").mkdir()
    (tmp_path / "node_2").mkdir()
    code, text = text_of(tmp_path)
    assert code == 2
    assert "give one of its nodes: node_1, node_2" in text


def test_of_several_files_damage_decides_the_exit_code(tmp_path: Path) -> None:
    sound, torn = put(tmp_path, JOURNAL, "a"), put(tmp_path, JOURNAL[:-1], "b")
    stranger, damaged = put(tmp_path, b"text", "c"), put(tmp_path, HOLE, "d")
    assert inspected(sound, torn).code == 0
    assert inspected(sound, stranger).code == 2
    assert inspected(damaged, stranger).code == 1
    assert [said["verdict"] for said in inspected(sound, torn, stranger, damaged).said] == [
        "sound", "torn", "not a Walrus file", "damaged",
    ]  # fmt: skip


def test_the_text_names_file_kind_facts_problem_and_verdict(tmp_path: Path) -> None:
    path = put(tmp_path, JOURNAL[:-1], "entries.log")
    lines = text_of(path)[1].splitlines()
    assert lines[0] == f"{path}: journal"
    assert "  process lifetimes  2" in lines
    assert "  log indexes        1 to 6" in lines
    assert lines[-2].startswith(f"  byte {LAST}: torn: torn tail up to byte ")
    assert lines[-1] == "  TORN"


def test_all_magics_are_told_apart(tmp_path: Path) -> None:
    files = sample_directory()
    kinds = [inspected(put(tmp_path, data, f"{number}")).last["kind"] for number, data in enumerate(files.values())]
    assert kinds == ["journal", "snapshot", "catalogue", "segment"]
    assert files[JOURNAL_PATH].startswith(JOURNAL_MAGIC)
    assert len({JOURNAL_MAGIC, CATALOGUE_MAGIC, SNAPSHOT_MAGIC}) == 3
