"""How nodes conduct themselves in Raft and with leases: each checker is fed a breach of its rule, and what is legal."""

from collections.abc import Callable
from types import SimpleNamespace

import msgspec
import pytest

from walrus.core.codec import encode_message
from walrus.core.metadata.commands import OPEN, SEALED, BeginSealing, encode
from walrus.core.metadata.state import Segment, Topic
from walrus.core.peer import (
    ENTRY_CONFIG,
    ENTRY_NOOP,
    ENTRY_NORMAL,
    AppendEntries,
    AppendReply,
    Entry,
    Envelope,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    RequestVote,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
)
from walrus.core.raft.log import RaftLog
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import Role
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.core.segment.messages import (
    DONE,
    READ_CLIENT,
    READ_ELSEWHERE,
    READ_OK,
    READ_RECOVERY,
    ForwardGet,
    GetDone,
    ReadBlocks,
    ReadBlocksReply,
)
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_PATH, Base, Hard, Logged, encode_record
from walrus.core.storage.recordlog import encode_header
from walrus.core.storage.recordlog import encode_record as as_record
from walrus.sim.checkers.commitment import Commitment
from walrus.sim.checkers.leader_logs import LeaderLogs
from walrus.sim.checkers.lease_grants import LeaseGrants
from walrus.sim.checkers.lease_holding import LeaseHolding
from walrus.sim.checkers.lease_reads import LeaseReads
from walrus.sim.checkers.membership_changes import MembershipChanges
from walrus.sim.checkers.promises import Promises
from walrus.sim.checkers.replication_care import ReplicationCare
from walrus.sim.checkers.stable_storage import StableStorage
from walrus.sim.checkers.stickiness import Stickiness
from walrus.sim.world import MS, Violation

LEASE_NS, MARGIN_NS, PROMISE_NS = 400 * MS, 50 * MS, 400 * MS


def members(*voters: int, learners: tuple[int, ...] = (), other_disk: int = 0) -> Membership:
    """Node n has disk 10 n, ``other_disk`` another one."""
    return Membership(
        tuple(
            MemberInfo(n, n * 10 + (n == other_disk), f"node{n}:1", voter=n in voters)
            for n in sorted((*voters, *learners))
        )
    )


THREE = members(1, 2, 3)


def entries(*terms: int) -> list[Entry]:
    """The first one has the members."""
    return [
        Entry(index, term, ENTRY_NOOP if index > 1 else ENTRY_CONFIG, THREE.encode() if index == 1 else b"x")
        for index, term in enumerate(terms, 1)
    ]


class Node:
    """A host whose disk, clock and Raft are what they are told to be."""

    def __init__(self, number: int) -> None:
        self.node_id = number
        self.life = 1
        self.local_ns = number * 1_000_000 * MS
        self.stood_still_ns = 0
        self.paused = False
        self.clock = SimpleNamespace(jumped_ns=lambda: 0)
        self.config = SimpleNamespace(
            lease_ns=LEASE_NS,
            lease_margin_ns=MARGIN_NS,
            election_timeout_min_ns=PROMISE_NS,
            node_id=number,
            heartbeat_interval_ns=40 * MS,
        )
        self.disk = SimpleNamespace(files={}, damage=SimpleNamespace(hurt={}))
        self.raft = SimpleNamespace(
            term=0, vote=0, role=Role.FOLLOWER, log=RaftLog([]), commit_index=0, applied_index=0, persisted_index=0,
            snapshot=None, membership=THREE,
        )  # fmt: skip
        self.until_ns = -1
        self.given_up: tuple[int, ...] = ()
        self.node = SimpleNamespace(
            raft=self.raft,
            out=SimpleNamespace(storage_id=number * 10),
            metadata=SimpleNamespace(topics={}),
            running=SimpleNamespace(
                lease=SimpleNamespace(
                    until_ns=lambda now_ns: self.until_ns, valid=lambda now_ns: now_ns < self.until_ns
                ),
                leases=SimpleNamespace(lapsed=lambda node, now_ns: node in self.given_up),
                me=(number, number * 10, 1),
            ),
        )

    def now_ns(self) -> int:
        return self.local_ns

    def has(
        self, *terms: int, term: int = 0, commit: int = 0, leads: bool = False, log: list[Entry] | None = None
    ) -> None:
        """Its log in memory, all of it taken for durable, and its term."""
        raft = self.raft
        raft.log = RaftLog(log if log is not None else entries(*terms))
        raft.term = term or raft.log.last_term
        raft.persisted_index = raft.log.last_index
        raft.commit_index = raft.applied_index = commit
        raft.role = Role.LEADER if leads else Role.FOLLOWER

    def writes(self, *terms: int, term: int = 0, vote: int = 0, base: tuple[int, int] = (0, 0)) -> None:
        """Put a journal on its disk."""
        records: list[object] = [Hard(term, vote), *([Base(*base)] if base[0] else [])]
        found = [msgspec.structs.replace(e, index=base[0] + e.index) for e in entries(*terms)]
        data = encode_header(JOURNAL_MAGIC, self.node_id, self.node_id * 10)
        for record in [*records, *map(Logged, found)]:
            data += as_record(encode_record(record), 0)
        self.disk.files[JOURNAL_PATH] = bytearray(data + bytes(100))

    def appends(self, *records: object) -> None:
        """Write behind the end of the journal."""
        content = self.disk.files[JOURNAL_PATH]
        del content[len(content.rstrip(b"\0")) :]
        for record in records:
            content += as_record(encode_record(record), 0)

    def dies(self) -> None:
        self.life += 1


