"""Requests as a client builds them, and what their replies mean."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from walrus.client.errors import OutcomeUnknown, ProtocolError, ServerError
from walrus.core import wire

_ERROR_PREFIX = b"ERR "
_OK_PREFIX = b"OK "
_OFFSET_DIGITS_MAX = 20  # of 64 bits; Python refuses to read numbers of thousands of digits

# PUT adds a record, GET moves the shared cursor, DELETE could delete what was made anew since; the others may be sent
# twice.
_UNREPEATABLE = (b"PUT", b"GET", b"DELETE")


class Record(NamedTuple):
    """A fetched record, and the offset of the next, counted from the start of the segment asked for."""

    next_offset: int
    payload: bytes


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request as it goes into a frame."""

    body: bytes

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does what sending it once does."""
        return self.body.split(b" ", 1)[0] not in _UNREPEATABLE

    @property
    def name(self) -> str:
        """Verb and topic, for messages."""
        return b" ".join(self.body.split(b" ", 2)[:2]).decode("utf-8", "backslashreplace")


def register(topic: str) -> Call:
    """Create ``topic`` if it does not exist."""
    return Call(b"REGISTER " + topic_bytes(topic))


def put(topic: str, payload: bytes) -> Call:
    """Append one record; ``payload`` is any bytes, none included."""
    return Call(b"PUT %b %b" % (topic_bytes(topic), payload))


def get(topic: str) -> Call:
    """Take the next record at the cursor that all clients of ``topic`` share."""
    return Call(b"GET " + topic_bytes(topic))


def fetch(topic: str, segment: int, offset: int) -> Call:
    """Read record ``offset`` (from 0) counted from the start of ``segment`` (from 1). Moves nothing."""
    if not 1 <= segment <= wire.MAX_NUMBER:
        raise ValueError(f"bad segment {segment}: expected a whole number from 1 to {wire.MAX_NUMBER}")
    if not 0 <= offset <= wire.MAX_NUMBER:
        raise ValueError(f"bad offset {offset}: expected a whole number from 0 to {wire.MAX_NUMBER}")
    return Call(b"FETCH %b %d %d" % (topic_bytes(topic), segment, offset))


def state(topic: str) -> Call:
    """Ask for the segments of ``topic``."""
    return Call(b"STATE " + topic_bytes(topic))


def node(action: str, number: int, *, force: bool = False) -> Call:
    """Ask for STATUS, DRAIN, UNDRAIN, REMOVE or REPLACE of a node; ``force`` is for REMOVE."""
    if action.encode() not in wire.NODE_ACTIONS:
        known = ", ".join(name.decode() for name in wire.NODE_ACTIONS)
        raise ValueError(f"bad action {action!r}: expected one of {known}")
    if not 1 <= number <= wire.MAX_NUMBER:
        raise ValueError(f"bad node {number}: expected a whole number from 1 to {wire.MAX_NUMBER}")
    return Call(f"NODE {action} {number}{' FORCE' if force else ''}".encode())


def create_topic(topic: str, settings: Mapping[str, int | str]) -> Call:
    """Create ``topic`` with ``settings``, those of :class:`walrus.core.metadata.settings.TopicSettings`.

    A topic that exists with the same settings is as good; with others it is refused.
    """
    return Call(b"CREATE " + topic_bytes(topic) + wire.settings_bytes(settings))


def set_topic(topic: str, settings: Mapping[str, int | str]) -> Call:
    """Change some settings of ``topic``."""
    if not settings:
        raise ValueError("no setting is given: expected at least one")
    return Call(b"SET " + topic_bytes(topic) + wire.settings_bytes(settings))


def topic_info(topic: str) -> Call:
    """Ask for the settings of ``topic``, and what retention goes by."""
    return Call(b"INFO " + topic_bytes(topic))


def delete_topic(topic: str) -> Call:
    """Delete ``topic`` with all its records."""
    return Call(b"DELETE " + topic_bytes(topic))


METRICS = Call(b"METRICS")
NODES = Call(b"NODES")
TOPICS = Call(b"TOPICS")


def topic_bytes(topic: str) -> bytes:
    """``topic`` as it goes onto the wire; ValueError if it is no topic name."""
    # Checked here, for a space in a name would shift the parts of the line: PUT "a b" would write to "a".
    raw = topic.encode("utf-8", "surrogateescape")
    if not wire.topic_name(raw):
        raise ValueError(f"invalid topic name {topic!r}: expected 1 to 200 of A-Z a-z 0-9 . _ - (not . or ..)")
    return raw


def check(reply: bytes) -> bytes:
    """``reply`` unless it is an error: then OutcomeUnknown or ServerError."""
    if reply.startswith(wire.OUTCOME_UNKNOWN_PREFIX):
        raise OutcomeUnknown(reply[len(_ERROR_PREFIX) :].decode("utf-8", "backslashreplace"))
    if reply.startswith(_ERROR_PREFIX):
        raise ServerError(reply[len(_ERROR_PREFIX) :].decode("utf-8", "backslashreplace"))
    return reply


def check_ok(reply: bytes) -> None:
    """Check the reply of a request that is answered with a bare OK."""
    if check(reply) != wire.OK:
        raise _unexpected(reply)


def payload_of(reply: bytes) -> bytes | None:
    """The record in the reply of a GET, None if there was none."""
    if check(reply) == wire.EMPTY:
        return None
    if not reply.startswith(_OK_PREFIX):
        raise _unexpected(reply)
    return reply[len(_OK_PREFIX) :]


def record_of(reply: bytes) -> Record | None:
    """The record in the reply of a FETCH, None if there was none."""
    rest = payload_of(reply)
    if rest is None:
        return None
    next_offset, space, payload = rest.partition(b" ")
    if not space or not next_offset.isdigit() or len(next_offset) > _OFFSET_DIGITS_MAX:
        raise _unexpected(reply)
    return Record(int(next_offset), payload)


def json_of(reply: bytes) -> Any:
    """The value in the reply of a STATE, INFO, METRICS or TOPICS."""
    try:
        return json.loads(check(reply))
    except (ValueError, RecursionError):  # the second for values nested thousands deep
        raise _unexpected(reply) from None


def _unexpected(reply: bytes) -> ProtocolError:
    return ProtocolError(f"unexpected reply {reply[:60]!r}: not a Walrus node, or a newer protocol")
