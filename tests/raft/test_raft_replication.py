"""Log replication (the paper, sections 5.3 and 5.4.2) and what loss, delay and repetition do to it."""

import pytest
from raft_alone import config_entry, elect, hear, normal, raft, replies
from raft_network import cluster

from walrus.core.config import MS
from walrus.core.peer import AppendEntries, AppendReply, Entry, Heartbeat, HeartbeatReply, RaftMessage
from walrus.core.raft.log import RaftLog
from walrus.core.raft.output import HardState, Role
from walrus.core.raft.progress import IN_FLIGHT_MAX, Progress, ProgressState
from walrus.core.raft.raft import Raft
from walrus.core.raft.state import EntriesLost


def accepted(term: int, match_index: int) -> AppendReply:
    """A success reply."""
    return AppendReply(term, True, match_index, 0, 0, 0)


def refused(term: int, reject_prev: int, conflict_term: int, conflict_index: int) -> AppendReply:
    """A failure reply."""
    return AppendReply(term, False, 0, reject_prev, conflict_term, conflict_index)


def appends(messages: list[tuple[int, RaftMessage, bool]], to: int) -> list[AppendEntries]:
    """The AppendEntries among ``messages`` for one node."""
    return [message for node, message, _ in messages if node == to and isinstance(message, AppendEntries)]


def leader(terms: tuple[int, ...] = (1,), voters: tuple[int, ...] = (1, 2, 3)) -> Raft:
    """Node 1 leading in the next term, its no-op durable on itself alone."""
    machine = raft(1, voters, terms=terms)
    elect(machine)
    return machine


# --- Follower ---


def test_5_3_entries_are_durable_before_they_are_acknowledged() -> None:
    """The records come with the drain whose success reply waits for them."""
    machine = raft(2)
    entries = [normal(2, 2), normal(3, 2)]
    out = hear(machine, 1, AppendEntries(2, 1, 1, entries, 2))
    assert out.records == [HardState(2, 0), *entries]
    assert out.messages == [(1, accepted(2, 3), True)]
    assert [entry.index for entry in out.committed] == [1, 2]
    assert machine.leader == 1


def test_5_3_an_acknowledgement_covers_what_the_message_proved_and_no_more() -> None:
    """A longer log may end in entries that the leader never had."""
    machine = raft(2, terms=(1, 1, 1, 1))
    assert replies(machine, 1, AppendEntries(2, 1, 1, [normal(2, 1)], 9)) == [accepted(2, 2)]
    assert machine.commit_index == 2
    assert replies(machine, 1, AppendEntries(2, 1, 1, [], 9)) == [accepted(2, 1)]


def test_5_3_a_late_message_never_cuts_off_newer_entries() -> None:
    """Entries that match already are left alone, and are not written again."""
    machine = raft(2, terms=(1, 2, 2, 2))
    out = hear(machine, 1, AppendEntries(2, 1, 1, [normal(2, 2), normal(3, 2)], 0))
    assert out.records == []
    assert machine.log.last_index == 4
    assert out.messages == [(1, accepted(2, 3), True)]


def test_5_3_a_conflict_replaces_the_suffix() -> None:
    """The first entry of another term takes the place of all that follows."""
    machine = raft(2, terms=(1, 2, 2, 2))
    out = hear(machine, 1, AppendEntries(3, 1, 1, [normal(2, 2), normal(3, 3)], 0))
    assert out.records == [HardState(3, 0), normal(3, 3)]
    assert (machine.log.last_index, machine.log.last_term, machine.persisted_index) == (3, 3, 2)


@pytest.mark.parametrize(
    ("terms", "prev_index", "prev_term", "hint"),
    [
        ((1, 1), 5, 4, (0, 3)),  # too short
        ((1, 1, 2, 2, 2), 4, 3, (2, 3)),  # another term: where that term begins
        ((1, 1, 1), 3, 3, (1, 1)),
    ],
)
def test_5_3_a_refusal_says_where_the_logs_part(
    terms: tuple[int, ...], prev_index: int, prev_term: int, hint: tuple[int, int]
) -> None:
    """The hint is the conflicting term and its first index, or the end of the log; it need not be durable."""
    machine = raft(2, terms=terms)
    out = hear(machine, 1, AppendEntries(4, prev_index, prev_term, [], 0))
    assert out.messages == [(1, refused(4, prev_index, *hint), False)]