class Stage:
    """Three nodes, and a network that only tells who listens. ``time`` passes on all clocks."""

    def __init__(self) -> None:
        self.hosts = {number: Node(number) for number in (1, 2, 3)}
        self.clocks_within_margin = True
        self.network = self
        self.checkers: list[object] = []
        self._sent: dict[str, list[Callable[..., None]]] = {}
        self._received: dict[str, list[Callable[..., None]]] = {}

    def host(self, number: int) -> Node:
        return self.hosts[number]

    def when_sent(self, kind: str, listener: Callable[..., None]) -> None:
        self._sent.setdefault(kind, []).append(listener)

    def when_received(self, kind: str, listener: Callable[..., None]) -> None:
        self._received.setdefault(kind, []).append(listener)

    def leaves(self, sender: int, to: int, message: Message) -> bytes:
        data = encode_message(Envelope(7, sender, sender * 10, to, to * 10), message)
        for listener in self._sent.get(type(message).__name__, ()):
            listener(sender, to, data)
        return data

    def comes(self, sender: int, to: int, message: Message) -> None:
        data = encode_message(Envelope(7, sender, sender * 10, to, to * 10), message)
        for listener in self._received.get(type(message).__name__, ()):
            listener(sender, to, data)

    def goes(self, sender: int, to: int, message: Message) -> None:
        """It leaves and comes."""
        self.leaves(sender, to, message)
        self.comes(sender, to, message)

    def time(self, passed_ms: int) -> None:
        for node in self.hosts.values():
            node.local_ns += passed_ms * MS


def promising() -> tuple[Stage, LeaderLogs]:
    stage, leaders = Stage(), LeaderLogs()
    Promises(stage, StableStorage(), leaders)  # type: ignore[arg-type]
    return stage, leaders


# --- stable storage ---


def test_a_vote_must_be_on_the_disk_of_who_gives_it() -> None:
    stage, _ = promising()
    stage.host(2).writes(term=4, vote=1)
    stage.leaves(2, 1, VoteReply(4, True, False))
    stage.leaves(2, 3, VoteReply(3, True, False))  # of a past term: it can give no other in that
    stage.leaves(2, 3, VoteReply(5, True, True))  # a pre-vote binds nobody
    stage.leaves(2, 3, VoteReply(5, False, False))
    with pytest.raises(Violation, match=r"node 2 gave its vote in term 4 \(node 3\), and its disk says term 4, vote 1"):
        stage.leaves(2, 3, VoteReply(4, True, False))
    with pytest.raises(Violation, match="gave its vote in term 5"):
        stage.leaves(2, 3, VoteReply(5, True, False))


def test_a_vote_that_was_appended_since_the_last_look_counts() -> None:
    stage, _ = promising()
    stage.host(2).writes(term=4, vote=1)
    stage.leaves(2, 1, VoteReply(4, True, False))
    stage.host(2).appends(Hard(5, 3))
    stage.leaves(2, 3, VoteReply(5, True, False))


def test_a_candidate_has_its_own_vote_on_its_disk() -> None:
    stage, _ = promising()
    stage.host(2).writes(term=4, vote=2)
    stage.leaves(2, 1, RequestVote(4, 0, 0, False, False))
    stage.leaves(2, 1, RequestVote(5, 0, 0, True, False))
    with pytest.raises(Violation, match="node 2 asks for votes in term 5"):
        stage.leaves(2, 1, RequestVote(5, 0, 0, False, False))


