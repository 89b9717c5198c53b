"""Requests: what is understood, and the words in which the rest is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus.core import wire
from walrus.core.wire import Request, parse_request


@pytest.mark.parametrize(
    ("frame", "request_"),
    [
        (b"REGISTER logs", Request(wire.REGISTER, "logs")),
        (b"PUT logs hello there", Request(wire.PUT, "logs", b"hello there")),
        (b"PUT logs  two spaces ", Request(wire.PUT, "logs", b" two spaces ")),
        (b"PUT logs ", Request(wire.PUT, "logs", b"")),
        (b"PUT logs \x00\xff\r\n", Request(wire.PUT, "logs", b"\x00\xff\r\n")),
        (b"GET logs", Request(wire.GET, "logs")),
        (b"GET logs surplus", Request(wire.GET, "logs")),
        (b"STATE a.b_c-D9", Request(wire.STATE, "a.b_c-D9")),
        (b"METRICS", Request(wire.METRICS)),
        (b"METRICS surplus", Request(wire.METRICS)),
        (b"TOPICS", Request(wire.TOPICS)),
        (b"NODES", Request(wire.NODES)),
        (b"NODE DRAIN 3", Request(wire.NODE, "", b"DRAIN", 3)),
        (b"NODE REMOVE 3", Request(wire.NODE, "", b"REMOVE", 3)),
        (b"NODE REMOVE 3 FORCE", Request(wire.NODE, "", b"REMOVE", 3, 1)),
        (b"FETCH logs 1 0", Request(wire.FETCH, "logs", b"", 1, 0)),
        (b"FETCH logs 7 9223372036854775807", Request(wire.FETCH, "logs", b"", 7, 2**63 - 1)),
        (b"GET " + b"t" * 200, Request(wire.GET, "t" * 200)),
        (b"GET ...", Request(wire.GET, "...")),
        (b"INFO logs", Request(wire.INFO, "logs")),
        (b"DELETE logs", Request(wire.DELETE, "logs")),
        (b"CREATE logs", Request(wire.CREATE, "logs")),
        (
            b"CREATE logs retention_ms=5  retention_records=20",
            Request(wire.CREATE, "logs", settings=(("retention_ms", 5), ("retention_records", 20))),
        ),
        (b"SET logs durability=interval:250", Request(wire.SET, "logs", settings=(("durability", 250),))),
        (b"CREATE logs durability=never", Request(wire.CREATE, "logs", settings=(("durability", (1 << 63) - 1),))),
        (b"CREATE logs durability=always", Request(wire.CREATE, "logs", settings=(("durability", 0),))),
        (b"SET logs retention_bytes=0", Request(wire.SET, "logs", settings=(("retention_bytes", 0),))),
    ],
)
def test_a_well_formed_request_is_understood(frame: bytes, request_: Request) -> None:
    assert parse_request(frame) == request_


@pytest.mark.parametrize(
    ("frame", "reply"),
    [
        (b"REGISTER", b"ERR REGISTER requires a topic"),
        (b"PUT", b"ERR PUT requires a topic"),
        (b"PUT logs", b"ERR PUT requires a payload"),
        (b"GET", b"ERR GET requires a topic"),
        (b"STATE", b"ERR STATE requires a topic"),
        (b"FETCH", b"ERR FETCH requires a topic"),
        (b"DELETE", b"ERR DELETE requires a topic"),
        (b"FETCH logs", b"ERR FETCH requires a segment and an offset"),
        (b"FETCH logs 1", b"ERR FETCH requires a segment and an offset"),
        (b"FETCH logs 1 ", b"ERR FETCH requires a segment and an offset"),
        (b"FETCH logs  0", b"ERR FETCH requires a segment and an offset"),
        (b"NODE", b"ERR NODE requires one of STATUS, DRAIN, UNDRAIN, REMOVE, REPLACE: ''"),
        (b"NODE drain 3", b"ERR NODE requires one of STATUS, DRAIN, UNDRAIN, REMOVE, REPLACE: 'drain'"),
        (b"NODE DRAIN", b"ERR NODE DRAIN requires a node, a whole number from 1 to 9223372036854775807: ''"),
        (b"NODE DRAIN 0", b"ERR NODE DRAIN requires a node, a whole number from 1 to 9223372036854775807: '0'"),
        (b"NODE DRAIN 3 FORCE", b"ERR NODE DRAIN takes a node and nothing else (REMOVE also FORCE): 'FORCE'"),
        (b"NODE REMOVE 3 force", b"ERR NODE REMOVE takes a node and nothing else (REMOVE also FORCE): 'force'"),
        (b"", b"ERR unknown command"),
        (b" ", b"ERR unknown command"),
        (b"put logs x", b"ERR unknown command"),
        (b"HTTP /", b"ERR unknown command"),
        (b"METRICS\n", b"ERR unknown command"),
        (b"\xff\xfe logs", b"ERR unknown command"),
    ],
)
def test_a_malformed_request_is_refused_in_the_documented_words(frame: bytes, reply: bytes) -> None:
    assert parse_request(frame) == reply


@pytest.mark.parametrize(
    "topic", [b"", b".", b"..", b"a/b", b"a:1", b"t" * 201, b"t" * 70_000, b"\xff", "é".encode(), b"logs\n"]
)
@pytest.mark.parametrize(
    "template",
    [b"REGISTER %b", b"PUT %b x", b"GET %b", b"STATE %b", b"FETCH %b 1 0", b"SET %b retention_ms=1", b"DELETE %b"],
)
def test_a_bad_topic_name_is_refused_by_every_verb(template: bytes, topic: bytes) -> None:
    assert parse_request(template % topic) == b"ERR invalid topic name"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (b"SET logs", b"requires a setting: retention_ms=, retention_bytes=, retention_records= or durability="),
        (
            b"SET logs color=red",
            b"one of retention_ms=, retention_bytes=, retention_records=, durability=: 'color=red'",
        ),
        (b"SET logs retention_ms=-1", b"must be a whole number from 0 (no limit) to 9223372036854775807: '-1'"),
        (b"SET logs retention_ms=9223372036854775808", b"to 9223372036854775807: '9223372036854775808'"),
        (
            b"SET logs durability=sometimes",
            b"must be always, interval:<ms> with 1 to 86400000 milliseconds, or never: 'sometimes'",
        ),
        (b"SET logs durability=interval:0", b"or never: 'interval:0'"),
        (b"CREATE logs durability=interval:86400001", b"or never: 'interval:86400001'"),
        (b"CREATE logs durability=", b"or never: ''"),
        (b"SET logs retention_ms=1 retention_ms=2", b"retention_ms is given twice: 'retention_ms=2'"),
        (b"CREATE logs \xff", rb"'\\xff'"),
        (b"CREATE logs " + b"x" * 5000, b"'" + b"x" * 40 + b"...'"),
    ],
)
def test_a_bad_setting_is_refused_with_its_value_and_what_would_be_right(words: bytes, named: bytes) -> None:
    reply = parse_request(words)
    assert isinstance(reply, bytes)
    assert reply.startswith(b"ERR " + words.split()[0] + b" ")
    assert reply.endswith(named)


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        (b"0 0", b"segment must be a whole number from 1 to 9223372036854775807: '0'"),
        (b"-1 0", b"segment must be a whole number from 1 to 9223372036854775807: '-1'"),
        (b"x 0", b"segment must be a whole number from 1 to 9223372036854775807: 'x'"),
        (b"1 -5", b"offset must be a whole number from 0 to 9223372036854775807: '-5'"),
        (b"1 1_0", b"offset must be a whole number from 0 to 9223372036854775807: '1_0'"),
        (b"1 2 3", b"offset must be a whole number from 0 to 9223372036854775807: '2 3'"),
        (b"1 9223372036854775808", b"offset must be a whole number from 0"),
        (b"1 " + b"9" * 5000, b"'" + b"9" * 40 + b"'..."),
        (b"1 \xff", rb"'\xff'"),
    ],
)
def test_a_bad_number_is_refused_by_an_error_that_names_it(numbers: bytes, named: bytes) -> None:
    reply = parse_request(b"FETCH logs " + numbers)
    assert isinstance(reply, bytes)
    assert reply.startswith(b"ERR FETCH ")
    assert named in reply
    assert len(reply) < 200


verbs = st.sampled_from([b"REGISTER", b"PUT", b"GET", b"STATE", b"METRICS", b"FETCH", b"TOPICS", b"get", b""])


@given(st.one_of(st.binary(max_size=300), st.builds(lambda v, rest: v + b" " + rest, verbs, st.binary())))
def test_any_frame_gives_a_request_with_a_safe_topic_or_an_error(frame: bytes) -> None:
    result = parse_request(frame)
    if isinstance(result, bytes):
        assert result.startswith(b"ERR ")
    elif result.verb not in (wire.METRICS, wire.TOPICS):
        assert wire.topic_name(result.topic.encode()) == result.topic != ""
        assert result.segment >= 0
        assert result.offset >= 0


@given(st.from_regex(r"[A-Za-z0-9._-]{1,200}", fullmatch=True), st.binary())
def test_a_payload_is_kept_to_the_byte(topic: str, payload: bytes) -> None:
    if topic not in (".", ".."):
        assert parse_request(b"PUT %b %b" % (topic.encode(), payload)) == Request(wire.PUT, topic, payload)


def test_replies_read_as_documented() -> None:
    assert wire.ok_payload(b"\x00 x") == b"OK \x00 x"
    assert wire.fetched(12, b"x y") == b"OK 12 x y"
    assert wire.error("bad thing") == b"ERR bad thing"
    assert wire.unknown_topic("logs") == b"ERR unknown topic logs"
    assert wire.not_leader("logs", 3) == (
        b"ERR NotLeaderForPartition: logs:3; no node holds a lease for it at the moment: "
        b"try again in a second, STATE logs shows who leads"
    )
    assert wire.outcome_unknown("logs", 3) == b"ERR outcome unknown: logs:3"
    assert wire.NO_LEADER.startswith(b"ERR no raft leader known: fewer than a majority")