def test_a_heartbeat_is_answered_at_once_and_commits_what_it_names() -> None:
    """The answer waits for no disk, and the lease is reported once per round."""
    machine = raft(2, terms=(1, 1, 1))
    out = hear(machine, 1, Heartbeat(1, 4, 2, 3, (1, 2)))
    assert out.messages == [(1, HeartbeatReply(1, 4, 2), False)]
    assert out.granted == [(1, 1, 4, 3)]
    assert machine.commit_index == 2
    for late in (4, 3):
        out = hear(machine, 1, Heartbeat(1, late, 3, 3, (1, 2)))
        assert (out.messages, out.granted) == ([], [])


# --- Leader ---


@pytest.mark.parametrize(
    ("hint", "next_index"),
    [
        ((0, 2), 2),  # the follower's log ends at 1
        ((2, 3), 5),  # both have term 2: the leader's last entry of it is 4
        ((3, 4), 4),  # the leader has no term 3
        ((2, 6), 6),  # the leader's term 2 ends before the stretch
        ((1, 3), 3),
    ],
)
def test_5_3_a_conflict_hint_skips_a_whole_term(hint: tuple[int, int], next_index: int) -> None:
    """The leader's log is 1 1 2 2 4 4 4; the follower refused prev_index 7."""
    log = RaftLog([normal(index, term) for index, term in enumerate((1, 1, 2, 2, 4, 4, 4), start=1)])
    progress = Progress(8, 0, 0)
    assert progress.rejected(refused(5, 7, *hint), log)
    assert (progress.state, progress.next_index) == (ProgressState.PROBE, next_index)


