"""Reads a segment file block by block, past holes too, and says what a node will make of it.

The verdict is that of :mod:`walrus.core.segment.scan`, which a test compares; what comes on top is where things are.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from walrus.cli.inspection.datafile import CHUNK_BYTES, DataFile
from walrus.cli.inspection.report import (
    DAMAGED,
    NEWER,
    TORN,
    Listing,
    Report,
    identity,
    moment,
    newer_format,
    owner,
    preview,
)
from walrus.core.segment.scan import CHECKS_PER_BYTE
from walrus.core.storage.blocks import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    FILE_HEADER_BYTES,
    FORMAT_VERSION,
    BlockInfo,
    SegmentHeader,
    announced_size,
    block_at,
    decode_header,
    other_version,
)

KIND: Final = "segment"
_LENGTH: Final = struct.Struct("<I")
_ACKNOWLEDGED: Final = struct.Struct("<36xQ")  # the last field of a block's header
_NAME: Final = re.compile(r"(.+):([0-9]+)\.wal")


class Block(msgspec.Struct, frozen=True):
    """A sound block, wherever it lies; ``data``: its header and body."""

    info: BlockInfo
    data: bytes


class Hole(msgspec.Struct, frozen=True):
    """Bytes ``position`` to ``end`` are no block that continues the ones before, and a sound block lies at ``end``."""

    position: int
    end: int
    expected: int  # the record that should begin at ``position``
    found: BlockInfo


class Tail(msgspec.Struct, frozen=True):
    """No sound block from ``position`` on. ``end``: behind the last byte that is not zero."""

    position: int
    end: int
    endless: bool  # so much looks like blocks that the search was given up


class Owner(msgspec.Struct, frozen=True):
    """What a copy should be by what lies beside it. ``held``: replicas.log notes it; ``durable``: how many records.

    ``former``: ids that the cluster had before unsafe recoveries; what was written under one of them keeps it.
    """

    header: SegmentHeader
    held: bool
    durable: int = 0
    former: tuple[int, ...] = ()


def inspect(file: DataFile, listing: Listing | None, expected: Owner | None = None) -> Report:
    """Judge a segment file, by itself or as a part of its data directory. Raises OSError."""
    report = Report(str(file.path), KIND)
    head = file.at(0, FILE_HEADER_BYTES)
    header = decode_header(head)
    if header is None:
        _judge_bad_header(report, file, head, expected)
        return report
    report.facts = {
        "version": FORMAT_VERSION,
        "node": header.node,
        "storage": identity(header.storage),
        "cluster": identity(header.cluster),
        "topic": header.topic,
        "segment": header.segment,
    }
    _judge_owner(report, file, header, expected)
    _Reading(report, listing, expected.durable if expected is not None else 0).read(file)
    return report


def walk(file: DataFile) -> Iterator[Block | Hole | Tail]:
    """Everything behind the file's header, in order; a Tail comes last. Raises OSError."""
    position, records = FILE_HEADER_BYTES, 0
    checks_left_bytes = CHUNK_BYTES + CHECKS_PER_BYTE * file.size
    while True:
        block = _sound_block(file, position)
        if block is None or block.info.base != records or not block.info.count:
            file.forget()
            block = _sound_block(file, position)  # a running node may have finished it by now
        if block is None or block.info.base != records or not block.info.count:
            found, checks_left_bytes = _next_sound_block(file, position, checks_left_bytes)
            if found is None:
                yield Tail(position, file.nonzero_end(position), checks_left_bytes < 0)
                return
            yield Hole(position, found.info.position, records, found.info)
            block = found
        yield block
        position = block.info.position + block.info.size
        records = block.info.base + block.info.count


def _sound_block(file: DataFile, position: int) -> Block | None:
    size = announced_size(file.at(position, BLOCK_HEADER_BYTES), 0)
    if not size or position + size > file.size:
        return None
    data = file.at(position, size)
    info = block_at(data, 0)
    return Block(msgspec.structs.replace(info, position=position), data) if info else None


def _next_sound_block(file: DataFile, position: int, checks_left_bytes: int) -> tuple[Block | None, int]:
    """A block at or behind ``position``, and how many bytes may still go through a checksum; below 0: given up."""
    while (position := file.find(BLOCK_MAGIC, position)) >= 0:
        size = announced_size(file.at(position, BLOCK_HEADER_BYTES), 0)
        if size and position + size <= file.size:
            checks_left_bytes -= size
            if checks_left_bytes < 0:
                break
            found = _sound_block(file, position)
            if found is not None:
                return found, checks_left_bytes
        position += 1
    return None, checks_left_bytes


