"""Whatever messages are lost or late: a holder gives up its lease before the leader's table lets it lapse."""

from hypothesis import given, settings
from hypothesis import strategies as st
from segment_fixtures import leading_raft, raft_of
from segment_fixtures import settings as node_settings

from walrus.core.config import MS
from walrus.core.lease import KEEP_SENT, Lease, LeaseTable

CONFIG = node_settings()
LEASE_NS, HOLD_NS = CONFIG.lease_ns, CONFIG.lease_ns + CONFIG.lease_margin_ns
LOST = -1
DELAY_MS = st.one_of(st.integers(0, 900), st.just(LOST))


def held_by(node: int = 2) -> Lease:
    """The lease of a node that does not lead."""
    return Lease(CONFIG, raft_of(node, (1, 2, 3)))


def test_a_node_that_heard_nothing_has_no_lease() -> None:
    assert not held_by().valid(0)


def test_an_answer_that_the_leader_has_not_confirmed_gives_no_lease() -> None:
    lease = held_by()
    lease.heartbeat(2, 1, 0, 100)
    assert not lease.valid(100)


def test_a_confirmed_answer_gives_a_lease_from_when_it_was_sent() -> None:
    lease = held_by()
    lease.heartbeat(2, 1, 0, 100)
    lease.heartbeat(2, 2, 1, 5000)
    assert lease.until_ns(5000) == 100 + LEASE_NS
    assert (lease.valid(99 + LEASE_NS), lease.valid(100 + LEASE_NS)) == (True, False)


def test_a_repeated_heartbeat_does_not_move_the_moment_of_its_first_answer() -> None:
    lease = held_by()
    lease.heartbeat(2, 1, 0, 100)
    lease.heartbeat(2, 1, 1, 9000)
    assert lease.until_ns(9000) == 100 + LEASE_NS


def test_an_older_confirmation_takes_nothing_back() -> None:
    lease = held_by()
    for seq, confirmed, now_ns in ((1, 0, 100), (2, 1, 200), (3, 2, 300), (4, 1, 400)):
        lease.heartbeat(2, seq, confirmed, now_ns)
    assert lease.until_ns(400) == 200 + LEASE_NS


def test_a_confirmation_from_another_term_confirms_nothing() -> None:
    lease = held_by()
    lease.heartbeat(2, 1, 0, 100)
    lease.heartbeat(3, 2, 1, 200)
    assert not lease.valid(200)


def test_answers_too_old_to_matter_are_forgotten() -> None:
    lease = held_by()
    for seq in range(1, KEEP_SENT + 2):
        lease.heartbeat(2, seq, 0, seq)
    lease.heartbeat(2, KEEP_SENT + 2, 1, 10_000)
    assert not lease.valid(10_000)


def test_a_voter_alone_always_holds_its_lease() -> None:
    lease = Lease(CONFIG, leading_raft(1, (1,)))
    assert lease.valid(10**15)


def test_a_leader_without_a_quorum_behind_it_holds_none() -> None:
    lease = Lease(CONFIG, leading_raft(1, (1, 2, 3)))
    assert not lease.valid(10**15)


def test_the_table_counts_from_the_answer_and_adds_a_margin() -> None:
    table = LeaseTable(CONFIG)
    table.answered(2, 1000)
    assert (table.lapsed(2, 999 + HOLD_NS), table.lapsed(2, 1000 + HOLD_NS)) == (False, True)
    assert (table.answering(2, 999 + HOLD_NS), table.answering(2, 1000 + HOLD_NS)) == (True, False)
    assert (table.lapsed(3, 1000), table.answering(3, 1000)) == (True, False)


@given(st.integers(0, 10**12), st.integers(0, HOLD_NS - 1), st.integers(1, 9))
def test_a_new_leader_expires_nobody_before_one_full_lease_has_passed(elected: int, after: int, node: int) -> None:
    table = LeaseTable(CONFIG)
    table.answered(node, elected - 1)
    table.elected(elected)
    assert not table.lapsed(node, elected + after)
    assert not table.answering(node, elected + after)
    assert table.lapsed(node, elected + HOLD_NS)


def test_a_process_that_stood_still_suspects_nobody_for_as_long_but_at_most_one_lease() -> None:
    table = LeaseTable(CONFIG)
    table.answered(2, 0)
    table.stalled(30 * MS, HOLD_NS)
    assert not table.lapsed(2, HOLD_NS + 30 * MS - 1)
    assert table.lapsed(2, HOLD_NS + 30 * MS)
    table.stalled(10 * HOLD_NS, 2 * HOLD_NS)
    assert (table.lapsed(2, 3 * HOLD_NS - 1), table.lapsed(2, 3 * HOLD_NS)) == (False, True)


@settings(max_examples=150, deadline=None)
@given(
    delays=st.lists(st.tuples(DELAY_MS, DELAY_MS), min_size=1, max_size=40),
    offset_ms=st.integers(0, 10_000),
    slow_percent=st.integers(-10, 11),
)
def test_the_holder_gives_up_before_the_table_lapses(
    delays: list[tuple[int, int]], offset_ms: int, slow_percent: int
) -> None:
    """Heartbeats every 40 ms; any of them, and any answer, is lost or late; the clocks run up to 11 % apart."""

    def holders_clock(now_ns: int) -> int:
        return offset_ms * MS + now_ns * (100 - slow_percent) // 100

    lease, table = held_by(), LeaseTable(CONFIG)
    table.elected(0)
    events: list[tuple[int, str, int]] = []
    for seq, _ in enumerate(delays, start=1):
        events.append((seq * CONFIG.heartbeat_interval_ns, "send", seq))
    confirmed: dict[int, int] = {}
    acked = 0
    while events:
        events.sort()
        now_ns, what, seq = events.pop(0)
        there, back = delays[seq - 1]
        if what == "send":
            confirmed[seq] = acked
            if there != LOST:
                events.append((now_ns + there * MS, "heartbeat", seq))
        elif what == "heartbeat":
            lease.heartbeat(2, seq, confirmed[seq], holders_clock(now_ns))
            if back != LOST:
                events.append((now_ns + back * MS, "answer", seq))
        elif seq > acked:
            acked = seq
            table.answered(2, now_ns)
        ends_ns = lease.until_ns(0)
        for moment in (now_ns, now_ns + LEASE_NS, now_ns + HOLD_NS, now_ns + HOLD_NS - 1):
            assert not (table.lapsed(2, moment) and holders_clock(moment) < ends_ns)