def test_5_3_figure_7_every_follower_ends_with_the_leaders_log() -> None:
    """All six followers of the paper's figure 7 converge, each refusal skipping at least a term."""
    leader_terms = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    followers = [
        (1, 1, 1, 4, 4, 5, 5, 6, 6),
        (1, 1, 1, 4),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
        (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
        (1, 1, 1, 4, 4, 4, 4),
        (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
    ]
    for terms in followers:
        head = raft(1, (1, 2), terms=leader_terms, term=7)
        out = elect(head)
        tail = raft(2, (1, 2), terms=terms, term=7)
        refusals = 0
        queue = appends(out.messages, 2)
        while queue:
            (reply,) = replies(tail, 1, queue.pop(0))
            assert isinstance(reply, AppendReply)
            refusals += not reply.success
            queue += appends(hear(head, 2, reply).messages, 2)
        assert tail.log.slice(1, tail.log.last_index) == head.log.slice(1, head.log.last_index)
        assert refusals <= 3


def test_5_3_a_late_or_repeated_reply_changes_nothing() -> None:
    """The match never falls, and an old refusal does not send a caught-up follower back."""
    machine = leader(terms=(1, 1, 1))
    hear(machine, 2, accepted(2, 4))
    progress = machine.progress[2]
    for late in (accepted(2, 2), accepted(2, 4), refused(2, 3, 0, 1), refused(2, 4, 1, 1)):
        hear(machine, 2, late)
        assert (progress.match_index, progress.next_index) == (4, 5)
        assert progress.state is ProgressState.REPLICATE


def test_5_3_a_refusal_never_sends_the_leader_back_behind_the_match() -> None:
    """Its hint may be older than an acknowledgement that overtook it."""
    log = RaftLog([normal(index, 1) for index in range(1, 9)])
    progress = Progress(9, 0, 0)
    progress.accepted(8, 0)
    progress.sent(12, 0)
    assert progress.rejected(refused(1, 10, 0, 2), log)
    assert (progress.match_index, progress.next_index) == (8, 9)


def test_replies_of_strangers_are_ignored() -> None:
    """Only members count."""
    machine = leader()
    for reply in (accepted(2, 2), refused(2, 1, 0, 1), HeartbeatReply(2, 1, 0)):
        out = hear(machine, 9, reply)
        assert out.heartbeat_acks == []
    assert machine.commit_index == 0


def test_pipelining_sends_ahead_of_the_replies_up_to_a_bound() -> None:
    """Once the logs agree each drain sends what is new, until too much is unanswered."""
    machine = leader()
    hear(machine, 2, accepted(2, 2))
    sent = 0
    for count in range(IN_FLIGHT_MAX + 5):
        assert machine.propose(b"%d" % count, 0) == 3 + count
        sent += sum(bool(message.entries) for message in appends(machine.drain().messages, 2))
    assert sent == IN_FLIGHT_MAX
    out = hear(machine, 2, accepted(2, 3))
    (message,) = [message for message in appends(out.messages, 2) if message.entries]
    assert [entry.index for entry in message.entries] == list(range(3 + IN_FLIGHT_MAX, 3 + IN_FLIGHT_MAX + 5))


def test_proposals_between_two_drains_share_a_message() -> None:
    """Messages are built once per drain."""
    machine = leader()
    hear(machine, 2, accepted(2, 2))
    for _ in range(3):
        machine.propose(b"x", 0)
    (message,) = appends(machine.drain().messages, 2)
    assert [entry.index for entry in message.entries] == [3, 4, 5]


def test_a_message_holds_a_bounded_number_of_entries_and_bytes() -> None:
    """At most 256 entries and 1 MiB, but always one."""
    log = RaftLog([Entry(index, 1, 0, b"x") for index in range(1, 400)])
    assert [len(log.batch(low, 256, 1 << 20)) for low in (1, 200, 400)] == [256, 200, 0]
    log = RaftLog([Entry(index, 1, 0, b"x" * 600) for index in range(1, 9)])
    assert [len(log.batch(1, 256, limit)) for limit in (10, 1300, 1 << 20)] == [1, 2, 8]


def test_a_lost_message_is_asked_for_again_once_heartbeats_are_answered() -> None:
    """An empty message at the end of what was sent finds out whether it is lost or waits for a disk."""
    machine = leader()
    hear(machine, 2, accepted(2, 2))
    machine.propose(b"lost", 0)
    machine.drain()
    for seq, now_ns, asks in ((1, 40 * MS, 0), (2, 130 * MS, 1), (3, 160 * MS, 0)):
        machine.tick(now_ns)
        machine.drain()
        out = hear(machine, 2, HeartbeatReply(2, seq + 1, 0), now_ns)
        assert appends(out.messages, 2) == [AppendEntries(2, 3, 2, [], 2)] * asks
    out = hear(machine, 2, refused(2, 3, 0, 3), 170 * MS)
    assert appends(out.messages, 2) == [AppendEntries(2, 2, 2, [Entry(3, 2, 0, b"lost")], 2)]


def test_a_lost_probe_is_sent_again_once_heartbeats_are_answered() -> None:
    """A probe has no successor that could reveal its loss."""
    machine = leader()
    machine.tick(130 * MS)
    machine.drain()
    out = hear(machine, 2, HeartbeatReply(2, 2, 0), 130 * MS)
    assert appends(out.messages, 2) == [AppendEntries(2, 1, 1, [Entry(2, 2, 1, b"")], 0)]


def test_heartbeats_commit_only_what_the_follower_is_known_to_hold() -> None:
    """They carry no log position to check, so the match bounds the commit index in them."""
    machine = leader(terms=(1, 1, 1))
    hear(machine, 2, accepted(2, 4))
    assert machine.commit_index == 4
    machine.tick(40 * MS)
    beats = {to: message.commit for to, message, _ in machine.drain().messages if isinstance(message, Heartbeat)}
    assert beats == {2: 4, 3: 0}


def test_a_commit_reaches_the_followers_without_waiting_for_a_heartbeat() -> None:
    """An empty message carries the commit index to those that keep up."""
    machine = leader()
    out = hear(machine, 2, accepted(2, 2))
    assert appends(out.messages, 2) == [AppendEntries(2, 2, 2, [], 2)]
    assert appends(out.messages, 3) == []


# --- Commitment ---


def test_5_4_2_figure_8_an_entry_of_an_old_term_is_not_committed_by_counting() -> None:
    """It commits with the first entry of the leader's own term, and not before."""
    machine = leader(terms=(1, 2, 2))
    assert machine.log.last_index == 4
    hear(machine, 2, accepted(3, 3))
    hear(machine, 3, accepted(3, 3))
    assert machine.commit_index == 0
    out = hear(machine, 2, accepted(3, 4))
    assert machine.commit_index == 4
    assert [entry.index for entry in out.committed] == [1, 2, 3, 4]


def test_5_3_the_leader_counts_itself_only_once_its_write_is_durable() -> None:
    """With three voters either its own disk and one follower, or both followers."""
    machine = raft(1)
    elect(machine, persist=False)
    hear(machine, 2, accepted(2, 2))
    assert machine.commit_index == 0
    machine.persisted(2, 2)
    assert [entry.index for entry in machine.drain().committed] == [1, 2]
    machine.propose(b"x", 0)
    hear(machine, 2, accepted(2, 3))
    hear(machine, 3, accepted(2, 3))
    assert (machine.persisted_index, machine.commit_index) == (2, 3)


def test_a_late_completion_never_covers_entries_that_were_replaced() -> None:
    """The write of an entry completes after another took its place: the new one is not durable yet."""
    machine = raft(2)
    hear(machine, 1, AppendEntries(2, 1, 1, [normal(2, 2), normal(3, 2)], 0))
    hear(machine, 3, AppendEntries(3, 1, 1, [normal(2, 3), normal(3, 3)], 0))
    machine.persisted(3, 2)
    assert machine.persisted_index == 1
    assert not machine.dirty
    machine.persisted(3, 3)
    assert machine.persisted_index == 3


def test_a_deposed_leader_does_not_count_its_replaced_entries() -> None:
    """Its own match falls back with the log."""
    machine = leader()
    machine.propose(b"mine", 0)
    machine.persisted(3, 2)
    hear(machine, 3, AppendEntries(3, 2, 2, [normal(3, 3)], 0))
    assert machine.persisted_index == 2
    assert machine.role is Role.FOLLOWER


def test_committed_entries_come_once_and_in_order() -> None:
    """Of every kind; the applied index follows the drains."""
    machine = raft(2, terms=(1, 1, 1))
    assert [entry.index for entry in hear(machine, 1, Heartbeat(1, 1, 2, 0, ())).committed] == [1, 2]
    assert hear(machine, 1, Heartbeat(1, 2, 1, 0, ())).committed == []
    assert [entry.index for entry in hear(machine, 1, Heartbeat(1, 3, 3, 0, ())).committed] == [3]
    assert machine.applied_index == 3


def test_a_drain_with_nothing_to_say_costs_nothing() -> None:
    """The same empty output every time."""
    machine = raft(2)
    machine.drain()
    assert machine.drain() is machine.drain()
    assert machine.drain().messages == []


def test_a_bootstrapped_node_leads_at_once() -> None:
    """Configuration, no-op and commands are one write, and committed once it is durable."""
    network = cluster(1)
    machine = network.raft(1)
    assert [entry.kind for entry in machine.log.slice(1, 3)] == [2, 1, 0]
    assert (machine.role, machine.term, machine.commit_index) == (Role.LEADER, 1, 3)
    with pytest.raises(ValueError, match="in term 1 with 3 log entries"):
        machine.bootstrap(machine.membership.members[0], [], 0)


def test_a_recovered_list_with_a_gap_is_no_log() -> None:
    """The error names the entry."""
    with pytest.raises(ValueError, match="entry 3 cannot follow 1"):
        RaftLog([config_entry(1, 1, (1,)), normal(3, 1)])
    with pytest.raises(ValueError, match="entry 2 has term 1, below term 2"):
        RaftLog([config_entry(1, 2, (1,)), normal(2, 1)])


def test_losing_what_was_acknowledged_is_not_survived_in_silence() -> None:
    """A commit index beyond the log means that the disk lost durable entries: the node must not go on."""
    machine = raft(2)
    with pytest.raises(EntriesLost, match="entry 5 is committed, but this node, which had it, has lost what follows 1"):
        machine.step(1, Heartbeat(1, 1, 5, 0, ()), 0)
