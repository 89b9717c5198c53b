"""``raft_meta/snapshot.bin``: the newest metadata snapshot of this node, one header and one body.

All integers little-endian. Header, 64 bytes: magic ``WALSNAP\\n``, u16 format version, u16 zero, u32 node id, u64
storage id, u64 length of the body, u32 CRC-32 of the body, zeros, u32 CRC-32 of the 60 bytes before it. The body
(:mod:`walrus.core.metadata.snapshot`) follows; what lies behind it was preallocated.

The file is written under another name and renamed once it is durable, so it is never torn: whatever is wrong with it is
damage.
"""

import struct
import zlib
from typing import Final

import msgspec

from walrus.core.metadata import snapshot as body
from walrus.core.metadata.snapshot import Snapshot, SnapshotError
from walrus.core.storage.recordlog import RecoveryError

SNAPSHOT_PATH: Final = "raft_meta/snapshot.bin"
SNAPSHOT_NEW_PATH: Final = "raft_meta/snapshot.bin.new"
SNAPSHOT_MAGIC: Final = b"WALSNAP\n"
FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 64
_HEADER: Final = struct.Struct("<8sHHIQQI")
_CRC: Final = struct.Struct("<I")


class SnapshotFile(msgspec.Struct, frozen=True):
    """What a sound file holds: the snapshot, and its bytes as they are sent to others."""

    node: int
    storage: int
    snapshot: Snapshot
    data: bytes


class Damaged(RecoveryError):
    """The file is a snapshot's, but not as it was written."""


def encode_file(node: int, storage: int, data: bytes) -> bytes:
    """The file for a snapshot whose encoded body is ``data``."""
    head = _HEADER.pack(SNAPSHOT_MAGIC, FORMAT_VERSION, 0, node, storage, len(data), zlib.crc32(data))
    head = head.ljust(HEADER_BYTES - _CRC.size, b"\0")
    return head + _CRC.pack(zlib.crc32(head)) + data


def decode_file(data: bytes) -> SnapshotFile:
    """Read a file. Raises Damaged, or RecoveryError for a newer format; both name file and byte."""
    header = data[:HEADER_BYTES]
    if len(header) < HEADER_BYTES or _CRC.unpack_from(header, HEADER_BYTES - 4)[0] != zlib.crc32(header[:-4]):
        raise Damaged(f"{SNAPSHOT_PATH}: corrupt header at byte 0")
    magic, version, _, node, storage, length, crc = _HEADER.unpack_from(header)
    if magic != SNAPSHOT_MAGIC:
        raise Damaged(f"{SNAPSHOT_PATH}: starts with {magic!r} at byte 0, not with {SNAPSHOT_MAGIC!r}")
    if version != FORMAT_VERSION:
        raise RecoveryError(
            f"{SNAPSHOT_PATH}: format version {version}, this program reads {FORMAT_VERSION}; run a newer version"
        )
    content = data[HEADER_BYTES : HEADER_BYTES + length]
    if len(content) != length:
        raise Damaged(f"{SNAPSHOT_PATH}: cut short at byte {len(data)} of {HEADER_BYTES + length}")
    if zlib.crc32(content) != crc:
        raise Damaged(f"{SNAPSHOT_PATH}: corrupt body from byte {HEADER_BYTES} on")
    try:
        return SnapshotFile(node, storage, body.decode(content), content)
    except SnapshotError as error:
        raise Damaged(f"{SNAPSHOT_PATH}: the body at byte {HEADER_BYTES} is sound, but {error}") from error
