"""The session without a socket: replies are matched in order, and what is lost is told apart."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus.client import calls
from walrus.client.address import Address, parse_address
from walrus.client.errors import OutcomeUnknown, ProtocolError, ServerError
from walrus.client.session import ClientSession
from walrus.core.wire import encode_frame


def test_queued_requests_leave_in_one_piece() -> None:
    session = ClientSession()
    assert session.request(calls.register("t")) == 0
    assert session.request(calls.put("t", b"x y")) == 1
    assert session.data_to_send() == encode_frame(b"REGISTER t") + encode_frame(b"PUT t x y")
    assert session.data_to_send() == b""
    assert session.outstanding == 2


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=10), st.integers(1, 30))
def test_replies_belong_to_requests_in_order_however_they_are_chunked(bodies: list[bytes], size: int) -> None:
    session = ClientSession()
    numbers = [session.request(calls.get(f"t{index}")) for index in range(len(bodies))]
    session.data_to_send()
    stream = b"".join(map(encode_frame, bodies))
    replies = [reply for at in range(0, len(stream), size) for reply in session.receive(stream[at : at + size])]
    assert [(reply.sent.number, reply.body) for reply in replies] == list(zip(numbers, bodies, strict=True))
    assert session.outstanding == 0


def test_what_was_handed_out_is_unknown_when_the_connection_ends_and_the_rest_unsent() -> None:
    session = ClientSession()
    for payload in (b"answered", b"sent"):
        session.request(calls.put("t", payload))
    session.data_to_send()
    session.receive(encode_frame(b"OK"))
    session.request(calls.put("t", b"queued"))
    lost = session.connection_lost()
    assert [sent.call for sent in lost.unknown] == [calls.put("t", b"sent")]
    assert [sent.call for sent in lost.unsent] == [calls.put("t", b"queued")]
    assert session.outstanding == 0


@pytest.mark.parametrize("data", [encode_frame(b"OK"), encode_frame(b""), b"SSH-2.0-OpenSSH", b"HTTP/1.1 400"])
def test_what_no_node_would_send_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ClientSession().receive(data)


@pytest.mark.parametrize("topic", ["", ".", "..", "a b", "a/b", "é", "t" * 201, "\udcff"])
def test_a_bad_topic_name_is_refused_before_it_can_shift_the_line(topic: str) -> None:
    with pytest.raises(ValueError, match="invalid topic name"):
        calls.put(topic, b"x")


@pytest.mark.parametrize(("segment", "offset"), [(0, 0), (1, -1), (2**63, 0), (1, 2**63)])
def test_a_position_outside_its_range_is_refused_by_name(segment: int, offset: int) -> None:
    with pytest.raises(ValueError, match=r"bad (segment|offset) -?\d+: expected"):
        calls.fetch("t", segment, offset)


def test_only_put_and_get_must_not_be_repeated() -> None:
    built = [
        calls.register("t"),
        calls.put("t", b""),
        calls.get("t"),
        calls.fetch("t", 1, 0),
        calls.state("t"),
        calls.METRICS,
        calls.TOPICS,
    ]
    assert [call.name.split()[0] for call in built if not call.repeatable] == ["PUT", "GET"]


def test_replies_are_read_to_the_byte() -> None:
    assert calls.payload_of(b"EMPTY") is None
    assert calls.payload_of(b"OK EMPTY") == b"EMPTY"
    assert calls.payload_of(b"OK ") == b""
    assert calls.payload_of(b"OK \x00 \xff\n") == b"\x00 \xff\n"
    assert calls.record_of(b"OK 7 a b") == (7, b"a b")
    assert calls.record_of(b"OK 7 ") == (7, b"")
    assert calls.record_of(b"EMPTY") is None
    assert calls.json_of(b'{"a": 1}') == {"a": 1}


def test_a_refusal_and_an_unknown_outcome_are_told_apart() -> None:
    with pytest.raises(ServerError, match=r"^unknown topic t$"):
        calls.check_ok(b"ERR unknown topic t")
    with pytest.raises(OutcomeUnknown, match=r"^outcome unknown: t:3$"):
        calls.check_ok(b"ERR outcome unknown: t:3")


@pytest.mark.parametrize(
    ("read", "reply"),
    [(calls.json_of, b"[" * 100_000), (calls.json_of, b"9" * 5_000), (calls.record_of, b"OK " + b"9" * 5_000 + b" x")],
)
def test_a_reply_that_is_too_much_for_python_is_no_walrus_reply(read: Callable[[bytes], object], reply: bytes) -> None:
    with pytest.raises(ProtocolError, match="unexpected reply"):
        read(reply)


@pytest.mark.parametrize("read", [calls.check_ok, calls.payload_of, calls.record_of, calls.json_of])
@pytest.mark.parametrize("reply", [b"what", b"OK x", b"\xff"])
def test_a_reply_of_another_shape_is_a_protocol_error(read: object, reply: bytes) -> None:
    assert callable(read)
    if read is calls.payload_of and reply == b"OK x":
        return
    with pytest.raises(ProtocolError, match="unexpected reply"):
        read(reply)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9091", Address("127.0.0.1", 9091)),
        ("node1:1", Address("node1", 1)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        ":9091",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:\uff19",
        "::1:9091",
        "a b:1",
        "[]:1",
    ],
)
def test_a_bad_address_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="bad address") as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)
