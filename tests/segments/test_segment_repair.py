"""A copy is completed from a peer: on a recoverer's order under its fence, or because SEALED counts more."""

from segment_copies import PATH, Copies, bytes_of, one
from segment_fixtures import KEY, TOPIC, sealed

from walrus.core.config import SECOND
from walrus.core.liveness import Liveness
from walrus.core.pace import BURST_NS
from walrus.core.peer import Message
from walrus.core.segment.messages import (
    ACCEPTED,
    FENCED,
    READ_CLIENT,
    READ_ELSEWHERE,
    READ_OK,
    READ_RECOVERY,
    FenceReply,
    Hold,
    Holding,
    ReadBlocks,
    ReadBlocksReply,
    Repair,
)
from walrus.core.segment.repair import ASK_AGAIN_NS, PULL_BYTES, Repairs
from walrus.core.storage.blocks import FILE_HEADER_BYTES

ORDER = Repair(TOPIC, 1, epoch=1, tail=3, source=1)


class Repairing(Copies):
    """Node 2 repairs its copies; all nodes are live."""

    bytes_per_s = 1 << 30

    def start(self) -> None:
        super().start()
        liveness = Liveness(0)
        liveness.told((1, 2, 3), 0)
        self.repairs = Repairs(self.wire.out, self.store, liveness, self.bytes_per_s)

    def fenced_with(self, *payloads: bytes) -> "Repairing":
        """A copy that holds ``payloads`` and has promised epoch 1."""
        self.filled(*payloads)
        self.fence(1)
        self.settle()
        self.said()
        return self

    def asked(self) -> tuple[int, ReadBlocks]:
        """The one read sent since the last call."""
        [(to, message)] = self.said()
        assert isinstance(message, ReadBlocks)
        return to, message

    def give(self, read: ReadBlocks, data: bytes, status: int = READ_OK) -> None:
        """A peer answers a read; what it gave becomes durable."""
        assert self.repairs.answered(ReadBlocksReply(read.rid, status, data), 0)
        self.settle()
        self.repairs.progressed(KEY, 0)


class Slow(Repairing):
    """The same at the pace of one window in a second."""

    bytes_per_s = PULL_BYTES


def told(length: int, status: int = ACCEPTED, epoch: int = 1) -> list[tuple[int, Message]]:
    return [(3, FenceReply(TOPIC, 1, epoch, status, length, bytes_of(length)))]


def test_an_ordered_copy_reads_on_from_its_length_under_the_fence() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    to, read = bench.asked()
    assert to == 1
    assert read == ReadBlocks(read.rid, TOPIC, 1, 1, READ_RECOVERY, 1, PULL_BYTES)


def test_the_recoverer_is_told_once_the_tail_is_durable_and_not_before() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    _, read = bench.asked()
    assert bench.repairs.answered(ReadBlocksReply(read.rid, READ_OK, one(1, b"b") + one(2, b"c")), 0)
    bench.store.flush()
    assert bench.waiting() == [f"Write {PATH}"]
    bench.repairs.progressed(KEY, 0)
    assert bench.said() == []
    bench.settle()
    bench.repairs.progressed(KEY, 0)
    assert bench.said() == told(3)


def test_a_long_suffix_is_read_a_window_at_a_time() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    bench.give(bench.asked()[1], one(1, b"b"))
    _, second = bench.asked()
    assert second.offset == 2
    bench.give(second, one(2, b"c"))
    assert bench.said() == told(3)


def test_a_copy_that_holds_the_tail_already_says_so_at_once() -> None:
    bench = Repairing().fenced_with(b"a", b"b", b"c")
    bench.repairs.ordered(3, ORDER, 0)
    assert bench.said() == told(3)


def test_a_repeated_order_starts_no_second_read() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    bench.asked()
    bench.repairs.ordered(3, ORDER, 0)
    assert bench.said() == []


