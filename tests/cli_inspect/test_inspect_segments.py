"""walrus-cli inspect of a segment file: what it holds, and where what is wrong with it begins."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from inspect_samples import flipped, inspected, text_of, with_crc

from fuzz.samples import BLOCKS, HEADER, segment_file
from walrus.core.storage.blocks import FILE_HEADER_BYTES, SegmentHeader, encode_block, encode_header

HEAD = FILE_HEADER_BYTES
WHOLE = segment_file()
FIRST, SECOND, THIRD = HEAD, HEAD + len(BLOCKS[0]), HEAD + len(BLOCKS[0]) + len(BLOCKS[1])
NAME = "logs:1.wal"


def put(root: Path, data: bytes, name: str = NAME) -> Path:
    path = root / name
    path.write_bytes(data)
    return path


def test_a_sound_segment_says_who_wrote_it_and_what_it_holds(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, WHOLE + bytes(1000)))
    assert (outcome.code, outcome.problems) == (0, [])
    assert outcome.last["verdict"] == "sound"
    assert outcome.last["notes"] == ["1000 zeros at the end were reserved for more"]
    assert outcome.last["facts"] == {
        "version": 1,
        "node": HEADER.node,
        "storage": "1234567890abcdef",
        "cluster": "000000000000004d",
        "topic": "logs",
        "segment": 1,
        "size_bytes": len(WHOLE) + 1000,
        "sound_bytes": len(WHOLE),
        "blocks": 3,
        "records": 6,
        "offsets": [0, 5],
        "acknowledged": 4,
        "epochs": [1, 2],
        "times": ["1970-01-01T00:00:00.000001000Z", "1970-01-01T00:00:00.000003000Z"],
    }


def test_a_segment_of_any_name_and_without_a_block_is_sound(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, encode_header(HEADER), "copy of a segment"))
    assert (outcome.code, outcome.problems) == (0, [])
    assert outcome.last["facts"]["records"] == 0


def last(data: bytes) -> int:
    """Position of the last byte that is not zero."""
    return len(data.rstrip(b"\0")) - 1


# what the file holds -> level, first byte concerned, words of what is said of it
DAMAGE = {
    "a torn last block": (WHOLE[:-1], "torn", THIRD, f"torn tail up to byte {last(WHOLE[:-1])}"),
    "a torn last block, then zeros": (WHOLE[:-1] + bytes(50), "torn", THIRD, f"up to byte {last(WHOLE[:-1])}"),
    "a torn block header": (WHOLE[: SECOND + 20], "torn", SECOND, f"up to byte {last(WHOLE[: SECOND + 20])}"),
    "rubbish": (WHOLE + bytes(10) + b"rubbish", "torn", len(WHOLE), f"up to byte {len(WHOLE) + 16}"),
    "rot in the last block": (flipped(WHOLE, len(WHOLE) - 1), "torn", THIRD, "rot of what replicas.log does not note"),
    "rot in a block": (flipped(WHOLE, SECOND + 70), "damaged", SECOND, f"then at byte {THIRD} a sound block from rec"),
    "rot in a block's header": (flipped(WHOLE, SECOND + 14), "damaged", SECOND, f"{len(BLOCKS[1])} corrupt bytes"),
    "rot in a block's length": (flipped(WHOLE, SECOND + 9), "damaged", SECOND, "record 4 on: the copy counts as lost"),
    "rot in a block's magic": (flipped(WHOLE, FIRST), "damaged", FIRST, f"then at byte {SECOND} a sound block"),
    "a block of zeros": (
        WHOLE[:SECOND] + bytes(len(BLOCKS[1])) + BLOCKS[2], "damaged", SECOND, f"{len(BLOCKS[1])} corrupt bytes",
    ),
    "a missing block": (WHOLE[:SECOND] + BLOCKS[2], "damaged", SECOND, "begins with record 4 where record 3"),
    "a block twice": (WHOLE[:SECOND] + BLOCKS[0], "damaged", SECOND, "begins with record 0 where record 3"),
    "rot in the header": (flipped(WHOLE, 20), "damaged", 0, f"corrupt header, but a sound block at byte {FIRST}"),
    "a header alone, with rot": (flipped(encode_header(HEADER), 20), "torn", 0, "give the directory to know"),
    "a header cut short": (WHOLE[:100], "torn", 100, "cut short at byte 100 of the 512 of its header"),
    "a newer version": (with_crc(WHOLE, 8, b"\2", HEAD), "newer format", 8, "reads 1: run a newer version"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_what_is_wrong_with_a_segment_is_told_with_its_position(what: str, tmp_path: Path) -> None:
    data, level, position, words = DAMAGE[what]
    outcome = inspected(put(tmp_path, data))
    assert [problem[:2] for problem in outcome.problems] == [(level, position)]
    assert words in outcome.problems[0][2]
    assert outcome.last["verdict"] == level
    assert outcome.code == {"torn": 0, "damaged": 1, "newer format": 2}[level]


def test_every_hole_of_a_segment_is_told_and_the_blocks_between_them_are_counted(tmp_path: Path) -> None:
    more = encode_block(6, 2, 4_000, 6, [b"g"])
    outcome = inspected(put(tmp_path, flipped(flipped(WHOLE, FIRST + 50), THIRD + 50) + more + b"WBLK"))
    assert [problem[:2] for problem in outcome.problems] == [
        ("damaged", FIRST),
        ("damaged", THIRD),
        ("torn", len(WHOLE) + len(more)),
    ]
    assert outcome.last["facts"]["blocks"] == 2
    assert outcome.code == 1


def test_a_block_whose_records_do_not_fill_its_body_is_damage_although_its_checksum_fits(tmp_path: Path) -> None:
    tail = struct.pack("<IQIIQQ", 9, 0, 2, 1, 1, 0) + b"\1\0\0\0a\xff\0\0\0"
    block = b"WBLK" + zlib.crc32(tail).to_bytes(4, "little") + tail
    outcome = inspected(put(tmp_path, encode_header(HEADER) + block))
    assert outcome.problems == [("damaged", HEAD, "the lengths of the block's records do not add up to its body")]


def test_a_file_under_the_name_of_another_segment_is_damage(tmp_path: Path) -> None:
    outcome = inspected(put(tmp_path, WHOLE, "logs:2.wal"))
    assert outcome.code == 1
    assert outcome.problems[0][:2] == ("damaged", 0)
    assert "segment 1 of topic logs" in outcome.problems[0][2]


def test_records_are_listed_with_position_checksum_and_the_start_of_the_payload(tmp_path: Path) -> None:
    path = put(tmp_path, WHOLE)
    said = inspected("--records", path).said
    blocks = [item for item in said if "block" in item]
    assert [(item["position"], item["offset"], item["records"]) for item in blocks] == [
        (FIRST, 0, 3), (SECOND, 3, 1), (THIRD, 4, 2),
    ]  # fmt: skip
    assert [item["crc"] for item in blocks] == [f"{int.from_bytes(block[4:8], 'little'):08x}" for block in BLOCKS]
    records = [item for item in said if "payload" in item]
    assert [item["offset"] for item in records] == list(range(6))
    assert [item["payload"] for item in records] == ["'a'", "''", "'ccc'", f"'{'d' * 48}'...", "'e'", "'f'"]
    for item in records:
        assert repr(WHOLE[item["position"] :][: item["bytes"]])[1:].startswith(item["payload"].rstrip(".")[:-1])
    code, text = text_of("--records", path)
    assert code == 0
    assert f"  block 1, position {SECOND}, bytes {len(BLOCKS[1])}," in text
    assert f"    offset 2, position {SECOND - 3}, bytes 3, payload 'ccc'" in text


def test_a_segment_larger_than_what_is_read_at_once_is_read_in_pieces(tmp_path: Path) -> None:
    blocks = [
        encode_block(number, 1, 5, 0, [bytes([number]) * size]) for number, size in enumerate((2 << 20, 700_000, 9))
    ]
    blocks += [encode_block(number, 1, 6, 0, [b"z" * 300_000]) for number in range(3, 12)]
    data = encode_header(HEADER) + b"".join(blocks)
    outcome = inspected(put(tmp_path, data + bytes(3 << 20)))
    assert (outcome.code, outcome.last["facts"]["records"], outcome.last["facts"]["sound_bytes"]) == (0, 12, len(data))
    hole = len(data) - 5 * len(blocks[-1])
    outcome = inspected(put(tmp_path, flipped(data, hole + 1000)))
    assert [problem[:2] for problem in outcome.problems] == [("damaged", hole)]


def test_whoever_reads_the_listing_may_stop_reading(tmp_path: Path) -> None:
    blocks = [encode_block(number * 100, 1, 5, 0, [b"x"] * 100) for number in range(200)]
    path = put(tmp_path, encode_header(SegmentHeader(1, 5, 7, "logs", 1)) + b"".join(blocks))
    command = [sys.executable, "-m", "walrus.cli.client", "inspect", "--records", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{path}:\n".encode()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_foreign_segment_is_told_apart_by_its_header_alone(tmp_path: Path) -> None:
    header = SegmentHeader(7, 8, 9, "other", 3)
    facts = inspected(put(tmp_path, encode_header(header), "other:3.wal")).last["facts"]
    assert (facts["node"], facts["storage"], facts["topic"]) == (7, "0000000000000008", "other")
