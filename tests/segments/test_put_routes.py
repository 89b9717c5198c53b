"""PUTs find the writer of their topic's open segment and keep their order on the way."""

from segment_fixtures import TOPIC, members, metadata_with, sealed, writer_of
from segment_owner import Owner
from segment_writing import records

from walrus.core.actions import Reply
from walrus.core.clients import ClientSessions
from walrus.core.config import SECOND
from walrus.core.metadata.commands import OPEN, BeginSealing, Seal
from walrus.core.puts import Puts
from walrus.core.reachability import Reachability
from walrus.core.requests import Pending
from walrus.core.segment.messages import DONE, MOVED, REFUSED, UNKNOWN, Append, ForwardPuts, PutsDone
from walrus.core.segment.writers import Writers
from walrus.core.wire import FrameParser, encode_frame, not_leader

CONN = 1
TIMEOUT_NS = 5 * SECOND


class Routing(Owner):
    """Node 1, with one client. ``writer`` writes logs:1; node 1 takes what it writes itself with its copy alone."""

    def __init__(self, writer: int) -> None:
        super().__init__()
        self.metadata = metadata_with(1, 2, 3, writer=writer, copies=(writer,))
        self.cursors._metadata = self.metadata
        self.sessions = ClientSessions(self.config)
        self.sessions.connected(CONN, 0)
        self.writers = Writers(
            self.wire.out, self.config, writer_of(1), self.metadata, self.raft, self.lease, self.liveness,
            self.proposals, self.cursors,
        )  # fmt: skip
        self.reachability = Reachability(self.wire.out)
        self.puts = Puts(
            self.wire.out, self.config, self.metadata, self.sessions, self.writers, self.reachability
        )  # fmt: skip
        self.changed(1)

    def changed(self, *numbers: int) -> None:
        """The metadata of segments moved: as in a node, all writers hear of it before any PUT is routed."""
        segments = [self.metadata.topics[TOPIC].segments[number - 1] for number in numbers]
        for segment in segments:
            self.writers.changed(TOPIC, segment)
        for segment in segments:
            self.puts.changed(TOPIC, segment)

    def put(self, *payloads: bytes, flush: bool = True) -> None:
        """The client sends PUTs."""
        data = b"".join(encode_frame(b"PUT logs " + payload) for payload in payloads)
        for slot, request in self.sessions.received(CONN, data, 0):
            self.puts.put(Pending(request.topic, request.payload, TIMEOUT_NS, slot=slot))
        if flush:
            self.puts.flush()

    def forwarded(self) -> list[tuple[int, ForwardPuts]]:
        """(node, message) of what was forwarded since the last call."""
        found = []
        for to, message in self.wire.sent():
            assert isinstance(message, ForwardPuts)
            found.append((to, message))
        return found

    def written(self) -> list[bytes]:
        """The payloads that the writer here puts into batches now."""
        self.writers.flush(0, 0)
        found = []
        for _, message in self.wire.sent():
            assert isinstance(message, Append)
            found += records(message.data)
        return found

    def done(self, message: ForwardPuts, status: int, count: int = 0, skip: int = 0) -> None:
        """The writer's node answers ``count`` of the forwarded PUTs from number ``skip`` on (0: all)."""
        self.puts.answered(PutsDone(message.rid + skip, count or len(message.payloads), status), 0)
        self.puts.flush()

    def replies(self) -> list[bytes]:
        """What the client was answered since the last call."""
        found: list[bytes] = []
        for action in self.sessions.drain():
            assert isinstance(action, Reply)
            found += [frame for frame in FrameParser(1 << 20).feed(action.data) if frame is not None]
        return found

    def roll(self, writer: int) -> None:
        """The open segment is sealed at 0, and ``writer`` writes the next."""
        last = self.metadata.topics[TOPIC].last
        command = Seal(
            TOPIC, last.number, last.state, last.epoch, 0, last.members, writer_of(writer), members(writer), None
        )  # fmt: skip
        assert self.metadata.apply(command) == ""
        self.changed(last.number, last.number + 1)
        self.puts.flush()


# --- towards the writer ---


def test_pipelined_puts_are_forwarded_to_the_writer_together_and_in_order() -> None:
    bench = Routing(writer=2)
    bench.put(b"a", b"b")
    [(to, message)] = bench.forwarded()
    assert (to, message.topic, message.segment, message.payloads) == (2, TOPIC, 1, [b"a", b"b"])


