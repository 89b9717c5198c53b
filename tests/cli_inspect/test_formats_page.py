"""FORMATS.md says what the code does: its tables are the code's, a parser written from it reads what nodes wrote."""

import inspect
import re
import struct
from collections.abc import Iterable
from pathlib import Path

import msgspec
import page_parser
import pytest
from core_node import World
from test_segment_scan_table import TABLE

from fuzz.samples import CATALOGUE_RECORDS, COMMANDS, MEMBERSHIPS, catalogue_file, snapshot_file
from walrus.cli.backup import format as backup_format
from walrus.core.config import MS
from walrus.core.metadata import commands
from walrus.core.metadata import snapshot as snapshot_body
from walrus.core.metadata.overrides import UnsafeRecovery
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NOOP, ENTRY_NORMAL, Entry
from walrus.core.raft.membership import MemberInfo
from walrus.core.segment import scan
from walrus.core.storage import blocks, catalogue, journal, metarecovery, recordlog, snapshotfile

PAGE = (Path(__file__).resolve().parents[2] / "FORMATS.md").read_text(encoding="utf-8")


def tables(section: str) -> list[list[list[str]]]:
    """The tables below a heading, each as rows of cells, without their heads."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (found,) = [part for part in text if part.startswith(section)]
    runs = re.findall(r"(?:^\|.*\n)+", found, flags=re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in run.splitlines()[2:]] for run in runs]


def layout(table: list[list[str]]) -> int:
    """Checks that the fields of a table of bytes lie back to back; returns where they end, or where the body begins."""
    end = 0
    for at, size, _ in table:
        assert int(at) == end
        end += int(size or 0)
    return end


def fields_of(kind: type[msgspec.Struct]) -> list[str]:
    return list(kind.__struct_fields__)


def as_listed(table: Iterable[list[str]]) -> dict[str, list[str]]:
    """Kind -> names of its fields, of a table whose second column names them."""
    return {row[0].strip('`"'): row[1].split(", ") for row in table}


# --- the tables ---


def test_the_tables_of_bytes_have_no_gap_and_the_codes_sizes() -> None:
    header, block, verdicts = tables("Segment:")
    assert (layout(header), layout(block)) == (blocks.FILE_HEADER_BYTES, blocks.BLOCK_HEADER_BYTES)
    header, record, *_ = tables("Record files")
    assert (layout(header), layout(record)) == (recordlog.HEADER_BYTES, recordlog.RECORD_HEADER_BYTES)
    assert layout(tables("Snapshot:")[0]) == snapshotfile.HEADER_BYTES
    assert layout(tables("Backups")[0]) == backup_format.HEADER_BYTES
    assert len(verdicts) == 10


@pytest.mark.parametrize(
    ("section", "magics"),
    [
        ("Segment:", [blocks.SEGMENT_MAGIC, blocks.BLOCK_MAGIC]),
        ("Record files", [journal.JOURNAL_MAGIC, catalogue.CATALOGUE_MAGIC, recordlog.RECORD_MAGIC]),
        ("Snapshot:", [snapshotfile.SNAPSHOT_MAGIC]),
        ("Backups", [backup_format.OBJECT_MAGIC]),
    ],
)
def test_the_magics_are_the_codes(section: str, magics: list[bytes]) -> None:
    cells = [row[2] for table in tables(section)[:2] for row in table if len(row) > 2]
    named = [re.findall(r"`([A-Z]+(?:\\n)?)`", cell) for cell in cells]
    told = [name.replace("\\n", "\n").encode() for names in named for name in names]
    assert told == magics


def test_the_format_versions_and_limits_are_the_codes() -> None:
    versions = {row[0]: int(row[1]) for row in tables("In all files")[0]}
    assert versions == {
        "segment": blocks.FORMAT_VERSION,
        "journal": recordlog.FORMAT_VERSION,
        "catalogue": catalogue.CATALOGUE_VERSION,
        "snapshot": snapshotfile.FORMAT_VERSION,
        "backup's object, manifest": backup_format.FORMAT_VERSION,
    }
    assert f"at most {blocks.MAX_BODY_BYTES} |" in PAGE
    assert scan.CHECKS_PER_BYTE == 4
    assert "four times its file's size" in PAGE


def test_the_files_are_where_the_page_says() -> None:
    for path in (
        *(journal.JOURNAL_PATH, journal.JOURNAL_NEW_PATH, snapshotfile.SNAPSHOT_PATH, snapshotfile.SNAPSHOT_NEW_PATH),
        *(catalogue.CATALOGUE_PATH, catalogue.CATALOGUE_NEW_PATH, "user_data/logs:1.wal", "lock"),
    ):
        assert path in PAGE[: PAGE.index("## In all files")]


def test_the_records_fields_are_the_codes() -> None:
    _, _, journal_records, command_fields, catalogue_records = tables("Record files")
    found = {str(kind.__struct_config__.tag): fields_of(kind) for kind in (
        journal.Cluster, journal.Boot, journal.Hard, journal.Logged, journal.Base,
    )}  # fmt: skip
    assert as_listed(journal_records) == found
    found = {str(kind.__struct_config__.tag): fields_of(kind) for kind in (
        catalogue.Held, catalogue.Fenced, catalogue.Durable, catalogue.Complete, catalogue.Incomplete,
        catalogue.Dropped, catalogue.Unsynced, catalogue.Synced, catalogue.Whole,
    )}  # fmt: skip
    assert as_listed(catalogue_records) == found
    assert as_listed(command_fields) == {
        str(kind.__struct_config__.tag): fields_of(kind) for kind in commands.Command.__subclasses__()
    }
    assert fields_of(commands.CursorCommit) == ["topic", "segment", "generation", "offset"]
    assert fields_of(Entry) == ["index", "term", "kind", "data"]
    assert fields_of(MemberInfo) == ["node", "storage", "address", "voter"]
    assert (ENTRY_NORMAL, ENTRY_NOOP, ENTRY_CONFIG) == (0, 1, 2)
    assert commands.STATE_NAMES == ("OPEN", "SEALING", "SEALED")
    for text in (
        "[index, term, kind, data]", "[node, storage, address, voter]", "[[topic, segment, generation, offset], ...]",
        "0 OPEN, 1 SEALING, 2 SEALED",
    ):  # fmt: skip
        assert text in PAGE


def test_the_snapshots_fields_are_the_codes() -> None:
    rows = {"body": snapshot_body.Snapshot, "node": snapshot_body.NodeRow, "topic": snapshot_body.TopicRow}
    assert as_listed(tables("Snapshot:")[1]) == {
        name: fields_of(kind)
        for name, kind in (rows | {"segment": snapshot_body.SegmentRow, "recovery": UnsafeRecovery}).items()
    }


def test_the_fields_of_a_manifest_are_the_codes() -> None:
    rows = {"backup": backup_format.Manifest, "topic": backup_format.TopicRow, "segment": backup_format.SegmentRow}
    assert as_listed(tables("Backups")[1]) == {
        name: fields_of(kind) for name, kind in (rows | {"object": backup_format.ObjectRow}).items()
    }


def test_the_pages_parser_reads_an_object_of_a_backup() -> None:
    key = backup_format.ObjectKey(0xC1, "logs", 3, 70)
    data = backup_format.encode_object(key, [b"one", b"", b"three"])
    assert page_parser.backup_object(data) == (("logs", 0xC1, 3, 70), [b"one", b"", b"three"])
    with pytest.raises(AssertionError):
        page_parser.backup_object(data[:-1] + b"!")


def test_the_recovery_tables_are_those_that_the_code_has_at_its_top() -> None:
    """Those are enumerated by test_segment_scan_table and test_format_snapshots."""
    verdicts = [line for line in inspect.getdoc(scan).splitlines() if line.startswith("|")]  # type: ignore[union-attr]
    assert "\n".join(verdicts) in PAGE
    start = [line for line in inspect.getdoc(metarecovery).splitlines() if line]  # type: ignore[union-attr]
    borders = [number for number, line in enumerate(start) if line.startswith("==")]
    table = start[borders[0] : borders[-1] + 1]
    assert len(table) > 8
    assert "\n".join(f"    {line}" for line in table) in PAGE


def test_every_verdict_on_a_segment_is_enumerated_by_the_tests() -> None:
    names = {scan.SOUND: "SOUND", scan.TORN: "TORN", scan.LOST: "LOST"}
    tried = {(names[state], noted) for _, _, held, state, _ in TABLE for noted in held}
    found = {"no": (False,), "yes": (True,), "any": (False, True), "as longer": (True,)}
    told = set()
    for header, _, noted, verdict in tables("Segment:")[2]:
        word = verdict.split(",")[0].split(" ")[0]
        if header not in ("file missing", "another version's", "of another disk"):
            told |= {(word, held) for held in found[noted.removesuffix(", not as longer")]}
    assert tried == told


# --- the parser ---


@pytest.fixture(scope="module")
def world() -> World:
    """A node that took records in several segments, snapshots and a restart."""
    world = World(max_segment_entries=3, snapshot_entries=12).start().sleep(500 * MS)
    for number in range(10):
        assert world.ask(b"REGISTER logs", b"PUT logs record %d" % number) == [b"OK", b"OK"]
    world.crash().sleep(500 * MS)
    for number in range(10, 14):
        assert world.ask(b"PUT logs record %d" % number) == [b"OK"]
    return world


def test_the_pages_parser_reads_every_record_of_a_nodes_segments(world: World) -> None:
    paths = sorted((path for path in world.files if path.endswith(".wal")), key=lambda path: int(path[15:-4]))
    stored = []
    for number, path in enumerate(paths, 1):
        head, records = page_parser.segment(world.files[path])
        assert head == (b"WALRSEG\n", 1, 1, world.storage, (world.cluster, "logs", number))
        stored += records
    assert stored == [b"record %d" % number for number in range(14)]


def test_the_pages_parser_reads_a_nodes_journal_and_snapshot_as_one_log(world: World) -> None:
    head, records = page_parser.record_file(world.files[journal.JOURNAL_PATH])
    assert head == (b"WALRAFT\n", 1, 1, world.storage, ())
    assert ["c", world.cluster] in records
    assert ["b", 2] in records
    base, entries = page_parser.log(records)
    snap, body = page_parser.snapshot(world.files[snapshotfile.SNAPSHOT_PATH])
    cluster, index, _, membership, nodes, topics, deleted, recoveries = body
    assert recoveries == []
    assert (snap[:4], cluster) == ((b"WALSNAP\n", 1, 1, world.storage), world.cluster)
    assert 0 < base <= index <= base + len(entries) == world.node.raft.applied_index
    assert membership == [[[1, world.storage, "node1:6001", True]], []]
    assert [node[:2] for node in nodes] == [[1, world.storage]]
    (name, _, _, segments, born, first, base, _, _) = topics[0]
    assert (name, born, first, base, deleted) == ("logs", 1, 1, 0, [])
    assert [row[4] for row in segments] == [2] * (len(segments) - 1) + [0]
    kinds = {page_parser.unpack_msgpack(data)[0] for _, _, kind, data in entries if kind == 0}
    assert kinds <= {"node", "topic", "sealing", "seal", "set", "cursors"}


def test_the_pages_parser_reads_a_nodes_catalogue(world: World) -> None:
    head, records = page_parser.record_file(world.files[catalogue.CATALOGUE_PATH])
    assert head == (b"WALREPL\n", 2, 1, world.storage, ())
    assert ["h", "logs", 1, 1] in records
    assert ["c", "logs", 1, 3] in records
    _, records = page_parser.record_file(catalogue_file())
    assert [record[0] for record in records] == [type(record).__struct_config__.tag for record in CATALOGUE_RECORDS]


def test_the_pages_parser_reads_every_kind_of_command_and_a_membership() -> None:
    for command in COMMANDS:
        tag, *values = page_parser.unpack_msgpack(commands.encode(command))
        assert tag == command.__struct_config__.tag
        assert len(values) == len(fields_of(type(command)))
    assert page_parser.unpack_msgpack(MEMBERSHIPS[0].encode()) == [[[1, 0x1234567890ABCDEF, "node:1", True]], []]


def test_the_pages_parser_refuses_what_is_not_as_it_was_written() -> None:
    data = snapshot_file()
    with pytest.raises(AssertionError):
        page_parser.snapshot(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises((AssertionError, struct.error)):
        page_parser.record_file(data[:63])
