"""The state that every node keeps, whatever its role (the Raft paper, figure 2), and what may change it.

Invariants: ``log.snapshot_index <= applied_index <= commit_index <= log.last_index``, and none of the first three ever
falls; what the log holds no more is in ``snapshot``; ``persisted_index <= log.last_index``; a change of term or vote
and every new entry leaves its record in ``out.records``, in the order in which it was made.
"""

from walrus.core.config import NodeConfig
from walrus.core.peer import ENTRY_CONFIG, Entry, RaftMessage
from walrus.core.raft.log import RaftLog
from walrus.core.raft.membership import Membership, MembershipHistory
from walrus.core.raft.output import HardState, RaftOutput, Role
from walrus.core.raft.quorum import majority
from walrus.core.raft.snapshot import RaftSnapshot, SnapshotReceiver


class EntriesLost(Exception):
    """Entries that this node had said to be durable are not in its log: its disk lost them. It can go on as nobody."""


class RaftState:
    """Term, vote, log, configuration and commit index of one node, and the output of their changes."""

    __slots__ = (
        "_history",
        "applied_index",
        "commit_index",
        "config",
        "dirty",
        "is_only_voter",
        "is_voter",
        "learners",
        "live_nodes",
        "log",
        "membership",
        "node_id",
        "now_ns",
        "out",
        "persisted_index",
        "quorum",
        "receiver",
        "role",
        "snapshot",
        "storage_id",
        "storage_of",
        "term",
        "term_durable",
        "vote",
        "voters",
    )

    def __init__(
        self,
        node_id: int,
        storage_id: int,
        config: NodeConfig,
        hard_state: HardState,
        entries: list[Entry],
        now_ns: int,
        snapshot: RaftSnapshot | None,
        base: tuple[int, int],
    ) -> None:
        """Take what was recovered from the disk; the commit index is relearned from the snapshot's, or from 0."""
        self.node_id = node_id
        self.storage_id = storage_id
        self.config = config
        self.now_ns = now_ns
        self.dirty = False
        self.out = RaftOutput()

        self.term = hard_state.term
        self.vote = hard_state.vote
        self.log = RaftLog(entries, *base)
        self.snapshot = snapshot
        self.receiver = SnapshotReceiver()
        self.commit_index = self.applied_index = snapshot.index if snapshot is not None else 0
        assert self.log.snapshot_index <= self.commit_index <= self.log.last_index, "log and snapshot do not meet"
        self.persisted_index = self.log.last_index
        # False while the term of a leader that needed no vote but its own may not have reached the disk: a
        # message sent earlier could tell of a term that the node forgets, and then leads a second time with
        # another log.
        self.term_durable = True
        self.live_nodes: tuple[int, ...] = ()

        self._history = MembershipHistory()
        if snapshot is not None:
            self._history.begin_at(snapshot.index, snapshot.membership)
        for entry in entries:
            if entry.kind == ENTRY_CONFIG and entry.index > self.commit_index:
                self._history.append(entry.index, Membership.decode(entry.data))
        self.role = Role.LEARNER
        self._adopt_membership()

    @property
    def committed_membership(self) -> Membership:
        """The newest configuration known to be committed."""
        return self._history.committed

    @property
    def membership_change_pending(self) -> bool:
        """Whether a configuration in the log is not known to be committed."""
        return self._history.change_pending

    @property
    def may_campaign(self) -> bool:
        """Whether this node is a voter, or was one until a change that may not be committed: perhaps only its log has
        the entry that removes it, and nobody without that entry can be elected (dissertation 4.2.2).
        """
        return self.is_voter or self._history.has_voter((self.node_id, self.storage_id))

    def _adopt_membership(self) -> None:
        self.membership = self._history.latest
        self.storage_of = {member.node: member.storage for member in self.membership.members}
        self.voters = self.membership.voters
        self.learners = self.membership.learners
        self.quorum = majority(len(self.voters))
        own = self.membership.get(self.node_id)
        # A node that lost its disk is not the voter of the same number: that one's vote is gone with the
        # disk.
        self.is_voter = own is not None and own.voter and own.storage == self.storage_id
        self.is_only_voter = self.is_voter and len(self.voters) == 1

    def keep_idle_role(self) -> None:
        """Follow the configuration, which the log may have changed."""
        self.role = Role.FOLLOWER if self.is_voter else Role.LEARNER

    @property
    def may_bootstrap(self) -> bool:
        """Nobody can depend on what this node has: nothing, or the torn beginning of its own bootstrap."""
        torn = (self.term, self.vote) == (1, self.node_id)
        return not self.log.last_index and (not self.term or torn)

    def set_hard_state(self, term: int, vote: int) -> None:
        """Enter ``term``, or vote in the current one."""
        assert term > self.term or (term == self.term and self.vote in (0, vote)), "a term or vote was taken back"
        self.term = term
        self.vote = vote
        records = self.out.records
        if records and type(records[-1]) is HardState:
            records.pop()
        records.append(HardState(term, vote))

    def append(self, entries: list[Entry]) -> None:
        """Append ``entries``, the first of which may lie within the log: its suffix is dropped then."""
        first = entries[0].index
        changed = False
        if first <= self.log.last_index:
            assert first > self.commit_index, f"entry {first} is committed and cannot be replaced"
            self.log.truncate(first)
            self.persisted_index = min(self.persisted_index, first - 1)
            changed = self._history.truncate(first)
        for entry in entries:
            self.log.append(entry)
            if entry.kind == ENTRY_CONFIG:
                self._history.append(entry.index, Membership.decode(entry.data))
                changed = True
        self.out.records.extend(entries)
        if changed:
            self._adopt_membership()

    def append_own(self, kind: int, data: bytes) -> int:
        """Append an entry of the current term; return its index. Leader only."""
        index = self.log.last_index + 1
        self.append([Entry(index, self.term, kind, data)])
        return index

    def advance_commit(self, index: int) -> None:
        """Commit up to ``index``; lower values are stale and change nothing. Raises EntriesLost."""
        if index <= self.commit_index:
            return
        if index > self.log.last_index:
            last = self.log.last_index
            raise EntriesLost(f"entry {index} is committed, but this node, which had it, has lost what follows {last}")
        self.commit_index = index
        for change_index, before, after in self._history.commit(index):
            self._note_change(change_index, before, after)

    def restore(self, snapshot: RaftSnapshot) -> bool:
        """Take the state at a durable snapshot as committed and applied; False where this node is as far already.

        The log goes on behind it where it holds the snapshot's last entry, and otherwise begins anew: what it held is
        in the snapshot, or was never committed.
        """
        if self.snapshot is None or snapshot.index > self.snapshot.index:
            self.snapshot = snapshot  # this one is on the disk, whether or not it is news
        if snapshot.index <= self.commit_index:
            return False
        if self.log.term(snapshot.index) == snapshot.term:
            self.log.compact(snapshot.index)
            self._history.begin_at(snapshot.index, snapshot.membership)
        else:
            assert self.role is not Role.LEADER, f"a leader lacks entry {snapshot.index}, which is committed"
            self.log.begin_anew(snapshot.index, snapshot.term)
            self._history = MembershipHistory()
            self._history.begin_at(snapshot.index, snapshot.membership)
            self.persisted_index = snapshot.index
        self.persisted_index = max(self.persisted_index, snapshot.index)
        self.commit_index = self.applied_index = snapshot.index
        self._adopt_membership()
        return True

    def snapshot_taken(self, snapshot: RaftSnapshot) -> None:
        """A snapshot of this node's own state is durable."""
        assert self.snapshot is None or snapshot.index >= self.snapshot.index, "an older snapshot replaced a newer one"
        assert snapshot.index <= self.applied_index, f"a snapshot has entry {snapshot.index}, which was not applied"
        self.snapshot = snapshot

    def compact(self, index: int) -> None:
        """Hold no entries up to ``index`` any more: the snapshot includes them."""
        assert self.snapshot is not None
        assert self.log.snapshot_index <= index <= self.snapshot.index, f"entry {index} is in no snapshot"
        self.log.compact(index)

    def _note_change(self, index: int, before: Membership, after: Membership) -> None:
        entry = self.log.entry(index)
        # Only who led the change through says so: the commit index is relearned after a restart, and others
        # repeat it.
        if entry.term != self.term or self.role is not Role.LEADER:
            return
        for member in after.members:
            known = before.get(member.node)
            if known is None and not member.voter:
                self.out.notes.append(f"Added learner {member.node}")
            elif known is not None and member.voter and not known.voter:
                self.out.notes.append(f"Promoted learner {member.node}")
        for gone in before.members:
            if after.get(gone.node) is None:
                self.out.removed.append((gone.node, gone.storage))
                self.out.notes.append(f"Removed node {gone.node}")

    def send(self, to: int, message: RaftMessage, *, durable: bool = False) -> None:
        """Queue a message; ``durable`` ones wait for all records made so far."""
        self.out.messages.append((to, message, durable))