def test_forwards_are_numbered_upwards_one_number_for_each_put() -> None:
    bench = Routing(writer=2)
    bench.put(b"a", b"b")
    bench.put(b"c")
    [(_, first), (_, second)] = bench.forwarded()
    assert second.rid >= first.rid + 2


def test_the_client_hears_what_became_of_each_put() -> None:
    bench = Routing(writer=2)
    bench.put(b"a", b"b", b"c")
    [(_, message)] = bench.forwarded()
    bench.done(message, DONE, 1)
    bench.done(message, UNKNOWN, 1, skip=1)
    bench.done(message, REFUSED, 1, skip=2)
    assert bench.replies() == [b"OK", b"ERR outcome unknown: logs:1", not_leader("logs", 1)]


def test_an_answer_that_comes_twice_counts_once() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    [(_, message)] = bench.forwarded()
    bench.done(message, DONE)
    bench.done(message, UNKNOWN)
    assert (bench.replies(), bench.puts.waiting) == ([b"OK"], 0)


def test_puts_that_came_back_go_to_the_next_writer_in_the_order_of_the_client() -> None:
    bench = Routing(writer=2)
    bench.put(b"a", b"b", b"c")
    [(_, first)] = bench.forwarded()
    bench.put(b"d")
    [(_, second)] = bench.forwarded()
    bench.roll(writer=3)
    bench.put(b"e")
    assert bench.forwarded() == []
    bench.done(second, MOVED)
    bench.done(first, DONE, 1)
    assert bench.forwarded() == []
    bench.done(first, MOVED, 2, skip=1)
    [(to, message)] = bench.forwarded()
    assert (to, message.segment, message.payloads) == (3, 2, [b"b", b"c", b"d", b"e"])


def test_nothing_overtakes_a_put_that_came_back_while_others_are_under_way() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    bench.put(b"b")
    [(_, first), (_, second)] = bench.forwarded()
    bench.done(second, MOVED)
    bench.put(b"c")
    assert bench.forwarded() == []
    bench.done(first, MOVED)
    bench.roll(writer=3)
    assert [message.payloads for _, message in bench.forwarded()] == [[b"a", b"b", b"c"]]


def test_a_put_that_came_back_is_not_sent_to_the_same_segment_again() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    [(_, message)] = bench.forwarded()
    bench.done(message, MOVED)  # the process that wrote the segment is gone, and node 2 runs another one
    bench.put(b"b")
    bench.puts.tick(1)
    bench.puts.flush()
    assert bench.forwarded() == []
    bench.roll(writer=3)
    assert [(to, message.payloads) for to, message in bench.forwarded()] == [(3, [b"a", b"b"])]


def test_a_put_that_came_back_and_finds_no_other_segment_in_time_is_refused() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    [(_, message)] = bench.forwarded()
    bench.done(message, MOVED)
    bench.puts.tick(TIMEOUT_NS)
    assert (bench.replies(), bench.forwarded()) == ([not_leader("logs", 1)], [])


def test_what_a_lost_connection_may_have_lost_is_unknown() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    bench.forwarded()
    bench.puts.disconnected(3)
    assert bench.replies() == []
    bench.puts.disconnected(2)
    assert bench.replies() == [b"ERR outcome unknown: logs:1"]


def test_puts_for_a_writer_that_cannot_be_reached_wait_for_it_or_for_the_next_one() -> None:
    bench = Routing(writer=2)
    bench.reachability.disconnected(2, 0)
    bench.put(b"a")
    assert (bench.forwarded(), bench.puts.waiting) == ([], 1)
    bench.roll(writer=3)
    assert [(to, message.payloads) for to, message in bench.forwarded()] == [(3, [b"a"])]


def test_puts_for_a_writer_that_is_heard_again_are_sent_at_the_next_tick() -> None:
    bench = Routing(writer=2)
    bench.reachability.disconnected(2, 0)
    bench.put(b"a")
    bench.reachability.heard(2)
    bench.puts.tick(1)
    bench.puts.flush()
    assert [(to, message.payloads) for to, message in bench.forwarded()] == [(2, [b"a"])]


def test_a_node_that_has_lost_its_lease_sends_no_put_into_the_dark() -> None:
    """It may be cut off: PUTs wait until the writer's node has answered it, and are refused where it does not."""
    bench = Routing(writer=2)
    bench.reachability.doubt([2, 3], 0)
    bench.put(b"a")
    assert bench.forwarded() == []
    bench.puts.tick(TIMEOUT_NS)
    assert bench.replies() == [not_leader("logs", 1)]