def test_a_leader_speaks_only_of_a_term_on_its_disk() -> None:
    stage, _ = promising()
    stage.host(1).writes(term=4, vote=1)
    stage.host(1).has(4, term=4, leads=True)
    stage.leaves(1, 2, Heartbeat(4, 1, 0, 0, ()))
    stage.host(1).has(4, term=5, leads=True)
    with pytest.raises(Violation, match="node 1 leads in term 5"):
        stage.leaves(1, 2, AppendEntries(5, 0, 0, [], 0))


def test_a_damaged_journal_proves_nothing() -> None:
    stage, _ = promising()
    stage.host(2).disk.damage.hurt[JOURNAL_PATH] = "bit-rot"
    stage.leaves(2, 3, VoteReply(5, True, False))


def test_entries_said_to_be_there_are_on_the_disk() -> None:
    stage, leaders = promising()
    stage.host(1).has(1, 1, 2, term=2, leads=True)
    leaders.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(2).writes(1, 1, 2, term=2)
    stage.leaves(2, 1, AppendReply(2, True, 3, 0, 0, 0))
    stage.leaves(2, 1, AppendReply(2, False, 0, 9, 0, 4))
    with pytest.raises(Violation, match="everything up to entry 4, and its disk has a log that ends with entry 3"):
        stage.leaves(2, 1, AppendReply(2, True, 4, 0, 0, 0))


def test_entries_said_to_match_are_those_of_the_leader() -> None:
    stage, leaders = promising()
    stage.host(1).has(1, 3, 3, term=3, leads=True)
    leaders.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(2).writes(1, 2, 2, term=3)
    stage.leaves(2, 1, AppendReply(3, True, 1, 0, 0, 0))
    with pytest.raises(Violation, match="entry 2 of term 2 where that leader has term 3"):
        stage.leaves(2, 1, AppendReply(3, True, 2, 0, 0, 0))


def test_entries_that_were_replaced_before_the_reply_left_were_there() -> None:
    stage, leaders = promising()
    stage.host(1).has(1, 2, 2, term=2, leads=True)
    leaders.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(2).writes(1, 2, 2, term=2)
    stage.host(2).appends(Hard(3, 0), Logged(Entry(2, 3, ENTRY_NOOP, b"x")))
    stage.leaves(2, 1, AppendReply(2, True, 3, 0, 0, 0))


def test_what_a_snapshot_stands_for_is_on_the_disk() -> None:
    stage, _ = promising()
    stage.host(2).writes(2, term=2, base=(5, 1))
    stage.leaves(2, 1, AppendReply(2, True, 4, 0, 0, 0))
    stage.host(2).writes(1, 1, 2, term=2)
    stage.leaves(2, 1, SnapshotReply(2, 3, 0, 9, True))
    stage.leaves(2, 1, SnapshotReply(2, 9, 0, 9, False))
    with pytest.raises(Violation, match="everything up to entry 9"):
        stage.leaves(2, 1, SnapshotReply(2, 9, 0, 9, True))


def test_a_leader_only_appends() -> None:
    stage, leaders = promising()
    stage.host(1).has(1, 2, 2, term=2, leads=True)
    leaders.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(1).has(1, 2, term=2, leads=True)
    with pytest.raises(Violation, match="leader append-only: node 1"):
        leaders.after_turn(stage.host(1))  # type: ignore[arg-type]


# --- commitment ---


def committing(*durable: int) -> tuple[Stage, Commitment]:
    """Node 1 leads in term 2 with entries of terms 1, 2 and 2; so many of them are on each disk."""
    stage = Stage()
    for number, count in enumerate(durable, 1):
        stage.host(number).writes(*(1, 2, 2)[:count], term=2, vote=1)
    checker = Commitment(stage, StableStorage())  # type: ignore[arg-type]
    stage.host(1).has(1, 2, 2, term=2, leads=True)
    stage.host(1).raft.persisted_index = durable[0]
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]
    return stage, checker


