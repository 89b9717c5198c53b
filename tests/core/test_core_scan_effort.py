"""What a client stored decides neither how long a start takes nor what a copy is taken to hold."""

import struct
from unittest import mock

from segment_fixtures import block

from walrus.core.segment import scan
from walrus.core.segment.scan import CHECKS_PER_BYTE, CHUNK_BYTES, LOST, TORN, Scan, Verdict
from walrus.core.storage.blocks import BLOCK_MAGIC, BlockInfo, SegmentHeader, announced_size, block_at, encode_header

HEADER = SegmentHeader(1, 2, 3, "t", 1)


def judged(data: bytes) -> Verdict:
    """The verdict on a file that the catalogue notes."""
    reading = Scan(len(data), HEADER, held=True)
    while True:
        offset, length = reading.next_read()
        verdict = reading.feed(data[offset : offset + length])
        if verdict is not None:
            return verdict


def look_alikes(count: int) -> bytes:
    """A payload full of block headers, each of which announces half of it."""
    size = 48
    header = BLOCK_MAGIC + bytes(4) + struct.pack("<I", count * size // 2) + bytes(size - 12)
    return header * count


def test_a_torn_batch_of_a_few_look_alikes_is_cut_like_any_other() -> None:
    sound = encode_header(HEADER) + block(0, b"a")
    verdict = judged(sound + block(1, look_alikes(3))[:-1])
    assert (verdict.state, verdict.index.length, verdict.index.end_position) == (TORN, 1, len(sound))


def test_a_tail_full_of_look_alikes_is_checked_for_a_few_times_its_size_and_then_not_trusted() -> None:
    data = encode_header(HEADER) + block(0, look_alikes(20_000))[:-1]
    checked = []

    def counting(buffer: bytes, position: int) -> BlockInfo | None:
        size = announced_size(buffer, position)
        checked.append(size if size <= len(buffer) - position else 0)
        return block_at(buffer, position)

    with mock.patch.object(scan, "block_at", counting):
        verdict = judged(data)
    assert (verdict.state, verdict.reason) == (
        LOST,
        "corrupt block at byte 512 before what looks like blocks throughout",
    )
    assert sum(checked) <= CHECKS_PER_BYTE * len(data) + CHUNK_BYTES
