"""Reading by absolute offset: whom a node asks, what it keeps, and when it says that there is nothing."""

from segment_fixtures import TOPIC, Wire, block, metadata_with, sealed, settings

from walrus.core.config import SECOND
from walrus.core.fetcher import ASK_AGAIN_NS, FAILED, FOUND, NOTHING, WINDOW_BYTES, Fetched, Fetcher
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import OPEN, BeginSealing
from walrus.core.segment.messages import READ_CLIENT, READ_ELSEWHERE, READ_END, READ_OK, ReadBlocks, ReadBlocksReply

TIMEOUT_NS = 5 * SECOND


class Fetching:
    """Node 2 reads; node 1 writes logs:1."""

    def __init__(self, live: tuple[int, ...] = (1, 2, 3)) -> None:
        self.wire = Wire(2)
        self.metadata = metadata_with(1, 2, 3)
        liveness = Liveness(0)
        liveness.told(live, 0)
        self.fetcher = Fetcher(self.wire.out, settings(2), self.metadata, liveness)

    def fetch(self, offset: int, now_ns: int = 0) -> int:
        """Somebody comes to read; returns the ticket."""
        ticket = self.fetcher.ticket()
        self.fetcher.fetch(TOPIC, offset, now_ns)
        return ticket

    def asked(self) -> list[tuple[int, ReadBlocks]]:
        """(node, read) sent since the last call."""
        found = []
        for to, message in self.wire.sent():
            assert isinstance(message, ReadBlocks)
            found.append((to, message))
        return found

    def answer(self, read: ReadBlocks, status: int, data: bytes = b"") -> list[Fetched]:
        """A node answers a read; what ended by that."""
        assert self.fetcher.answered(ReadBlocksReply(read.rid, status, data), 0)
        return self.fetcher.drain()


def test_an_open_segment_is_read_from_its_writer() -> None:
    bench = Fetching()
    bench.fetch(3)
    [(to, read)] = bench.asked()
    assert to == 1
    assert read == ReadBlocks(read.rid, TOPIC, 1, 3, READ_CLIENT, 0, WINDOW_BYTES)


def test_a_sealed_segment_is_read_from_this_node_first_then_from_live_members() -> None:
    bench = Fetching(live=(2, 3))
    sealed(bench.metadata, 5)
    bench.fetch(3)
    nodes = []
    for _ in range(3):
        [(to, read)] = bench.asked()
        nodes.append(to)
        assert bench.answer(read, READ_ELSEWHERE) == []
    assert (nodes, bench.asked()) == ([2, 3, 1], [])


def test_an_offset_is_read_in_the_segment_that_counts_it() -> None:
    bench = Fetching()
    sealed(bench.metadata, 5)
    bench.fetch(7)
    [(to, read)] = bench.asked()
    assert (to, read.segment, read.offset) == (1, 2, 2)


def test_a_segment_being_sealed_is_read_by_nobody_until_it_is_sealed() -> None:
    bench = Fetching()
    bench.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 2))
    bench.fetch(0)
    assert bench.asked() == []
    bench.fetcher.tick(0)
    assert bench.asked() == []
    sealed(bench.metadata, 1)
    bench.fetcher.tick(0)
    assert [to for to, _ in bench.asked()] == [2]


def test_a_found_record_and_its_neighbours_are_kept() -> None:
    bench = Fetching()
    sealed(bench.metadata, 2)
    bench.fetch(3)
    [(_, read)] = bench.asked()
    done = bench.answer(read, READ_OK, block(0, b"a", b"b") + block(2, b"c"))
    assert done == [Fetched(TOPIC, 3, FOUND, b"b", 1)]
    assert [bench.fetcher.lookup(TOPIC, offset) for offset in range(1, 6)] == [None, b"a", b"b", b"c", None]


def test_two_who_read_the_same_record_share_one_read() -> None:
    bench = Fetching()
    bench.fetch(0)
    bench.fetch(0)
    assert len(bench.asked()) == 1
    assert bench.fetcher.waiting == 1


def test_the_end_is_said_to_those_who_came_before_the_question_and_asked_anew_for_the_others() -> None:
    bench = Fetching()
    early = bench.fetch(0)
    [(_, first)] = bench.asked()
    late = bench.fetch(0)
    [done] = bench.answer(first, READ_END)
    assert (done.status, early <= done.asked < late) == (NOTHING, True)
    [(_, second)] = bench.asked()
    [done] = bench.answer(second, READ_END)
    assert (done.status, late <= done.asked) == (NOTHING, True)
    assert bench.fetcher.waiting == 0


def test_a_record_found_is_found_for_all_however_late_they_came() -> None:
    bench = Fetching()
    bench.fetch(0)
    [(_, read)] = bench.asked()
    bench.fetch(0)
    assert bench.answer(read, READ_OK, block(0, b"a")) == [Fetched(TOPIC, 0, FOUND, b"a", 1)]
    assert (bench.asked(), bench.fetcher.waiting) == ([], 0)


