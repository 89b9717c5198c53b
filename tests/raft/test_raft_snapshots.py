"""Snapshots in Raft (the dissertation, chapter 5): the log cut behind them, and their way to who lacks what was cut."""

import random
import zlib

import msgspec
import pytest
from raft_alone import config_entry, elect, hear, normal, raft, replies
from raft_network import info, settings, storage_of

from walrus.core.config import MS
from walrus.core.peer import (
    AppendEntries,
    AppendReply,
    Entry,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    RaftMessage,
    SnapshotReply,
)
from walrus.core.raft.log import RaftLog
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import HardState, Role
from walrus.core.raft.progress import PROBE, REPLICATE, SNAPSHOT, lowest_held
from walrus.core.raft.raft import Raft
from walrus.core.raft.snapshot import RaftSnapshot, ReceivedSnapshot

DATA = b"what the log came to"
PIECE_BYTES = 8
STALL_NS = 1_000 * MS


def members(*voters: int, learners: tuple[int, ...] = ()) -> Membership:
    """A configuration."""
    return Membership(tuple(info(node, voter=node in voters) for node in sorted((*voters, *learners))))


def snapshot(index: int, term: int = 1, data: bytes = DATA, voters: tuple[int, ...] = (1, 2, 3)) -> RaftSnapshot:
    """A durable snapshot."""
    return RaftSnapshot(index, term, members(*voters), data, zlib.crc32(data))


def piece(offset: int, data: bytes, *, index: int = 9, term: int = 2, whole: bytes = DATA) -> InstallSnapshot:
    """A piece of the snapshot of entry ``index`` of term 1, from a leader of ``term``."""
    return InstallSnapshot(term, index, 1, zlib.crc32(whole), len(whole), offset, data)


def has(received: int, *, index: int = 9, term: int = 2, whole: bytes = DATA, installed: bool = False) -> SnapshotReply:
    """What a follower answers that has so many bytes."""
    return SnapshotReply(term, index, zlib.crc32(whole), received, installed)


def to(node: int, messages: list[tuple[int, RaftMessage, bool]]) -> list[RaftMessage]:
    """What goes to one node, heartbeats apart."""
    return [message for other, message, _ in messages if other == node and not isinstance(message, Heartbeat)]


def compacted(upto: int, last: int, *, nodes: tuple[int, ...] = (1, 2, 3), learners: tuple[int, ...] = ()) -> Raft:
    """Node 1 leads in term 2 with ``last`` older entries and its no-op, all held by node 2; it has cut its log."""
    machine = raft(1, nodes, learners, terms=(1,) * last)
    machine.config = msgspec.structs.replace(machine.config, snapshot_chunk_bytes=PIECE_BYTES)
    elect(machine)
    hear(machine, 2, AppendReply(2, True, last + 1, 0, 0, 0))
    assert machine.commit_index == last + 1
    machine.snapshot_taken(snapshot(upto))
    machine.compact(upto)
    return machine


# --- the log ---


@pytest.mark.parametrize("terms", [(1, 1, 1, 1), (1, 2, 3, 4), (1, 1, 3, 3), (2, 2, 2, 5)])
@pytest.mark.parametrize("upto", [0, 1, 2, 3, 4])
def test_a_cut_log_tells_of_what_it_holds_as_before_and_of_the_entry_before_that_the_term(
    terms: tuple[int, ...], upto: int
) -> None:
    whole, cut = (RaftLog([normal(n, term) for n, term in enumerate(terms, 1)]) for _ in range(2))
    cut.compact(upto)
    cut.check()
    assert (cut.first_index, cut.last_index, cut.last_term) == (upto + 1, 4, terms[-1])
    assert [cut.term(index) for index in range(upto, 6)] == [whole.term(index) for index in range(upto, 6)]
    assert [cut.term(index) for index in range(upto)] == [None] * upto
    assert cut.slice(upto + 1, 4) == whole.slice(upto + 1, 4)
    for index in range(upto + 1, 5):
        assert cut.term_start(index) == max(upto + 1, whole.term_start(index))
    for term in set(terms):
        end = whole.term_end(term)
        assert cut.term_end(term) == (end if end > upto else 0)
    for log in (whole, cut):
        log.append(normal(5, 6))
        log.truncate(5)
    assert cut.last_term == whole.last_term
    cut.check()