class _Reading:
    """One pass over the blocks of a file."""

    def __init__(self, report: Report, listing: Listing | None, durable: int) -> None:
        self._report = report
        self._listing = listing
        self._durable = durable
        self._blocks = self._records = self._acknowledged = 0
        self._first: BlockInfo | None = None
        self._last: BlockInfo | None = None
        self._times_ns: list[int] = []  # least and greatest

    def read(self, file: DataFile) -> None:
        for found in walk(file):
            match found:
                case Block():
                    self._take(found)
                case Hole():
                    self._report.add(DAMAGED, found.position, _hole(found))
                case Tail():
                    self._end(found, file.size)

    def _take(self, block: Block) -> None:
        info = block.info
        self._blocks += 1
        self._records += info.count
        self._first = self._first or info
        self._last = info
        times_ns = [*self._times_ns, info.wall_ns]
        self._times_ns = [min(times_ns), max(times_ns)]
        self._acknowledged = max(self._acknowledged, _ACKNOWLEDGED.unpack_from(block.data)[0])
        if not info.count:
            self._report.add(DAMAGED, info.position, "a block without records")
        payloads = _payloads(block)
        if payloads is None:
            self._report.add(DAMAGED, info.position, "the lengths of the block's records do not add up to its body")
        if self._listing is not None:
            self._list(block, payloads or [])

    def _list(self, block: Block, payloads: list[tuple[int, int]]) -> None:
        info = block.info
        assert self._listing is not None
        self._listing(
            {
                "block": self._blocks - 1,
                "position": info.position,
                "bytes": info.size,
                "crc": f"{info.crc:08x}",
                "offset": info.base,
                "records": info.count,
                "epoch": info.epoch,
                "time": moment(info.wall_ns),
            }
        )
        for number, (start, end) in enumerate(payloads):
            self._listing(
                {
                    "offset": info.base + number,
                    "position": info.position + start,
                    "bytes": end - start,
                    "payload": preview(block.data[start:end]),
                }
            )

    def _end(self, tail: Tail, size: int) -> None:
        facts = self._report.facts
        facts |= {"size_bytes": size, "sound_bytes": tail.position, "blocks": self._blocks, "records": self._records}
        if self._first is not None and self._last is not None:
            facts |= {
                "offsets": (self._first.base, self._last.base + self._last.count - 1),
                "acknowledged": self._acknowledged,
                "epochs": (self._first.epoch, self._last.epoch),
                "times": (moment(self._times_ns[0]), moment(self._times_ns[1])),
            }
        if tail.endless:
            text = (
                "corrupt, and followed by so much that looks like blocks that the search for a sound one was given up"
            )
            self._report.add(DAMAGED, tail.position, f"{text}: the copy counts as lost")
        elif self._records < self._durable:
            text = f"{self._records} sound records, but {self._durable} are noted as durable: the copy counts as lost"
            self._report.add(DAMAGED, tail.position, text)
        elif tail.end > tail.position:
            self._report.add(
                TORN,
                tail.position,
                f"torn tail up to byte {tail.end - 1}, no sound block in it or behind: the next start cuts it (rot of "
                "what replicas.log does not note as durable looks the same)",
            )
        elif size > tail.position:
            self._report.notes.append(f"{size - tail.position} zeros at the end were reserved for more")


def _hole(hole: Hole) -> str:
    what = "the copy counts as lost, in no quorum, and is filled again from its peers once the segment is sealed"
    if hole.end > hole.position:
        length = hole.end - hole.position
        return f"{length} corrupt bytes, then at byte {hole.end} a sound block from record {hole.found.base} on: {what}"
    return f"a sound block that begins with record {hole.found.base} where record {hole.expected} should follow: {what}"


def _payloads(block: Block) -> list[tuple[int, int]] | None:
    """From where to where each record's payload lies in the block; None where lengths and body disagree."""
    data, at, end = block.data, BLOCK_HEADER_BYTES, len(block.data)
    payloads: list[tuple[int, int]] = []
    for _ in range(block.info.count):
        if at + _LENGTH.size > end:
            return None
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0]
        payloads.append((start, at))
        if at > end:
            return None
    return payloads if at == end else None


def _judge_bad_header(report: Report, file: DataFile, head: bytes, expected: Owner | None) -> None:
    report.facts = {"size_bytes": file.size}
    version = other_version(head)
    if version:
        report.facts["version"] = version
        report.add(NEWER, 8, newer_format(version, FORMAT_VERSION))
        return
    short = len(head) < FILE_HEADER_BYTES
    what = f"cut short at byte {len(head)} of the {FILE_HEADER_BYTES} of its header" if short else "corrupt header"
    position = len(head) if short else 0
    found, _ = _next_sound_block(file, FILE_HEADER_BYTES, CHUNK_BYTES + CHECKS_PER_BYTE * file.size)
    if found is not None:
        report.add(
            DAMAGED, position, f"{what}, but a sound block at byte {found.info.position}: the copy counts as lost"
        )
    elif expected is None:
        ask = "a copy that replicas.log notes is lost, another one never held anything; give the directory to know"
        report.add(TORN, position, f"{what} and no sound block: {ask}")
    elif expected.held:
        report.add(
            DAMAGED, position, f"{what}, of a copy that replicas.log notes: it is lost, or is being filled again"
        )
    else:
        report.add(TORN, position, f"{what}, of a copy that was never noted: it never held anything")


def _judge_owner(report: Report, file: DataFile, header: SegmentHeader, expected: Owner | None) -> None:
    named = _NAME.fullmatch(file.path.name)
    if expected is not None:
        wrong = (expected.header.topic, expected.header.segment) != (header.topic, header.segment)
    else:
        wrong = named is not None and (named[1], int(named[2])) != (header.topic, header.segment)
    if wrong:
        report.add(
            DAMAGED,
            0,
            f"the header says segment {header.segment} of topic {header.topic}, the file's name something else: to a "
            "node it is a foreign file",
        )
    if expected is None:
        return
    wanted = expected.header
    if (header.node, header.storage) != (wanted.node, wanted.storage):
        report.add(
            DAMAGED,
            12,
            f"belongs to {owner(header.node, header.storage)}, the journal to {owner(wanted.node, wanted.storage)}: "
            "do not mix data directories",
        )
    if header.cluster not in (wanted.cluster, *expected.former):
        report.add(
            DAMAGED,
            24,
            f"belongs to cluster {identity(header.cluster)}, the journal to {identity(wanted.cluster)}: do not mix "
            "data directories",
        )
