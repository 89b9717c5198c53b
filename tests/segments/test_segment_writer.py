"""The writer of an open segment: batches, acknowledgements in order at a quorum, and when it stops."""

import pytest
from segment_fixtures import block, member, members, pending, writer_of
from segment_writing import Writing

from walrus.core.metadata.commands import OPEN, Seal
from walrus.core.metadata.state import NodeInfo
from walrus.core.segment.messages import (
    ACCEPTED,
    CLOSED,
    DONE,
    FENCED,
    GAP,
    MISMATCH,
    MOVED,
    REFUSED,
    UNKNOWN,
    UNTRUSTED,
    Append,
    AppendAck,
)
from walrus.core.segment.targets import PROBE_AFTER_NS
from walrus.core.segment.writer import DRAINING, MAX_BLOCK_BYTES, PROPOSED, STOPPED, WRITING, Limits
from walrus.core.storage.blocks import FILE_HEADER_BYTES

SUCCESSOR = NodeInfo(*writer_of(2), "node2:6001", "")


def drained() -> Writing:
    """A writer that has rolled at its length of 1, all of it acknowledged."""
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1)
    bench.writer.roll()
    bench.sent()
    bench.results()
    return bench


# --- batches ---


def test_what_waits_at_a_flush_goes_to_every_copy_as_one_batch() -> None:
    bench = Writing()
    bench.put(b"a", b"b")
    assert bench.sent() == [(1, 0, [b"a", b"b"]), (2, 0, [b"a", b"b"]), (3, 0, [b"a", b"b"])]


def test_every_copy_gets_the_same_bytes_under_epoch_and_version() -> None:
    bench = Writing()
    bench.put(b"a")
    sent = [message for _, message in bench.appends()]
    assert len(sent) == 3
    assert sent == [Append("logs", 1, 0, 1, 0, sent[0].data)] * 3


def test_two_batches_are_under_way_at_most_and_the_rest_waits_to_go_together() -> None:
    bench = Writing(1)
    for payload in (b"a", b"b", b"c", b"d"):
        bench.put(payload)
    assert bench.sent() == [(1, 0, [b"a"]), (1, 1, [b"b"])]
    bench.ack(1, 1)
    bench.put()
    assert bench.sent() == [(1, 2, [b"c", b"d"])]


def test_a_batch_ends_at_its_limit_in_bytes() -> None:
    bench = Writing(1)
    half = bytes(MAX_BLOCK_BYTES // 2)
    bench.put(half, half, half)
    assert [len(payloads) for _, _, payloads in bench.sent()] == [2, 1]


def test_nothing_is_admitted_without_a_lease() -> None:
    bench = Writing()
    bench.put(b"a", lease=False)
    assert (bench.sent(), bench.results(), len(bench.writer.unsent)) == ([], [], 1)
    bench.put()
    assert len(bench.sent()) == 3


def test_a_batch_is_split_exactly_at_the_limit_in_records() -> None:
    bench = Writing(1, limits=Limits(3, 1 << 30))
    bench.put(b"a", b"b", b"c", b"d", b"e")
    assert bench.sent() == [(1, 0, [b"a", b"b", b"c"])]
    assert bench.writer.state == DRAINING
    assert [p.payload for p in bench.writer.unsent] == [b"d", b"e"]


def test_a_segment_is_full_when_the_limit_is_reached_and_not_at_the_next_put() -> None:
    bench = Writing(1, limits=Limits(2, 1 << 30))
    bench.put(b"a")
    assert bench.writer.state == WRITING
    bench.put(b"b")
    assert bench.writer.state == DRAINING


def test_a_segment_is_full_once_its_file_reaches_the_limit_in_bytes() -> None:
    bench = Writing(1, limits=Limits(1000, 2000))
    bench.put(*[bytes(400)] * 5)
    [(_, _, payloads)] = bench.sent()
    assert (len(payloads), bench.writer.state, len(bench.writer.unsent)) == (4, DRAINING, 1)


# --- acknowledgements ---


def test_a_put_is_acknowledged_once_a_quorum_holds_it_durably() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    assert bench.results() == []
    bench.ack(3, 1)
    assert bench.results() == [(DONE, [b"a"])]
    bench.ack(2, 1)
    assert bench.results() == []


def test_two_other_copies_are_a_quorum_without_the_writers_own() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(2, 1)
    bench.ack(3, 1)
    assert bench.results() == [(DONE, [b"a"])]


def test_batches_are_acknowledged_in_order_with_one_answer_for_several() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 1)
    assert bench.results() == [(DONE, [b"a"])]
    bench.ack(2, 2)
    assert bench.results() == [(DONE, [b"b"])]


