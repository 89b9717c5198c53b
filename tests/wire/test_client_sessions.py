"""The server's side of client connections: order, back pressure, time limits."""

from hypothesis import given
from hypothesis import strategies as st

from walrus.core.actions import Action, PauseReading, Reply, ResumeReading
from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import SECOND, NodeConfig
from walrus.core.http_head import HEAD_BYTES_MAX, PREFIXES
from walrus.core.wire import INVALID_FRAME_LENGTH, OK, encode_frame


def sessions(**settings: int) -> ClientSessions:
    return ClientSessions(NodeConfig(node_id=1, advertise_address="127.0.0.1:6001", **settings))


def connected(**settings: int) -> ClientSessions:
    """Sessions with connection 1 open."""
    made = sessions(**settings)
    made.connected(1, 0)
    return made


def slots(made: ClientSessions, *bodies: bytes, now_ns: int = 0) -> list[Slot]:
    return [slot for slot, _ in made.received(1, b"".join(map(encode_frame, bodies)), now_ns)]


def reply(*bodies: bytes) -> Reply:
    return Reply(1, b"".join(map(encode_frame, bodies)))


def test_a_reply_leaves_in_one_frame() -> None:
    made = connected()
    (slot,) = slots(made, b"GET t")
    assert made.drain() == []
    made.answer(slot, b"OK x")
    assert made.drain() == [reply(b"OK x")]
    assert made.drain() == []


def test_replies_leave_in_the_order_of_the_requests_and_in_one_piece() -> None:
    made = connected()
    first, second, third = slots(made, b"GET a", b"GET b", b"GET c")
    made.answer(third, b"OK c")
    made.answer(second, b"OK b")
    assert made.drain() == []
    made.answer(first, b"OK a")
    assert made.drain() == [reply(b"OK a", b"OK b", b"OK c")]


def test_a_malformed_request_is_answered_in_its_place() -> None:
    made = connected()
    first, last = slots(made, b"GET a", b"NONSENSE", b"PUT t", b"GET b")
    made.answer(last, b"EMPTY")
    assert made.drain() == []
    made.answer(first, OK)
    assert made.drain() == [reply(OK, b"ERR unknown command", b"ERR PUT requires a payload", b"EMPTY")]


def test_an_over_long_and_an_empty_frame_leave_the_connection_usable() -> None:
    made = connected(max_frame_bytes=100)
    stream = encode_frame(bytes(101)) + encode_frame(b"") + encode_frame(b"GET t")
    requests = [pair for at in range(len(stream)) for pair in made.received(1, stream[at : at + 1], 0)]
    made.answer(requests[0][0], OK)
    assert made.drain() == [reply(INVALID_FRAME_LENGTH, INVALID_FRAME_LENGTH, OK)]
    assert made.buffered_bytes == 0


def test_connections_are_told_in_the_order_in_which_their_replies_became_ready() -> None:
    made = sessions()
    for conn in (3, 1, 2):
        made.connected(conn, 0)
    taken = {conn: made.received(conn, encode_frame(b"GET t"), 0)[0][0] for conn in (1, 2, 3)}
    for conn in (2, 3, 1):
        made.answer(taken[conn], OK)
    assert [action.conn for action in made.drain() if isinstance(action, Reply)] == [2, 3, 1]


def test_an_answer_to_a_connection_that_is_gone_is_dropped() -> None:
    made = connected()
    first, second = slots(made, b"GET t", b"GET t")
    made.answer(first, OK)
    assert first.alive
    made.disconnected(1)
    assert not first.alive
    assert not second.alive
    made.answer(second, OK)
    assert made.drain() == []
    assert (made.open_connections, made.pending_requests, made.buffered_bytes) == (0, 0, 0)
    assert made.received(1, encode_frame(b"GET t"), 0) == []


def test_reading_pauses_over_the_request_limit_and_resumes_at_half() -> None:
    made = connected(max_pending_requests=4)
    taken = slots(made, *[b"GET t"] * 5)
    assert made.drain() == [PauseReading(1)]
    assert made.pending_requests == 5
    for slot in taken[:2]:
        made.answer(slot, OK)
    assert made.drain() == [reply(OK, OK)]
    made.answer(taken[2], OK)
    assert made.drain() == [ResumeReading(1), reply(OK)]
    assert len(slots(made, *[b"GET t"] * 2)) == 2
    assert made.drain() == []


def test_reading_pauses_over_the_byte_limit() -> None:
    made = connected(max_pending_bytes=1000)
    (slot,) = slots(made, b"PUT t " + bytes(1000))
    assert made.drain() == [PauseReading(1)]
    made.answer(slot, OK)
    assert made.drain() == [ResumeReading(1), reply(OK)]


