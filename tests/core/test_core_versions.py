"""Nodes of two protocol versions side by side: what a newer one adds is ignored or dropped, never misunderstood."""

import msgspec
import pytest

from walrus.core import peer
from walrus.core.codec import AnyMessage, decode_message, encode_message
from walrus.core.peer import ENVELOPE_BYTES, AppendEntries, Entry, Envelope, Heartbeat, Ping, RequestVote
from walrus.core.segment.messages import Append, ForwardPuts

ENVELOPE = Envelope(7, 1, 11, 2, 22)
MESSAGES: list[AnyMessage] = [
    Ping(answer=True),
    RequestVote(3, 9, 2, True, False),
    Heartbeat(3, 8, 5, 7, (1, 2)),
    AppendEntries(3, 8, 2, [Entry(9, 3, 0, b"x"), Entry(10, 3, 1, b"")], 8),
    Append("logs", 2, 0, 4, 17, b"block"),
    ForwardPuts(5, "logs", 2, [b"", b"\x00\xff"]),
]


def as_version(version: int, readable_from: int, message: AnyMessage, *more_fields: object) -> bytes:
    """The message as a node of another version would send it."""
    data = encode_message(ENVELOPE, message)
    fields = msgspec.msgpack.decode(data[ENVELOPE_BYTES:])
    return bytes((version, readable_from)) + data[2:ENVELOPE_BYTES] + msgspec.msgpack.encode([*fields, *more_fields])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_fields_that_a_newer_version_added_at_the_end_are_ignored(message: AnyMessage) -> None:
    assert decode_message(as_version(2, 1, message, {"since": 2}, None, [1, 2])) == (ENVELOPE, message)


def test_fields_that_a_newer_version_added_within_a_message_are_ignored() -> None:
    entries = [(9, 3, 0, b"x", "more"), (10, 3, 1, b"", "more")]
    body = msgspec.msgpack.encode(["ae", 3, 8, 2, entries, 8])
    data = encode_message(ENVELOPE, MESSAGES[0])[:ENVELOPE_BYTES] + body
    assert decode_message(data) == (ENVELOPE, MESSAGES[3])


def test_a_kind_of_message_that_this_version_does_not_know_is_dropped() -> None:
    head = encode_message(ENVELOPE, MESSAGES[0])[2:ENVELOPE_BYTES]
    assert decode_message(b"\x02\x01" + head + msgspec.msgpack.encode(["zz", 1, 2])) is None


def test_a_message_that_only_newer_versions_may_read_is_refused() -> None:
    assert decode_message(as_version(2, 2, MESSAGES[0])) is None
    assert decode_message(as_version(9, 1, MESSAGES[0])) == (ENVELOPE, MESSAGES[0])


def test_a_message_of_a_version_too_old_to_be_read_is_refused() -> None:
    assert peer.OLDEST_READABLE == 1
    assert decode_message(as_version(0, 0, MESSAGES[0])) is None


def test_messages_say_which_version_sent_them_and_which_may_read_them() -> None:
    data = encode_message(ENVELOPE, MESSAGES[0])
    assert tuple(data[:2]) == (peer.PROTOCOL_VERSION, peer.READABLE_FROM)
    assert peer.READABLE_FROM <= peer.PROTOCOL_VERSION


def test_known_fields_are_checked_in_a_newer_message_too() -> None:
    head = encode_message(ENVELOPE, MESSAGES[0])[2:ENVELOPE_BYTES]
    for fields in (["hr", -1, 2, "more"], ["hr", 1], ["sf", "../x", 1, 1, "more"]):
        assert decode_message(b"\x02\x01" + head + msgspec.msgpack.encode(fields)) is None