def test_a_copy_that_repeats_itself_counts_once() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(2, 1)
    bench.ack(2, 1)
    assert (bench.results(), bench.writer.acked) == ([], 0)


def test_a_late_shorter_answer_takes_nothing_back() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 2)
    bench.ack(2, 1)
    assert (bench.writer.acked, bench.writer.targets[2].match) == (2, 2)


@pytest.mark.parametrize("status", [GAP, UNTRUSTED, MISMATCH])
def test_a_refusal_never_counts_whatever_length_it_tells(status: int) -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1, status)
    bench.ack(3, 1, status)
    assert (bench.results(), bench.writer.acked) == ([], 0)
    assert bench.writer.state == (DRAINING if status == UNTRUSTED else WRITING)


def test_an_answer_for_another_epoch_does_not_count() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1, epoch=1)
    assert bench.results() == []


def test_the_answer_of_a_node_with_another_disk_or_outside_the_set_does_not_count() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    answer = AppendAck("logs", 1, 0, ACCEPTED, 1, 0, 1)
    bench.writer.acknowledged((2, 4711), answer, 0)
    bench.writer.acknowledged(member(4), answer, 0)
    assert bench.results() == []


def test_what_a_copy_acknowledged_under_an_older_set_does_not_count_once_it_was_taken_on_again() -> None:
    bench = Writing()
    bench.writer.targets[2].version = 3  # left with set 2 and came back with set 3
    bench.put(b"a")
    bench.ack(1, 1)
    late = AppendAck("logs", 1, 0, ACCEPTED, 1, 0, 1)
    bench.writer.acknowledged(member(2), late, 0)
    assert (bench.results(), bench.writer.acked) == ([], 0)


# --- the end ---


@pytest.mark.parametrize("status", [FENCED, CLOSED])
def test_a_copy_that_promised_a_higher_epoch_stops_the_writer_and_what_was_sent_is_unknown(status: int) -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 1, status, fence=1)
    assert bench.results() == [(UNKNOWN, [b"a"]), (UNKNOWN, [b"b"])]
    assert (bench.writer.state, bench.writer.readable) == (STOPPED, False)
    bench.ack(3, 2)
    assert (bench.results(), bench.writer.acked) == ([], 0)


def test_a_stopped_writer_sends_nothing_and_keeps_what_was_never_sent() -> None:
    bench = Writing()
    bench.writer.stop()
    bench.put(b"a")
    bench.writer.tick(10 * PROBE_AFTER_NS)
    assert (bench.sent(), bench.results(), bench.writer.lagging()) == ([], [], [])


def test_what_was_never_sent_moves_on_only_when_the_seal_applies() -> None:
    bench = Writing()
    bench.put(b"a", b"b", lease=False)
    bench.writer.stop()
    assert bench.results() == []
    bench.writer.sealed()
    assert bench.results() == [(MOVED, [b"a", b"b"])]
    bench.writer.sealed()
    assert bench.results() == []


def test_a_seal_by_another_leaves_what_was_sent_unknown_and_moves_the_rest() -> None:
    bench = Writing(limits=Limits(1, 1 << 30))
    bench.put(b"a", b"b")
    bench.writer.sealed()
    assert bench.results() == [(UNKNOWN, [b"a"]), (MOVED, [b"b"])]


