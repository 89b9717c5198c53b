"""What only a leader does: replicate, commit, hold its quorum, confirm reads, change the membership, hand
over.

A :class:`Leader` is made when an election is won and dropped when the term is over; the machine in
:mod:`walrus.core.raft.raft` decides both. Messages are built once per drain, so that whatever came in between
shares them.
"""

from typing import Final

from walrus.core.peer import (
    ENTRY_CONFIG,
    ENTRY_NORMAL,
    AppendEntries,
    AppendReply,
    Entry,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Member,
    SnapshotReply,
    TimeoutNow,
)
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.progress import (
    IN_FLIGHT_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_ENTRIES_MAX,
    PROBE,
    REPLICATE,
    SNAPSHOT,
    Progress,
)
from walrus.core.raft.quorum import majority, quorum_value
from walrus.core.raft.rounds import HeartbeatRounds
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.core.raft.state import RaftState

PROMOTION_GAP_ENTRIES: Final = 64
"""A learner this close to the end of the log can vote without holding up commits for long."""

STALL_HEARTBEATS: Final = 3
"""A follower that answers heartbeats but owes a reply for so many intervals has lost a message."""


def _listed(nodes: list[int]) -> str:
    return ", ".join(map(str, nodes))


class Leader:
    """The volatile state of a leader in one term.

    Invariants: ``progress`` has every member but this node, ascending; ``first_index`` is the first entry of
    the term.
    """

    def __init__(self, state: RaftState, now_ns: int) -> None:
        """Begin the term at ``now_ns``, before its first entry is appended."""
        self._state = state
        self.first_index = state.log.last_index + 1
        self.progress: dict[int, Progress] = {}
        self.rounds = HeartbeatRounds()
        self.at_ns = now_ns + state.config.heartbeat_interval_ns  # of the next heartbeat
        self.transferee = 0  # the voter that is to lead next, while leadership is being handed over
        self._transfer_expires_ns = 0
        self._timeout_now_sent = False
        # A TimeoutNow that comes late elects another leader at any time, whatever leases this one confirms.
        self.must_stop = False
        self._round_wanted = True
        self._follow_membership(self.first_index, now_ns)

    # --- What the parent asks for ---

    @property
    def has_committed_in_term(self) -> bool:
        """Whether an entry of this term is committed: only then is the commit index known to be current."""
        return self._state.commit_index >= self.first_index

    def propose(self, data: bytes) -> int:
        """Append a command; return its index, or 0 while leadership is being handed over."""
        if self.transferee:
            return 0
        return self._state.append_own(ENTRY_NORMAL, data)

    def withhold_lease(self, node: int, index: int) -> None:
        """Confirm no lease of ``node`` before it has applied the entry at ``index``."""
        progress = self.progress.get(node)
        if progress is not None:
            progress.lease_index = max(progress.lease_index, index)

    def request_read(self, ticket: int) -> None:
        """Confirm this read with a round that begins after it; rounds for reads follow one another, each for
        all reads that came while the last one was under way."""
        self.rounds.waiting_reads.append(ticket)
        self._want_read_round()

    def add_learner(self, info: MemberInfo, now_ns: int) -> str:
        """Begin to add a learner, or to change a member's address; return "" or why not."""
        membership = self._state.membership
        known = membership.get(info.node)
        if known is not None and known.storage != info.storage:
            return (
                f"node {info.node} is a member with another disk: "
                f"expected storage id {known.storage}, got {info.storage}"
            )
        if known is not None and known.address == info.address:
            return ""
        if (info.node, info.storage) in membership.removed:
            return f"node {info.node} was removed from this cluster, and with it its disk"
        refusal = self._why_no_change()
        if not refusal and known is None:
            self._change_membership(membership.with_learner(info), now_ns)
        elif not refusal:
            self._change_membership(membership.with_address(info.node, info.address), now_ns)
        return refusal

    def remove(self, member: Member, now_ns: int) -> str:
        """Begin to remove a member, perhaps this node itself; return "" where that has begun or is done, or why not."""
        state, node = self._state, member[0]
        known = state.membership.get(node)
        if known is None or known.storage != member[1]:
            return ""
        refusal = self._why_no_change()
        if refusal:
            return refusal
        left = [voter for voter in state.voters if voter != node]
        if not left:
            return f"node {node} is the only voter"
        answering = sum(self._answers(voter, now_ns) for voter in left)
        if known.voter and answering < majority(len(left)):
            return f"of the voters that would be left, {_listed(left)}, only {answering} answer"
        self._change_membership(state.membership.without(node), now_ns)
        return ""

    def _why_no_change(self) -> str:
        """Why no membership change can begin now, or ""; it passes by itself."""
        if self.transferee:
            return "leadership is being handed over"
        if not self.has_committed_in_term:
            return "the leader has not committed an entry of its term yet"
        if self._state.membership_change_pending:
            return "another membership change is under way"
        return ""

    def _answers(self, node: int, now_ns: int) -> bool:
        if node == self._state.node_id:
            return True
        return now_ns - self.progress[node].contact_ns < self._state.config.election_timeout_min_ns

    def transfer(self, now_ns: int, avoided: tuple[int, ...]) -> bool:
        """Begin to hand over to the live voter that has most of the log and is not ``avoided``; return False where
        there is none.
        """
        if self.transferee:
            return True
        best = self._successor(now_ns, avoided)
        if not best:
            return False
        self.transferee = best
        self._transfer_expires_ns = now_ns + self._state.config.election_timeout_min_ns
        self._timeout_now_sent = False
        return True

    def _successor(self, now_ns: int, avoided: tuple[int, ...]) -> int:
        best = 0
        for node in self._state.voters:
            if node == self._state.node_id or node in avoided or not self._answers(node, now_ns):
                continue
            if not best or self.progress[node].match_index > self.progress[best].match_index:
                best = node
        return best

    # --- What happens ---

    def tick(self, now_ns: int) -> None:
        """The heartbeat is due."""
        self.at_ns = now_ns + self._state.config.heartbeat_interval_ns
        self._round_wanted = True
        if self.transferee and now_ns >= self._transfer_expires_ns:
            self._state.out.notes.append(f"gave up handing leadership to node {self.transferee}")
            self.transferee = 0
            self.must_stop = self._timeout_now_sent

    def has_quorum(self, now_ns: int) -> bool:
        """Whether a quorum, this node included, has answered within the longest election timeout."""
        contacts = [
            now_ns if node == self._state.node_id else self.progress[node].contact_ns for node in self._state.voters
        ]
        return now_ns - quorum_value(contacts) < self._state.config.election_timeout_max_ns

    def quorum_contact_ns(self, now_ns: int) -> int:
        """Return when the newest round with a quorum's answer was sent; a voter alone is its quorum."""
        return now_ns if self._state.is_only_voter else self.rounds.quorum_contact_ns

    def stalled(self, gap_ns: int) -> None:
        """Nobody could be heard for ``gap_ns``: that is no sign of anyone's death."""
        for progress in self.progress.values():
            progress.contact_ns += gap_ns

    def on_reply(self, sender: int, message: HeartbeatReply | AppendReply | SnapshotReply, now_ns: int) -> None:
        """A member answered."""
        match message:
            case HeartbeatReply():
                self.on_heartbeat_reply(sender, message, now_ns)
            case AppendReply():
                self.on_append_reply(sender, message, now_ns)
            case SnapshotReply():
                self.on_snapshot_reply(sender, message, now_ns)

    def on_append_reply(self, sender: int, message: AppendReply, now_ns: int) -> None:
        """A follower took or refused entries."""
        progress = self.progress.get(sender)
        if progress is None:
            return
        if not message.success:
            progress.rejected(message, self._state.log)
            return
        assert message.match_index <= self._state.log.last_index, "a follower matched entries never sent"
        if progress.accepted(message.match_index, now_ns):
            self.maybe_commit()
            self._want_read_round()

    def on_heartbeat_reply(self, sender: int, message: HeartbeatReply, now_ns: int) -> None:
        """A follower answered a heartbeat; what is older than its last answer says nothing new."""
        progress = self.progress.get(sender)
        if progress is None or message.seq <= progress.acked_seq:
            return
        progress.acked_seq = message.seq
        progress.acked_life = message.life
        progress.commit_index = message.commit
        progress.contact_ns = now_ns
        self._state.out.heartbeat_acks.append((sender, message.seq))
        self._quorum_may_have_answered()
        self._want_read_round()
        stall_ns = STALL_HEARTBEATS * self._state.config.heartbeat_interval_ns
        if progress.is_waiting and now_ns - progress.waiting_since_ns >= stall_ns:
            self._send_again(sender, progress, now_ns)

    def maybe_commit(self) -> None:
        """Commit what a quorum holds durably, up to an entry of this term (the paper, section 5.4.2)."""
        state = self._state
        matches = [
            state.persisted_index if node == state.node_id else self.progress[node].match_index for node in state.voters
        ]
        index = quorum_value(matches)
        if index >= self.first_index:
            # The first commit of the term is what followers must know before their leases run again.
            self._round_wanted = self._round_wanted or not self.has_committed_in_term
            state.advance_commit(index)

    def on_snapshot_reply(self, sender: int, message: SnapshotReply, now_ns: int) -> None:
        """A follower has a piece of the snapshot, or all that it includes."""
        progress = self.progress.get(sender)
        if progress is not None and progress.piece_answered(message, now_ns):
            self.maybe_commit()
            self._want_read_round()

    # --- What goes out ---

    def flush(self) -> bool:
        """Build the messages that are due, with the time of the last event; False where they are this leader's last.

        One that was removed leads on, without being counted, until that is committed (dissertation 4.2.2).
        """
        state = self._state
        now_ns = state.now_ns
        if state.learners:
            self._promote_learner(now_ns)
        if self._round_wanted:
            self._round_wanted = False
            self._start_round(now_ns)
        for node, progress in self.progress.items():
            self._replicate(node, progress, now_ns)
        is_removed = not state.is_voter and self.has_committed_in_term and not state.membership_change_pending
        if is_removed:
            self.transferee = self._successor(now_ns, ())  # so that nobody has to wait for an election timeout
            state.out.notes.append(f"stopped leading in term {state.term}: removed from the cluster")
        if self.transferee and not self._timeout_now_sent:
            self._send_timeout_now(self.transferee)
        return not is_removed

    def _send_timeout_now(self, to: int) -> None:
        # Nothing is appended during a transfer, so a follower that has all of it keeps having all of it.
        if self.progress[to].match_index == self._state.log.last_index:
            self._timeout_now_sent = True
            self._send(to, TimeoutNow(self._state.term))

    def _send(self, to: int, message: AppendEntries | InstallSnapshot | Heartbeat | TimeoutNow) -> None:
        self._state.send(to, message, durable=not self._state.term_durable)

    def _want_read_round(self) -> None:
        if self.rounds.waiting_reads and not self.rounds.is_reading and self.has_committed_in_term:
            self._round_wanted = True

    def _start_round(self, now_ns: int) -> None:
        state = self._state
        rounds = self.rounds
        rounds.start(now_ns)
        if self.has_committed_in_term:
            rounds.carry_reads(state.commit_index)
        confirmed = not self.transferee and now_ns < self.quorum_contact_ns(now_ns) + state.config.lease_ns
        for node, progress in self.progress.items():
            commit = min(state.commit_index, progress.match_index)
            confirmed_seq = progress.acked_seq if confirmed and progress.may_hold_lease else 0
            life = progress.acked_life if confirmed_seq else 0
            self._send(node, Heartbeat(state.term, rounds.seq, commit, confirmed_seq, state.live_nodes, life))
        self._quorum_may_have_answered()

    def _quorum_may_have_answered(self) -> None:
        state = self._state
        acked = [self.rounds.seq if node == state.node_id else self.progress[node].acked_seq for node in state.voters]
        state.out.reads.extend(self.rounds.answered(quorum_value(acked)))

    def _replicate(self, node: int, progress: Progress, now_ns: int) -> None:
        state = self._state
        log = state.log
        sent = False
        if progress.state is not SNAPSHOT and progress.next_index <= log.snapshot_index:
            assert state.snapshot is not None
            progress.begin_snapshot(state.snapshot)
            state.out.notes.append(f"sends node {node} a snapshot: it lacks entries from {progress.next_index} on")
        if progress.snapshot is not None:
            self._send_piece(node, progress, progress.snapshot, now_ns)
            return
        while progress.may_send(log.last_index):
            prev_index = progress.next_index - 1
            entries = log.batch(progress.next_index, MESSAGE_ENTRIES_MAX, MESSAGE_BYTES_MAX)
            self._send_entries(node, progress, entries)
            progress.sent(prev_index + len(entries), now_ns)
            sent = True
        if sent or progress.commit_sent >= state.commit_index or progress.state is PROBE:
            return
        if len(progress.in_flight) < IN_FLIGHT_MAX:
            self._send_entries(node, progress, [])  # so that it applies now and not at the next heartbeat

    def _send_piece(self, node: int, progress: Progress, snapshot: RaftSnapshot, now_ns: int) -> None:
        if progress.probe_sent:
            return
        start = progress.snapshot_offset
        piece = snapshot.data[start : start + self._state.config.snapshot_chunk_bytes]
        total = len(snapshot.data)
        self._send(
            node,
            InstallSnapshot(self._state.term, snapshot.index, snapshot.term, snapshot.checksum, total, start, piece),
        )
        progress.piece_sent(now_ns)

    def _send_entries(self, node: int, progress: Progress, entries: list[Entry]) -> None:
        state = self._state
        prev_index = progress.next_index - 1
        prev_term = state.log.term(prev_index)
        assert prev_term is not None, f"entry {prev_index} is not in the log any more"
        progress.commit_sent = state.commit_index
        self._send(node, AppendEntries(state.term, prev_index, prev_term, entries, state.commit_index))

    def _send_again(self, node: int, progress: Progress, now_ns: int) -> None:
        """Ask again. With entries in flight an empty message at their end does: if they are lost, the refusal
        says from where; if they wait for the follower's disk, nothing was sent twice."""
        progress.waiting_since_ns = now_ns
        if progress.state is not REPLICATE:
            progress.probe_sent = False
        else:
            self._send_entries(node, progress, [])

    # --- Membership ---

    def _follow_membership(self, next_index: int, now_ns: int) -> None:
        """Keep one Progress per other member; begin new ones at ``next_index``."""
        progress = {}
        for member in self._state.membership.members:
            if member.node != self._state.node_id:
                known = self.progress.get(member.node)
                progress[member.node] = known or Progress(next_index, self._state.log.last_index, now_ns)
        self.progress = progress

    def _change_membership(self, membership: Membership, now_ns: int) -> None:
        index = self._state.append_own(ENTRY_CONFIG, membership.encode())
        self._follow_membership(index, now_ns)
        self.maybe_commit()

    def _promote_learner(self, now_ns: int) -> None:
        """Give a vote to a learner that holds all that the log held when its catch-up round began, and nearly
        all that it holds now (dissertation 4.2.1); one at a time."""
        state = self._state
        if self.transferee or state.membership_change_pending or not self.has_committed_in_term:
            return
        for node in state.learners:
            progress = self.progress[node]
            if progress.match_index < progress.catch_up_index:
                continue
            if state.log.last_index - progress.match_index > PROMOTION_GAP_ENTRIES:
                progress.catch_up_index = state.log.last_index
            elif self._answers(node, now_ns):
                self._change_membership(state.membership.with_promoted(node), now_ns)
                return