def test_a_log_that_begins_anew_goes_on_behind_the_snapshot() -> None:
    log = RaftLog([normal(1, 1), normal(2, 1)])
    log.begin_anew(7, 3)
    log.append(normal(8, 3))
    log.append(normal(9, 4))
    log.check()
    assert [log.term(index) for index in (2, 6, 7, 8, 9)] == [None, None, 3, 3, 4]


def test_what_is_not_in_the_snapshot_cannot_be_cut() -> None:
    machine = raft(2, terms=(1, 1, 1))
    hear(machine, 1, AppendEntries(1, 3, 1, [], 3))
    machine.snapshot_taken(snapshot(2))
    with pytest.raises(AssertionError, match="entry 3 is in no snapshot"):
        machine.compact(3)


# --- a start from a snapshot ---


def restarted(entries: list[Entry], found: RaftSnapshot, base: tuple[int, int], node: int = 2) -> Raft:
    """A node that starts from a snapshot and the rest of its log."""
    return Raft(
        node, storage_of(node), settings(node), random.Random(node),
        hard_state=HardState(3, 0), entries=entries, now_ns=-(1 << 40), snapshot=found, base=base,
    )  # fmt: skip


def test_a_node_starts_where_its_snapshot_is_and_applies_only_what_follows() -> None:
    machine = restarted([normal(3, 1), normal(4, 1), normal(5, 2)], snapshot(4), (2, 1))
    assert (machine.commit_index, machine.applied_index, machine.persisted_index) == (4, 4, 5)
    assert machine.voters == (1, 2, 3)
    assert machine.role is Role.FOLLOWER
    out = hear(machine, 1, AppendEntries(3, 5, 2, [], 5))
    assert [entry.index for entry in out.committed] == [5]


def test_a_configuration_that_the_snapshot_includes_is_not_replayed_and_one_behind_it_counts() -> None:
    older, newer = config_entry(3, 1, (1,)), config_entry(5, 1, (1, 2, 3), (4,))
    machine = restarted([older, normal(4, 1)], snapshot(4, voters=(1, 2)), (2, 1))
    assert machine.voters == (1, 2)
    assert not machine.membership_change_pending
    machine = restarted([older, normal(4, 1), newer], snapshot(4, voters=(1, 2, 3)), (2, 1))
    assert machine.learners == (4,)
    assert machine.membership_change_pending
    hear(machine, 1, AppendEntries(4, 4, 1, [normal(5, 4)], 4))
    assert machine.learners == ()


# --- appends that begin below what is held ---


@pytest.mark.parametrize("prev_index", range(7))
def test_an_append_that_begins_below_the_cut_matches_there_and_brings_what_is_new(prev_index: int) -> None:
    """Its older entries were committed, so it cannot disagree. It may be late, or a new leader asks far back."""
    machine = raft(2, terms=(1,) * 6)
    hear(machine, 1, AppendEntries(1, 6, 1, [], 5))
    machine.snapshot_taken(snapshot(5))
    machine.compact(4)
    entries = [normal(index, 1) for index in range(prev_index + 1, 9)]
    for count in range(len(entries) + 1):
        [reply] = replies(machine, 1, AppendEntries(1, prev_index, 1, entries[:count], 5))
        assert reply == AppendReply(1, True, prev_index + count, 0, 0, 0)
    assert machine.log.last_index == 8
    assert machine.commit_index == 5
    machine.log.check()


# --- the follower's side of a transfer ---