def test_a_writer_being_recovered_answers_nothing_more_so_what_it_was_sent_is_unknown() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    bench.forwarded()
    bench.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    bench.changed(1)
    bench.put(b"b")
    assert (bench.replies(), bench.forwarded(), bench.puts.waiting) == ([b"ERR outcome unknown: logs:1"], [], 1)
    bench.roll(writer=3)
    assert [message.payloads for _, message in bench.forwarded()] == [[b"b"]]


def test_who_waited_too_long_is_told_unknown_if_forwarded_and_refused_if_not() -> None:
    bench = Routing(writer=2)
    bench.put(b"a")
    bench.reachability.disconnected(2, 0)
    bench.put(b"b")
    bench.puts.tick(TIMEOUT_NS - 1)
    assert bench.replies() == []
    bench.puts.tick(TIMEOUT_NS)
    assert bench.replies() == [b"ERR outcome unknown: logs:1", not_leader("logs", 1)]


def test_a_put_of_an_own_client_goes_to_the_own_writer() -> None:
    bench = Routing(writer=1)
    bench.put(b"a", b"b")
    assert bench.written() == [b"a", b"b"]


# --- as the writer's node ---


def forward(rid: int, *payloads: bytes, segment: int = 1) -> ForwardPuts:
    return ForwardPuts(rid, TOPIC, segment, list(payloads))


def test_forwarded_puts_are_written_in_order() -> None:
    bench = Routing(writer=1)
    bench.puts.forwarded(2, forward(5, b"a", b"b"), 0)
    bench.puts.forwarded(2, forward(7, b"c"), 0)
    assert bench.written() == [b"a", b"b", b"c"]


def test_a_repeated_or_overtaken_forward_is_neither_written_nor_answered() -> None:
    bench = Routing(writer=1)
    bench.puts.forwarded(2, forward(7, b"b"), 0)
    bench.puts.forwarded(2, forward(7, b"b"), 0)
    bench.puts.forwarded(2, forward(5, b"a"), 0)
    assert bench.written() == [b"b"]


def test_the_numbers_of_another_node_are_no_repetition() -> None:
    bench = Routing(writer=1)
    bench.puts.forwarded(2, forward(7, b"a"), 0)
    bench.puts.forwarded(3, forward(5, b"b"), 0)
    assert bench.written() == [b"a", b"b"]


def test_a_forward_to_a_segment_that_this_node_does_not_write_comes_back() -> None:
    bench = Routing(writer=2)
    bench.puts.forwarded(3, forward(5, b"a", b"b"), 0)
    assert bench.wire.sent() == [(3, PutsDone(5, 2, MOVED))]


def test_a_forward_that_comes_before_the_news_of_its_segment_waits_for_it() -> None:
    bench = Routing(writer=2)
    bench.puts.forwarded(3, forward(5, b"a", segment=2), 0)
    bench.puts.forwarded(3, forward(6, b"b", segment=2), 0)
    assert bench.wire.sent() == []
    bench.roll(writer=1)
    assert bench.written() == [b"a", b"b"]


def test_a_forward_that_waits_for_news_is_given_up_when_its_sender_has() -> None:
    bench = Routing(writer=2)
    bench.puts.forwarded(3, forward(5, b"a", segment=2), 0)
    bench.puts.tick(TIMEOUT_NS)
    bench.roll(writer=1)
    assert (bench.wire.sent(), bench.written()) == ([], [])


def test_forwarding_nodes_are_told_of_runs_of_their_numbers_and_own_clients_are_answered() -> None:
    bench = Routing(writer=1)
    bench.put(b"own")
    waited = [Pending(TOPIC, b"", 0, node=node, rid=rid) for node, rid in ((2, 5), (2, 6), (3, 9), (2, 8))]
    [own] = bench.writers.get((TOPIC, 1)).unsent  # type: ignore[union-attr]
    bench.puts.ended((TOPIC, 1), DONE, [*waited, own], 0)
    assert bench.wire.sent() == [
        (2, PutsDone(5, 2, DONE)),
        (3, PutsDone(9, 1, DONE)),
        (2, PutsDone(8, 1, DONE)),
    ]
    assert bench.replies() == [b"OK"]


def test_forwarded_puts_that_were_never_sent_to_a_copy_come_back_when_the_seal_applies() -> None:
    bench = Routing(writer=1)
    bench.puts.forwarded(2, forward(5, b"a", b"b"), 0)
    sealed(bench.metadata, 0, writer=3)
    bench.changed(1)
    for key, status, ended in bench.writers.results:
        bench.puts.ended(key, status, ended, 0)
    assert bench.wire.sent() == [(2, PutsDone(5, 2, MOVED))]
