"""This node's part in the Raft group: drives the machine, journals what it says, checks who is who."""

from typing import Final

from walrus.core.actions import SetPeerAddress
from walrus.core.config import SECOND, NodeConfig
from walrus.core.lease import Lease, LeaseTable
from walrus.core.liveness import Liveness
from walrus.core.metadata import snapshot
from walrus.core.metadata.commands import CreateTopic, RegisterNode, decode, encode
from walrus.core.metadata.settings import TopicSettings
from walrus.core.metadata.snapshot import Snapshot
from walrus.core.metadata.state import Metadata, NodeInfo
from walrus.core.outbox import Outbox
from walrus.core.peer import (
    ENTRY_NORMAL,
    AppendEntries,
    AppendReply,
    Entry,
    Envelope,
    Heartbeat,
    InstallSnapshot,
    JoinReply,
    JoinRequest,
    Member,
    Message,
    RaftMessage,
    Removed,
    RequestVote,
    SnapshotReply,
)
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import LEADER, HardState, RaftOutput
from walrus.core.raft.progress import lowest_held
from walrus.core.raft.raft import Raft
from walrus.core.raft.snapshot import ReceivedSnapshot
from walrus.core.raftjournal import RaftJournal
from walrus.core.rng import Generator
from walrus.core.snapshots import SnapshotFiles, taken
from walrus.core.startup import Ready
from walrus.core.storage.appender import Tokens
from walrus.core.storage.journal import Base, Boot, Cluster, Hard, Logged, encode_raft, encode_record

FIRST_TOPIC = "logs"
_FROM_LEADERS: Final = (AppendEntries, Heartbeat, InstallSnapshot)
"""What only the leader of a term sends. A node that is behind may know it as a member with an earlier disk; the answers
of such a disk, which others count, it must not take for those of the later one.
"""
ABANDONED_AFTER_NS: Final = 5 * SECOND
"""Who knows of no leader for so long believes that its cluster has gone on without it. Who has a quorum does not."""
KEPT_SHARE: Final = 4  # of what may lie between two snapshots a quarter stays in the log behind the newest one
KEPT_MOST: Final = 4  # a slow follower that answers holds back so many times as much


