"""The shared GET cursor at its owner: every record to one client, again only where delivery is not known."""

from segment_fixtures import TOPIC, pending, sealed, writer_of
from segment_owner import Owner

from walrus.core.config import MS, SECOND
from walrus.core.cursors import SETTLE_NS
from walrus.core.metadata.commands import CommitCursors, CursorCommit
from walrus.core.segment.messages import DONE, EMPTY, MOVED

TIMEOUT_NS = 5 * SECOND


def handed(*rids: int) -> Owner:
    """Three records, one handed to each of ``rids``."""
    bench = Owner(b"a", b"b", b"c")
    for rid in rids:
        bench.get(rid)
    bench.serve()
    bench.results()
    return bench


def delivered(bench: Owner, offset: int, *, yes: bool = True) -> None:
    bench.cursors.delivered(TOPIC, 1, offset, delivered=yes)


def commit(offset: int) -> CommitCursors:
    return CommitCursors(writer_of(1), (CursorCommit(TOPIC, 1, 1, offset),))


# --- handing out ---


def test_each_get_is_handed_the_next_record() -> None:
    bench = Owner(b"a", b"b")
    bench.get(1)
    bench.get(2, node=3)
    bench.serve()
    assert bench.results() == [(1, DONE, 0, b"a"), (2, DONE, 1, b"b")]


def test_gets_beyond_the_last_record_are_empty() -> None:
    bench = Owner(b"a")
    for rid in (1, 2, 3):
        bench.get(rid)
    bench.serve()
    assert bench.results() == [(1, DONE, 0, b"a"), (2, EMPTY, 0, b""), (3, EMPTY, 0, b"")]


def test_a_get_that_came_after_the_question_is_not_answered_empty_by_it() -> None:
    bench = Owner()
    bench.get(1)
    [read] = bench.reads()
    bench.get(2)
    bench.answer(read)
    assert bench.results() == [(1, EMPTY, 0, b"")]
    bench.records.append(b"a")
    bench.serve()
    assert bench.results() == [(2, DONE, 0, b"a")]


def test_a_get_for_a_segment_that_this_node_does_not_own_moves_on() -> None:
    bench = Owner(b"a")
    bench.get(1, segment=2)
    bench.cursors.disown(TOPIC, 1)
    bench.get(2)
    assert bench.results() == [(1, MOVED, 0, b""), (2, MOVED, 0, b"")]


def test_who_waits_when_the_cursor_goes_elsewhere_moves_on() -> None:
    bench = Owner(b"a")
    bench.get(1)
    bench.cursors.disown(TOPIC, 2)
    assert bench.results() == []
    bench.cursors.disown(TOPIC, 1)
    assert bench.results() == [(1, MOVED, 0, b"")]


def test_without_a_lease_nothing_is_read_or_handed_out_and_who_waited_too_long_moves_on() -> None:
    bench = Owner(b"a", lease=False)
    bench.get(1, deadline_ns=100)
    bench.cursors.tick(99)
    assert (bench.reads(), bench.results()) == ([], [])
    bench.cursors.tick(100)
    assert bench.results() == [(1, MOVED, 0, b"")]


# --- repeated and failed deliveries ---


def test_a_forwarded_get_that_comes_again_gets_the_same_record() -> None:
    bench = handed(1, 2)
    bench.get(1)
    bench.get(2)
    bench.serve()
    assert bench.results() == [(1, DONE, 0, b"a"), (2, DONE, 1, b"b")]


def test_a_forwarded_get_that_comes_again_while_it_waits_is_answered_once() -> None:
    bench = Owner(b"a", b"b")
    bench.get(1)
    bench.get(1)
    bench.serve()
    assert bench.results() == [(1, DONE, 0, b"a")]


def test_the_same_number_from_another_node_is_another_get() -> None:
    bench = handed(1)
    bench.get(1, node=3)
    bench.serve()
    assert bench.results() == [(1, DONE, 1, b"b")]


def test_a_record_that_could_not_be_delivered_goes_to_the_next_get_first() -> None:
    bench = handed(1, 2)
    delivered(bench, 0, yes=False)
    bench.get(3)
    bench.get(4)
    bench.serve()
    assert bench.results() == [(3, DONE, 0, b"a"), (4, DONE, 2, b"c")]


def test_a_delivered_record_is_never_handed_out_again() -> None:
    bench = handed(1)
    delivered(bench, 0)
    delivered(bench, 0, yes=False)
    bench.cursors.tick(100 * TIMEOUT_NS)
    bench.get(2)
    bench.serve()
    assert bench.results() == [(2, DONE, 1, b"b")]