def test_pieces_are_put_together_and_the_last_one_hands_the_snapshot_over() -> None:
    machine = raft(2)
    assert replies(machine, 1, piece(0, DATA[:8])) == [has(8)]
    out = hear(machine, 1, piece(8, DATA[8:]))
    assert out.received == ReceivedSnapshot(9, 1, DATA)
    assert to(1, out.messages) == [has(len(DATA))]
    assert machine.commit_index == 0, "nothing changes before it is durable"
    assert machine.leader == 1


def test_only_the_piece_that_continues_what_is_there_is_taken() -> None:
    """Repeated, late and early pieces are answered with where the transfer stands."""
    machine = raft(2)
    steps = [
        *((8, DATA[8:16], 0), (0, DATA[:8], 8), (0, DATA[:8], 8), (16, DATA[16:], 8), (8, b"", 8)),
        *((8, DATA[8:16], 16), (8, DATA[8:16], 16), (16, DATA[16:] + b"more than there is", 16)),
    ]
    for offset, data, received in steps:
        assert replies(machine, 1, piece(offset, data)) == [has(received)]
    assert hear(machine, 1, piece(16, DATA[16:])).received is not None
    assert hear(machine, 1, piece(16, DATA[16:])).received is None


def test_another_leader_goes_on_where_the_first_one_was_if_it_has_the_same_snapshot() -> None:
    machine = raft(2)
    hear(machine, 1, piece(0, DATA[:8]))
    assert replies(machine, 3, piece(0, DATA[:8], term=3)) == [has(8, term=3)]
    assert hear(machine, 3, piece(8, DATA[8:], term=3)).received is not None


def test_another_leader_with_another_snapshot_begins_anew_and_late_pieces_of_the_first_change_nothing() -> None:
    machine = raft(2)
    hear(machine, 1, piece(0, DATA[:8]))
    other = b"an older state"
    assert replies(machine, 3, piece(0, other[:8], index=7, term=3, whole=other)) == [
        has(8, index=7, term=3, whole=other)
    ]
    assert replies(machine, 1, piece(8, DATA[8:])) == [SnapshotReply(3, 0, 0, 0, False)]
    assert hear(machine, 3, piece(8, other[8:], index=7, term=3, whole=other)).received is not None


def test_a_leader_that_turned_to_a_newer_snapshot_is_not_disturbed_by_pieces_of_its_older_one() -> None:
    machine = raft(2)
    newer = b"a newer state"
    hear(machine, 1, piece(0, DATA[:8]))
    hear(machine, 1, piece(0, newer[:8], index=12, whole=newer))
    assert replies(machine, 1, piece(8, DATA[8:])) == [has(0)]
    assert hear(machine, 1, piece(8, newer[8:], index=12, whole=newer)).received is not None


def test_a_snapshot_with_a_wrong_checksum_is_transferred_again() -> None:
    machine = raft(2)
    wrong = bytes([DATA[0] ^ 1]) + DATA[1:]
    assert hear(machine, 1, piece(0, wrong)).received is None
    assert replies(machine, 1, piece(0, b"")) == [has(0)]
    assert hear(machine, 1, piece(0, DATA)).received is not None


def test_a_snapshot_of_what_is_committed_already_is_as_good_as_installed() -> None:
    """But for the disk: what it includes may still be on its way there."""
    machine = raft(2, terms=(1,) * 9)
    hear(machine, 1, AppendEntries(2, 9, 1, [], 9))
    out = hear(machine, 1, piece(0, DATA))
    assert out.received is None
    assert out.messages == [(1, has(len(DATA), installed=True), True)]


# --- installing ---


def test_a_log_that_lacks_the_snapshots_last_entry_begins_anew_behind_it() -> None:
    machine = raft(2, terms=(1, 1))
    hear(machine, 1, piece(0, DATA))
    assert machine.install(snapshot(9, voters=(1, 2, 3, 4)))
    out = machine.drain()
    assert out.committed == []
    assert out.messages == [(1, has(len(DATA), installed=True), True)]
    assert (machine.commit_index, machine.applied_index, machine.persisted_index) == (9, 9, 9)
    assert machine.voters == (1, 2, 3, 4)
    out = hear(machine, 1, AppendEntries(2, 9, 1, [normal(10, 2)], 10))
    assert [entry.index for entry in out.committed] == [10]
    machine.log.check()