class Group:
    """``cluster`` is 0 until this node belongs to one."""

    def __init__(
        self, out: Outbox, tokens: Tokens, config: NodeConfig, rng: Generator, ready: Ready, now_ns: int
    ) -> None:
        journal, start = ready.journal, ready.log
        self._out = out
        self._config = config
        self._rng = rng
        self._incarnation = ready.incarnation
        made_bytes = journal.made_bytes if journal else 0
        self._journal = RaftJournal(ready.journal_log, tokens, config.node_id, ready.storage, made_bytes, self._send)
        self._files = SnapshotFiles(out, tokens)
        self.cluster = out.cluster = journal.cluster if journal else 0
        recovered = None
        if start is not None and start.snapshot is not None:
            recovered = taken(start.snapshot.snapshot, start.snapshot.data, sent=False)
        self.raft = Raft(
            config.node_id,
            ready.storage,
            config,
            rng,
            hard_state=start.hard_state if start else HardState(),
            entries=start.entries if start else [],
            now_ns=now_ns,
            snapshot=recovered.raft if recovered else None,
            base=(start.base.index, start.base.term) if start else (0, 0),
            life=ready.incarnation,
        )
        self._journal.rewrite_due = self._journal.rewrite_needed = start is not None and start.stale_journal
        self.recovered = recovered.state if recovered else None  # what the metadata is to be brought to
        self._led = False
        self._led_by = 0  # the last leader that was known
        self.leader_changes = 0
        self._membership = Membership()
        self._strangers: dict[tuple[int, int], None] = {}  # complained about already
        self._asked = (0, 0)  # term, storage id of who asked last for a vote that was free
        self._committed = self._membership  # as of which these are out:
        self._removed: frozenset[Member] = frozenset()  # membership only
        self.removed = False  # this node with its disk is no member any more, and never will be
        self.former: tuple[int, ...] = ()  # ids that the cluster had before unsafe recoveries
        self._rival_said = False
        self.abandoned = False  # the cluster has gone on without this node, by an unsafe recovery
        self._has_leader_ns = now_ns  # when a leader was known last, or this process began
        if recovered is not None:
            self.former = recovered.state.former_clusters
            if self.cluster in self.former:
                self.cluster = 0
            self.adopt(recovered.state.cluster)
        self._follow_membership()

    # --- who is who ---

    def bootstrap(self, info: RegisterNode, now_ns: int) -> None:
        """Start a cluster of this node alone, with the topic every client expects.

        Where a crash tore an earlier beginning off, the cluster gets another id: nobody knows the first.
        """
        self.adopt(self._rng.getrandbits(63) | 1)
        member = (info.node, info.storage)
        settings = TopicSettings(durability=self._config.durability)
        first = CreateTopic(FIRST_TOPIC, (info.node, info.storage, info.incarnation), (member,), settings)
        founder = MemberInfo(info.node, info.storage, info.address, voter=True)
        self.raft.bootstrap(founder, [encode(info), encode(first)], now_ns)
        self._out.log("info", f"Bootstrapped cluster {self.cluster:016x}")

    def forget_torn(self) -> None:
        """An empty log: what cluster this node is said to belong to is the torn beginning of its own."""
        self.cluster = self._out.cluster = 0

    def adopt(self, cluster: int) -> None:
        """Belong to this cluster from now on (0: to none yet)."""
        if cluster and not self.cluster:
            self.cluster = self._out.cluster = cluster
            self._journal.append(encode_record(Cluster(cluster)))

    def admits(self, envelope: Envelope, message: Message) -> bool:
        """The message is for this member of this cluster, from the member it claims to be."""
        out = self._out
        if envelope.recipient and envelope.recipient != out.node_id:
            return False
        if envelope.sender == out.node_id:
            if envelope.sender_storage != out.storage_id:
                self._complain(envelope)
            return False  # own messages never take the wire: another process was given this node's number
        if isinstance(message, Removed):
            return not self.cluster or self.cluster in (envelope.cluster, message.former)
        kind = type(message)
        sender = (envelope.sender, envelope.sender_storage)
        if envelope.cluster in self.former:  # it may have meant the disk that this node had then
            out.send_to_member(sender, Removed(*sender, envelope.cluster))
            return False
        if envelope.recipient_storage and envelope.recipient_storage != out.storage_id:
            return False
        if self._is_removed(sender):
            out.send_to_member(sender, Removed(*sender))
            return False
        if kind is JoinRequest:
            return envelope.cluster in (0, self.cluster)
        if isinstance(message, JoinReply):
            return not self.cluster or envelope.cluster == self.cluster or message.lists
        if not self.cluster or envelope.cluster != self.cluster:
            return False
        if self.raft.storage_of.get(envelope.sender, envelope.sender_storage) != envelope.sender_storage:
            if kind not in _FROM_LEADERS and kind is not RequestVote:
                self._complain(envelope)
                return False
            out.storage_of[envelope.sender] = envelope.sender_storage  # for the answer
        return not isinstance(message, RequestVote) or self._may_vote_for(envelope, message)

    def _may_vote_for(self, envelope: Envelope, message: RequestVote) -> bool:
        """A vote in a term is for one disk of a node, though only its number is on record: it is repeated to none but
        the one that this process gave it to.
        """
        given = (message.term, envelope.sender) == (self.raft.term, self.raft.vote)
        if given and not message.pre:
            return self._asked == (message.term, envelope.sender_storage)
        if not message.pre:
            self._asked = (message.term, envelope.sender_storage)
        return True

    def _is_removed(self, member: Member) -> bool:
        committed = self.raft.committed_membership
        if committed is not self._committed:
            self._committed, self._removed = committed, frozenset(committed.removed)
        return member in self._removed

    def told_removed(self, message: Removed, now_ns: int) -> None:
        """A member of the cluster says who was removed, or of one that has gone on without this node.

        The latter never stops a quorum, whose leader is known: then two clusters serve, and an operator must choose.
        """
        if (message.node, message.storage) != (self._out.node_id, self._out.storage_id):
            return
        if not message.former or message.former != self.cluster:
            self.removed = True
        elif now_ns - self._has_leader_ns >= ABANDONED_AFTER_NS:
            self.abandoned = True
        elif self.raft.leader and not self._rival_said:
            self._rival_said = True
            self._out.log(
                "error",
                "an unsafe recovery was used on one of this cluster's disks while a majority lives here: there are two "
                "clusters now, and what is written to one the other never has; stop one of them",
            )

    def _complain(self, envelope: Envelope) -> None:
        who = (envelope.sender, envelope.sender_storage)
        if who not in self._strangers and len(self._strangers) < 64:
            self._strangers[who] = None
            self._out.log(
                "error",
                f"node {who[0]} speaks with another data directory (storage id {who[1]:016x}) than the one it joined "
                "with; refused, because it may have lost what it promised",
            )

    def address_changed(self, info: NodeInfo) -> None:
        if info.node != self._out.node_id:
            self._out.add(SetPeerAddress(info.node, info.address))

    def _follow_membership(self) -> None:
        if self.raft.membership is self._membership:
            return
        before, self._membership = self._membership, self.raft.membership
        self._out.storage_of = {m.node: m.storage for m in self._membership.members}
        for member in self._membership.members:
            if member.node != self._out.node_id and before.get(member.node) != member:
                self._out.add(SetPeerAddress(member.node, member.address))

    # --- driving Raft ---

    def tick(self, leases: LeaseTable, liveness: Liveness, now_ns: int) -> None:
        """Tell who is live; Raft's own deadline is the caller's business."""
        self.removed = self.removed or self._is_removed((self._out.node_id, self._out.storage_id))
        if self.raft.leader:
            self._has_leader_ns = now_ns
        if self.raft.role is LEADER:
            me = self._out.node_id
            live = tuple(
                m.node for m in self.raft.membership.members if m.node == me or leases.answering(m.node, now_ns)
            )
            self.raft.live_nodes = live
            liveness.told(live, now_ns)

    def drain(self, lease: Lease, leases: LeaseTable, now_ns: int) -> RaftOutput:
        """Journal and send what Raft says; the rest of its output is the caller's."""
        output = self.raft.drain()
        for record in output.records:
            mark = (record.index, record.term) if isinstance(record, Entry) else None
            self._journal.append(encode_raft(record), mark)
        self._follow_membership()
        for to, message, durable in output.messages:
            if durable:
                self._journal.send_when_durable(to, message)
            else:
                self._send(to, message, 0)
        if output.received is not None:
            self._received(output.received)
        if self.raft.role is LEADER and not self._led:
            leases.elected(now_ns)
        self._led = self.raft.role is LEADER
        if self.raft.leader not in (0, self._led_by):
            self._led_by = self.raft.leader
            self.leader_changes += 1
        for node, _ in output.heartbeat_acks:
            leases.answered(node, now_ns)
        for _, term, seq, confirmed_seq in output.granted:
            lease.heartbeat(term, seq, confirmed_seq, now_ns)
        for member in output.removed:
            if member[0] != self._out.node_id:
                self._out.send_to_member(member, Removed(*member))
        for note in output.notes:
            self._out.log("info", note)
        return output

    def _send(self, to: int, message: RaftMessage, after: int) -> None:
        urgent = not isinstance(message, AppendEntries | AppendReply | InstallSnapshot | SnapshotReply)
        self._out.send(to, message, after=after, urgent=urgent)

    def apply(self, entry: Entry, metadata: Metadata) -> str:
        """Apply a committed entry; "" or why its command was refused."""
        return metadata.apply(decode(entry.data)) if entry.kind == ENTRY_NORMAL else ""

    def flush(self) -> None:
        action = self._journal.flush(self._whole_journal)
        if action is not None:
            self._out.add(action)

    def write_completed(self, token: int) -> bool:
        """Take a completed write of the journal or of a snapshot; False if the token is not ours."""
        if not self._journal.is_ours(token):
            return self._files.write_completed(token)
        action, mark = self._journal.completed(token)
        if action is not None:
            self._out.add(action)
        if mark is not None:
            self.raft.persisted(*mark)
        return True

    @property
    def full(self) -> bool:
        """The disk has no room: snapshots and what they allow to be cut wait."""
        return self._journal.full

    @full.setter
    def full(self, full: bool) -> None:
        self._journal.full = full

    def space_ran_out(self, token: int) -> bool:
        """There is no room for a change; False if it is to be asked for again once there is."""
        return self._journal.give_up_rewrite(token)

    # --- snapshots ---

    def _whole_journal(self) -> list[bytes]:
        """The records that all those of the journal come to."""
        raft, log = self.raft, self.raft.log
        records: list[object] = [
            Cluster(self.cluster),
            Boot(self._incarnation),
            Hard(raft.term, raft.vote),
            Base(log.snapshot_index, log.snapshot_term),
            *map(Logged, log.slice(log.first_index, log.last_index)),
        ]
        return [encode_record(record) for record in records]

    def take_snapshot(self, metadata: Metadata, now_ns: int) -> None:
        """Take a snapshot, if one is due; ``metadata`` is what everything up to the applied index gives."""
        if self._journal.full:
            return
        raft, config = self.raft, self._config
        entries = raft.applied_index - (raft.snapshot.index if raft.snapshot is not None else 0)
        if entries < config.snapshot_entries and self._journal.grown_bytes < config.snapshot_bytes:
            return
        if self._files.busy or self._journal.rewrite_due or raft.applied_index != raft.commit_index:
            return
        if not entries:  # the journal has grown by other things, or by entries that are not applied yet
            if raft.applied_index == raft.log.last_index:
                self._cut_log(now_ns)
            return
        term = raft.log.term(raft.applied_index)
        assert term is not None
        content = snapshot.take(metadata, self.cluster, raft.applied_index, term, raft.committed_membership)
        self._files.write(taken(content, snapshot.encode(content), sent=False))

    def _received(self, received: ReceivedSnapshot) -> None:
        """A leader's snapshot is complete: look into it, then make it durable."""
        try:
            content = snapshot.decode(received.data)
        except snapshot.SnapshotError as error:
            self._refuse(received, str(error))
            return
        if (content.cluster, content.index, content.term) != (self.cluster, received.index, received.term):
            self._refuse(received, f"it says to be of entry {content.index} of term {content.term}")
            return
        self._files.write(taken(content, received.data, sent=True))

    def _refuse(self, received: ReceivedSnapshot, why: str) -> None:
        self.raft.receiver.forget(received.index)
        self._out.log("error", f"the leader sent a snapshot up to entry {received.index}, refused: {why}")

    @property
    def has_durable_snapshot(self) -> bool:
        """A snapshot has become durable, and :meth:`snapshot_durable` is to be called once Raft is drained."""
        return self._files.durable is not None

    def snapshot_durable(self, now_ns: int) -> Snapshot | None:
        """Deal with a snapshot that has become durable; returns it where the metadata is to be brought to it."""
        found = self._files.fetch()
        if found is None:
            return None
        index = found.raft.index
        if not found.sent:
            self.raft.snapshot_taken(found.raft)
            self._cut_log(now_ns)
            self._out.log("info", f"Snapshot of the metadata up to entry {index}: {len(found.raft.data)} bytes")
        elif self.raft.install(found.raft):
            self._journal.rewrite_due = self._journal.rewrite_needed = True
            self._out.log("info", f"Installed the leader's snapshot of the metadata up to entry {index}")
            return found.state
        return None

    def _cut_log(self, now_ns: int) -> None:
        """Let go of the entries that the snapshot includes, but for some that slow followers may want."""
        raft, config = self.raft, self._config
        self._journal.rewrite_due = True
        if raft.snapshot is None:
            return
        covered, entries, size = raft.snapshot.index, config.snapshot_entries, config.snapshot_bytes
        upto = raft.log.index_before(covered, entries // KEPT_SHARE, size // KEPT_SHARE)
        held = lowest_held(raft.progress.values(), now_ns - config.election_timeout_min_ns)
        if held is not None and held < upto:
            upto = max(held, raft.log.index_before(covered, KEPT_MOST * entries, KEPT_MOST * size))
        raft.compact(upto)
