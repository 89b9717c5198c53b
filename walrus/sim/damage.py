"""The ledger of what faults did to one disk, and what of it a node can be asked to notice.

Damage is sound to inject only where recovery can tell it from a torn tail: a sound block must follow it in a segment
file, or the catalogue must note its records as durable; in a journal, a record whose durable mark covers it. The
parsing here is the simulator's own, so that a node that overlooks damage is found out.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from walrus.core.storage.blocks import FILE_HEADER_BYTES, block_at
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.core.storage.recordlog import HEADER_BYTES, RECORD_MAGIC
from walrus.core.storage.snapshotfile import HEADER_BYTES as SNAPSHOT_HEADER_BYTES
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH

LOGS: Final = (JOURNAL_PATH, CATALOGUE_PATH, SNAPSHOT_PATH)
"""The files that a process reads at its start and never again. Without the first two none can start; without the last
one where the journal was cut (:func:`is_vital`).
"""
SEGMENTS: Final = "user_data/"
SUFFIX: Final = ".wal"
_BASE_TAG: Final = "s"  # of the journal's record that says where the entries begin
_RECORD: Final = struct.Struct("<4sIIQ")

_MARK_AT: Final = {"l": 2, "c": 2, "w": 5, "i": 0, "d": 0}
"""The field of a record of the catalogue, by its kind, that says how many records are durable; 0: none are."""

Span = tuple[int, int]
"""Bytes of a file: first, and the one behind the last."""


class Wound(msgspec.Struct):
    """Damaged bytes of a file. ``cut``: the file was cut below them since; ``noticed``: this process has read them.

    ``at_ns``: when it happened; ``read_by``: the life of the process that had read the copy by then, 0 if none had.
    """

    kind: str
    path: str
    start: int
    end: int
    cut: bool = False
    noticed: bool = False
    at_ns: int = 0
    read_by: int = 0


class Damage:
    """``hurt`` has every file that was ever damaged, with what befell it first. ``fatal`` says why no process can start
    on this disk any more.
    """

    def __init__(self, labels: Counter[str]) -> None:
        self.hurt: dict[str, str] = {}
        self.wounds: list[Wound] = []
        self.fatal = ""
        self._labels = labels

    def add(self, kind: str, path: str, start: int, end: int, at_ns: int = 0, read_by: int = 0) -> None:
        """Bytes ``start`` to ``end`` of ``path`` are not what the node wrote, or cannot be read."""
        self.hurt.setdefault(path, kind)
        self.wounds.append(Wound(kind, path, start, end, at_ns=at_ns, read_by=read_by))

    def on(self, path: str) -> list[Wound]:
        """What is wrong with ``path`` now."""
        return [wound for wound in self.wounds if wound.path == path and not wound.cut]

    def of_kind(self, kind: str) -> list[Wound]:
        """Everything of one kind that is wrong now."""
        return [wound for wound in self.wounds if wound.kind == kind and not wound.cut]

    def forgotten(self) -> None:
        """The process that noticed has ended, perhaps before it could note what it knew."""
        for wound in self.wounds:
            wound.noticed = False

    def end_of_kind(self, kind: str) -> None:
        """This kind of trouble is over, and left the bytes as they were."""
        self.wounds = [wound for wound in self.wounds if wound.kind != kind]

    # --- what the node does ---

    def read(self, path: str, start: int, end: int) -> list[Wound]:
        """The node is given these bytes: the wounds that it sees. Each counts as a bite once."""
        seen = [wound for wound in self.on(path) if wound.start < end and start < wound.end]
        for wound in seen:
            if not wound.noticed:
                wound.noticed = True
                self._labels[f"bit: {wound.kind}"] += 1
        return seen

    def written(self, path: str, start: int, end: int) -> None:
        """The node wrote these bytes anew. Files are written in ascending order."""
        for wound in [wound for wound in self.wounds if wound.path == path]:
            if start <= wound.start < end:
                wound.start = end
            if wound.start >= wound.end:
                self.wounds.remove(wound)
                self._labels[f"repaired after {wound.kind}"] += 1
                self._labels[f"bit: {wound.kind}"] += not wound.noticed

    def truncated(self, path: str, size: int) -> None:
        """The node cut the file."""
        for wound in self.wounds:
            if wound.path == path and wound.start >= size:
                wound.cut = True

    def renamed(self, path: str, to: str) -> None:
        """The node gave a file the name of another one."""
        for wound in [wound for wound in self.wounds if wound.path == to]:
            self.wounds.remove(wound)
            self._labels[f"repaired after {wound.kind}"] += 1
            self._labels[f"bit: {wound.kind}"] += not wound.noticed
        for wound in self.wounds:
            if wound.path == path:
                wound.path = to
                self.hurt.setdefault(to, wound.kind)

    def removed(self, path: str) -> None:
        """The node removed the file."""
        self.wounds = [wound for wound in self.wounds if wound.path != path]


def is_segment(path: str) -> bool:
    """Whether ``path`` is a copy of a segment."""
    return path.startswith(SEGMENTS) and path.endswith(SUFFIX)


def segment_of(path: str) -> tuple[str, int]:
    """(topic, segment number) of a copy's path."""
    topic, _, number = path[len(SEGMENTS) : -len(SUFFIX)].rpartition(":")
    return topic, int(number)


