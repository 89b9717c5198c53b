"""Small checksummed records in one append-only file: the frame under the Raft journal and the replica catalogue.

All integers little-endian. File header, 64 bytes: an 8-byte magic, u16 format version, u16 zero, u32 node id, u64
storage id, zeros, u32 CRC-32 of the 60 bytes before it. Record: magic ``WREC``, u32 CRC-32 of all that follows, u32
payload length, u64 how many bytes of this file were known durable when the record was appended, payload.

A file may also be made whole, elsewhere, and get its name once it is durable: each record says so with a durable mark
at the end of what the file was made with.

A record whose write never completed may be missing while a later one is there: that is a torn tail, and is cut.
A hole below the durable mark of any sound record is lost data, never a torn tail, and is an error.
"""

import struct
import zlib
from typing import Final

import msgspec

from walrus.core.storage.appender import Appender, Tokens

FORMAT_VERSION: Final = 1  # where a kind of file has no other
HEADER_BYTES: Final = 64
_HEADER: Final = struct.Struct("<8sHHIQ")
_CRC: Final = struct.Struct("<I")
RECORD_MAGIC: Final = b"WREC"
_TAIL: Final = struct.Struct("<IQ")
RECORD_HEADER_BYTES: Final = 8 + _TAIL.size


class RecoveryError(Exception):
    """A file of this node cannot be used; the text names the file, the position and what to do."""


class Recovered(msgspec.Struct, frozen=True):
    """What a record file held."""

    node: int
    storage: int
    payloads: list[bytes]
    end: int  # bytes up to the last sound record
    dirty_tail: bool  # something other than zeros lies beyond ``end``: cut before appending
    made_bytes: int  # size of the file when it got its name, 0 where it was appended to from the start
    version: int  # of the format


def encode_header(magic: bytes, node: int, storage: int, version: int = FORMAT_VERSION) -> bytes:
    body = _HEADER.pack(magic, version, 0, node, storage).ljust(HEADER_BYTES - 4, b"\0")
    return body + _CRC.pack(zlib.crc32(body))


def recover(path: str, magic: bytes, data: bytes, newest: int = FORMAT_VERSION) -> Recovered | None:
    """Read a whole record file; None if its creation never became durable (so nothing in it was ever relied on).

    ``newest``: format versions from 1 up to this one are read.

    Raises RecoveryError for a foreign file, a newer format or a hole below the durable mark.
    """
    header = data[:HEADER_BYTES]
    if len(header) < HEADER_BYTES or _CRC.unpack_from(header, HEADER_BYTES - 4)[0] != zlib.crc32(header[:-4]):
        if _last_durable_mark(data, 0) > 0:
            raise RecoveryError(f"{path}: corrupt header at byte 0; restore this file or replace the node")
        if not magic.startswith(header[:8].rstrip(b"\0")):
            raise RecoveryError(f"{path}: not a file of this kind (starts with {header[:8]!r}, not {magic!r})")
        return None
    found_magic, version, _, node, storage = _HEADER.unpack_from(header)
    if found_magic != magic:
        raise RecoveryError(f"{path}: not a file of this kind (starts with {found_magic!r}, not {magic!r})")
    if not 1 <= version <= newest:
        readable = f"1 to {newest}" if newest > 1 else "1"
        raise RecoveryError(f"{path}: format version {version}, this program reads {readable}; run a newer version")
    payloads, end, mark = _sound_records(data)
    mark = max(mark, _last_durable_mark(data, end))
    if mark > end:
        raise RecoveryError(
            f"{path}: corrupt record at byte {end}, below byte {mark} that was durable; "
            "restore this file or replace the node"
        )
    first = record_at(data, HEADER_BYTES)
    made_bytes = first[1] if first is not None and first[1] > HEADER_BYTES else 0
    return Recovered(node, storage, payloads, end, bool(data[end:].strip(b"\0")), made_bytes, version)


def record_at(data: bytes, position: int) -> tuple[int, int] | None:
    """(payload length, durable mark) of a sound record at ``position``, or None where there is none."""
    if data[position : position + 4] != RECORD_MAGIC or position + RECORD_HEADER_BYTES > len(data):
        return None
    (crc,) = _CRC.unpack_from(data, position + 4)
    length, durable = _TAIL.unpack_from(data, position + 8)
    end = position + RECORD_HEADER_BYTES + length
    if end > len(data) or zlib.crc32(memoryview(data)[position + 8 : end]) != crc:
        return None
    return length, durable


def _sound_records(data: bytes) -> tuple[list[bytes], int, int]:
    """Payloads up to the first hole, where that is, and the greatest durable mark among them."""
    payloads = []
    position, mark = HEADER_BYTES, 0
    while (found := record_at(data, position)) is not None:
        start = position + RECORD_HEADER_BYTES
        position = start + found[0]
        mark = max(mark, found[1])
        payloads.append(data[start:position])
    return payloads, position, mark


def _last_durable_mark(data: bytes, position: int) -> int:
    """Greatest durable mark of any sound record from ``position`` on, wherever it starts."""
    mark = 0
    position = data.find(RECORD_MAGIC, position)
    while position >= 0:
        found = record_at(data, position)
        if found is None:
            position += 1
        else:
            mark = max(mark, found[1])
            position += RECORD_HEADER_BYTES + found[0]
        position = data.find(RECORD_MAGIC, position)
    return mark


def encode_record(payload: bytes, durable_mark: int) -> bytes:
    tail = _TAIL.pack(len(payload), durable_mark)
    crc = zlib.crc32(payload, zlib.crc32(tail))
    return b"".join((RECORD_MAGIC, _CRC.pack(crc), tail, payload))


def encode_whole(magic: bytes, node: int, storage: int, payloads: list[bytes], version: int = FORMAT_VERSION) -> bytes:
    """A record file that becomes visible only once all of it is durable, as its records' marks say."""
    size = HEADER_BYTES + sum(RECORD_HEADER_BYTES + len(payload) for payload in payloads)
    records = (encode_record(payload, size) for payload in payloads)
    return b"".join((encode_header(magic, node, storage, version), *records))


class RecordLog:
    """Appends records to one file with group commit. Drivers see only its ``Write`` actions."""

    def __init__(self, path: str, tokens: Tokens, end: int, ahead: int = 0) -> None:
        self.appender = Appender(path, tokens, end, ahead)

    @classmethod
    def create(
        cls, path: str, magic: bytes, node: int, storage: int, tokens: Tokens, ahead: int = 0,
        version: int = FORMAT_VERSION,
    ) -> "RecordLog":  # fmt: skip
        log = cls(path, tokens, 0, ahead)
        log.appender.append(encode_header(magic, node, storage, version))
        return log

    def append(self, payload: bytes) -> int:
        """Queue a record; returns the token of the write that makes it durable."""
        return self.appender.append(encode_record(payload, self.appender.durable_end))