def test_a_short_copy_is_never_taken_for_the_end() -> None:
    bench = Fetching()
    bench.fetch(0)
    [(_, read)] = bench.asked()
    assert bench.answer(read, READ_ELSEWHERE) == []
    assert bench.fetcher.waiting == 1


def test_a_silent_node_is_asked_again_and_its_late_answer_ignored() -> None:
    bench = Fetching()
    bench.fetch(0)
    [(_, first)] = bench.asked()
    bench.fetcher.tick(ASK_AGAIN_NS - 1)
    assert bench.asked() == []
    bench.fetcher.tick(ASK_AGAIN_NS)
    assert len(bench.asked()) == 1
    assert not bench.fetcher.answered(ReadBlocksReply(first.rid, READ_END, b""), 0)


def test_a_read_that_nobody_answers_fails_at_its_deadline() -> None:
    bench = Fetching()
    bench.fetch(0)
    bench.fetcher.tick(TIMEOUT_NS)
    assert bench.fetcher.drain() == [Fetched(TOPIC, 0, FAILED, b"", 1)]
    assert bench.fetcher.waiting == 0


def test_corrupt_data_or_another_part_of_the_segment_is_not_served() -> None:
    bench = Fetching()
    bench.fetch(1)
    [(_, read)] = bench.asked()
    assert bench.answer(read, READ_OK, block(1, b"abc")[:-1]) == []
    assert bench.wire.logged() == [
        ("error", "Node 2: a copy of logs sent corrupt data for record 1; asking again"),
    ]
    bench.fetcher.tick(0)
    [(_, read)] = bench.asked()
    assert bench.answer(read, READ_OK, block(2, b"c")) == []
    assert bench.fetcher.lookup(TOPIC, 2) is None


def test_reads_within_reach_of_one_under_way_wait_for_its_answer() -> None:
    """Many FETCHes sent at once cost one read for each window of records, not one each."""
    bench = Fetching()
    for offset in range(5):
        bench.fetch(offset)
    [(_, first)] = bench.asked()
    done = bench.answer(first, READ_OK, block(0, b"a", b"b") + block(2, b"c"))
    assert [(each.offset, each.status, each.payload) for each in done] == [
        (0, FOUND, b"a"),
        (1, FOUND, b"b"),
        (2, FOUND, b"c"),
    ]
    [(_, second)] = bench.asked()
    assert second.offset == 3
    done = bench.answer(second, READ_OK, block(3, b"d", b"e"))
    assert [each.payload for each in done] == [b"d", b"e"]
    assert (bench.asked(), bench.fetcher.waiting) == ([], 0)


def test_the_end_holds_for_all_reads_behind_it_that_came_before_the_question() -> None:
    bench = Fetching()
    tickets = [bench.fetch(offset) for offset in (4, 5, 6)]
    [(_, first)] = bench.asked()
    done = bench.answer(first, READ_END)
    assert [(each.offset, each.status, each.asked) for each in done] == [
        (4, NOTHING, tickets[0]),
        (5, NOTHING, tickets[0]),
        (6, NOTHING, tickets[0]),
    ]
    [(_, second)] = bench.asked()
    assert second.offset == 5
    done = bench.answer(second, READ_END)
    assert [(each.offset, each.asked) for each in done] == [(5, tickets[2]), (6, tickets[2])]
    assert (bench.asked(), bench.fetcher.waiting) == ([], 0)


def test_an_end_says_nothing_of_what_lies_before_it() -> None:
    bench = Fetching()
    bench.fetch(7)
    bench.fetch(2)
    reads = [read for _, read in bench.asked()]
    assert [read.offset for read in reads] == [7, 2]
    assert [each.offset for each in bench.answer(reads[0], READ_END)] == [7]
    assert bench.fetcher.waiting == 1


def test_a_read_of_another_segment_waits_for_nobody() -> None:
    bench = Fetching()
    sealed(bench.metadata, 5)
    bench.fetch(4)
    bench.fetch(5)
    assert [read.segment for _, read in bench.asked()] == [1, 2]


def test_large_records_are_asked_for_side_by_side() -> None:
    """What an answer held tells how far the next ones will reach."""
    bench = Fetching()
    bench.fetch(0)
    [(_, read)] = bench.asked()
    bench.answer(read, READ_OK, block(0, bytes(WINDOW_BYTES)))
    for offset in (1, 2, 3):
        bench.fetch(offset)
    assert [read.offset for _, read in bench.asked()] == [1, 2, 3]


def test_one_that_waits_asks_itself_once_the_read_it_waits_for_has_failed_or_is_void() -> None:
    bench = Fetching()
    bench.fetch(0)
    bench.fetch(1)
    [(_, read)] = bench.asked()
    bench.answer(read, READ_ELSEWHERE)
    bench.fetcher.tick(0)
    assert [read.offset for _, read in bench.asked()] == [0]
    bench.fetcher.removed(TOPIC, 1)
    bench.fetcher.tick(0)
    assert [read.offset for _, read in bench.asked()] == [1]
