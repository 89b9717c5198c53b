"""GETs on a node that does not own the cursor: where they go, what the client is told, what the owner is told."""

from segment_fixtures import TOPIC, Wire, leading_raft, metadata_with, sealed, settings, writer_of

from walrus.core.actions import Reply
from walrus.core.clients import ClientSessions, Slot
from walrus.core.cursors import Cursors
from walrus.core.fetcher import FAILED, FOUND, NOTHING, Fetched, Fetcher
from walrus.core.gets import ASK_AGAIN_NS, Gets
from walrus.core.lease import Lease
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import OPEN, BeginSealing
from walrus.core.peer import Message
from walrus.core.proposals import Proposals
from walrus.core.requests import Pending
from walrus.core.segment.messages import DONE, EMPTY, MOVED, ForwardGet, GetDelivered, GetDone
from walrus.core.wire import encode_frame, not_leader

CONN = 3
DEADLINE_NS = 5_000_000_000


class Asking:
    """Node 1 has a client; node 2 writes ``logs`` and owns its cursor."""

    def __init__(self) -> None:
        self.wire = Wire(1)
        config = settings(1)
        self.metadata = metadata_with(1, 2, 3, writer=2)
        raft = leading_raft(1, (1,))
        self.sessions = ClientSessions(config)
        self.sessions.connected(CONN, 0)
        self.fetcher = Fetcher(self.wire.out, config, self.metadata, Liveness(0))
        proposals = Proposals(self.wire.out, raft)
        cursors = Cursors(config, writer_of(1), self.metadata, Lease(config, raft), self.fetcher, proposals)
        self.gets = Gets(self.wire.out, config, self.metadata, self.sessions, cursors, self.fetcher)

    def slot(self, request: bytes = b"GET logs") -> Slot:
        [(slot, _)] = self.sessions.received(CONN, encode_frame(request), 0)
        return slot

    def get(self, now_ns: int = 0) -> None:
        """The client sends a GET."""
        self.gets.get(Pending(TOPIC, b"", DEADLINE_NS, slot=self.slot()), now_ns)

    def sent(self) -> list[tuple[int, Message]]:
        return self.wire.sent()

    def forwarded(self) -> tuple[int, int]:
        """(to, rid) of the one GET forwarded since the last call."""
        [(to, message)] = self.sent()
        assert isinstance(message, ForwardGet)
        assert message.topic == TOPIC
        return to, message.rid

    def told(self) -> list[bytes]:
        """Replies that left since the last call, framed."""
        return [action.data for action in self.sessions.drain() if isinstance(action, Reply)]


def done(rid: int, payload: bytes = b"a", offset: int = 0, status: int = DONE) -> GetDone:
    return GetDone(rid, status, TOPIC, 1, offset, payload)


def delivered(word: bool, offset: int = 0) -> list[tuple[int, Message]]:
    return [(2, GetDelivered(TOPIC, 1, offset, word))]


def test_a_get_goes_to_the_owner_and_its_record_to_the_client() -> None:
    asking = Asking()
    asking.get()
    to, rid = asking.forwarded()
    assert to == 2
    asking.gets.answered(2, done(rid, b"\x00 a"), 0)
    assert asking.told() == [encode_frame(b"OK \x00 a")]
    assert asking.sent() == delivered(True)
    assert asking.gets.waiting == 0


def test_a_client_that_left_meanwhile_is_reported_as_not_reached() -> None:
    asking = Asking()
    asking.get()
    _, rid = asking.forwarded()
    asking.sessions.disconnected(CONN)
    asking.gets.answered(2, done(rid), 0)
    assert asking.sent() == delivered(False)


def test_an_answer_that_comes_twice_is_told_of_alike_so_that_no_order_of_the_two_hands_the_record_out_again() -> None:
    asking = Asking()
    asking.get()
    _, rid = asking.forwarded()
    asking.gets.answered(2, done(rid), 0)
    asking.gets.answered(2, done(rid), 0)
    assert asking.sent() == delivered(True) + delivered(True)
    assert asking.told() == [encode_frame(b"OK a")]


def test_another_record_under_the_number_of_an_answered_get_was_not_delivered() -> None:
    asking = Asking()
    asking.get()
    _, rid = asking.forwarded()
    asking.gets.answered(2, done(rid), 0)
    asking.sent()
    asking.gets.answered(2, done(rid, offset=7), 0)
    assert asking.sent() == delivered(False, offset=7)


