"""Edits that turn valid inputs into nearly valid ones.

Besides bits, bytes and pieces they know two things about our formats: numbers are little-endian lengths, counts and
offsets, which may lie; and checksums, which are made right again half of the time, for else nothing that lies behind
one would ever be reached.
"""

import random
import struct
import zlib
from typing import Final

from walrus.core.storage.blocks import BLOCK_HEADER_BYTES, BLOCK_MAGIC, FILE_HEADER_BYTES, SEGMENT_MAGIC
from walrus.core.storage.catalogue import CATALOGUE_MAGIC
from walrus.core.storage.journal import JOURNAL_MAGIC
from walrus.core.storage.recordlog import HEADER_BYTES, RECORD_MAGIC

INPUT_BYTES_MAX: Final = 16 * 1024
EDGES: Final = (
    *(
        b"\x00",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xff\xff\xff\xff",
        bytes(4),
        bytes(64),
        b"\x91" * 64,
        b"\xc0",
        b" ",
        b"\r\n",
    ),
    *(RECORD_MAGIC, BLOCK_MAGIC, JOURNAL_MAGIC, CATALOGUE_MAGIC, SEGMENT_MAGIC),
)
_U32: Final = struct.Struct("<I")
_RECORD_HEADER_BYTES: Final = 20


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to four edits of ``data``, which may take pieces of ``other``; then perhaps sound checksums."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        _edit(rng, result, other)
    del result[INPUT_BYTES_MAX:]
    return resealed(bytes(result)) if rng.random() < 0.5 else bytes(result)


def _edit(rng: random.Random, result: bytearray, other: bytes) -> None:
    at = rng.randrange(len(result) + 1)
    end = min(len(result), at + rng.choice((1, 2, 4, 8, 64, 512)))
    match rng.randrange(9):
        case 0 if at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        case 1 if at < len(result):
            result[at] = rng.randrange(256)
        case 2:
            del result[at:]
        case 3:
            del result[at:end]
        case 4:
            result[at:at] = result[at:end]
        case 5:
            edge = rng.choice(EDGES)
            result[at : at + rng.choice((0, len(edge)))] = edge
        case 6:
            _lie(rng, result, at)
        case 7:
            _move(rng, result, at, end)
        case _:
            start = rng.randrange(len(other) + 1)
            result[at:end] = other[start : start + rng.choice((1, 8, 64, 512))]


def _lie(rng: random.Random, result: bytearray, at: int) -> None:
    """Overwrite a number of 2, 4 or 8 bytes by one that is nearly right, or by a limit."""
    width = rng.choice((2, 4, 4, 8))
    field = bytes(result[at : at + width])
    if len(field) < width:
        return
    told = int.from_bytes(field, "little")
    left = len(result) - at - width
    lies = (0, 1, told + 1, told - 1, left, left + 1, left - 1, told << 8, 1 << (8 * width - 1), (1 << 8 * width) - 1)
    result[at : at + width] = (rng.choice(lies) % (1 << 8 * width)).to_bytes(width, "little")


def _move(rng: random.Random, result: bytearray, at: int, end: int) -> None:
    """Put a piece somewhere else."""
    piece = result[at:end]
    del result[at:end]
    to = rng.randrange(len(result) + 1)
    result[to:to] = piece


def resealed(data: bytes) -> bytes:
    """The same with sound checksums on every file header, record and block whose length lies within ``data``."""
    result = bytearray(data)
    for magic, size in (
        (JOURNAL_MAGIC, HEADER_BYTES),
        (CATALOGUE_MAGIC, HEADER_BYTES),
        (SEGMENT_MAGIC, FILE_HEADER_BYTES),
    ):
        for at in _found(result, magic):
            if at + size <= len(result):
                _U32.pack_into(result, at + size - 4, zlib.crc32(result[at : at + size - 4]))
    for magic, size in ((RECORD_MAGIC, _RECORD_HEADER_BYTES), (BLOCK_MAGIC, BLOCK_HEADER_BYTES)):
        for at in _found(result, magic):
            if at + size <= len(result):
                (length,) = _U32.unpack_from(result, at + 8)
                if at + size + length <= len(result):
                    _U32.pack_into(result, at + 4, zlib.crc32(result[at + 8 : at + size + length]))
    return bytes(result)


def _found(data: bytearray, magic: bytes) -> list[int]:
    places = []
    at = data.find(magic)
    while at >= 0:
        places.append(at)
        at = data.find(magic, at + 1)
    return places