def test_entries_that_contradict_the_snapshot_were_never_committed_and_go() -> None:
    machine = raft(2, terms=(1, 1, 3, 3, 3))
    hear(machine, 1, Heartbeat(4, 1, 0, 0, ()))
    assert machine.install(snapshot(4, term=2))
    assert (machine.log.last_index, machine.log.last_term, machine.persisted_index) == (4, 2, 4)
    machine.persisted(5, 3)
    assert machine.persisted_index == 4, "a write of what is gone completes late"


def test_entries_behind_the_snapshots_last_one_stay() -> None:
    machine = raft(2, terms=(1,) * 6)
    hear(machine, 1, Heartbeat(2, 1, 0, 0, ()))
    assert machine.install(snapshot(4))
    assert (machine.log.first_index, machine.log.last_index, machine.commit_index) == (5, 6, 4)
    assert machine.persisted_index == 6


def test_a_snapshot_is_not_installed_over_a_newer_state() -> None:
    machine = raft(2, terms=(1,) * 6)
    hear(machine, 1, AppendEntries(1, 6, 1, [], 6))
    assert not machine.install(snapshot(5))
    assert (machine.commit_index, machine.log.first_index) == (6, 1)
    assert machine.snapshot == snapshot(5), "it is on the disk all the same"
    assert to(1, machine.drain().messages) == [SnapshotReply(1, 5, zlib.crc32(DATA), len(DATA), True)]


def test_a_candidate_whose_voters_a_snapshot_changes_counts_no_more_votes() -> None:
    machine = raft(2, terms=(1, 1))
    machine.stalled(-machine.deadline().at_ns)
    machine.tick(0)
    assert machine.role is Role.PRE_CANDIDATE
    assert machine.install(snapshot(9, voters=(1, 3)))
    assert machine.role is Role.LEARNER


# --- the leader's side ---


def behind(machine: Raft, node: int = 3, last: int = 1) -> list[RaftMessage]:
    """A follower refuses the probe, because its log ends at ``last``; what the leader sends it then."""
    prev_index = machine.progress[node].next_index - 1
    return to(node, hear(machine, node, AppendReply(2, False, 0, prev_index, 0, last + 1)).messages)


def test_a_follower_that_lacks_what_was_cut_gets_the_snapshot_piece_by_piece_and_then_entries() -> None:
    machine = compacted(6, 8)
    assert behind(machine) == [piece(0, DATA[:8], index=6)]
    assert machine.progress[3].state is SNAPSHOT
    assert to(3, hear(machine, 3, has(8, index=6)).messages) == [piece(8, DATA[8:16], index=6)]
    assert to(3, hear(machine, 3, has(16, index=6)).messages) == [piece(16, DATA[16:], index=6)]
    assert to(3, hear(machine, 3, has(len(DATA), index=6)).messages) == []
    out = hear(machine, 3, has(len(DATA), index=6, installed=True))
    [append] = to(3, out.messages)
    assert isinstance(append, AppendEntries)
    assert (append.prev_index, [entry.index for entry in append.entries]) == (6, [7, 8, 9])
    assert machine.progress[3].match_index == 6
    machine.progress[3].check()


def test_a_follower_that_lacks_only_what_is_still_held_gets_no_snapshot() -> None:
    machine = compacted(6, 8)
    [append] = behind(machine, last=6)
    assert isinstance(append, AppendEntries)
    assert machine.progress[3].state is PROBE


def test_a_repeated_answer_sends_nothing_again() -> None:
    machine = compacted(6, 8)
    behind(machine)
    assert to(3, hear(machine, 3, has(8, index=6)).messages) != []
    for reply in (has(8, index=6), has(8, index=5), has(99, index=6), SnapshotReply(2, 6, 0, 0, False)):
        assert to(3, hear(machine, 3, reply).messages) == []