def test_an_answer_to_a_get_that_nobody_waits_for_gives_its_record_back() -> None:
    asking = Asking()
    asking.gets.answered(2, done(99), 0)
    assert asking.sent() == delivered(False)


def test_the_end_of_the_topic_is_empty_and_moves_nothing() -> None:
    asking = Asking()
    asking.get()
    _, rid = asking.forwarded()
    asking.gets.answered(2, done(rid, status=EMPTY), 0)
    assert asking.told() == [encode_frame(b"EMPTY")]
    assert asking.sent() == []


def test_a_silent_owner_is_asked_again_under_the_same_number() -> None:
    asking = Asking()
    asking.get()
    first = asking.forwarded()
    asking.gets.tick(ASK_AGAIN_NS - 1)
    assert asking.sent() == []
    asking.gets.tick(ASK_AGAIN_NS)
    assert asking.forwarded() == first


def test_once_the_segment_rolled_a_get_goes_to_the_next_owner_under_a_new_number() -> None:
    asking = Asking()
    asking.get()
    _, rid = asking.forwarded()
    sealed(asking.metadata, 0, writer=3)
    asking.gets.tick(ASK_AGAIN_NS)
    to, again = asking.forwarded()
    assert to == 3
    assert again > rid
    asking.gets.answered(2, done(rid), 0)
    assert asking.sent() == delivered(False)
    assert asking.told() == []


def test_a_get_that_its_owner_does_not_own_any_more_waits_for_the_news_and_follows_them() -> None:
    asking = Asking()
    asking.get()
    _, rid = asking.forwarded()
    asking.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    asking.gets.answered(2, done(rid, status=MOVED), 0)
    asking.gets.changed(0)
    assert (asking.sent(), asking.told()) == ([], [])
    sealed(asking.metadata, 0, writer=3)
    asking.gets.changed(0)
    assert asking.forwarded()[0] == 3


def test_a_get_that_finds_no_owner_in_time_is_refused_with_the_segment() -> None:
    asking = Asking()
    asking.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    asking.get()
    asking.gets.tick(DEADLINE_NS - 1)
    assert asking.told() == []
    asking.gets.tick(DEADLINE_NS)
    assert asking.told() == [encode_frame(not_leader("logs", 1))]
    assert asking.gets.waiting == 0


# --- FETCH ---


def test_fetches_of_one_record_are_all_answered_by_one_read() -> None:
    asking = Asking()
    for _ in range(2):
        asking.gets.fetch(asking.slot(b"FETCH logs 1 4"), TOPIC, 1, 4, 0)
    assert len(asking.sent()) == 1
    asking.gets.fetched(Fetched(TOPIC, 4, FOUND, b"e", 2))
    assert asking.told() == [encode_frame(b"OK 5 e") * 2]
    assert asking.gets.waiting == 0


def test_the_end_is_told_to_the_fetches_that_came_before_the_question() -> None:
    asking = Asking()
    asking.gets.fetch(asking.slot(), TOPIC, 1, 4, 0)
    asking.gets.fetch(asking.slot(), TOPIC, 1, 4, 0)
    asking.gets.fetched(Fetched(TOPIC, 4, NOTHING, asked=1))
    assert asking.told() == [encode_frame(b"EMPTY")]
    asking.gets.fetched(Fetched(TOPIC, 4, FAILED))
    assert asking.told() == [encode_frame(not_leader("logs", 1))]


def test_an_offset_counts_from_the_segment_named_and_runs_on_into_the_next() -> None:
    asking = Asking()
    sealed(asking.metadata, 3, writer=2)
    asking.gets.fetch(asking.slot(), TOPIC, 2, 1, 0)
    asking.gets.fetched(Fetched(TOPIC, 4, FOUND, b"e"))
    assert asking.told() == [encode_frame(b"OK 2 e")]


def test_a_fetch_from_a_segment_that_is_not_there_says_which_are() -> None:
    asking = Asking()
    sealed(asking.metadata, 3, writer=2)
    asking.gets.fetch(asking.slot(), TOPIC, 5, 0, 0)
    assert asking.told() == [encode_frame(b"ERR unknown segment 5 of logs: it has 1 to 2")]
