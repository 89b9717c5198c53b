"""Raft as a pure state machine: every change of role is in this file.

::

                      election timeout          quorum of pre-votes         quorum of votes
    LEARNER ⇄ FOLLOWER ─────────────▶ PRE_CANDIDATE ────────────▶ CANDIDATE ──────────────▶ LEADER
                ▲  └────────────── TimeoutNow ───────────────────────▲                         │
                └────────── newer term, or a leader of this term; a leader without its quorum ─┘

LEARNER and FOLLOWER follow the newest configuration in the log. Pre-votes ask whether an election could be
won before anyone's term is disturbed (dissertation 9.6); a voter that hears from a leader grants neither kind
(4.2.3) unless that leader hands over (3.10); a leader that hears from no quorum stops leading (6.2).

The parent calls one method per event, writes what :meth:`Raft.drain` returns, and reports durable writes back.
"""

from walrus.core.config import Deadline, NodeConfig
from walrus.core.peer import (
    ENTRY_CONFIG,
    ENTRY_NOOP,
    ENTRY_NORMAL,
    AppendEntries,
    AppendReply,
    Entry,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Member,
    RaftMessage,
    RequestVote,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
)
from walrus.core.raft.election import Ballot, ElectionTimer, Rng, may_grant
from walrus.core.raft.follower import answer_to_stale, append_entries, install_snapshot
from walrus.core.raft.leader import Leader
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import HardState, RaftOutput, Role
from walrus.core.raft.progress import Progress
from walrus.core.raft.rounds import LONG_AGO_NS
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.core.raft.state import RaftState

__all__ = ["HardState", "Raft", "RaftOutput", "Rng", "Role"]

_NOTHING = RaftOutput()


