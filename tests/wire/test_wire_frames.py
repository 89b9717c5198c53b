"""Frames: any chunking of a stream gives the same frames; what a stranger sends never raises or piles up."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus.core.wire import FrameParser, encode_frame

LIMIT = 64


def header(length: int) -> bytes:
    return struct.pack("<I", length)


def chunked(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    return [stream[start:stop] for start, stop in pairwise(places)]


def feed_all(parser: FrameParser, chunks: list[bytes]) -> list[bytes | None]:
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


# A piece of a stream with the frame it should yield: good ones, empty ones, and ones over the limit.
pieces = st.one_of(
    st.binary(min_size=1, max_size=LIMIT).map(lambda body: (header(len(body)) + body, body)),
    st.just((header(0), None)),
    st.binary(min_size=LIMIT + 1, max_size=4 * LIMIT).map(lambda body: (header(len(body)) + body, None)),
)


@given(st.lists(pieces, max_size=12), st.lists(st.integers(0, 2000), max_size=30))
def test_any_chunking_gives_the_same_frames(stream: list[tuple[bytes, bytes | None]], cuts: list[int]) -> None:
    parser = FrameParser(LIMIT)
    frames = feed_all(parser, chunked(b"".join(raw for raw, _ in stream), cuts))
    assert frames == [frame for _, frame in stream]
    assert not parser.partial
    assert parser.held_bytes == 0


@given(st.lists(pieces, max_size=4))
def test_a_stream_that_dribbles_in_byte_by_byte_gives_the_same_frames(
    stream: list[tuple[bytes, bytes | None]],
) -> None:
    raw = b"".join(raw for raw, _ in stream)
    frames = feed_all(FrameParser(LIMIT), [raw[at : at + 1] for at in range(len(raw))])
    assert frames == [frame for _, frame in stream]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_taken_without_raising_and_held_within_the_limit(chunks: list[bytes]) -> None:
    parser = FrameParser(LIMIT)
    for chunk in chunks:
        for frame in parser.feed(chunk):
            assert frame is None or 1 <= len(frame) <= LIMIT
        assert parser.held_bytes <= LIMIT
        assert not (parser.skipping and not parser.partial)


def test_a_frame_over_the_limit_is_refused_as_soon_as_its_length_is_known() -> None:
    parser = FrameParser(LIMIT)
    assert parser.feed(header(LIMIT + 1)) == [None]
    assert parser.partial
    assert parser.skipping


def test_the_body_of_a_frame_over_the_limit_is_not_held() -> None:
    parser = FrameParser(LIMIT)
    parser.feed(header(1_000_000))
    for _ in range(999):
        assert parser.feed(bytes(1000)) == []
        assert parser.held_bytes == 0
    assert parser.feed(bytes(1000) + encode_frame(b"GET t")) == [b"GET t"]
    assert not parser.partial


def test_an_unfinished_length_counts_as_partial() -> None:
    parser = FrameParser(LIMIT)
    assert parser.feed(b"\x05") == []
    assert parser.partial
    assert parser.feed(b"\x00\x00\x00GET t") == [b"GET t"]
    assert not parser.partial


def test_a_length_and_its_body_may_come_apart() -> None:
    parser = FrameParser(LIMIT)
    assert parser.feed(header(5)) == []
    assert parser.partial
    assert parser.feed(b"GET t") == [b"GET t"]


def test_a_frame_of_exactly_the_limit_is_taken() -> None:
    assert FrameParser(LIMIT).feed(encode_frame(bytes(LIMIT))) == [bytes(LIMIT)]


@pytest.mark.parametrize("body", [b"OK", b"EMPTY", b"OK payload", b"", b"ERR x"])
def test_a_frame_is_its_little_endian_length_and_its_body(body: bytes) -> None:
    assert encode_frame(body) == header(len(body)) + body
