"""Reads a record file (``entries.log``, ``replicas.log``) past whatever is wrong with it.

The verdict is that of :func:`walrus.core.storage.recordlog.recover`, which a test compares.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from walrus.cli.inspection.report import DAMAGED, NEWER, TORN, Report, identity, newer_format
from walrus.core.storage.recordlog import (
    FORMAT_VERSION,
    HEADER_BYTES,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    record_at,
)

_HEADER: Final = struct.Struct("<8sHHIQ")
_U32: Final = struct.Struct("<I")
_LOST: Final = "restore this file or replace the node"


class Record(msgspec.Struct, frozen=True):
    """A sound record. ``mark``: how many bytes of the file were durable when it was appended."""

    position: int  # of its header
    end: int
    crc: int
    mark: int
    payload: bytes


class Records(msgspec.Struct, frozen=True):
    """``sound``: those up to the first hole, which begins at ``end``. ``stray``: sound ones behind it."""

    node: int
    storage: int
    sound: list[Record]
    end: int
    stray: list[Record]


def read_records(report: Report, data: bytes, magic: bytes, newest: int = FORMAT_VERSION) -> Records | None:
    """Judge header and checksums into ``report``; None where nothing can be read.

    ``newest``: format versions from 1 up to this one are read.
    """
    report.facts = {"size_bytes": len(data)}
    if not _judge_header(report, data, magic, newest):
        return None
    _, version, _, node, storage = _HEADER.unpack_from(data)
    report.facts = {"version": version, "node": node, "storage": identity(storage)}
    sound: list[Record] = []
    end = HEADER_BYTES
    while (record := _record(data, end)) is not None:
        sound.append(record)
        end = record.end
    stray = list(_anywhere(data, end))
    mark = max((record.mark for record in (*sound, *stray)), default=0)
    report.facts |= {"size_bytes": len(data), "sound_bytes": end, "records": len(sound), "durable_mark": mark}
    if sound and sound[0].mark > HEADER_BYTES:
        report.facts["made_bytes"] = sound[0].mark  # it was written whole, of this size, then renamed
    _judge_end(report, data, end, mark, stray)
    return Records(node, storage, sound, end, stray)


def _record(data: bytes, position: int) -> Record | None:
    found = record_at(data, position)
    if found is None:
        return None
    length, mark = found
    start = position + RECORD_HEADER_BYTES
    (crc,) = _U32.unpack_from(data, position + len(RECORD_MAGIC))
    return Record(position, start + length, crc, mark, data[start : start + length])


def _anywhere(data: bytes, position: int) -> Iterator[Record]:
    """Sound records from ``position`` on, wherever they start."""
    while (position := data.find(RECORD_MAGIC, position)) >= 0:
        record = _record(data, position)
        if record is not None:
            yield record
        position = record.end if record is not None else position + 1


def _judge_header(report: Report, data: bytes, magic: bytes, newest: int) -> bool:
    header = data[:HEADER_BYTES]
    short = len(header) < HEADER_BYTES
    if short or zlib.crc32(header[:-4]) != _U32.unpack_from(header, HEADER_BYTES - 4)[0]:
        what = f"cut short at byte {len(header)} of the {HEADER_BYTES} of its header" if short else "corrupt header"
        position = len(header) if short else 0
        if any(record.mark for record in _anywhere(data, 0)):
            report.add(DAMAGED, position, f"{what}, but records behind it: {_LOST}")
        elif magic.startswith(header[: len(magic)].rstrip(b"\0")):
            report.add(TORN, position, f"{what}: it never became durable, so the file counts as not there")
        else:
            report.add(DAMAGED, 0, f"starts with {header[: len(magic)]!r}, not {magic!r}: {_LOST}")
        return False
    found, version, *_ = _HEADER.unpack_from(header)
    if found != magic:
        report.add(DAMAGED, 0, f"starts with {found!r}, not {magic!r}: not a file of this kind")
        return False
    if not 1 <= version <= newest:
        report.facts["version"] = version
        report.add(NEWER, len(magic), newer_format(version, newest))
        return False
    return True


def _judge_end(report: Report, data: bytes, end: int, mark: int, stray: list[Record]) -> None:
    behind = f"; the next sound record is at byte {stray[0].position}" if stray else ""
    rest = len(data[end:].rstrip(b"\0"))
    if mark > end:
        what = "corrupt record" if rest else "the records end here"
        report.add(DAMAGED, end, f"{what}, below byte {mark} that was durable{behind}: {_LOST}")
    elif rest:
        report.add(
            TORN,
            end,
            f"torn tail up to byte {end + rest - 1}, not known durable{behind}: the next start cuts it",
        )
    elif len(data) > end:
        report.notes.append(f"{len(data) - end} zeros at the end were reserved for more")


def list_record(number: int, record: Record, text: str) -> dict[str, object]:
    """What ``--records`` shows of one record; ``text``: what it says."""
    return {
        "record": number,
        "position": record.position,
        "bytes": record.end - record.position,
        "crc": f"{record.crc:08x}",
        "durable_mark": record.mark,
        "payload": text,
    }
