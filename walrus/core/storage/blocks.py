"""Segment files: a fixed header, then record batches ("blocks") back to back.

All integers little-endian. Replicas store and forward the same block bytes, so a block lies at the same
position in every copy of a segment.

File header, 512 bytes: magic ``WALRSEG\\n``, u16 format version, u16 zero, u32 node id, u64 storage id, u64 cluster id,
u64 segment number, u16 topic length, topic, zeros, u32 CRC-32 of the 508 bytes before it.

Block: magic ``WBLK``, u32 CRC-32 of all that follows, u32 body length in bytes, u64 offset of the first record within
the segment, u32 record count, u32 epoch, u64 wall clock in ns, u64 records acknowledged when it was built; the body:
``count`` times u32 payload length and the payload.

Zeros, or the end of the file, after the last block end the segment: files may be preallocated.
"""

import struct
import zlib
from array import array
from typing import Final

import msgspec

FORMAT_VERSION: Final = 1
SEGMENT_MAGIC: Final = b"WALRSEG\n"
FILE_HEADER_BYTES: Final = 512
_FILE_HEADER: Final = struct.Struct("<8sHHIQQQH")

BLOCK_MAGIC: Final = b"WBLK"
_BLOCK: Final = struct.Struct("<4sIIQIIQQ")
BLOCK_HEADER_BYTES: Final = _BLOCK.size
_TAIL: Final = struct.Struct("<IQIIQQ")  # the header after magic and checksum
_CRC_AT: Final = 4
_LENGTH: Final = struct.Struct("<I")
MAX_BODY_BYTES: Final = 1 << 30


class SegmentHeader(msgspec.Struct, frozen=True):
    """Who wrote a segment file, and which segment it is."""

    node: int
    storage: int
    cluster: int
    topic: str
    segment: int


class BlockInfo(msgspec.Struct, frozen=True, gc=False):
    """Where a block lies and what it covers, without its payloads."""

    position: int  # of its header, bytes from the start of the file or buffer
    size: int  # header and body, bytes
    base: int  # offset of its first record within the segment
    count: int
    epoch: int
    wall_ns: int
    crc: int


def encode_header(header: SegmentHeader) -> bytes:
    topic = header.topic.encode()
    start = _FILE_HEADER.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        0,
        header.node,
        header.storage,
        header.cluster,
        header.segment,
        len(topic),
    )
    body = (start + topic).ljust(FILE_HEADER_BYTES - 4, b"\0")
    return body + _LENGTH.pack(zlib.crc32(body))


def decode_header(data: bytes) -> SegmentHeader | None:
    """The header of a segment file, or None where it is torn, foreign or of another format version."""
    if len(data) < FILE_HEADER_BYTES:
        return None
    body = data[: FILE_HEADER_BYTES - 4]
    magic, version, _, node, storage, cluster, segment, topic_length = _FILE_HEADER.unpack_from(body)
    (crc,) = _LENGTH.unpack_from(data, FILE_HEADER_BYTES - 4)
    if magic != SEGMENT_MAGIC or version != FORMAT_VERSION or crc != zlib.crc32(body):
        return None
    topic = body[_FILE_HEADER.size : _FILE_HEADER.size + topic_length].decode("ascii", "replace")
    return SegmentHeader(node, storage, cluster, topic, segment)


def other_version(data: bytes) -> int:
    """The format version of a sound header that is not of this version; 0 for any other bytes.

    Magic, version and checksum stay where they are in all versions.
    """
    if len(data) < FILE_HEADER_BYTES or data[: len(SEGMENT_MAGIC)] != SEGMENT_MAGIC:
        return 0
    (crc,) = _LENGTH.unpack_from(data, FILE_HEADER_BYTES - 4)
    version = int(_FILE_HEADER.unpack_from(data)[1])
    return version if version != FORMAT_VERSION and crc == zlib.crc32(data[: FILE_HEADER_BYTES - 4]) else 0


