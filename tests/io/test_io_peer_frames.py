"""The framing between nodes: hello, lengths, cuts anywhere."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus.io.addresses import format_address, parse_address
from walrus.io.peer_frames import FRAME_BYTES_MAX, BadFrame, FrameReader, decode_hello, encode_hello


def feed(reader: FrameReader, data: bytes) -> list[bytes]:
    return reader.feed(memoryview(data))


def test_the_hello_has_the_documented_bytes() -> None:
    assert encode_hello(0x01020304) == b"\x0d\0\0\0WLRSPEER\x01\x04\x03\x02\x01"
    assert decode_hello(encode_hello(7)[4:]) == 7


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"WLRSPEER\x01", "a first frame of 9 bytes"),
        (b"GET / HTTP/1.", "begins with b'GET / HT'"),
        (b"WLRSPEER\x02\x01\0\0\0", "transport version 2"),
    ],
)
def test_anything_else_is_no_hello(frame: bytes, reason: str) -> None:
    with pytest.raises(BadFrame, match=reason):
        decode_hello(frame)


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
def test_lengths_of_zero_or_beyond_the_limit_are_refused(length: int) -> None:
    reader = FrameReader()
    reader.greeted = True
    with pytest.raises(BadFrame, match=f"a frame length of {length} bytes"):
        feed(reader, struct.pack("<I", length))


def test_before_the_hello_only_its_size_is_allowed_and_one_frame_is_handed_out() -> None:
    reader = FrameReader()
    hello = encode_hello(3)
    assert feed(reader, hello + struct.pack("<I", 100) + bytes(50)) == [hello[4:]]
    reader.greeted = True
    assert feed(reader, bytes(50)) == [bytes(100)]
    with pytest.raises(BadFrame, match="allowed are 1 to 13"):
        feed(FrameReader(), struct.pack("<I", 14))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(1, 60), min_size=1))
def test_frames_survive_any_cut(frames: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(struct.pack("<I", len(frame)) + frame for frame in frames)
    reader = FrameReader()
    reader.greeted = True
    out: list[bytes] = []
    position, turn = 0, 0
    while position < len(stream):
        size = cuts[turn % len(cuts)]
        out += feed(reader, stream[position : position + size])
        position, turn = position + size, turn + 1
    assert out == frames


@pytest.mark.parametrize(
    ("text", "expected"),
    [("node1:6001", ("node1", 6001)), ("10.0.0.1:1", ("10.0.0.1", 1)), ("[::1]:65535", ("::1", 65535))],
)
def test_addresses_are_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected
    assert format_address(*expected) == text


@pytest.mark.parametrize("text", ["node1", "node1:", ":6001", "node1:x", "node1:0", "node1:65536", "::1:6001", ""])
def test_bad_addresses_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        parse_address(text)
