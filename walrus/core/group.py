"""This node's part in the Raft group: drives the machine, journals what it says, checks who is who."""

from walrus.core.actions import SetPeerAddress
from walrus.core.config import NodeConfig
from walrus.core.lease import Lease, LeaseTable
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import CreateTopic, RegisterNode, decode, encode
from walrus.core.metadata.state import Metadata, NodeInfo
from walrus.core.outbox import Outbox
from walrus.core.peer import (
    ENTRY_NORMAL,
    AppendEntries,
    AppendReply,
    Entry,
    Envelope,
    JoinReply,
    JoinRequest,
    Message,
    RaftMessage,
)
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import LEADER, HardState, RaftOutput
from walrus.core.raft.raft import Raft
from walrus.core.rng import Generator
from walrus.core.startup import Ready
from walrus.core.storage.journal import Cluster, encode_raft, encode_record

FIRST_TOPIC = "logs"


class Group:
    """``cluster`` is 0 until this node belongs to one."""

    def __init__(self, out: Outbox, config: NodeConfig, rng: Generator, ready: Ready, now_ns: int) -> None:
        journal = ready.journal
        self._out = out
        self._config = config
        self._rng = rng
        self._journal = ready.journal_log
        self.cluster = out.cluster = journal.cluster if journal else 0
        self.raft = Raft(
            config.node_id,
            ready.storage,
            config,
            rng,
            hard_state=journal.hard_state if journal else HardState(),
            entries=journal.entries if journal else [],
            now_ns=now_ns,
        )
        self._marks: dict[int, tuple[int, int]] = {}  # journal token -> (index, term) of its last entry
        self._unwritten: list[tuple[int, RaftMessage]] = []  # their records are in no write yet
        self._led = False
        self._membership = Membership()
        self._strangers: dict[tuple[int, int], None] = {}  # complained about already
        self._follow_membership()

    # --- who is who ---

    def bootstrap(self, info: RegisterNode, now_ns: int) -> None:
        """Start a cluster of this node alone, with the topic every client expects."""
        self.adopt(self._rng.getrandbits(63) | 1)
        member = (info.node, info.storage)
        first = CreateTopic(FIRST_TOPIC, (info.node, info.storage, info.incarnation), (member,))
        founder = MemberInfo(info.node, info.storage, info.address, voter=True)
        self.raft.bootstrap(founder, [encode(info), encode(first)], now_ns)
        self._out.log("info", f"Bootstrapped cluster {self.cluster:016x}")

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
        if envelope.recipient_storage and envelope.recipient_storage != out.storage_id:
            return False
        if envelope.sender == out.node_id:
            if envelope.sender_storage != out.storage_id:
                self._complain(envelope)
            return False  # own messages never take the wire: another process was given this node's number
        kind = type(message)
        if kind is JoinRequest:
            return envelope.cluster in (0, self.cluster)
        if kind is JoinReply:
            return not self.cluster or envelope.cluster == self.cluster
        if not self.cluster or envelope.cluster != self.cluster:
            return False
        if self.raft.storage_of.get(envelope.sender, envelope.sender_storage) != envelope.sender_storage:
            self._complain(envelope)
            return False
        return True

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
        mark = None
        token = 0
        for record in output.records:
            token = self._journal.append(encode_raft(record))
            if isinstance(record, Entry):
                mark = (record.index, record.term)
        if mark is not None:
            self._marks[token] = mark
        self._follow_membership()
        for to, message, durable in output.messages:
            if durable and self._journal.appender.has_waiting:
                self._unwritten.append((to, message))
            else:
                self._send(to, message, self._journal.appender.flying_token if durable else 0)
        if self.raft.role is LEADER and not self._led:
            leases.elected(now_ns)
        self._led = self.raft.role is LEADER
        for node, _ in output.heartbeat_acks:
            leases.answered(node, now_ns)
        for _, term, seq, confirmed_seq in output.granted:
            lease.heartbeat(term, seq, confirmed_seq, now_ns)
        for note in output.notes:
            self._out.log("info", note)
        return output

    def _send(self, to: int, message: RaftMessage, after: int) -> None:
        urgent = not isinstance(message, AppendEntries | AppendReply)
        self._out.send(to, message, after=after, urgent=urgent)

    def apply(self, entry: Entry, metadata: Metadata) -> str:
        """Apply a committed entry; "" or why its command was refused."""
        return metadata.apply(decode(entry.data)) if entry.kind == ENTRY_NORMAL else ""

    def flush(self) -> None:
        write = self._journal.appender.flush()
        if write is not None:
            self._out.add(write)
            unwritten, self._unwritten = self._unwritten, []
            for to, message in unwritten:
                self._send(to, message, write.token)

    def write_completed(self, token: int) -> bool:
        """Take a completed journal write; False if the token is not ours."""
        if token != self._journal.appender.flying_token:
            return False
        self._journal.appender.completed(token)
        mark = self._marks.pop(token, None)
        if mark is not None:
            self.raft.persisted(*mark)
        return True
