"""The client protocol on the wire: frames, requests and replies.

A frame is a ``u32`` little-endian length and that many bytes. A request is a line of at most three
parts, cut at single spaces: a verb in capitals, a topic, and the rest (of CREATE and SET: settings
``name=value``). A payload is any bytes, kept exactly. A reply is ``OK``, ``OK <payload>``, ``EMPTY``, bare
JSON, or ``ERR <text>``; replies come in the order of the requests.

Nothing here raises on what a stranger sent: a bad frame or request becomes the reply that refuses it.
"""

import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from walrus.core.metadata.settings import SettingError, parse_settings

HEADER: Final = struct.Struct("<I")
HEADER_BYTES: Final = HEADER.size

# Verbs. Small ints compare faster than text, and leave no room for a misspelt one.
REGISTER: Final = 1
PUT: Final = 2
GET: Final = 3
STATE: Final = 4
METRICS: Final = 5
FETCH: Final = 6
TOPICS: Final = 7
# Never parsed from a frame: a connection that began as HTTP. The topic is the path, the payload what is accepted.
HTTP: Final = 8
NODES: Final = 9
NODE: Final = 10
CREATE: Final = 11
SET: Final = 12
INFO: Final = 13
DELETE: Final = 14

VERB_NAMES: Final[dict[int, str]] = {
    REGISTER: "REGISTER",
    PUT: "PUT",
    GET: "GET",
    STATE: "STATE",
    METRICS: "METRICS",
    FETCH: "FETCH",
    TOPICS: "TOPICS",
    NODES: "NODES",
    NODE: "NODE",
    CREATE: "CREATE",
    SET: "SET",
    INFO: "INFO",
    DELETE: "DELETE",
    HTTP: "HTTP",
}

# Reply bodies, without the frame around them.
OK: Final = b"OK"
EMPTY: Final = b"EMPTY"
INVALID_FRAME_LENGTH: Final = b"ERR invalid frame length"
INVALID_TOPIC_NAME: Final = b"ERR invalid topic name"
UNKNOWN_COMMAND: Final = b"ERR unknown command"
NO_LEADER: Final = (
    b"ERR no raft leader known: fewer than a majority of the nodes run or can reach each other; "
    b"METRICS on each node shows what it knows"
)
OUTCOME_UNKNOWN_PREFIX: Final = b"ERR outcome unknown: "

NODE_ACTIONS: Final = (b"STATUS", b"DRAIN", b"UNDRAIN", b"REMOVE", b"REPLACE")
MAX_TOPIC_BYTES: Final = 200
MAX_NUMBER: Final = (1 << 63) - 1