def test_a_leader_commits_what_a_majority_holds() -> None:
    stage, checker = committing(3, 1, 3)
    stage.host(1).raft.commit_index = 3
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_a_leader_must_not_commit_what_a_minority_holds() -> None:
    stage, checker = committing(2, 2, 3)
    stage.host(1).raft.commit_index = 2
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(1).raft.commit_index = 3
    with pytest.raises(Violation, match=r"commits entry 3 of its term 2, and of the voters \[1, 2, 3\] only \[3\]"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_a_leader_must_not_commit_by_an_entry_of_an_older_term() -> None:
    stage, checker = committing(3, 3, 3)
    stage.host(1).raft.commit_index = 1
    with pytest.raises(Violation, match="leads in term 2 and commits entry 1 of term 1"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_another_disk_of_a_voter_does_not_count() -> None:
    stage, checker = committing(3, 3, 1)
    stage.host(1).raft.membership = members(1, 2, 3, other_disk=2)
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(1).raft.commit_index = 3
    with pytest.raises(Violation, match=r"only \[1\] ever held it"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_a_commit_may_come_just_before_a_change_of_the_voters() -> None:
    stage, checker = committing(3, 3, 1)
    stage.host(1).raft.membership = members(1, 3)
    stage.host(1).raft.commit_index = 3
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_a_node_takes_for_durable_what_is_on_its_disk() -> None:
    stage, checker = committing(2, 1, 1)
    stage.host(1).raft.persisted_index = 3
    with pytest.raises(Violation, match="node 1 takes entry 3 of term 2 for durable"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


# --- membership ---


def config(index: int, term: int, membership: Membership) -> Entry:
    return Entry(index, term, ENTRY_CONFIG, membership.encode())


def leading(log: list[Entry], commit: int) -> tuple[Stage, MembershipChanges]:
    """Node 1 leads in the term of the last entry."""
    stage = Stage()
    checker = MembershipChanges(stage, StableStorage())  # type: ignore[arg-type]
    stage.host(1).has(log=log, commit=commit, leads=True)
    newest = [e for e in log if e.kind == ENTRY_CONFIG][-1]
    stage.host(1).raft.membership = Membership.decode(newest.data)
    return stage, checker


NOOP = Entry(2, 2, ENTRY_NOOP, b"")
ONE = members(1)


def test_a_change_may_follow_an_entry_of_the_term_that_is_committed() -> None:
    stage, checker = leading([config(1, 1, ONE), NOOP, config(3, 2, members(1, learners=(2,)))], 2)
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_no_change_before_an_entry_of_the_term_is_committed() -> None:
    stage, checker = leading([config(1, 1, ONE), NOOP, config(3, 2, members(1, learners=(2,)))], 1)
    with pytest.raises(Violation, match="with entry 3 and has committed no entry of its term"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_no_change_while_another_is_not_committed() -> None:
    log = [config(1, 1, ONE), NOOP, config(3, 2, members(1, learners=(2,))), config(4, 2, members(1, learners=(2, 3)))]
    stage, checker = leading(log, 2)
    with pytest.raises(Violation, match="with entry 4 while the change of entry 3 is not committed"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_no_two_voters_at_once() -> None:
    stage, checker = leading([config(1, 1, ONE), NOOP, config(3, 2, THREE)], 2)
    with pytest.raises(Violation, match=r"from the voters \(1,\) to \(1, 2, 3\)"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


@pytest.mark.parametrize(("holds", "fails"), [(2, True), (3, False)])
def test_a_learner_gets_its_vote_once_it_holds_the_entry_that_took_it_in(holds: int, *, fails: bool) -> None:
    log = [config(1, 1, ONE), NOOP, config(3, 2, members(1, learners=(2,)))]
    stage, checker = leading(log, 2)
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]
    stage.host(2).writes(*(1, 2, 2)[:holds], term=2)
    stage.host(1).has(log=[*log, config(4, 2, members(1, 2))], commit=3, leads=True)
    stage.host(1).raft.membership = members(1, 2)
    if fails:
        with pytest.raises(Violation, match="node 2 gets a vote, and its disk never held entry 3"):
            checker.after_turn(stage.host(1))  # type: ignore[arg-type]
    else:
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_a_node_goes_by_the_newest_configuration_in_its_log() -> None:
    stage, checker = leading([config(1, 1, ONE), NOOP, config(3, 2, members(1, learners=(2,)))], 2)
    stage.host(1).raft.role = Role.FOLLOWER
    stage.host(1).raft.membership = ONE
    with pytest.raises(Violation, match="the newest configuration in its log, entry 3, has"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


def test_a_node_without_one_in_its_log_goes_by_that_of_its_snapshot() -> None:
    stage, checker = leading([config(1, 1, ONE)], 1)
    raft = stage.host(1).raft
    raft.role, raft.snapshot = Role.FOLLOWER, RaftSnapshot(5, 1, THREE, b"", 0)
    raft.log = RaftLog([], 5, 1)
    raft.membership = THREE
    checker.after_turn(stage.host(1))  # type: ignore[arg-type]
    raft.membership = ONE
    with pytest.raises(Violation, match="entry 5, has"):
        checker.after_turn(stage.host(1))  # type: ignore[arg-type]


# --- leases ---


def leased() -> tuple[Stage, LeaseGrants, LeaseHolding]:
    """Node 1 leads in term 2 and has applied an entry of it."""
    stage = Stage()
    grants = LeaseGrants(stage)  # type: ignore[arg-type]
    holding = LeaseHolding(stage, grants)  # type: ignore[arg-type]
    stage.host(1).has(1, 2, term=2, commit=2, leads=True)
    grants.after_turn(stage.host(1))  # type: ignore[arg-type]
    return stage, grants, holding


def round_of(stage: Stage, seq: int, *answered_by: int, confirmed: int = 0) -> None:
    """A heartbeat to both others, answered by some."""
    for to in (2, 3):
        stage.leaves(1, to, Heartbeat(2, seq, 0, confirmed, ()))
    for node in answered_by:
        stage.comes(1, node, Heartbeat(2, seq, 0, confirmed, ()))
        stage.goes(node, 1, HeartbeatReply(2, seq, 0))


def test_a_leader_confirms_while_a_round_of_the_last_lease_has_a_quorum() -> None:
    stage, _, _ = leased()
    round_of(stage, 1, 2)
    stage.time(399)
    round_of(stage, 2, confirmed=1)
    stage.time(1)
    with pytest.raises(Violation, match="and no round that it sent within the last 400 ms"):
        round_of(stage, 3, confirmed=1)


def test_a_leader_without_any_answer_confirms_nothing() -> None:
    stage, _, _ = leased()
    round_of(stage, 1)
    with pytest.raises(Violation, match="no round that it sent"):
        round_of(stage, 2, confirmed=1)


def test_a_leader_that_told_another_to_lead_confirms_nothing_any_more() -> None:
    stage, _, _ = leased()
    round_of(stage, 1, 2, 3)
    stage.goes(1, 3, TimeoutNow(2))
    round_of(stage, 2)
    with pytest.raises(Violation, match="and has told node 3 to lead"):
        round_of(stage, 3, confirmed=1)


@pytest.mark.parametrize("applied", [2, 3])
def test_a_writer_has_no_lease_confirmed_before_it_knows_that_its_segment_is_to_be_taken(applied: int) -> None:
    stage, grants, _ = leased()
    leader, writer = stage.host(1), stage.host(2)
    segment = Segment(1, (2, 20, 1), ((2, 20),), 0, state=OPEN, count=0)
    leader.node.metadata.topics["t"] = Topic("t", [segment], [])
    sealing = Entry(3, 2, ENTRY_NORMAL, encode(BeginSealing("t", 1, OPEN, 0, 1, 2)))
    leader.has(log=[*entries(1, 2), sealing], term=2, commit=2, leads=True)
    grants.after_turn(leader)  # type: ignore[arg-type]
    writer.raft.applied_index = applied
    round_of(stage, 1, 2, 3)
    if applied < 3:
        with pytest.raises(Violation, match=r"confirms one to node 2.*entry 3 is to take t:1 from it"):
            round_of(stage, 2, confirmed=1)
    else:
        round_of(stage, 2, confirmed=1)


def test_a_leader_gives_nobody_up_within_a_lease_and_the_margin() -> None:
    stage, grants, _ = leased()
    leader = stage.host(1)
    leader.given_up = (2,)
    stage.time(449)
    round_of(stage, 1)
    with pytest.raises(Violation, match="node 1 in term 2 takes that of node 2 for over 449 ms after its own election"):
        grants.after_turn(leader)  # type: ignore[arg-type]
    stage.time(51)
    round_of(stage, 2, 2)
    stage.time(449)
    round_of(stage, 3, 3)
    with pytest.raises(Violation, match="for over 449 ms after it heard from it"):
        grants.after_turn(leader)  # type: ignore[arg-type]
    stage.time(1)
    round_of(stage, 4, 3)
    grants.after_turn(leader)  # type: ignore[arg-type]


def test_a_lease_that_is_given_up_has_ended_for_its_holder() -> None:
    stage, grants, _ = leased()
    leader, holder = stage.host(1), stage.host(2)
    leader.given_up = (2,)
    holder.until_ns = holder.local_ns + 500 * MS
    stage.time(450)
    round_of(stage, 1)
    with pytest.raises(Violation, match="takes that of node 2 for over, which holds one"):
        grants.after_turn(leader)  # type: ignore[arg-type]
    stage.clocks_within_margin = False
    round_of(stage, 2)
    grants.after_turn(leader)  # type: ignore[arg-type]
    stage.clocks_within_margin = True
    holder.raft.term = 3  # another leader may have given it one
    round_of(stage, 3)
    grants.after_turn(leader)  # type: ignore[arg-type]


def test_a_lease_counts_from_when_the_answer_was_sent() -> None:
    stage, _, holding = leased()
    holder = stage.host(2)
    round_of(stage, 1, 2)
    sent_ns = holder.local_ns
    stage.time(40)
    round_of(stage, 2, 2, confirmed=1)
    holder.until_ns = sent_ns + LEASE_NS
    holding.after_turn(holder)  # type: ignore[arg-type]
    holder.until_ns += 1
    with pytest.raises(Violation, match="node 2 believes in one until"):
        holding.after_turn(holder)  # type: ignore[arg-type]


def test_a_repeated_answer_prolongs_no_lease() -> None:
    stage, _, holding = leased()
    holder = stage.host(2)
    round_of(stage, 1, 2)
    stage.time(10)
    stage.goes(2, 1, HeartbeatReply(2, 1, 0))
    second_ns = holder.local_ns
    stage.time(30)
    round_of(stage, 2, 2, confirmed=1)
    holder.until_ns = second_ns + LEASE_NS
    with pytest.raises(Violation, match="node 2 believes in one"):
        holding.after_turn(holder)  # type: ignore[arg-type]


def test_a_second_life_that_answers_a_heartbeat_again_has_no_later_lease() -> None:
    stage, _, holding = leased()
    holder = stage.host(2)
    round_of(stage, 1, 2)
    holder.dies()
    stage.time(30)
    stage.goes(2, 1, HeartbeatReply(2, 1, 0))
    second_ns = holder.local_ns
    stage.time(30)
    round_of(stage, 2, 2, confirmed=1)
    holder.until_ns = second_ns + LEASE_NS
    with pytest.raises(Violation, match="node 2 believes in one"):
        holding.after_turn(holder)  # type: ignore[arg-type]


def test_nobody_has_a_lease_that_was_not_confirmed() -> None:
    stage, _, holding = leased()
    round_of(stage, 1, 2)
    stage.host(2).until_ns = stage.host(2).local_ns + 1
    with pytest.raises(Violation, match=r"node 2 believes in one until .* was confirmed none"):
        holding.after_turn(stage.host(2))  # type: ignore[arg-type]


def test_a_leader_has_its_own_lease_from_a_round_that_a_quorum_answered() -> None:
    stage, _, holding = leased()
    leader = stage.host(1)
    round_of(stage, 1, 3)
    leader.until_ns = leader.local_ns + LEASE_NS
    stage.time(20)
    holding.after_turn(leader)  # type: ignore[arg-type]
    round_of(stage, 2)
    leader.until_ns = leader.local_ns + LEASE_NS
    with pytest.raises(Violation, match="node 1 believes in one"):
        holding.after_turn(leader)  # type: ignore[arg-type]


def test_a_new_leader_has_no_lease_before_it_has_applied_an_entry_of_its_term() -> None:
    stage, _, holding = leased()
    leader = stage.host(1)
    leader.raft.applied_index = 1
    round_of(stage, 1, 3)
    leader.until_ns = leader.local_ns + LEASE_NS
    with pytest.raises(Violation, match="with no entry of its term applied"):
        holding.after_turn(leader)  # type: ignore[arg-type]


# --- reads under a lease ---


def serving() -> tuple[Stage, Node]:
    """Node 2 writes the open segment t:1, under a lease that ends in 100 ms."""
    stage, _, holding = leased()
    LeaseReads(stage, holding)  # type: ignore[arg-type]
    writer = stage.host(2)
    segment = Segment(1, (2, 20, 1), ((2, 20),), 0, state=OPEN, count=0)
    writer.node.metadata.topics["t"] = Topic("t", [segment], [])
    writer.until_ns = writer.local_ns + 100 * MS
    return stage, writer


QUESTION = ReadBlocks(5, "t", 1, 0, READ_CLIENT, 0, 100)


def test_what_was_asked_within_a_lease_may_be_answered_later() -> None:
    stage, _ = serving()
    stage.goes(3, 2, QUESTION)
    stage.goes(3, 2, ForwardGet(6, "t", 1))
    stage.time(150)
    stage.goes(2, 3, ReadBlocksReply(5, READ_OK, b""))
    stage.goes(2, 3, GetDone(6, DONE, "t", 1, 0, b""))


def test_an_open_segment_is_not_shown_without_a_lease() -> None:
    stage, writer = serving()
    stage.time(100)
    stage.goes(3, 2, QUESTION)
    stage.goes(3, 2, ForwardGet(6, "t", 1))
    stage.goes(2, 3, ReadBlocksReply(5, READ_ELSEWHERE, b""))
    with pytest.raises(Violation, match="node 2 shows node 3 what t:1 holds"):
        stage.goes(2, 3, ReadBlocksReply(5, READ_OK, b""))
    with pytest.raises(Violation, match="node 2 shows node 3 what t:1 holds"):
        stage.goes(2, 3, GetDone(6, DONE, "t", 1, 0, b""))
    writer.node.metadata.topics["t"].segments[0].state = SEALED
    stage.goes(2, 3, ReadBlocksReply(5, READ_OK, b""))


def test_recoverers_read_without_a_lease() -> None:
    stage, _ = serving()
    stage.time(100)
    stage.goes(3, 2, msgspec.structs.replace(QUESTION, mode=READ_RECOVERY))
    stage.goes(2, 3, ReadBlocksReply(5, READ_OK, b""))


# --- votes ---


def sticking() -> tuple[Stage, Stickiness]:
    """Node 2 has just answered node 1, the leader of term 2."""
    stage, grants, holding = leased()
    checker = Stickiness(stage, StableStorage(), grants, holding)  # type: ignore[arg-type]
    for node in stage.hosts.values():
        node.writes(1, 2, term=2, vote=1)
        node.has(1, 2, term=2)
        checker.after_turn(node)  # type: ignore[arg-type]
    stage.time(1000)
    stage.comes(1, 2, Heartbeat(2, 1, 0, 0, ()))
    stage.goes(2, 1, HeartbeatReply(2, 1, 0))
    return stage, checker


@pytest.mark.parametrize("pre", [True, False])
def test_who_answered_a_leader_votes_for_no_other_within_the_time_out(*, pre: bool) -> None:
    stage, _ = sticking()
    stage.time(399)
    stage.comes(3, 2, RequestVote(3, 2, 2, pre, False))
    with pytest.raises(
        Violation, match="node 2 votes for node 3 in term 3, 399 ms after it answered the leader of term 2"
    ):
        stage.goes(2, 3, VoteReply(3, True, pre))
    stage.time(1)
    stage.goes(2, 3, VoteReply(3, True, pre))


def test_a_restart_ends_no_promise() -> None:
    stage, checker = sticking()
    checker.on_crash(stage.host(2))  # type: ignore[arg-type]
    stage.host(2).dies()
    stage.comes(3, 2, RequestVote(3, 2, 2, False, False))
    with pytest.raises(Violation, match="node 2 votes for node 3 in term 3, 0 ms"):
        stage.goes(2, 3, VoteReply(3, True, False))


def test_a_vote_that_the_leader_asked_for_is_free() -> None:
    stage, _ = sticking()
    stage.comes(3, 2, RequestVote(3, 2, 2, False, True))
    stage.goes(2, 3, VoteReply(3, True, False))
    stage.goes(2, 3, RequestVote(3, 2, 2, False, True))


def test_who_answered_a_leader_does_not_campaign_within_the_time_out() -> None:
    stage, _ = sticking()
    stage.leaves(2, 3, RequestVote(3, 2, 2, True, False))
    with pytest.raises(Violation, match="node 2 votes for node 2 in term 3"):
        stage.leaves(2, 3, RequestVote(3, 2, 2, False, False))


def test_an_answer_that_only_tells_of_a_newer_term_promises_nothing() -> None:
    stage, _ = sticking()
    stage.time(400)
    stage.goes(2, 1, HeartbeatReply(3, 0, 0))
    stage.goes(2, 3, VoteReply(4, True, False))


def refusing(request: RequestVote, *, after_ms: int = 400, pre: bool = True) -> None:
    """Node 2, in term 2 with two entries, is asked by node 3 and refuses."""
    stage, checker = sticking()
    stage.time(after_ms)
    checker.after_turn(stage.host(2))  # type: ignore[arg-type]
    stage.comes(3, 2, request)
    stage.goes(2, 3, VoteReply(2, False, pre))


def test_a_vote_is_not_refused_without_a_reason() -> None:
    with pytest.raises(Violation, match="node 2 in term 2 refuses node 3 its pre-vote in term 3, and has no reason to"):
        refusing(RequestVote(3, 2, 2, True, False))
    with pytest.raises(Violation, match="refuses node 3 its vote in term 2"):
        refusing(RequestVote(2, 2, 2, False, False), pre=False)


def test_these_are_reasons_to_refuse_a_vote() -> None:
    refusing(RequestVote(3, 2, 2, True, False), after_ms=399)  # it has heard the leader
    refusing(RequestVote(3, 1, 2, True, False))  # a shorter log
    refusing(RequestVote(3, 9, 1, True, False))  # an older one
    refusing(RequestVote(2, 2, 2, True, False))  # a past term


def test_who_may_just_have_won_an_election_hears_a_leader() -> None:
    stage, checker = sticking()
    stage.time(300)
    stage.comes(1, 2, VoteReply(2, True, False))
    stage.time(100)
    checker.after_turn(stage.host(2))  # type: ignore[arg-type]
    stage.comes(3, 2, RequestVote(3, 2, 2, True, False))
    stage.goes(2, 3, VoteReply(2, False, True))


def test_a_leader_of_a_past_term_is_told() -> None:
    stage, checker = sticking()
    stage.comes(3, 2, Heartbeat(1, 1, 0, 0, ()))
    stage.goes(2, 3, HeartbeatReply(2, 0, 0))
    checker.after_turn(stage.host(2))  # type: ignore[arg-type]
    stage.comes(3, 2, AppendEntries(1, 0, 0, [], 0))
    stage.goes(2, 3, AppendReply(2, False, 0, 0, 0, 0))
    checker.after_turn(stage.host(2))  # type: ignore[arg-type]
    stage.comes(3, 2, Heartbeat(1, 2, 0, 0, ()))
    with pytest.raises(Violation, match="node 2 in term 2 does not tell node 3, which speaks as the leader of term 1"):
        checker.after_turn(stage.host(2))  # type: ignore[arg-type]


# --- replication ---


def caring() -> Stage:
    """Node 1 leads in term 2 with two entries; node 2 has one of them."""
    stage = Stage()
    ReplicationCare(stage)  # type: ignore[arg-type]
    stage.host(1).has(1, 2, term=2, leads=True)
    stage.host(2).has(1, term=2)
    return stage


def piece(offset: int, length: int = 10) -> InstallSnapshot:
    return InstallSnapshot(2, 5, 1, 77, 100, offset, bytes(length))


def has(received: int, *, installed: bool = False) -> SnapshotReply:
    return SnapshotReply(2, 5, 77, received, installed)


def test_a_follower_has_the_bytes_that_it_was_sent_in_whatever_order() -> None:
    stage = caring()
    for offset in (0, 20, 10):
        stage.goes(1, 2, piece(offset))
    stage.goes(2, 1, has(30))
    stage.goes(2, 1, has(100, installed=True))


def test_a_follower_does_not_have_a_piece_twice() -> None:
    stage = caring()
    stage.goes(1, 2, piece(0))
    stage.goes(1, 2, piece(0))
    with pytest.raises(Violation, match=r"node 2 says to have 20 bytes .* and was sent the first 10"):
        stage.goes(2, 1, has(20))


def test_a_follower_has_no_bytes_that_came_to_the_life_before() -> None:
    stage = caring()
    stage.goes(1, 2, piece(0))
    stage.host(2).dies()
    stage.goes(1, 2, piece(10))
    stage.goes(2, 1, has(0))
    with pytest.raises(Violation, match="and was sent the first 0"):
        stage.goes(2, 1, has(20))


def test_a_leader_goes_on_where_the_follower_is() -> None:
    stage = caring()
    for offset in (0, 10, 20):
        stage.goes(1, 2, piece(offset))
        stage.goes(2, 1, has(offset + 10))
    stage.host(2).dies()
    for _ in range(3):
        stage.goes(1, 2, piece(30))
        stage.goes(2, 1, has(0))
    stage.goes(1, 2, piece(30))
    with pytest.raises(Violation, match=r"node 2 has 0 bytes .* sends what begins at byte 30 again"):
        stage.goes(1, 2, piece(30))


def test_a_follower_that_lacks_entries_is_sent_something() -> None:
    stage = caring()
    for seq in range(1, 100):
        stage.time(1)  # as if all had waited somewhere
        stage.goes(2, 1, HeartbeatReply(2, seq, 0))
    for seq in range(100, 132):
        if seq % 10 == 0:
            stage.goes(1, 2, AppendEntries(2, 1, 1, [], 0))
        stage.time(40)
        stage.goes(2, 1, HeartbeatReply(2, seq, 0))
    for seq in range(132, 142):
        stage.time(40)
        stage.goes(2, 1, HeartbeatReply(2, seq, 0))
    stage.time(40)
    with pytest.raises(Violation, match="node 2 has entries up to 1, node 1, which leads in term 2, up to 2"):
        stage.goes(2, 1, HeartbeatReply(2, 142, 0))


def test_a_follower_that_lacks_nothing_or_does_not_answer_need_not_be_sent_anything() -> None:
    stage = caring()
    for _ in range(30):
        stage.goes(2, 1, HeartbeatReply(2, 1, 0))
    stage.host(2).has(1, 2, term=2)
    for seq in range(2, 30):
        stage.time(40)
        stage.goes(2, 1, HeartbeatReply(2, seq, 0))