def encode_block(base: int, epoch: int, wall_ns: int, acked: int, payloads: list[bytes]) -> bytes:
    """One block of ``payloads``, the first of which gets offset ``base`` within its segment."""
    pack = _LENGTH.pack
    parts: list[bytes] = []
    for payload in payloads:
        parts.append(pack(len(payload)))
        parts.append(payload)
    body = b"".join(parts)
    tail = _TAIL.pack(len(body), base, len(payloads), epoch, wall_ns, acked)
    crc = zlib.crc32(body, zlib.crc32(tail))
    return b"".join((BLOCK_MAGIC, _LENGTH.pack(crc), tail, body))


def block_at(data: bytes, position: int, *, verify: bool = True) -> BlockInfo | None:
    """The block whose header starts at ``position``, or None if no whole, sound block is there."""
    if position + BLOCK_HEADER_BYTES > len(data):
        return None
    magic, crc, body_bytes, base, count, epoch, wall_ns, _ = _BLOCK.unpack_from(data, position)
    size = BLOCK_HEADER_BYTES + body_bytes
    if magic != BLOCK_MAGIC or position + size > len(data):
        return None
    if verify and zlib.crc32(memoryview(data)[position + 8 : position + size]) != crc:
        return None
    return BlockInfo(position, size, base, count, epoch, wall_ns, crc)


def announced_size(data: bytes, position: int) -> int:
    """Size in bytes that a block header at ``position`` announces; 0 where there is no block header."""
    if position + BLOCK_HEADER_BYTES > len(data) or data[position : position + 4] != BLOCK_MAGIC:
        return 0
    (body_bytes,) = _LENGTH.unpack_from(data, position + 8)
    return BLOCK_HEADER_BYTES + int(body_bytes) if body_bytes <= MAX_BODY_BYTES else 0


def split_blocks(data: bytes) -> list[BlockInfo] | None:
    """All blocks of ``data``, which must consist of whole, sound, dense blocks; None otherwise."""
    blocks: list[BlockInfo] = []
    position = 0
    while position < len(data):
        block = block_at(data, position)
        if block is None or not block.count:
            return None
        if blocks and block.base != blocks[-1].base + blocks[-1].count:
            return None
        blocks.append(block)
        position += block.size
    return blocks


def payloads_of(data: bytes, block: BlockInfo) -> list[bytes]:
    """The records of a block that :func:`block_at` accepted."""
    unpack = _LENGTH.unpack_from
    position = block.position + BLOCK_HEADER_BYTES
    payloads = []
    for _ in range(block.count):
        (length,) = unpack(data, position)
        position += 4
        payloads.append(data[position : position + length])
        position += length
    return payloads


class BlockIndex:
    """Where each block of one segment file lies; grows with the file.

    Invariant: blocks are dense, so ``bases[i+1] == bases[i] + count(i)`` and positions ascend.
    """

    __slots__ = ("bases", "crcs", "end_position", "length", "positions")

    def __init__(self) -> None:
        self.bases = array("Q")
        self.positions = array("Q")
        self.crcs = array("I")
        self.length = 0  # records
        self.end_position = FILE_HEADER_BYTES

    def add(self, block: BlockInfo) -> None:
        assert block.base == self.length, (block.base, self.length)
        assert block.count > 0
        self.bases.append(block.base)
        self.positions.append(self.end_position)
        self.crcs.append(block.crc)
        self.length += block.count
        self.end_position += block.size

    def find(self, offset: int) -> int:
        """Number of the block that holds record ``offset`` (0 <= offset < length)."""
        assert 0 <= offset < self.length
        low, high = 0, len(self.bases)
        while high - low > 1:
            middle = (low + high) // 2
            if self.bases[middle] <= offset:
                low = middle
            else:
                high = middle
        return low

    def base_of(self, number: int) -> int:
        """First record of block ``number``; the length for the number after the last."""
        return self.bases[number] if number < len(self.bases) else self.length

    def position_of(self, number: int) -> int:
        return self.positions[number] if number < len(self.positions) else self.end_position

    def truncate(self, length: int) -> None:
        """Forget all blocks from record ``length`` on, which must be a block border."""
        if length >= self.length:
            return
        number = self.find(length) if length else 0
        assert self.base_of(number) == length, f"record {length} is inside a block"
        self.end_position = self.position_of(number)
        del self.bases[number:], self.positions[number:], self.crcs[number:]
        self.length = length