def test_a_lost_piece_goes_out_again_once_the_follower_answers_heartbeats_but_owes_a_reply() -> None:
    machine = compacted(6, 8)
    behind(machine)
    out = hear(machine, 3, HeartbeatReply(2, 1, 0), STALL_NS)
    assert piece(0, DATA[:8], index=6) in to(3, out.messages)


def test_a_follower_that_installs_is_asked_now_and_then_and_sent_nothing() -> None:
    machine = compacted(6, 8)
    behind(machine)
    hear(machine, 3, has(len(DATA), index=6))
    out = hear(machine, 3, HeartbeatReply(2, 1, 0), STALL_NS)
    assert to(3, out.messages) == [piece(len(DATA), b"", index=6)]


def test_a_follower_that_has_begun_again_is_sent_what_it_lacks() -> None:
    machine = compacted(6, 8)
    behind(machine)
    hear(machine, 3, has(16, index=6))
    assert to(3, hear(machine, 3, has(0, index=6)).messages) == [piece(0, DATA[:8], index=6)]


def test_a_transfer_goes_on_with_its_snapshot_when_the_leader_compacts_past_it() -> None:
    machine = compacted(6, 8)
    behind(machine)
    newer = b"a newer state"
    machine.snapshot_taken(snapshot(8, data=newer))
    machine.compact(8)
    assert to(3, hear(machine, 3, has(8, index=6)).messages) == [piece(8, DATA[8:16], index=6)]
    out = hear(machine, 3, has(len(DATA), index=6, installed=True))
    assert to(3, out.messages) == [piece(0, newer[:8], index=8, whole=newer)]
    out = hear(machine, 3, has(len(newer), index=8, whole=newer, installed=True))
    assert [type(message) for message in to(3, out.messages)] == [AppendEntries]
    assert machine.progress[3].state is REPLICATE


def test_a_learner_that_was_added_while_cut_off_gets_the_snapshot_of_what_was_cut_since() -> None:
    machine = compacted(6, 8)
    assert machine.add_learner(info(4, voter=False), 0) == ""
    probe = to(4, machine.drain().messages)
    assert [type(message) for message in probe] == [AppendEntries], "it is lost"
    added = machine.log.last_index
    machine.persisted(added, 2)
    hear(machine, 2, AppendReply(2, True, added, 0, 0, 0))
    machine.snapshot_taken(RaftSnapshot(added, 2, machine.membership, DATA, zlib.crc32(DATA)))
    machine.compact(added)
    out = hear(machine, 4, HeartbeatReply(2, 1, 0), STALL_NS)
    [sent] = to(4, out.messages)
    assert isinstance(sent, InstallSnapshot)
    out = hear(machine, 4, has(len(DATA), index=added, installed=True), STALL_NS)
    assert machine.progress[4].match_index == added


def test_a_follower_that_proves_to_hold_as_much_as_the_snapshot_needs_it_no_more() -> None:
    """A success reply that was late."""
    machine = compacted(6, 8)
    behind(machine)
    hear(machine, 3, AppendReply(2, True, 7, 0, 0, 0))
    assert machine.progress[3].state is REPLICATE
    machine.progress[3].check()


def test_an_installed_snapshot_counts_for_the_commit_of_what_it_includes() -> None:
    machine = compacted(6, 8)
    behind(machine)
    index = machine.propose(b"x", 0)
    machine.persisted(index, 2)
    hear(machine, 3, has(len(DATA), index=6, installed=True))
    assert machine.commit_index == 9
    hear(machine, 3, AppendReply(2, True, index, 0, 0, 0))
    assert machine.commit_index == index


def test_what_members_that_answer_still_lack_is_known() -> None:
    machine = compacted(6, 8)
    behind(machine)
    assert lowest_held(machine.progress.values(), -1) == 6, "the snapshot will bring node 3 so far"
    machine.progress[3].contact_ns = -5
    assert lowest_held(machine.progress.values(), -1) == 9
    assert lowest_held([], 0) is None