def blocks_of(data: bytes) -> list[Span]:
    """The sound blocks of a segment file, from the first on."""
    found: list[Span] = []
    position = FILE_HEADER_BYTES
    while (block := block_at(data, position)) is not None:
        found.append((position, position + block.size))
        position += block.size
    return found


def records_on(data: bytes) -> int:
    """How many records a segment file holds from its first one on, all of them sound."""
    position, records = FILE_HEADER_BYTES, 0
    while (block := block_at(data, position)) is not None and block.base == records:
        records += block.count
        position += block.size
    return records


def records_before(data: bytes, position: int) -> int:
    """How many records a segment file holds in sound blocks that end before a byte."""
    return sum(block_records(data, start) for start, end in blocks_of(data) if end <= position)


def block_records(data: bytes, position: int) -> int:
    """The number of records of a sound block."""
    block = block_at(data, position)
    return block.count if block is not None else 0


def marked_on(path: str, files: Mapping[str, bytes | bytearray]) -> int:
    """How many records of a copy the catalogue on the same disk notes as durable."""
    catalogue, key, marked = bytes(files.get(CATALOGUE_PATH, b"")), list(segment_of(path)), 0
    for (start, end), _ in log_records_of(catalogue):
        kind, *fields = msgspec.msgpack.decode(catalogue[start + _RECORD.size : end])
        if fields[:2] == key and kind in _MARK_AT:
            at = _MARK_AT[kind]
            marked = fields[at] if at else 0
    return marked


def log_records_of(data: bytes) -> list[tuple[Span, int]]:
    """The sound records of a journal or catalogue with their durable marks."""
    found: list[tuple[Span, int]] = []
    position = HEADER_BYTES
    while position + _RECORD.size <= len(data):
        magic, crc, length, durable = _RECORD.unpack_from(data, position)
        end = position + _RECORD.size + length
        if magic != RECORD_MAGIC or end > len(data) or zlib.crc32(data[position + 8 : end]) != crc:
            break
        found.append(((position, end), durable))
        position = end
    return found


def pieces_of(path: str, data: bytes) -> list[Span]:
    """What a file is written in: its blocks, or its records."""
    if path == SNAPSHOT_PATH:  # the last piece stands for the end: all of the file can be damaged
        return [(SNAPSHOT_HEADER_BYTES, len(data)), (len(data), len(data))]
    return blocks_of(data) if is_segment(path) else [span for span, _ in log_records_of(data)]


def tellable(path: str, files: Mapping[str, bytes | bytearray]) -> list[Span]:
    """The blocks or records of a file whose damage recovery can tell from a torn tail, as far as pieces go."""
    data = bytes(files[path])
    pieces = pieces_of(path, data)
    if not is_segment(path) or not pieces:
        return pieces[:-1]
    return pieces if records_before(data, pieces[-1][0]) < marked_on(path, files) else pieces[:-1]


def is_vital(path: str, files: Mapping[str, bytes | bytearray]) -> bool:
    """Whether no process can start on these files once ``path`` is damaged or gone."""
    return path != SNAPSHOT_PATH or entries_begin(bytes(files.get(JOURNAL_PATH, b""))) > 1


def entries_begin(journal: bytes) -> int:
    """The index of the first entry of a journal's log: 1 where it was never cut."""
    for (start, end), _ in log_records_of(journal):
        record = msgspec.msgpack.decode(journal[start + _RECORD.size : end])
        if record[0] == _BASE_TAG:
            first: int = record[1] + 1
            return first
    return 1


def can_be_told(path: str, data: bytes, start: int, end: int, marked: int = 0) -> bool:
    """Whether recovery can tell damage from ``start`` to ``end`` of a file with these bytes from a torn tail.

    ``marked``: how many records of a segment file are noted as durable.
    """
    if is_segment(path):
        blocks = blocks_of(data)
        return bool(blocks) and (end <= blocks[-1][0] or records_before(data, start) < marked)
    if path == SNAPSHOT_PATH:
        return start < end <= len(data)  # it has its name only since it was whole
    records = log_records_of(data)
    mark = max((durable for (first, behind), durable in records if first >= end or behind <= start), default=0)
    damaged_from = next((first for (first, behind), _ in records if behind > start), len(data))
    return mark > (damaged_from if start >= HEADER_BYTES else 0)