def test_a_record_of_which_nothing_is_heard_is_handed_out_again_after_a_while() -> None:
    bench = handed(1)
    bench.cursors.tick(2 * TIMEOUT_NS - 1)
    bench.get(2, now_ns=2 * TIMEOUT_NS - 1)
    bench.cursors.tick(2 * TIMEOUT_NS)
    bench.get(3, now_ns=2 * TIMEOUT_NS)
    bench.serve()
    assert bench.results() == [(2, DONE, 1, b"b"), (3, DONE, 0, b"a")]


def test_word_of_a_delivery_under_another_segment_changes_nothing() -> None:
    bench = handed(1)
    bench.cursors.delivered(TOPIC, 2, 0, delivered=True)
    assert bench.cursors.frozen(TOPIC) == (1, 0)


def test_a_client_of_this_node_is_served_like_others() -> None:
    bench = Owner(b"a")
    bench.cursors.get(pending(b"", node=0), 1, 0)
    bench.serve()
    assert [result[1:] for result in bench.results()] == [(DONE, 0, b"a")]


# --- committing ---


def test_nothing_is_committed_while_the_first_record_is_outstanding() -> None:
    bench = handed(1, 2, 3)
    delivered(bench, 1)
    delivered(bench, 2)
    bench.cursors.commit()
    assert bench.commits() == []


def test_a_commit_stands_before_the_first_record_that_may_not_have_been_delivered() -> None:
    bench = handed(1, 2, 3)
    delivered(bench, 0)
    delivered(bench, 2)
    bench.cursors.commit()
    assert [command for _, command in bench.commits()] == [commit(1)]


def test_a_commit_does_not_pass_a_record_that_is_to_be_handed_out_again() -> None:
    bench = handed(1, 2)
    delivered(bench, 0, yes=False)
    delivered(bench, 1)
    bench.cursors.commit()
    assert bench.commits() == []


def test_one_commit_is_under_way_at_a_time_and_the_next_names_what_came_since() -> None:
    bench = handed(1, 2)
    delivered(bench, 0)
    bench.cursors.commit()
    [(rid, first)] = bench.commits()
    delivered(bench, 1)
    bench.cursors.commit()
    assert (first, bench.commits(), bench.cursors.all_committed) == (commit(1), [], False)
    assert not bench.cursors.committed(rid + 1)
    assert bench.cursors.committed(rid)
    bench.cursors.commit()
    assert [command for _, command in bench.commits()] == [commit(2)]


def test_positions_are_committed_every_interval_and_only_if_they_moved() -> None:
    bench = handed(1)
    delivered(bench, 0)
    bench.cursors.tick(0)
    [(rid, _)] = bench.commits()
    bench.cursors.committed(rid)
    assert bench.cursors.all_committed
    bench.cursors.tick(100 * MS)
    assert bench.commits() == []


# --- handing over ---


def test_a_handover_is_exact_at_once_where_nothing_is_outstanding() -> None:
    bench = handed(1, 2)
    delivered(bench, 0)
    delivered(bench, 1)
    assert bench.cursors.freeze(TOPIC, 0)
    assert bench.cursors.frozen(TOPIC) == (1, 2)


def test_a_handover_waits_for_outstanding_deliveries_and_then_counts_them_as_not_delivered() -> None:
    bench = handed(1, 2)
    delivered(bench, 1)
    assert not bench.cursors.freeze(TOPIC, 0)
    assert not bench.cursors.freeze(TOPIC, SETTLE_NS - 1)
    assert bench.cursors.freeze(TOPIC, SETTLE_NS)
    assert bench.cursors.frozen(TOPIC) == (1, 0)


def test_a_delivery_heard_of_during_the_handover_counts() -> None:
    bench = handed(1)
    assert not bench.cursors.freeze(TOPIC, 0)
    delivered(bench, 0)
    assert bench.cursors.freeze(TOPIC, 1)
    assert bench.cursors.frozen(TOPIC) == (1, 1)


def test_a_frozen_cursor_hands_out_nothing_and_commits_nothing() -> None:
    bench = handed(1)
    delivered(bench, 0)
    bench.get(2)
    bench.serve()
    bench.results()
    delivered(bench, 1)
    bench.cursors.freeze(TOPIC, 0)
    bench.get(3)
    bench.cursors.tick(200 * MS)
    assert (bench.results(), bench.commits()) == ([(3, MOVED, 0, b"")], [])


def test_who_waits_at_a_freeze_moves_on() -> None:
    bench = Owner()
    bench.get(1)
    bench.cursors.freeze(TOPIC, 0)
    assert bench.results() == [(1, MOVED, 0, b"")]


def test_the_next_owner_goes_on_where_the_metadata_says() -> None:
    bench = Owner(b"a", b"b", b"c")
    bench.metadata.apply(commit(2))
    sealed(bench.metadata, 3)
    bench.cursors.disown(TOPIC, 1)
    bench.cursors.own(TOPIC, 2)
    assert bench.cursors.frozen(TOPIC) == (1, 2)
