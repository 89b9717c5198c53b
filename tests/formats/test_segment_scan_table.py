"""The table at the top of walrus.core.segment.scan, line by line (a missing file: test_segment_opening)."""

import zlib

import pytest

from fuzz.samples import BLOCKS, HEADER, segment_file
from fuzz.targets import READ_BYTES, scan
from walrus.core.segment.scan import LOST, SOUND, TORN
from walrus.core.storage.blocks import FILE_HEADER_BYTES, SegmentHeader, encode_block, encode_header
from walrus.core.storage.recordlog import RecoveryError

WHOLE = segment_file()
HEAD = encode_header(HEADER)
FOREIGN = encode_header(SegmentHeader(HEADER.node, HEADER.storage, HEADER.cluster, "another", 1))
NO, YES = (False,), (True,)
ANY = (False, True)
BAD_BLOCK = BLOCKS[1][:60] + b"!" + BLOCKS[1][61:]
GAP = encode_block(9, 2, 1, 0, [b"x"])

# header, what follows the last sound block, noted in the catalogue -> verdict, records kept
TABLE = [
    ("torn header", HEAD[:100], NO, TORN, 0),
    ("no byte", b"", NO, TORN, 0),
    ("zeros for a header", bytes(600), NO, TORN, 0),
    ("foreign header", FOREIGN + BLOCKS[0], NO, TORN, 0),
    ("torn header, held", HEAD[:100], YES, LOST, 0),
    ("no byte, held", b"", YES, LOST, 0),
    ("zeros for a header, held", bytes(600), YES, LOST, 0),
    ("foreign header, held", FOREIGN + BLOCKS[0], YES, LOST, 0),
    ("sound, the end", WHOLE, ANY, SOUND, 6),
    ("sound, zeros", WHOLE + bytes(5000), ANY, SOUND, 6),
    ("sound header only", HEAD, ANY, SOUND, 0),
    ("sound header, zeros", HEAD + bytes(5000), ANY, SOUND, 0),
    ("sound, torn last block", WHOLE[:-1], ANY, TORN, 4),
    ("sound, torn block header", HEAD + BLOCKS[0] + BLOCKS[1][:20], ANY, TORN, 3),
    ("sound, torn block then zeros", WHOLE[:-1] + bytes(5000), ANY, TORN, 4),
    ("sound, rubbish", WHOLE + b"rubbish", ANY, TORN, 6),
    ("sound, zeros then rubbish", WHOLE + bytes(3000) + b"rubbish", ANY, TORN, 6),
    ("sound, corrupt last block", HEAD + BLOCKS[0] + BAD_BLOCK, ANY, TORN, 3),
    ("hole of a corrupt block", HEAD + BLOCKS[0] + BAD_BLOCK + BLOCKS[2], ANY, LOST, 3),
    ("hole of zeros", HEAD + BLOCKS[0] + bytes(len(BLOCKS[1])) + BLOCKS[2], ANY, LOST, 3),
    ("hole at the start", HEAD + bytes(len(BLOCKS[0])) + BLOCKS[1], ANY, LOST, 0),
    ("a block that does not continue", HEAD + BLOCKS[0] + GAP, ANY, LOST, 3),
    ("a block twice", HEAD + BLOCKS[0] + BLOCKS[0], ANY, LOST, 3),
]
# header, what follows the last sound block, records noted as durable -> verdict, records kept
LONGER = [
    ("the end", WHOLE, 6, SOUND, 6),
    ("the end, too early", WHOLE, 7, LOST, 6),
    ("a file cut at a block", WHOLE[: -len(BLOCKS[2])], 5, LOST, 4),
    ("zeros for the last block", WHOLE[: -len(BLOCKS[2])] + bytes(len(BLOCKS[2])), 6, LOST, 4),
    ("torn last block, which was not durable", WHOLE[:-1], 4, TORN, 4),
    ("torn last block, which was durable", WHOLE[:-1], 5, LOST, 4),
    ("corrupt last block, which was not durable", HEAD + BLOCKS[0] + BAD_BLOCK, 3, TORN, 3),
    ("corrupt last block, which was durable", HEAD + BLOCKS[0] + BAD_BLOCK, 4, LOST, 3),
    ("header only", HEAD, 1, LOST, 0),
]
ROWS = [
    pytest.param(data, held, state, length, id=f"{name}{', noted' if held else ', not noted'}")
    for name, data, noted, state, length in TABLE
    for held in noted
]


