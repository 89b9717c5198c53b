"""Leases on the side of the Raft leader (design 5; Ongaro's dissertation, 6.4.1 and 4.2.3). All times by its own clock.

- It confirms a lease only within one lease of the sending of a heartbeat round that a quorum has answered: so long
  nobody else can have been elected. Never again in its term once it told another node to lead, for that one may be
  elected at any time.
- It confirms none to the writer of a segment that its log holds a BeginSealing against, before that process has applied
  the entry.
- It takes a node's lease for over no earlier than a lease and the margin after it last heard from it, and after its own
  election. That lease is then over by the clock of its holder, unless clocks are off by more than leases allow for.
"""

from collections.abc import Iterable

from walrus.core.metadata.commands import BeginSealing, decode
from walrus.core.metadata.state import Segment
from walrus.core.peer import ENTRY_NORMAL, Heartbeat, HeartbeatReply, TimeoutNow
from walrus.core.raft.membership import MemberInfo
from walrus.core.raft.output import LEADER
from walrus.sim import probe
from walrus.sim.checkers.opened import body, opened
from walrus.sim.checkers.stable_storage import Member
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import MS, Violation

LONG_AGO_NS = -(1 << 62)
_KEPT_ROUNDS = 256


class Leading:
    """What a leader has said and heard in its term."""

    __slots__ = (
        *("acks", "alone", "elected_ns", "handed_over", "heard_ns", "life", "quorum_ns", "round_due", "scanned"),
        *("sealings", "sent_ns", "seq", "term"),
    )

    def __init__(self, host: Host, term: int) -> None:
        self.life = host.life
        self.term = term
        self.elected_ns = host.now_ns()
        self.alone = False  # the only voter, as of the last look
        self.seq = 0  # of the newest round
        self.sent_ns: dict[int, int] = {}  # round -> when it was sent
        self.acks: dict[Member, int] = {}  # newest round that it answered
        self.heard_ns: dict[Member, int] = {}  # when that answer came
        self.quorum_ns = LONG_AGO_NS  # when the newest round with a quorum's answers was sent
        self.handed_over = 0  # to whom
        self.round_due = False  # a round began since the last look at who is given up
        self.scanned = 0  # entries up to here were looked at
        self.sealings: dict[int, list[tuple[int, str, Segment]]] = {}  # writer's node -> index, topic, segment

    def look_around(self, host: Host, raft: RaftView) -> None:
        """Whoever is the only voter, or was until just now, needs no answer; its rounds may leave no messages."""
        was_alone, self.alone = self.alone, raft.membership.voters == (host.node_id,)
        if was_alone or self.alone:
            self.quorum_ns = host.now_ns()

    def count(self, node: int, members: Iterable[MemberInfo]) -> None:
        """Which round has a quorum of these voters answered?"""
        acks = [
            self.seq if member.node == node else self.acks.get((member.node, member.storage), 0)
            for member in members
            if member.voter
        ]
        if acks:
            acks.sort(reverse=True)
            self.quorum_ns = max(self.quorum_ns, self.sent_ns.get(acks[len(acks) // 2], LONG_AGO_NS))


class LeaseGrants:
    """``leading``: by node, of the newest term that it leads or led in."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.leading: dict[int, Leading] = {}
        cluster.network.when_sent("Heartbeat", self._confirms)
        cluster.network.when_sent("TimeoutNow", self._hands_over)
        cluster.network.when_received("HeartbeatReply", self._answered)

    def now_leading(self, host: Host, raft: RaftView) -> Leading | None:
        """What is known of a node in its present term, if it leads."""
        if raft.role is not LEADER:
            return None
        found = self.leading.get(host.node_id)
        if found is None or found.term != raft.term or found.life != host.life:
            found = self.leading[host.node_id] = Leading(host, raft.term)
        return found

    # --- messages ---

    def _confirms(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        host = self._cluster.host(sender)
        raft = probe.raft(host)
        assert isinstance(message, Heartbeat)
        leading = self.now_leading(host, raft) if raft is not None else None
        if raft is None or leading is None or message.term != leading.term:
            return
        now_ns = host.now_ns()
        leading.look_around(host, raft)
        if message.seq > leading.seq:
            leading.seq = message.seq
            leading.sent_ns[message.seq] = now_ns
            leading.sent_ns.pop(message.seq - _KEPT_ROUNDS, None)
            leading.round_due = True
        if message.confirmed_seq:
            if leading.handed_over:
                raise Violation(
                    f"leases: node {sender} confirms one to node {to} in term {leading.term}, and has told node "
                    f"{leading.handed_over} to lead"
                )
            self._check_quorum(host, raft, leading, to, now_ns)
            if to in leading.sealings:
                self._check_sealings(leading, sender, to)

    def _hands_over(self, sender: int, to: int, data: bytes) -> None:
        leading, message = self.leading.get(sender), body(data)
        assert isinstance(message, TimeoutNow)
        if leading is not None and leading.term == message.term:
            leading.handed_over = to

    def _answered(self, sender: int, to: int, data: bytes) -> None:
        host = self._cluster.host(to)
        raft, leading = probe.raft(host), self.leading.get(to)
        envelope, message = opened(data)
        assert isinstance(message, HeartbeatReply)
        if raft is None or leading is None or leading.life != host.life or leading.term != message.term:
            return
        member = (sender, envelope.sender_storage)
        known = raft.membership.get(sender)
        if known is not None and known.storage == member[1] and message.seq > leading.acks.get(member, 0):
            leading.acks[member] = message.seq
            leading.heard_ns[member] = host.now_ns()
            leading.count(to, raft.membership.members)

    # --- confirming ---

    def _check_quorum(self, host: Host, raft: RaftView, leading: Leading, to: int, now_ns: int) -> None:
        lease_ns = host.config.lease_ns
        if now_ns < leading.quorum_ns + lease_ns:
            return
        leading.count(host.node_id, raft.membership.members)
        if now_ns >= leading.quorum_ns + lease_ns:
            raise Violation(
                f"leases: node {host.node_id} confirms one to node {to} in term {leading.term}, and no round that it "
                f"sent within the last {lease_ns // MS} ms was answered by a quorum"
            )

    def _check_sealings(self, leading: Leading, sender: int, to: int) -> None:
        holder = self._cluster.host(to)
        raft = probe.raft(holder)
        if raft is None:
            return
        for index, topic, segment in leading.sealings.pop(to):
            if probe.lifetime(holder) != segment.writer or raft.applied_index >= index:
                continue
            raise Violation(
                f"leases: node {sender} confirms one to node {to}, which has applied {raft.applied_index} entries, "
                f"and entry {index} is to take {topic}:{segment.number} from it"
            )

    def _scan(self, host: Host, raft: RaftView, leading: Leading) -> None:
        """Note the BeginSealing in what was appended; of a new leader in all its log."""
        state = probe.metadata(host)
        for index in range(max(leading.scanned, raft.log.snapshot_index) + 1, raft.log.last_index + 1):
            entry = raft.log.entry(index)
            if entry.kind != ENTRY_NORMAL or b"sealing" not in entry.data[:10] or state is None:
                continue
            command = decode(entry.data)
            if isinstance(command, BeginSealing) and command.recoverer:  # 0: its writer asks for it, and has stopped
                topic = state.topics.get(command.topic)
                segment = topic.segment(command.segment) if topic is not None else None
                if segment is not None:
                    leading.sealings.setdefault(segment.writer[0], []).append((index, command.topic, segment))
        leading.scanned = raft.log.last_index

    # --- expiring ---

    def after_turn(self, host: Host) -> None:
        """Of a leader: whose lease does it take for over?"""
        raft = probe.raft(host)
        leading = self.now_leading(host, raft) if raft is not None else None
        if raft is None or leading is None:
            return
        leading.look_around(host, raft)
        if raft.log.last_index != leading.scanned:
            self._scan(host, raft, leading)
        if leading.round_due:
            leading.round_due = False
            for member in raft.membership.members:
                if member.node != host.node_id and probe.gives_up(host, member.node):
                    self._check_given_up(host, leading, member)

    def _check_given_up(self, host: Host, leading: Leading, member: MemberInfo) -> None:
        hold_ns = host.config.lease_ns + host.config.lease_margin_ns
        now_ns = host.now_ns()
        who = f"leases: node {host.node_id} in term {leading.term} takes that of node {member.node} for over"
        if now_ns < leading.elected_ns + hold_ns:
            raise Violation(f"{who} {(now_ns - leading.elected_ns) // MS} ms after its own election")
        heard_ns = leading.heard_ns.get((member.node, member.storage))
        if heard_ns is not None and now_ns < heard_ns + hold_ns:
            raise Violation(f"{who} {(now_ns - heard_ns) // MS} ms after it heard from it")
        holder = self._cluster.host(member.node)
        raft = probe.raft(holder)
        if raft is None or raft.term > leading.term or probe.storage(holder) != member.storage:
            return  # a newer leader may have confirmed another one
        if self._cluster.clocks_within_margin and probe.holds_lease(holder):
            raise Violation(f"{who}, which holds one")
