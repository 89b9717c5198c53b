"""Blocks and segment headers: what is written reads back, what is damaged does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.samples import BLOCKS, HEADER
from walrus.core.storage.blocks import (
    BLOCK_HEADER_BYTES,
    FILE_HEADER_BYTES,
    BlockIndex,
    announced_size,
    block_at,
    decode_header,
    encode_block,
    encode_header,
    payloads_of,
    split_blocks,
)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_records_of_a_block_read_back_as_written(payloads: list[bytes], base: int, epoch: int) -> None:
    data = b"before" + encode_block(base, epoch, 7, 0, payloads)
    block = block_at(data, 6)
    assert block is not None
    assert (block.base, block.count, block.epoch, block.wall_ns) == (base, len(payloads), epoch, 7)
    assert payloads_of(data, block) == payloads
    assert block.size == announced_size(data, 6) == len(data) - 6


def test_a_block_with_any_bit_flipped_is_no_block() -> None:
    for bit in range(len(BLOCKS[0]) * 8):
        data = bytearray(BLOCKS[0])
        data[bit // 8] ^= 1 << bit % 8
        assert block_at(bytes(data), 0) is None, bit


def test_a_block_cut_anywhere_is_no_block() -> None:
    assert all(block_at(BLOCKS[0][:cut], 0) is None for cut in range(len(BLOCKS[0])))


def test_blocks_with_anything_between_them_are_not_split() -> None:
    blocks = split_blocks(b"".join(BLOCKS))
    assert blocks is not None
    assert [(block.base, block.count) for block in blocks] == [(0, 3), (3, 1), (4, 2)]
    assert split_blocks(b"") == []
    assert split_blocks(BLOCKS[0] + b"\0" + BLOCKS[1]) is None


def test_no_size_is_announced_where_no_block_begins() -> None:
    assert announced_size(bytes(BLOCK_HEADER_BYTES), 0) == 0
    assert announced_size(BLOCKS[0][: BLOCK_HEADER_BYTES - 1], 0) == 0
    assert announced_size(BLOCKS[0][:8] + b"\xff" * BLOCK_HEADER_BYTES, 0) == 0


def test_a_segment_header_reads_back_unless_a_bit_of_it_is_flipped() -> None:
    data = encode_header(HEADER)
    assert len(data) == FILE_HEADER_BYTES
    assert decode_header(data + b"more") == HEADER
    assert decode_header(data[:-1]) is None
    for at in range(FILE_HEADER_BYTES):
        flipped = bytearray(data)
        flipped[at] ^= 1
        assert decode_header(bytes(flipped)) is None, at


def index_of_all() -> BlockIndex:
    index = BlockIndex()
    for block in split_blocks(b"".join(BLOCKS)) or []:
        index.add(block)
    return index


def test_the_index_finds_the_block_of_every_record() -> None:
    index = index_of_all()
    assert [index.find(offset) for offset in range(index.length)] == [0, 0, 0, 1, 2, 2]
    assert [index.base_of(number) for number in range(4)] == [0, 3, 4, 6]
    assert index.position_of(3) == FILE_HEADER_BYTES + sum(map(len, BLOCKS))


@pytest.mark.parametrize(("length", "blocks"), [(0, 0), (3, 1), (4, 2), (6, 3), (9, 3)])
def test_the_index_is_cut_at_a_block_border(length: int, blocks: int) -> None:
    index = index_of_all()
    index.truncate(length)
    assert (index.length, len(index.bases)) == (min(length, 6), blocks)
    assert index.end_position == FILE_HEADER_BYTES + sum(map(len, BLOCKS[:blocks]))


def test_the_index_is_never_cut_inside_a_block() -> None:
    with pytest.raises(AssertionError, match="record 5 is inside a block"):
        index_of_all().truncate(5)