@pytest.mark.parametrize("read_bytes", [1 << 30, READ_BYTES, 1])
@pytest.mark.parametrize(("data", "held", "state", "length"), ROWS)
def test_a_segment_file_is_judged_as_the_table_says(
    data: bytes, held: bool, state: int, length: int, read_bytes: int
) -> None:
    """The same verdict follows however the file is read."""
    verdict = scan(data, held=held, read_bytes=read_bytes)
    assert (verdict.state, verdict.index.length) == (state, length), verdict.reason


@pytest.mark.parametrize("read_bytes", [1 << 30, READ_BYTES, 1])
@pytest.mark.parametrize(("data", "marked", "state", "length"), [row[1:] for row in LONGER], ids=[r[0] for r in LONGER])
def test_a_copy_with_fewer_records_than_were_durable_is_lost_whatever_its_end_looks_like(
    data: bytes, marked: int, state: int, length: int, read_bytes: int
) -> None:
    verdict = scan(data, held=True, marked=marked, read_bytes=read_bytes)
    assert (verdict.state, verdict.index.length) == (state, length), verdict.reason
    assert (f"below record {marked} that was durable" in verdict.reason) == (state == LOST)


@pytest.mark.parametrize("held", ANY)
@pytest.mark.parametrize("other", [(2, HEADER.storage), (HEADER.node, 5)])
def test_a_copy_that_another_disk_wrote_is_lost(other: tuple[int, int], held: bool) -> None:
    data = encode_header(SegmentHeader(*other, HEADER.cluster, HEADER.topic, HEADER.segment)) + BLOCKS[0]
    verdict = scan(data, held=held)
    assert verdict.state == LOST
    assert f"copy of node {other[0]}" in verdict.reason


@pytest.mark.parametrize("read_bytes", [1 << 30, READ_BYTES])
@pytest.mark.parametrize("held", ANY)
def test_a_copy_of_another_format_version_is_refused_in_a_sentence_that_says_what_to_do(
    held: bool, read_bytes: int
) -> None:
    head = bytearray(HEAD)
    head[8] = 2
    head[-4:] = zlib.crc32(head[:-4]).to_bytes(4, "little")
    refusal = r"user_data/logs:1.wal: format version 2, this program reads 1; run a newer version"
    with pytest.raises(RecoveryError, match=refusal):
        scan(bytes(head) + BLOCKS[0], held=held, read_bytes=read_bytes)


def test_any_cut_of_a_segment_file_keeps_its_whole_blocks() -> None:
    ends = [FILE_HEADER_BYTES]
    for block in BLOCKS:
        ends.append(ends[-1] + len(block))
    lengths = (0, 3, 4, 6)
    for cut in range(FILE_HEADER_BYTES, len(WHOLE) + 1):
        kept = sum(end <= cut for end in ends) - 1
        verdict = scan(WHOLE[:cut], held=True)
        assert (verdict.state, verdict.index.length) == (SOUND if cut in ends else TORN, lengths[kept]), cut


def test_a_block_longer_than_one_read_is_asked_for_in_full() -> None:
    big = encode_block(0, 1, 1, 0, [b"x" * (3 << 20)])
    verdict = scan(HEAD + big + encode_block(1, 1, 2, 1, [b"y"]), held=True, read_bytes=2 << 20)
    assert (verdict.state, verdict.index.length) == (SOUND, 2)
