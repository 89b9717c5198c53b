"""Peer messages as bytes: whole ones read back, all else is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.samples import ENVELOPE, MESSAGES
from walrus.core import peer
from walrus.core.codec import decode_message, encode_message
from walrus.core.peer import ENVELOPE_BYTES, Message
from walrus.core.segment.messages import Fence


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_reads_back_as_sent_and_no_shorter_part_of_it_reads(message: Message) -> None:
    data = encode_message(ENVELOPE, message)
    assert decode_message(data) == (ENVELOPE, message)
    assert all(decode_message(data[:cut]) is None for cut in range(len(data)))
    assert decode_message(data + b"\xc0") is None


@pytest.mark.parametrize("topic", ["", "a/b", "../up", "a\n", "x" * 201, "caf\u00e9", "a\x00"])
def test_a_message_with_a_topic_that_is_no_file_name_is_none(topic: str) -> None:
    assert decode_message(encode_message(ENVELOPE, Fence(topic, 1, 1))) is None


def test_a_message_that_only_newer_versions_may_read_is_none() -> None:
    data = encode_message(ENVELOPE, peer.ReadIndex(1))
    assert decode_message(bytes([data[0] + 1, data[1] + 1]) + data[2:]) is None


def test_text_that_is_not_utf8_is_none() -> None:
    data = encode_message(ENVELOPE, peer.JoinRequest(1, 2, "node1"))
    assert decode_message(data.replace(b"node1", b"node\xff")) is None


def test_a_value_nested_beyond_measure_is_none() -> None:
    data = encode_message(ENVELOPE, peer.Ping(answer=True))
    deep = data[:ENVELOPE_BYTES] + b"\x93" + data[ENVELOPE_BYTES + 1 :] + b"\x91" * 5_000 + b"\xc0"
    assert decode_message(deep) is None


@given(st.binary(max_size=200))
def test_any_bytes_behind_an_envelope_are_a_message_or_none(body: bytes) -> None:
    decode_message(body)
    decode_message(encode_message(ENVELOPE, peer.ReadIndex(1))[:ENVELOPE_BYTES] + body)