def test_an_order_without_a_durable_fence_is_ignored() -> None:
    bench = Repairing()
    bench.filled(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    bench.fence(1)
    bench.repairs.ordered(3, ORDER, 0)
    assert bench.said() == []


def test_an_order_that_a_higher_fence_overtakes_is_refused() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.fence(2, sender=1)
    bench.repairs.ordered(3, ORDER, 0)
    assert bench.said() == told(1, FENCED, epoch=2)


def test_blocks_that_come_after_a_higher_fence_are_not_taken() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    _, read = bench.asked()
    bench.fence(2, sender=1)
    bench.settle()
    bench.said()
    bench.give(read, one(1, b"b"))
    assert (bench.said(), bench.replica.length, bench.repairs.waiting) == ([], 1, 0)


def test_an_unanswered_read_is_asked_again_and_a_late_answer_to_the_first_is_not_taken_twice() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    _, first = bench.asked()
    bench.repairs.tick(ASK_AGAIN_NS - 1)
    assert bench.said() == []
    bench.repairs.tick(ASK_AGAIN_NS)
    _, second = bench.asked()
    assert (second.offset, second.rid > first.rid) == (1, True)
    assert not bench.repairs.answered(ReadBlocksReply(first.rid, READ_OK, one(1, b"b")), 0)


def test_blocks_that_do_not_continue_the_copy_are_refused_with_a_log_line() -> None:
    bench = Repairing().fenced_with(b"a")
    bench.repairs.ordered(3, ORDER, 0)
    _, read = bench.asked()
    bench.repairs.answered(ReadBlocksReply(read.rid, READ_OK, one(2, b"c")), 0)
    assert bench.wire.logged() == [
        ("error", f"Node 2: {PATH}: blocks copied from a peer do not continue this copy; refused")
    ]
    assert bench.replica.length == 1


def test_a_short_copy_of_a_sealed_segment_is_completed_from_another_member() -> None:
    bench = Repairing()
    bench.filled(b"a")
    segment = sealed(bench.metadata, 2)
    bench.repairs.sealed(KEY, segment)
    bench.repairs.tick(0)
    to, read = bench.asked()
    assert (to in (1, 3), read.offset, read.mode, read.epoch) == (True, 1, READ_CLIENT, 0)
    bench.give(read, one(1, b"b"))
    assert (bench.said(), bench.replica.durable_length) == ([], 2)
    bench.repairs.tick(0)
    bench.settle()
    bench.repairs.tick(0)
    assert (bench.replica.complete, bench.repairs.waiting) == (True, 0)


def test_a_member_that_does_not_have_the_rest_is_followed_by_the_next_one() -> None:
    bench = Repairing()
    segment = sealed(bench.metadata, 1)
    bench.repairs.sealed(KEY, segment)
    bench.repairs.tick(0)
    first, read = bench.asked()
    assert bench.repairs.answered(ReadBlocksReply(read.rid, READ_ELSEWHERE, b""), 0)
    bench.repairs.tick(ASK_AGAIN_NS)
    second, _ = bench.asked()
    assert {first, second} == {1, 3}


def test_a_complete_copy_says_that_it_holds_all_and_a_short_one_fills_up_first() -> None:
    bench = Repairing()
    bench.filled(b"a")
    segment = sealed(bench.metadata, 1)
    bench.repairs.hold(3, Hold(TOPIC, 1, 1, 2), 0)
    assert bench.said() == []
    bench.settle()
    bench.store.reconcile(bench.replica, segment)
    bench.settle()
    bench.repairs.hold(3, Hold(TOPIC, 1, 1, 2), 0)
    assert bench.said() == [(3, Holding(TOPIC, 1, 2))]


def test_a_new_member_of_an_empty_segment_says_at_once_that_it_holds_all() -> None:
    bench = Repairing()
    sealed(bench.metadata, 0)
    bench.repairs.hold(3, Hold(TOPIC, 1, 0, 2), 0)
    assert bench.said() == [(3, Holding(TOPIC, 1, 2))]


def test_a_copy_of_an_earlier_lifetime_is_read_before_it_is_said_to_hold_all() -> None:
    bench = Repairing()
    bench.filled(b"a", b"b")
    bench.store.reconcile(bench.replica, sealed(bench.metadata, 2))
    bench.settle()
    bench.files[PATH][FILE_HEADER_BYTES] ^= 1
    bench.start()
    bench.repairs.hold(3, Hold(TOPIC, 1, 2, 2), 0)
    assert (bench.said(), bench.waiting()) == ([], [f"Read {PATH}"])
    bench.settle()
    bench.repairs.progressed(KEY, 0)
    bench.repairs.tick(0)
    assert bench.asked()[1].offset == 1, "it looks for one that has the last record, to be filled again"


def test_nothing_is_held_on_the_word_of_another_count() -> None:
    bench = Repairing()
    bench.filled(b"a")
    bench.repairs.hold(3, Hold(TOPIC, 1, 1, 2), 0)
    sealed(bench.metadata, 1)
    bench.repairs.hold(3, Hold(TOPIC, 1, 2, 2), 0)
    assert (bench.said(), bench.repairs.waiting) == ([], 0)


def test_a_copy_that_nobody_waits_for_is_completed_no_faster_than_the_rate_allows() -> None:
    bench = Slow()
    half = bytes(PULL_BYTES // 2)
    bench.repairs.sealed(KEY, sealed(bench.metadata, 4))
    bench.repairs.tick(0)
    due_ns = 0
    for number in range(4):
        _, read = bench.asked()
        data = one(number, half)
        bench.give(read, data)
        due_ns += len(data) * SECOND // PULL_BYTES
        if due_ns > BURST_NS:
            bench.repairs.tick(due_ns - BURST_NS - SECOND // 100)
            assert bench.said() == []
        bench.repairs.tick(due_ns - BURST_NS + SECOND // 100)
    assert bench.replica.durable_length == 4


def test_small_copies_do_not_wait_for_one_another() -> None:
    """What a question may bring counts only until its answer has come."""
    bench = Slow()
    bench.repairs.sealed(KEY, sealed(bench.metadata, 4))
    bench.repairs.tick(0)
    for number in range(4):
        bench.give(bench.asked()[1], one(number, b"a"))
    assert bench.replica.durable_length == 4


def test_a_question_without_an_answer_costs_nothing() -> None:
    bench = Slow()
    bench.repairs.sealed(KEY, sealed(bench.metadata, 4))
    for asked_ns in range(0, 4 * ASK_AGAIN_NS, ASK_AGAIN_NS):
        bench.repairs.tick(asked_ns)
        bench.asked()


def test_what_a_recoverer_orders_waits_for_no_rate() -> None:
    bench = Slow().fenced_with(b"a")
    bench.repairs.ordered(3, Repair(TOPIC, 1, epoch=1, tail=4, source=1), 0)
    for number in range(1, 4):
        bench.give(bench.asked()[1], one(number, bytes(PULL_BYTES)))
    [(to, reply)] = bench.said()
    assert isinstance(reply, FenceReply)
    assert (to, reply.length) == (3, 4)
