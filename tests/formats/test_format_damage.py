"""Damage of any kind: an error by name or a sound prefix, never more than was written, never another exception."""

import random

from hypothesis import given
from hypothesis import strategies as st

from fuzz.run import mutate
from fuzz.samples import BLOCKS, HEADER, catalogue_file, journal_file, record_file, segment_file
from fuzz.targets import TARGETS, scan
from walrus.core.segment.scan import LOST
from walrus.core.storage.blocks import FILE_HEADER_BYTES, encode_block, encode_header
from walrus.core.storage.recordlog import RecoveryError, recover

MAGIC = b"WALRTEST"
PAYLOADS = [b"one", b"", b"three" * 9, b"four"]
RECORD_FILE = record_file(MAGIC, PAYLOADS)[0]
FILES = {"journal": journal_file(), "catalogue": catalogue_file(), "segment_scan": segment_file()}


@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=300))
def test_any_bytes_harm_no_reader(target: str, data: bytes) -> None:
    TARGETS[target](data)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 2**32))
def test_a_damaged_file_harms_no_reader(target: str, seed: int) -> None:
    TARGETS[target](mutate(random.Random(seed), FILES[target], FILES[target]))


@given(st.lists(st.tuples(st.integers(0, len(RECORD_FILE) - 1), st.integers(0, 7)), max_size=3), st.integers(0, 400))
def test_flipped_bits_and_cuts_never_add_or_change_a_record(flips: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(RECORD_FILE)
    for at, bit in flips:
        data[at] ^= 1 << bit
    try:
        found = recover("f", MAGIC, bytes(data[:cut]))
    except RecoveryError:
        return
    if found is not None:
        assert found.payloads == PAYLOADS[: len(found.payloads)]


@given(st.lists(st.tuples(st.integers(0, len(segment_file()) - 1), st.integers(0, 7)), max_size=3), st.booleans())
def test_flipped_bits_never_add_or_change_a_block(flips: list[tuple[int, int]], held: bool) -> None:
    data = bytearray(segment_file())
    for at, bit in flips:
        data[at] ^= 1 << bit
    verdict = scan(bytes(data), held=held)
    assert verdict.index.length in (0, 3, 4, 6)
    end = verdict.index.end_position
    if verdict.index.length:
        assert data[FILE_HEADER_BYTES:end] == b"".join(BLOCKS)[: end - FILE_HEADER_BYTES]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.data())
def test_a_crash_of_a_segment_write_loses_nothing_durable(sizes: list[int], data: st.DataObject) -> None:
    """Blocks are written one after the other; a part of the write in flight arrives, or zeros for all of it."""
    blocks = [encode_block(number, 1, number, 0, [b"r" * size]) for number, size in enumerate(sizes)]
    durable = data.draw(st.integers(0, len(blocks) - 1))
    disk = encode_header(HEADER) + b"".join(blocks[:durable])
    flying = blocks[durable]
    kept = data.draw(st.integers(0, len(flying)))
    zeros = data.draw(st.integers(0, len(flying) - kept))
    verdict = scan(disk + flying[:kept] + bytes(zeros), held=durable > 0)
    assert verdict.state != LOST
    assert verdict.index.length == durable + (kept == len(flying))