def test_replies_held_for_their_turn_count_as_held_bytes() -> None:
    made = connected(max_pending_bytes=1000)
    first, second = slots(made, b"GET a", b"GET b")
    made.answer(second, bytes(1000))
    assert made.buffered_bytes > 1000
    slots(made, b"GET c")
    assert made.drain() == [PauseReading(1)]
    made.answer(first, OK)
    assert made.drain() == [ResumeReading(1), reply(OK, bytes(1000))]
    assert made.buffered_bytes == len(b"GET c")


def test_a_connection_that_goes_while_paused_is_not_resumed() -> None:
    made = connected(max_pending_requests=1)
    slots(made, b"GET t", b"GET t")
    made.disconnected(1)
    assert made.drain() == []


def test_a_half_frame_closes_the_connection_when_overdue() -> None:
    made = connected(frame_timeout_ns=60 * SECOND)
    assert made.deadline_ns() is None
    made.received(1, b"\x05\x00\x00\x00GE", 1 * SECOND)
    assert made.deadline_ns() == 61 * SECOND
    made.received(1, b"T", 50 * SECOND)
    assert made.deadline_ns() == 61 * SECOND, "more bytes of the same frame do not prolong it"
    made.tick(61 * SECOND - 1)
    assert made.drain() == []
    made.tick(61 * SECOND)
    assert made.deadline_ns() is None
    assert made.drain() == [Reply(1, b"", close=True)]
    assert made.open_connections == 0


def test_a_half_frame_that_is_completed_has_no_deadline() -> None:
    made = connected()
    made.received(1, b"\x05\x00\x00\x00GE", 0)
    made.received(1, b"T t", SECOND)
    assert made.deadline_ns() is None


def test_each_further_frame_begins_the_time_anew() -> None:
    made = connected(frame_timeout_ns=60 * SECOND)
    made.received(1, encode_frame(b"GET t") + b"\x05", 0)
    made.received(1, b"\x00\x00\x00GET t\x05", 40 * SECOND)
    assert made.deadline_ns() == 100 * SECOND


def test_a_frame_that_is_skipped_may_take_long_while_it_moves() -> None:
    made = connected(frame_timeout_ns=60 * SECOND, max_frame_bytes=10)
    made.received(1, encode_frame(bytes(1000))[:50], 0)
    made.received(1, bytes(50), 50 * SECOND)
    assert made.deadline_ns() == 110 * SECOND


def test_a_half_frame_does_not_age_while_its_connection_is_not_read() -> None:
    made = connected(frame_timeout_ns=60 * SECOND, max_pending_requests=1)
    first, second = (slot for slot, _ in made.received(1, encode_frame(b"GET t") * 2 + b"\x05", 0))
    made.tick(60 * SECOND)
    assert made.deadline_ns() == 120 * SECOND
    made.answer(first, OK)
    made.answer(second, OK)
    made.drain()
    made.tick(120 * SECOND)
    assert made.deadline_ns() == 180 * SECOND, "it was paused during the last period"
    made.tick(180 * SECOND)
    assert made.drain() == [Reply(1, b"", close=True)]


def test_the_soonest_deadline_comes_first_whatever_the_connection() -> None:
    made = sessions(frame_timeout_ns=60 * SECOND)
    for conn in (1, 2):
        made.connected(conn, 0)
    made.received(2, b"\x05", 1 * SECOND)
    made.received(1, b"\x05", 2 * SECOND)
    assert made.deadline_ns() == 61 * SECOND
    made.received(2, b"\x00\x00\x00GET t", 3 * SECOND)
    assert made.deadline_ns() == 62 * SECOND


@given(st.permutations(range(8)), st.integers(1, 40))
def test_whatever_the_order_of_answers_and_the_chunking_replies_keep_the_order(order: list[int], size: int) -> None:
    made = connected(max_pending_requests=3)
    stream = b"".join(encode_frame(b"GET t%d" % number) for number in range(8))
    requests = [pair for at in range(0, len(stream), size) for pair in made.received(1, stream[at : at + size], 0)]
    actions: list[Action] = made.drain()
    for number in order:
        made.answer(requests[number][0], b"OK %d" % number)
        actions += made.drain()
    sent = b"".join(action.data for action in actions if isinstance(action, Reply))
    assert sent == reply(*(b"OK %d" % number for number in range(8))).data
    assert [type(a) for a in actions if not isinstance(a, Reply)] == [PauseReading, ResumeReading]
    assert made.buffered_bytes == made.pending_requests == 0


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_of_a_stranger_are_survived_and_held_within_bounds(chunks: list[bytes]) -> None:
    made = connected(max_frame_bytes=50)
    most = HEAD_BYTES_MAX + 60 if b"".join(chunks).startswith(PREFIXES) else 50
    for chunk in chunks:
        for slot, request in made.received(1, chunk, 0):
            assert request.verb
            made.answer(slot, OK)
        made.drain()
        assert made.buffered_bytes <= most or made.pending_requests