class Raft(RaftState):
    """One node's part in the metadata group. All times are integer nanoseconds of one monotonic clock.

    Invariant: ``_lead`` is set exactly while the role is LEADER, ``_ballot`` exactly while it is a candidate of a kind.
    """

    __slots__ = ("_ballot", "_heartbeat_seq", "_lead", "_leader_heard_ns", "_life", "_timer", "alarm", "leader")

    def __init__(
        self,
        node_id: int,
        storage_id: int,
        config: NodeConfig,
        rng: Rng,
        *,
        hard_state: HardState,
        entries: list[Entry],
        now_ns: int,
        snapshot: RaftSnapshot | None = None,
        base: tuple[int, int] = (0, 0),
        life: int = 0,
    ) -> None:
        """Start from what the disk held: ``entries`` behind ``base`` (index, term), all of them durable, and the newest
        snapshot, which covers ``base`` and belongs to the same log.

        Raises ValueError where ``entries`` is no log, msgspec.DecodeError where a configuration entry is none.
        """
        super().__init__(node_id, storage_id, config, hard_state, entries, now_ns, snapshot, base)
        self._timer = ElectionTimer(config, rng, now_ns)
        self.keep_idle_role()
        self.leader = 0
        self._lead: Leader | None = None
        self._ballot: Ballot | None = None
        self.alarm: ElectionTimer | Leader = self._timer  # its ``at_ns`` is when :meth:`tick` is due next
        self._heartbeat_seq = 0  # newest heartbeat answered in this term
        self._life = life  # this process's incarnation
        # A node that comes back cannot know whether it promised a leader to stand still a moment ago: it keeps to it.
        self._leader_heard_ns = now_ns if hard_state.term else LONG_AGO_NS
        if self.is_only_voter:
            self._timer.at_ns = now_ns

    # --- Queries ---

    @property
    def progress(self) -> dict[int, Progress]:
        """Leader: what it knows of each other member, ascending by node. Otherwise empty."""
        return self._lead.progress if self._lead is not None else {}

    @property
    def is_transferring(self) -> bool:
        """Whether this leader is handing over and takes no proposals."""
        return self._lead is not None and self._lead.transferee != 0

    def quorum_contact(self, now_ns: int) -> int:
        """Return when the newest round with a quorum's answer was sent; long ago if not leading."""
        return self._lead.quorum_contact_ns(now_ns) if self._lead is not None else LONG_AGO_NS

    def deadline(self) -> Deadline:
        """Return when :meth:`tick` is due next, and what for."""
        return Deadline(self.alarm.at_ns, "election" if self._lead is None else "heartbeat")

    # --- What the parent asks for ---

    def bootstrap(self, info: MemberInfo, commands: list[bytes], now_ns: int) -> None:
        """Make this fresh node the leader of a cluster of its own, in a first term, with ``commands`` as first entries.

        Raises ValueError where the node has a history: another cluster could depend on it.
        """
        if not self.may_bootstrap:
            raise ValueError(
                f"node {self.node_id} cannot bootstrap: expected a fresh node, "
                f"but it is in term {self.term} with {self.log.last_index} log entries"
            )
        if (info.node, info.storage, info.voter) != (self.node_id, self.storage_id, True):
            raise ValueError(f"node {self.node_id} cannot bootstrap with {info}: expected itself, as a voter")
        self._begin(now_ns)
        self.set_hard_state(self.term + 1, self.node_id)
        self.term_durable = False
        self._lead_from_here(ENTRY_CONFIG, Membership((info,)).encode())
        self.append_own(ENTRY_NOOP, b"")
        for command in commands:
            self.append_own(ENTRY_NORMAL, command)

    def propose(self, data: bytes, now_ns: int) -> int:
        """Append a command; return its log index, or 0 where this node does not lead or is handing over."""
        if self._lead is None:
            return 0
        self._begin(now_ns)
        return self._lead.propose(data)

    def withhold_lease(self, node: int, index: int) -> None:
        """Confirm no lease of ``node`` in this term of leadership before it has applied the entry at ``index``."""
        if self._lead is not None:
            self._lead.withhold_lease(node, index)

    def add_learner(self, info: MemberInfo, now_ns: int) -> str:
        """Add ``info`` as a learner, to be promoted once it has caught up, or take its new address.

        Returns "" where that has begun or nothing is left to do, otherwise the reason why not; most pass by themselves.
        """
        if self._lead is None:
            return "not the leader"
        self._begin(now_ns)
        return self._lead.add_learner(info, now_ns)

    def remove(self, member: Member, now_ns: int) -> str:
        """Remove a member, perhaps this leader, which stops leading then; returns as :meth:`add_learner` does."""
        if self._lead is None:
            return "not the leader"
        self._begin(now_ns)
        return self._lead.remove(member, now_ns)

    def request_read(self, ticket: int, now_ns: int) -> bool:
        """Ask for a linearizable read, answered in ``reads`` or ``failed_reads``; False if not leading."""
        if self._lead is None:
            return False
        self._begin(now_ns)
        self._lead.request_read(ticket)
        return True

    def transfer_leadership(self, now_ns: int, avoided: tuple[int, ...] = ()) -> bool:
        """Hand over to the live voter, but none ``avoided``, that has most of the log; False where there is none.

        Gives up after ``election_timeout_min_ns``; until then no proposal is taken.
        """
        if self._lead is None:
            return False
        self._begin(now_ns)
        return self._lead.transfer(now_ns, avoided)

    def install(self, snapshot: RaftSnapshot) -> bool:
        """A leader's snapshot is durable: go on from there. False where this node has come as far by itself."""
        self._begin(self.now_ns)
        self.receiver.forget(snapshot.index)
        installed = self.restore(snapshot)
        if installed and self._lead is None:
            self._ballot = None  # who votes may have changed
            self.keep_idle_role()
        if self.leader and self._lead is None:
            reply = SnapshotReply(self.term, snapshot.index, snapshot.checksum, len(snapshot.data), True)
            self.send(self.leader, reply, durable=True)
        return installed

    # --- What happens ---

    def step(self, sender: int, message: RaftMessage, now_ns: int) -> None:
        """Take a message; ``sender`` has been checked for its cluster and storage identity."""
        self._begin(now_ns)
        if message.term > self.term:
            if isinstance(message, RequestVote):
                if not message.pre and (message.transfer or not self._leader_is_alive(now_ns)):
                    self._follow(message.term, 0)
            elif not (isinstance(message, VoteReply) and message.pre and message.granted):
                self._follow(message.term, 0)
        elif message.term < self.term:
            answer = answer_to_stale(self.term, message)
            if answer is not None:
                self.send(sender, answer)
            return
        match message:
            case Heartbeat():
                self._on_heartbeat(sender, message, now_ns)
            case AppendEntries():
                self._hear_leader(sender, now_ns)
                reply = append_entries(self, message)
                self.keep_idle_role()
                self.send(sender, reply, durable=reply.success)
            case InstallSnapshot():
                self._hear_leader(sender, now_ns)
                taken = install_snapshot(self, message)
                self.send(sender, taken, durable=taken.installed)
            case HeartbeatReply() | AppendReply() | SnapshotReply():
                if self._lead is not None:
                    self._lead.on_reply(sender, message, now_ns)
            case RequestVote():
                self._on_request_vote(sender, message, now_ns)
            case VoteReply():
                self._on_vote_reply(sender, message)
            case TimeoutNow():
                if self.role is Role.FOLLOWER:
                    self._campaign(transfer=True)

    def tick(self, now_ns: int) -> None:
        """The deadline may have come."""
        if self._lead is not None:
            if now_ns < self._lead.at_ns:
                return
            self._begin(now_ns)
            self._lead.tick(now_ns)
            quorum = self._lead.has_quorum(now_ns)
            if not quorum or self._lead.must_stop:
                why = "another node was told to lead" if quorum else "no quorum answers"
                self.out.notes.append(f"stopped leading in term {self.term}: {why}")
                self._follow(self.term, 0)
        elif now_ns >= self._timer.at_ns:
            self._begin(now_ns)
            self.leader = 0
            if self.may_campaign:
                self._campaign_for_pre_votes()
            else:
                self._timer.stop()

    def stalled(self, gap_ns: int) -> None:
        """The whole process stood still for ``gap_ns``: what it did not hear meanwhile is no sign of anyone's death.

        Only suspicion is put off, which is always safe; no lease or confirmation is prolonged.
        """
        self._timer.put_off(gap_ns)
        self._leader_heard_ns += gap_ns
        if self._lead is not None:
            self._lead.stalled(gap_ns)

    def persisted(self, index: int, term: int) -> None:
        """The write whose last entry was (index, term) is durable.

        Where that entry has been replaced since, the completion comes late and says nothing of the present log.
        """
        if index <= self.persisted_index or self.log.term(index) != term:
            return
        self.dirty = True
        self.persisted_index = index
        if term == self.term:
            self.term_durable = True
            if self._lead is not None:
                self._lead.maybe_commit()

    def drain(self) -> RaftOutput:
        """Hand over all that is to be done; cheap where there is nothing."""
        if not self.dirty:
            return _NOTHING
        self.dirty = False
        if self._lead is not None and not self._lead.flush():
            self._follow(self.term, 0)
        out = self.out
        if self.applied_index < self.commit_index:
            out.committed = self.log.slice(self.applied_index + 1, self.commit_index)
            self.applied_index = self.commit_index
        self.out = RaftOutput()
        return out

    # --- Messages ---

    def _begin(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.dirty = True

    def _on_heartbeat(self, sender: int, message: Heartbeat, now_ns: int) -> None:
        if message.seq <= self._heartbeat_seq:
            return  # repeated or overtaken: to answer again would date the lease later than the leader counts it
        self._heartbeat_seq = message.seq
        self._hear_leader(sender, now_ns)
        self.advance_commit(message.commit)
        self.send(sender, HeartbeatReply(self.term, message.seq, self.commit_index, self._life))
        # Two lives may answer one that comes late again; the leader counts from the first answer.
        confirmed_seq = message.confirmed_seq if message.confirmed_life in (0, self._life) else 0
        self.out.granted.append((sender, self.term, message.seq, confirmed_seq))

    def _on_request_vote(self, sender: int, message: RequestVote, now_ns: int) -> None:
        granted = may_grant(
            message, sender, term=self.term, vote=self.vote, log=self.log, leader_is_alive=self._leader_is_alive(now_ns)
        )
        if not granted:
            self.send(sender, VoteReply(self.term, False, message.pre))
        elif message.pre:
            self.send(sender, VoteReply(message.term, True, True))
        else:
            self.set_hard_state(self.term, sender)
            self._timer.reset(self.now_ns)
            self.send(sender, VoteReply(self.term, True, False), durable=True)

    def _on_vote_reply(self, sender: int, message: VoteReply) -> None:
        wanted_term = self.term + 1 if message.pre else self.term
        wanted_role = Role.PRE_CANDIDATE if message.pre else Role.CANDIDATE
        if not message.granted or message.term != wanted_term or self.role is not wanted_role:
            return
        assert self._ballot is not None
        self._ballot.grant(sender)
        if self._ballot.won:
            if message.pre:
                self._campaign(transfer=False)
            else:
                self._win()

    def _leader_is_alive(self, now_ns: int) -> bool:
        heard_ns = max(self._leader_heard_ns, self.quorum_contact(now_ns))
        return now_ns < heard_ns + self.config.election_timeout_min_ns

    # --- Roles ---

    def _follow(self, term: int, leader: int) -> None:
        """Be a follower or learner in ``term``, this one or a newer."""
        if term > self.term:
            self.set_hard_state(term, 0)
            self._heartbeat_seq = 0
            self.term_durable = True
        if self._lead is not None:
            self.out.failed_reads.extend(self._lead.rounds.give_up_reads())
            self._lead = None
            self.alarm = self._timer
            self._timer.reset(self.now_ns)
        self._ballot = None
        self.keep_idle_role()
        self.leader = leader

    def _hear_leader(self, sender: int, now_ns: int) -> None:
        assert self._lead is None, f"nodes {self.node_id} and {sender} both lead in term {self.term}"
        if self.leader != sender or self._ballot is not None:
            self._follow(self.term, sender)
        self._leader_heard_ns = now_ns
        self._timer.reset(self.now_ns)

    def _campaign_for_pre_votes(self) -> None:
        self.role = Role.PRE_CANDIDATE
        self._ask_for_votes(RequestVote(self.term + 1, self.log.last_index, self.log.last_term, True, False))

    def _campaign(self, *, transfer: bool) -> None:
        self.set_hard_state(self.term + 1, self.node_id)
        self._heartbeat_seq = 0
        self.role = Role.CANDIDATE
        self.leader = 0
        self._ask_for_votes(RequestVote(self.term, self.log.last_index, self.log.last_term, False, transfer))

    def _ask_for_votes(self, request: RequestVote) -> None:
        self._timer.reset(self.now_ns)
        self._ballot = Ballot(self.voters, self.node_id, self.quorum)
        if self._ballot.won:
            if request.pre:
                self._campaign(transfer=False)
            else:
                self._win()
            return
        for node in self.voters:
            if node != self.node_id:
                # A vote for itself counts like any other: nobody hears of it before it is durable.
                self.send(node, request, durable=not request.pre)

    def _win(self) -> None:
        # Answers from others prove that the request, and so the vote, was durable; a voter alone has none.
        self.term_durable = not self.is_only_voter
        self._lead_from_here(ENTRY_NOOP, b"")

    def _lead_from_here(self, kind: int, data: bytes) -> None:
        """Lead the current term, whose first entry this is."""
        self._ballot = None
        self.role = Role.LEADER
        self.leader = self.node_id
        self._leader_heard_ns = self.now_ns
        self._lead = self.alarm = Leader(self, self.now_ns)
        self.append_own(kind, data)
        self.out.notes.append(f"became leader in term {self.term}")
