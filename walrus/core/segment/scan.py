"""Reads a segment file after a restart and decides what of it can be trusted, chunk by chunk.

| header            | after the last sound block            | noted in the catalogue | verdict        |
|-------------------|---------------------------------------|------------------------|----------------|
| file missing      |                                       | no                     | SOUND, empty   |
| file missing      |                                       | yes                    | LOST           |
| torn or foreign   |                                       | no                     | TORN, empty    |
| torn or foreign   |                                       | yes                    | LOST           |
| sound             | zeros or the end                      | any, not as longer     | SOUND          |
| sound             | other bytes, but no sound block later | any, not as longer     | TORN, cut      |
| sound             | anything, or nothing                  | as longer              | LOST           |
| sound             | a sound block later                   | any                    | LOST (a hole)  |
| of another disk   |                                       | any                    | LOST           |
| another version's |                                       | any                    | the node stops |

A copy that had acknowledged without a sync before the power was lost may have a torn header, and holes wherever the
system had not written yet: without a mark it is judged as one that was never noted, and a hole behind what is noted as
durable is TORN. It counts for nothing as it is.

As longer: more records are noted as durable than are sound. A tail that is full of what looks like blocks (a record may
hold any bytes) is not searched for ever: LOST as well.
"""

from typing import Final

import msgspec

from walrus.core.segment.replica import segment_path
from walrus.core.storage.blocks import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    FILE_HEADER_BYTES,
    FORMAT_VERSION,
    BlockIndex,
    SegmentHeader,
    announced_size,
    block_at,
    decode_header,
    other_version,
)
from walrus.core.storage.recordlog import RecoveryError

CHUNK_BYTES: Final = 1 << 20
CHECKS_PER_BYTE: Final = 4  # a tail's bytes go through a checksum so often at most

SOUND: Final = 0
TORN: Final = 1  # sound up to the index's end; cut there before appending
LOST: Final = 2


class Verdict(msgspec.Struct, frozen=True):
    """``index``: the blocks before whatever is wrong. Of a LOST copy they count for nothing; a reader may have them."""

    state: int
    index: BlockIndex
    reason: str


class Scan:
    """One pass over a file: ask ``next_read()``, feed what was read, until ``feed`` returns a verdict."""

    def __init__(
        self, size_bytes: int, expected: SegmentHeader, *, held: bool, marked: int = 0, holes: bool = False
    ) -> None:
        """``held``: the catalogue notes the copy; ``marked``: so many of its records, as durable. ``holes``: there may
        be some.
        """
        self._size = size_bytes
        self._expected = expected
        self._held = held
        self._marked = marked
        self._holes = holes
        self._index = BlockIndex()
        self._buffer = b""  # bytes from _index.end_position on, while blocks are sound
        self._read_to = 0
        self._header_done = False
        self._dirty = False
        self._in_tail = False
        self._checks_left_bytes = CHUNK_BYTES + CHECKS_PER_BYTE * size_bytes

    def next_read(self) -> tuple[int, int]:
        """(offset, length) of the next read."""
        need = announced_size(self._buffer, 0) - len(self._buffer)
        return self._read_to, max(CHUNK_BYTES, need)

    def feed(self, data: bytes) -> Verdict | None:
        """Take what was read at the offset asked for; a verdict once the file is judged.

        Raises RecoveryError for a file of another format version: it is neither cut nor filled again.
        """
        self._read_to += len(data)
        at_end = not data or self._read_to >= self._size
        self._buffer += data
        if not self._header_done and (verdict := self._judge_header(at_end)) is not None:
            return verdict
        if not self._header_done:
            return None
        if not self._in_tail:
            self._take_blocks(at_end)
        if self._in_tail and self._sound_block_in_tail():
            if self._holes and self._index.length >= self._marked:
                return Verdict(TORN, self._index, f"hole at byte {self._index.end_position}, left by a loss of power")
            others = "sound ones" if self._checks_left_bytes >= 0 else "what looks like blocks throughout"
            return Verdict(LOST, self._index, f"corrupt block at byte {self._index.end_position} before {others}")
        if not at_end:
            return None
        if self._index.length < self._marked:
            return Verdict(LOST, self._index, self._short())
        if self._dirty:
            return Verdict(TORN, self._index, f"torn tail at byte {self._index.end_position}")
        return Verdict(SOUND, self._index, "")

    def _short(self) -> str:
        where = f"corrupt block at byte {self._index.end_position}" if self._dirty else "it ends"
        return f"{where} after {self._index.length} records, below record {self._marked} that was durable"

    def _judge_header(self, at_end: bool) -> Verdict | None:
        if len(self._buffer) < FILE_HEADER_BYTES and not at_end:
            return None
        header = decode_header(self._buffer)
        expected = self._expected
        if header is None and (version := other_version(self._buffer)):
            raise RecoveryError(
                f"{segment_path((expected.topic, expected.segment))}: format version {version}, this program reads "
                f"{FORMAT_VERSION}; run a newer version"
            )
        if header is None or (header.topic, header.segment) != (expected.topic, expected.segment):
            if self._held:
                return Verdict(LOST, BlockIndex(), "corrupt or foreign header at byte 0")
            return Verdict(TORN, self._index, "header never became durable")
        if (header.node, header.storage) != (expected.node, expected.storage):
            return Verdict(
                LOST, BlockIndex(), f"copy of node {header.node} (storage id {header.storage:016x}), not ours"
            )
        self._header_done = True
        self._buffer = self._buffer[FILE_HEADER_BYTES:]
        return None

    def _take_blocks(self, at_end: bool) -> None:
        position = 0
        while (
            (block := block_at(self._buffer, position)) is not None and block.base == self._index.length and block.count
        ):
            self._index.add(block)
            position += block.size
        self._buffer = self._buffer[position:]
        complete_header = len(self._buffer) >= BLOCK_HEADER_BYTES
        announced = announced_size(self._buffer, 0)
        fits_in_file = self._index.end_position + announced <= self._size
        wants_more = not complete_header or (announced > len(self._buffer) and fits_in_file)
        if at_end or not wants_more:
            self._in_tail = True

    def _sound_block_in_tail(self) -> bool:
        """Look for a sound block anywhere after the last good one; keeps what may be the start of one."""
        self._dirty = self._dirty or bool(self._buffer.strip(b"\0"))
        position = self._buffer.find(BLOCK_MAGIC)
        while position >= 0:
            announced = announced_size(self._buffer, position)
            is_whole = announced <= len(self._buffer) - position
            self._checks_left_bytes -= announced if is_whole else 0
            if self._checks_left_bytes < 0 or block_at(self._buffer, position) is not None:
                return True
            if not is_whole and self._read_to < self._size:
                self._buffer = self._buffer[position:]
                return False
            position = self._buffer.find(BLOCK_MAGIC, position + 1)
        self._buffer = self._buffer[-(BLOCK_HEADER_BYTES - 1) :]
        return False