def test_a_put_that_waited_too_long_is_refused_if_never_sent_and_unknown_if_sent() -> None:
    bench = Writing()
    bench.writer.put(pending(b"sent", 50))
    bench.writer.flush(0, 0, lease=True)
    bench.writer.put(pending(b"unsent", 50))
    bench.writer.tick(49)
    assert bench.results() == []
    bench.writer.tick(50)
    assert bench.results() == [(REFUSED, [b"unsent"]), (UNKNOWN, [b"sent"])]
    bench.ack(1, 1)
    bench.ack(2, 1)
    assert bench.results() == [(DONE, [])]


def test_a_writer_seals_at_its_length_only_with_nothing_pending() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.writer.roll()
    assert not bench.writer.ready_to_seal
    bench.ack(1, 1)
    bench.ack(2, 1)
    assert bench.writer.ready_to_seal
    command = bench.writer.propose_seal(SUCCESSOR, members(1, 2), (1, 1), 7)
    size = FILE_HEADER_BYTES + len(block(0, b"a"))
    assert command == Seal("logs", 1, OPEN, 0, 1, members(1, 2, 3), writer_of(2), members(1, 2), (1, 1), size, 7)
    assert bench.writer.state == PROPOSED


def test_after_the_seal_was_proposed_nothing_is_admitted_and_what_came_later_moves() -> None:
    bench = drained()
    bench.writer.propose_seal(SUCCESSOR, members(1, 2, 3), None, 7)
    bench.put(b"late")
    assert (bench.sent(), bench.writer.ready_to_seal) == ([], False)
    bench.ack(3, 1)
    assert bench.results() == []
    bench.writer.sealed()
    assert bench.results() == [(MOVED, [b"late"])]


# --- copies that lag ---


def test_a_copy_that_falls_silent_is_probed_with_an_empty_batch_at_what_it_holds() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 2)
    bench.ack(3, 1)
    bench.sent()
    bench.writer.tick(PROBE_AFTER_NS - 1)
    assert bench.sent() == []
    bench.writer.tick(PROBE_AFTER_NS)
    assert bench.sent() == [(3, 1, [])]


def test_a_copy_under_a_probe_is_sent_no_batch_and_is_not_read_for() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1)
    bench.writer.tick(PROBE_AFTER_NS)
    bench.sent()
    bench.put(b"b")
    assert [to for to, _, _ in bench.sent()] == [1, 2]
    assert bench.writer.lagging() == []


def test_the_answer_to_a_probe_rewinds_to_the_length_told_and_the_rest_is_read_from_the_own_copy() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(2, 2)
    bench.writer.tick(PROBE_AFTER_NS)
    bench.sent()
    bench.ack(3, 1)
    [lagging] = bench.writer.lagging()
    assert (lagging.member, lagging.match, lagging.next) == (member(3), 1, 1)
    lagging.fetching = True
    bench.writer.caught(3, block(1, b"b"), PROBE_AFTER_NS)
    assert bench.sent() == [(3, 1, [b"b"])]
    assert bench.writer.lagging() == []


def test_a_gap_rewinds_at_once_but_never_below_what_the_copy_confirmed() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(3, 1)
    bench.ack(3, 0, GAP)
    assert [(t.member, t.next) for t in bench.writer.lagging()] == [(member(3), 1)]


def test_blocks_read_for_another_place_than_the_copy_stands_at_are_not_sent() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.put(b"b")
    bench.ack(1, 2)
    bench.ack(3, 0, GAP)
    bench.sent()
    bench.writer.caught(3, block(1, b"b"), 0)
    bench.writer.caught(3, b"", 0)
    assert bench.sent() == []
    assert [t.member for t in bench.writer.lagging()] == [member(3)]


def test_a_copy_that_misses_a_batch_gets_the_following_ones_only_after_catching_up() -> None:
    bench = Writing()
    bench.put(b"a")
    bench.ack(1, 1)
    bench.ack(2, 1)
    bench.ack(3, 0, GAP)
    bench.sent()
    bench.put(b"b")
    assert bench.sent() == [(1, 1, [b"b"]), (2, 1, [b"b"])]