_MAX_NUMBER_DIGITS: Final = len(str(MAX_NUMBER))
_SHOWN_BYTES: Final = 40  # of a refused value, so that an error stays a line
_TOPIC: Final = re.compile(rb"[A-Za-z0-9._-]{1,%d}" % MAX_TOPIC_BYTES)
_FRAMED_OK: Final = HEADER.pack(len(OK)) + OK
_FRAMED_EMPTY: Final = HEADER.pack(len(EMPTY)) + EMPTY


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request. ``segment`` (from 1) and ``offset`` (from 0) are for FETCH, ``payload`` for PUT.

    NODE has its action in ``payload``, the node in ``segment``, and ``offset`` 1 for FORCE.
    ``settings``: (field of TopicSettings, value) for CREATE and SET.
    """

    verb: int
    topic: str = ""
    payload: bytes = b""
    segment: int = 0
    offset: int = 0
    settings: tuple[tuple[str, int], ...] = ()


_METRICS_REQUEST: Final = Request(METRICS)
_TOPICS_REQUEST: Final = Request(TOPICS)
_NODES_REQUEST: Final = Request(NODES)


def encode_frame(body: bytes) -> bytes:
    """``body`` as one frame: its length and itself, in one piece so that one ``send`` carries both."""
    if body == OK:
        return _FRAMED_OK
    if body == EMPTY:
        return _FRAMED_EMPTY
    return HEADER.pack(len(body)) + body


class FrameParser:
    """Cuts a stream of bytes, however it was chunked, into frames of 1 to ``max_frame_bytes`` bytes.

    At most one unfinished frame is held; the body of a frame that is too long is counted, not held.
    """

    __slots__ = ("_body", "_head", "_max_frame_bytes", "_missing", "_skipping")

    def __init__(self, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._head = b""  # 0 to 3 bytes of a length
        self._body = bytearray()  # what has come of the frame under way, empty while skipping
        self._missing = 0  # bytes that the frame under way (held or skipped) lacks; 0: none is
        self._skipping = False  # only while _missing > 0

    @property
    def partial(self) -> bool:
        """Whether bytes of an unfinished frame are held or being skipped."""
        return self._missing > 0 or bool(self._head)

    @property
    def skipping(self) -> bool:
        """Whether the unfinished frame is one that was refused for its length."""
        return self._skipping

    @property
    def held_bytes(self) -> int:
        """Bytes of an unfinished frame that are in memory."""
        return len(self._head) + len(self._body)

    def feed(self, data: bytes) -> list[bytes | None]:
        """Frames (without their length) that ``data`` completes, in order; None for one of invalid length.

        A frame that is too long is reported when its length is known, before its body has passed.
        """
        frames: list[bytes | None] = []
        position = 0
        if self._missing or self._head:
            position = self._resume(data, frames)
        end = len(data)
        limit = self._max_frame_bytes
        unpack = HEADER.unpack_from
        while end - position >= HEADER_BYTES:
            length: int = unpack(data, position)[0]
            start = position + HEADER_BYTES
            position = start + length
            if length == 0 or length > limit:
                frames.append(None)
                if position > end:
                    self._missing = position - end
                    self._skipping = True
                    return frames
            elif position > end:
                self._body += data[start:]
                self._missing = position - end
                return frames
            else:
                frames.append(data[start:position])
        self._head += data[position:]
        return frames

    def _resume(self, data: bytes, frames: list[bytes | None]) -> int:
        """Give ``data`` to the frame under way; return where in ``data`` the next frame starts."""
        position = 0
        if self._head:
            position = HEADER_BYTES - len(self._head)
            head = self._head + data[:position]
            if len(head) < HEADER_BYTES:
                # All of data belongs to the length: the caller finds nothing left.
                self._head = head
                return len(data)
            self._head = b""
            length: int = HEADER.unpack(head)[0]
            self._skipping = length > self._max_frame_bytes
            if length == 0 or self._skipping:
                frames.append(None)
            self._missing = length
            if length == 0:
                return position
        taken = min(self._missing, len(data) - position)
        self._missing -= taken
        if self._skipping:
            self._skipping = self._missing > 0
        else:
            self._body += data[position : position + taken]
            if not self._missing:
                frames.append(bytes(self._body))
                self._body = bytearray()
        return position + taken


@lru_cache(maxsize=4096)
def _topic_name(raw: bytes) -> str:
    """``raw`` as a topic name, or the empty string if it is none. ``raw`` is short: the cache holds it."""
    if _TOPIC.fullmatch(raw) is None or raw in (b".", b".."):
        return ""
    return raw.decode("ascii")


def topic_name(raw: bytes) -> str:
    """``raw`` as a topic name (1 to 200 of ``[A-Za-z0-9._-]``, not ``.`` or ``..``); empty if it is none."""
    return _topic_name(raw) if len(raw) <= MAX_TOPIC_BYTES else ""


def parse_request(frame: bytes) -> Request | bytes:
    """The request in ``frame``, or the body of the reply that refuses it.

    ``GET t x`` and ``METRICS x`` ignore the ``x``; ``PUT t`` lacks a payload, ``PUT t `` has an empty one.
    """
    parts = frame.split(b" ", 2)
    word = parts[0]
    if word == b"PUT":
        if len(parts) == 3 and (topic := topic_name(parts[1])):
            return Request(PUT, topic, parts[2])
        if len(parts) == 1:
            return b"ERR PUT requires a topic"
        return INVALID_TOPIC_NAME if not topic_name(parts[1]) else b"ERR PUT requires a payload"
    verb = _VERBS.get(word)
    if verb is None:
        return UNKNOWN_COMMAND
    if verb == METRICS:
        return _METRICS_REQUEST
    if verb == TOPICS:
        return _TOPICS_REQUEST
    if verb == NODES:
        return _NODES_REQUEST
    if verb == NODE:
        return _parse_node(parts[1:])
    if len(parts) == 1:
        return b"ERR %b requires a topic" % word
    topic = topic_name(parts[1])
    if not topic:
        return INVALID_TOPIC_NAME
    if verb == FETCH:
        return _parse_fetch(topic, parts[2] if len(parts) == 3 else b"")
    if verb in (CREATE, SET):
        return _parse_settings(verb, topic, parts[2] if len(parts) == 3 else b"")
    return Request(verb, topic)


_VERBS: Final[dict[bytes, int]] = {
    name.encode("ascii"): verb for verb, name in VERB_NAMES.items() if verb not in (PUT, HTTP)
}


def _parse_fetch(topic: str, rest: bytes) -> Request | bytes:
    numbers = rest.split(b" ", 1)
    if len(numbers) != 2 or not numbers[0] or not numbers[1]:
        return b"ERR FETCH requires a segment and an offset"
    segment, offset = _number(numbers[0]), _number(numbers[1])
    if segment < 1:
        return b"ERR FETCH segment must be a whole number from 1 to %d: %b" % (MAX_NUMBER, _shown(numbers[0]))
    if offset < 0:
        return b"ERR FETCH offset must be a whole number from 0 to %d: %b" % (MAX_NUMBER, _shown(numbers[1]))
    return Request(FETCH, topic, b"", segment, offset)


def _parse_node(parts: list[bytes]) -> Request | bytes:
    """``NODE <action> <node>``, and ``NODE REMOVE <node> FORCE``."""
    action = parts[0] if parts else b""
    if action not in NODE_ACTIONS:
        return b"ERR NODE requires one of %b: %b" % (b", ".join(NODE_ACTIONS), _shown(action))
    raw, _, rest = (parts[1] if len(parts) == 2 else b"").partition(b" ")
    node = _number(raw)
    if node < 1:
        return b"ERR NODE %b requires a node, a whole number from 1 to %d: %b" % (action, MAX_NUMBER, _shown(raw))
    if rest and (action, rest) != (b"REMOVE", b"FORCE"):
        return b"ERR NODE %b takes a node and nothing else (REMOVE also FORCE): %b" % (action, _shown(rest))
    return Request(NODE, "", action, node, int(bool(rest)))


def _parse_settings(verb: int, topic: str, rest: bytes) -> Request | bytes:
    try:
        settings = parse_settings([_shown_text(word) for word in rest.split()])
    except SettingError as refusal:
        return error(f"{VERB_NAMES[verb]} {refusal}")
    if verb == SET and not settings:
        return b"ERR SET requires a setting: retention_ms=, retention_bytes=, retention_records= or durability="
    return Request(verb, topic, settings=tuple(settings.items()))


def settings_bytes(settings: Mapping[str, int | str]) -> bytes:
    """Settings as they stand behind the topic of a CREATE or SET. Raises ValueError, which names what is wrong."""
    words = [f"{name}={value}" for name, value in settings.items()]
    parse_settings(words)
    return "".join(f" {word}" for word in words).encode("ascii")


def _number(raw: bytes) -> int:
    """``raw`` as an unsigned decimal, or -1. Long ones are refused unread: converting is quadratic."""
    if not raw.isdigit() or len(raw) > _MAX_NUMBER_DIGITS:
        return -1
    number = int(raw)
    return number if number <= MAX_NUMBER else -1


def _shown(raw: bytes) -> bytes:
    """A refused value as printable ASCII, cut to a readable length."""
    cut = "..." if len(raw) > _SHOWN_BYTES else ""
    return (repr(raw[:_SHOWN_BYTES])[1:] + cut).encode("ascii")


def _shown_text(word: bytes) -> str:
    """A word as text; of a long one, which no setting is, as much as fits into an error."""
    return word[:_SHOWN_BYTES].decode("ascii", "backslashreplace") + ("..." if len(word) > _SHOWN_BYTES else "")


def ok_payload(payload: bytes) -> bytes:
    """Reply body of a GET that found a record."""
    return b"OK " + payload


def fetched(next_offset: int, payload: bytes) -> bytes:
    """Reply body of a FETCH that found a record; ``next_offset`` is the offset to fetch next."""
    return b"OK %d %b" % (next_offset, payload)


def error(text: str) -> bytes:
    """Reply body that refuses a request; ``text`` names the offending value."""
    return b"ERR " + text.encode("utf-8", "backslashreplace")


def unknown_topic(topic: str) -> bytes:
    """Reply body for a topic that the authority on it does not know."""
    return error(f"unknown topic {topic}")


def not_leader(topic: str, segment: int) -> bytes:
    """Reply body where the lease for a segment is missing and a retry did not help."""
    return error(
        f"NotLeaderForPartition: {topic}:{segment}; no node holds a lease for it at the moment: "
        f"try again in a second, STATE {topic} shows who leads"
    )


def no_space(node: int) -> bytes:
    """A PUT that was not taken, because the disk of node ``node`` is full."""
    return error(f"no space left on node {node}")


def outcome_unknown(topic: str, segment: int) -> bytes:
    """Reply body of a PUT of which neither yes nor no is known; the client must not just send it again."""
    return OUTCOME_UNKNOWN_PREFIX + f"{topic}:{segment}".encode("ascii")
