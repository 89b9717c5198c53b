"""HTTP on the client port: one GET or HEAD as a connection's first bytes, one response, close."""

import pytest

from walrus.core.actions import Reply
from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import SECOND, NodeConfig
from walrus.core.wire import GET, HTTP, INVALID_FRAME_LENGTH, Request, encode_frame

CURL = b"GET /metrics HTTP/1.1\r\nHost: localhost:9091\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"


def connected() -> ClientSessions:
    made = ClientSessions(NodeConfig(node_id=1, advertise_address="127.0.0.1:6001"))
    made.connected(1, 0)
    return made


def dribble(made: ClientSessions, data: bytes) -> list[tuple[Slot, Request]]:
    return [pair for at in range(len(data)) for pair in made.received(1, data[at : at + 1], 0)]


def closing(made: ClientSessions) -> bytes:
    """The one reply that is ready, which must close the connection."""
    (action,) = made.drain()
    assert isinstance(action, Reply)
    assert action.close
    assert made.open_connections == 0
    return action.data


@pytest.mark.parametrize("whole", [True, False])
def test_a_get_is_answered_with_a_whole_response_and_the_connection_closes(whole: bool) -> None:
    made = connected()
    ((slot, request),) = made.received(1, CURL, 0) if whole else dribble(made, CURL)
    assert request == Request(HTTP, "/metrics", b"*/*")
    assert made.deadline_ns() is None
    made.answer_http(slot, 200, "application/json", b'{"id": 1}')
    assert closing(made) == (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{"id": 1}'
    )


def test_a_head_is_answered_without_the_body() -> None:
    made = connected()
    ((slot, request),) = dribble(made, b"HEAD /healthz HTTP/1.0\r\n\r\n")
    assert request == Request(HTTP, "/healthz")
    made.answer_http(slot, 503, "text/plain", b"not ready")
    assert closing(made).endswith(b"Content-Length: 9\r\nConnection: close\r\n\r\n")


def test_the_query_is_not_part_of_the_path() -> None:
    ((_, request),) = connected().received(1, b"GET /metrics?pretty HTTP/1.1\n\n", 0)
    assert request.topic == "/metrics"


def test_a_head_of_more_than_8_kib_is_refused() -> None:
    made = connected()
    made.received(1, b"GET / HTTP/1.1\r\n", 0)
    for _ in range(20):
        made.received(1, b"X-Filler: " + b"x" * 500 + b"\r\n", 0)
        assert made.buffered_bytes <= 8193
    assert closing(made).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


@pytest.mark.parametrize("line", [b"GET /", b"GET / a b HTTP/1.1", b"GET /x HTTP/2.0"])
def test_a_malformed_request_line_is_refused(line: bytes) -> None:
    made = connected()
    assert made.received(1, line + b"\r\n\r\n", 0) == []
    assert closing(made).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_what_follows_the_head_is_ignored() -> None:
    made = connected()
    ((slot, _),) = made.received(1, CURL + CURL, 0)
    assert made.received(1, CURL, 0) == []
    made.answer_http(slot, 404, "text/plain", b"")
    assert made.received(1, CURL, 0) == []
    assert closing(made).startswith(b"HTTP/1.1 404 Not Found\r\n")


def test_only_the_first_bytes_of_a_connection_can_be_http() -> None:
    made = connected()
    ((_, request),) = made.received(1, encode_frame(b"GET t"), 0)
    assert request == Request(GET, "t")
    assert made.received(1, b"GET / HTTP/1.1\r\n\r\n", 0) == []
    assert made.pending_requests == 2, "read as a frame over the limit"


def test_first_bytes_that_only_begin_like_http_are_a_frame() -> None:
    made = connected()
    assert dribble(made, b"GET X") == []
    assert made.drain() == [Reply(1, encode_frame(INVALID_FRAME_LENGTH))]


def test_a_frame_whose_length_begins_like_http_is_read_as_a_frame() -> None:
    made = connected()
    frame = encode_frame(b"PUT t " + bytes(ord("G") - 6))
    ((_, request),) = dribble(made, frame)
    assert request.payload == bytes(ord("G") - 6)


def test_a_half_sent_head_closes_the_connection_when_overdue() -> None:
    made = connected()
    made.received(1, b"GE", 0)
    assert made.deadline_ns() == 60 * SECOND
    made.received(1, b"T / HTTP/1.1\r\n", 30 * SECOND)
    assert made.deadline_ns() == 60 * SECOND
    made.tick(60 * SECOND)
    assert closing(made) == b""
