"""Seals the segments of dead writers: the Raft leader fences, finds the tail, has it copied, publishes the count.

For each SEALING(e) that this leader committed, with the replica set frozen when it applied:

1. FENCING    fence every member at e; wait until S of them answered with a trustworthy length;
2. REPAIRING  tail = greatest length among them, or among S of them once nobody else can be reached; have short ones
              copy up to it, until Q of the set R' hold it (R' is the frozen set, or one with live spares, fenced at e
              too, in place of dead members);
3. PROPOSED   commit ``SEALING(e) -> SEALED(tail, R')``, which also opens the next segment.

Copies that acknowledged without a sync before the power was lost are untrusted and tell what is left of them. In a
segment that allows it, and where fewer than S others answered, the tail is the greatest length that any member tells,
once all of them have, or were taken out of the cluster: records that all who acknowledged them have lost are gone, and
SEALED says so for good (``power_cut``). Either way such a copy counts again once it has been filled up to the tail.

A leader that finds SEALING(e) from another recoverer commits SEALING(e + 1) first; epochs are never reused.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from walrus.core.config import MS, NodeConfig
from walrus.core.lease import LeaseTable
from walrus.core.metadata.commands import OPEN, SEALED, SEALING, BeginSealing, Seal, Writer, encode
from walrus.core.metadata.durability import ALWAYS, durability_text
from walrus.core.metadata.placement import choose_members, choose_writer, placeable, staying
from walrus.core.metadata.state import Metadata, NodeInfo, Segment, quorums
from walrus.core.outbox import Outbox
from walrus.core.peer import Member
from walrus.core.raft.output import LEADER
from walrus.core.raft.raft import Raft
from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, Fence, FenceReply, Repair
from walrus.core.wallclock import WallClock

RESEND_NS: Final = 100 * MS
SPARES_AFTER_NS: Final = 300 * MS
STUCK_AFTER_NS: Final = 2_000 * MS


class Recovery(msgspec.Struct):
    """One segment under recovery. ``lengths``: durable length of each member fenced at ``epoch``."""

    topic: str
    segment: Segment
    epoch: int
    frozen: tuple[Member, ...]
    members: tuple[Member, ...]  # R'
    began_ns: int
    sent_ns: int
    lengths: dict[Member, int]
    untrusted: dict[Member, int]  # who said that its copy is lost, and in which incarnation it was then
    sizes: dict[int, int]  # durable length -> bytes of a file of that length, the same for every copy
    survived: dict[Member, int]  # of those the length that a loss of power has left
    tail: int = -1
    power_cut: bool = False  # the tail is what was left, not what S members prove
    proposed: bool = False
    reported: bool = False

    def missing(self) -> str:
        """What this recovery waits for, in words for the operator."""
        if self.tail < 0:
            answered, needed = len([m for m in self.frozen if m in self.lengths]), quorums(len(self.frozen))[1]
            text = f"{answered} of nodes {_nodes(self.frozen)} have a copy and answered, {needed} must"
        else:
            holding, needed = len(self.holding()), quorums(len(self.members))[0]
            text = f"{holding} of nodes {_nodes(self.members)} hold its {self.tail} records, {needed} must"
        silent = [m for m in self.members if m not in self.lengths and m not in self.untrusted]
        if silent:
            text += f"; no answer from node {_nodes(silent)}: start it"
        lost = [m for m in self.untrusted if m not in self.survived]
        if lost:
            text += f"; lost or corrupt copy on node {_nodes(lost)}"
        if self.survived and self.tail < 0:
            text += (
                f"; node {_nodes(self.survived)} lost power with unsynced records: what is left counts once every node "
                "of the set has answered, or was given up with walrus-cli node remove N --force"
            )
        return text

    def sources(self) -> list[Member]:
        """Who has the tail, those included whose copy does not count yet."""
        lengths = {**self.survived, **self.lengths} if self.power_cut else self.lengths
        return [m for m, length in lengths.items() if length >= self.tail]

    def holding(self) -> list[Member]:
        """Members of R' that durably hold the tail."""
        return [m for m in self.members if self.lengths.get(m, -1) >= self.tail]


def _nodes(members: Iterable[Member]) -> str:
    return ", ".join(str(node) for node, _ in members)


class Recoveries:
    """Runs on every node, acts only while it leads Raft."""

    def __init__(
        self, out: Outbox, config: NodeConfig, metadata: Metadata, raft: Raft, leases: LeaseTable, wall: WallClock
    ) -> None:
        self._out = out
        self._config = config
        self._metadata = metadata
        self._raft = raft
        self._leases = leases
        self._wall = wall
        self._running: dict[tuple[str, int], Recovery] = {}
        self.count = 0  # recoveries that this node began
        self.power_cut_seals = 0  # those that had to go by what losses of power had left
        self._begun: dict[tuple[str, int], tuple[int, int]] = {}  # -> (epoch expected, term) of the proposal

    def stuck(self) -> dict[str, str]:
        """Segments that cannot be sealed as things stand, with the reason."""
        return {f"{r.topic}:{r.segment.number}": r.missing() for r in self._running.values() if r.reported}

    def _live(self, now_ns: int) -> tuple[int, ...]:
        return tuple(
            n for n in self._raft.committed_membership.voters
            if n == self._out.node_id or self._leases.answering(n, now_ns)
        )  # fmt: skip

    def tick(self, now_ns: int) -> None:
        """Find dead writers and orphaned recoveries; drive the running ones."""
        if self._raft.role is not LEADER:
            self._running.clear()
            self._begun.clear()
            return
        if self._raft.commit_index and self._raft.log.term(self._raft.applied_index) != self._raft.term:
            return  # not all that earlier leaders committed has been applied here yet
        for topic, segment in self._metadata.unsealed.items():
            if segment.state == SEALING:
                if (segment.recoverer, segment.recoverer_term) != (self._out.node_id, self._raft.term):
                    self._begin(topic, segment, now_ns)
            elif self._writer_gone(segment.writer, now_ns):
                self._begin(topic, segment, now_ns)
        for recovery in list(self._running.values()):
            self._drive(recovery, now_ns)

    def _writer_gone(self, writer: Writer, now_ns: int) -> bool:
        known = self._metadata.nodes.get(writer[0])
        if known is not None and known.writer != writer:
            return True
        return writer[0] != self._out.node_id and self._leases.lapsed(writer[0], now_ns)

    def _begin(self, topic: str, segment: Segment, now_ns: int) -> None:
        if self._begun.get((topic, segment.number)) == (segment.epoch, self._raft.term):
            return
        command = BeginSealing(topic, segment.number, segment.state, segment.epoch, self._out.node_id, self._raft.term)
        index = self._raft.propose(encode(command), now_ns)
        if index:
            # From now on the proposal may be committed at any time: a writer that is heard again must know before it
            # serves again.
            self._raft.withhold_lease(segment.writer[0], index)
            self._begun[topic, segment.number] = (segment.epoch, self._raft.term)

    def changed(self, topic: str, segment: Segment, now_ns: int) -> None:
        """The metadata of this segment moved: a SEALING of ours starts a recovery, anything else ends it."""
        key = (topic, segment.number)
        self._running.pop(key, None)
        if segment.state == SEALED:
            self._begun.pop(key, None)
        ours = (segment.recoverer, segment.recoverer_term) == (self._out.node_id, self._raft.term)
        if segment.state != SEALING or not ours or self._raft.role is not LEADER:
            return
        members = segment.members
        recovery = Recovery(topic, segment, segment.epoch, members, members, now_ns, now_ns, {}, {}, {}, {})
        self._running[key] = recovery
        self.count += 1
        self._out.log(
            "info",
            f"Sealing {topic}:{segment.number} at epoch {segment.epoch}: writer node {segment.writer[0]} is gone",
        )
        for member in members:
            self._out.send(member[0], Fence(topic, segment.number, segment.epoch))

    def removed(self, topic: str, below: int) -> None:
        """The topic's segments below a number are gone: there is nothing to recover."""
        for key in [key for key in (*self._running, *self._begun) if key[0] == topic and key[1] < below]:
            self._running.pop(key, None)
            self._begun.pop(key, None)

    def answered(self, sender: Member, message: FenceReply, now_ns: int) -> None:
        recovery = self._running.get((message.topic, message.segment))
        if recovery is None or message.epoch != recovery.epoch:
            return
        if sender not in recovery.frozen and sender not in recovery.members:
            return
        if message.status == ACCEPTED and (sender not in recovery.untrusted or sender in recovery.survived):
            recovery.untrusted.pop(sender, None)
            recovery.survived.pop(sender, None)
            recovery.lengths[sender] = max(recovery.lengths.get(sender, 0), message.length)
            recovery.sizes[message.length] = max(recovery.sizes.get(message.length, 0), message.size_bytes)
        elif message.status == UNTRUSTED:
            recovery.lengths.pop(sender, None)  # it may have answered, and lost its copy since
            recovery.untrusted.setdefault(sender, self._incarnation(sender))
            if message.power_cut:
                recovery.survived[sender] = message.length
                recovery.sizes[message.length] = max(recovery.sizes.get(message.length, 0), message.size_bytes)
        self._advance(recovery, now_ns)

    def _incarnation(self, member: Member) -> int:
        known = self._metadata.nodes.get(member[0])
        return known.incarnation if known is not None and known.member == member else 0

    def _drive(self, recovery: Recovery, now_ns: int) -> None:
        if now_ns - recovery.sent_ns < RESEND_NS:
            return
        recovery.sent_ns = now_ns
        waited_ns = now_ns - recovery.began_ns
        if not recovery.proposed and any(self._incarnation(m) != then for m, then in recovery.untrusted.items()):
            # It may have been a read error that is over. At a new epoch nothing counts that was said before.
            self._begin(recovery.topic, recovery.segment, now_ns)
        if not recovery.proposed and recovery.power_cut and all(map(self._given_up, recovery.sources())):
            self._begin(recovery.topic, recovery.segment, now_ns)  # go by what the others have left
        for member in dict.fromkeys(recovery.frozen + recovery.members):
            if member not in recovery.lengths or waited_ns >= SPARES_AFTER_NS:
                self._out.send(member[0], Fence(recovery.topic, recovery.segment.number, recovery.epoch))
        self._advance(recovery, now_ns)
        if recovery.tail >= 0 and not recovery.proposed and waited_ns >= SPARES_AFTER_NS:
            self._lower_tail(recovery, now_ns)
            self._call_spares(recovery, now_ns)
        if waited_ns >= STUCK_AFTER_NS and not recovery.proposed and not recovery.reported:
            recovery.reported = True
            text = f"Cannot seal {recovery.topic}:{recovery.segment.number} yet: {recovery.missing()}"
            self._out.log("error", text)

    def _advance(self, recovery: Recovery, now_ns: int) -> None:
        needed = quorums(len(recovery.frozen))[1]
        fenced = [recovery.lengths[m] for m in recovery.frozen if m in recovery.lengths]
        if len(fenced) < needed and not recovery.power_cut and not self._goes_by_what_is_left(recovery):
            return
        if recovery.tail < 0:
            recovery.power_cut = len(fenced) < needed
            recovery.tail = max(fenced + list(recovery.survived.values())) if recovery.power_cut else max(fenced)
            if recovery.power_cut:
                self._say_what_is_left(recovery)
        if len(recovery.holding()) >= quorums(len(recovery.members))[0]:
            self._propose(recovery, now_ns)
            return
        live = self._live(now_ns)
        sources = recovery.sources()
        if not sources:
            return
        source = min(sources, key=lambda m: (m in recovery.survived, m[0] not in live, m))
        for member in dict.fromkeys((*recovery.members, source)):
            short = 0 <= recovery.lengths.get(member, -1) < recovery.tail and source not in recovery.survived
            if short or (member in recovery.survived and (member == source or source not in recovery.survived)):
                repair = Repair(recovery.topic, recovery.segment.number, recovery.epoch, recovery.tail, source[0])
                self._out.send(member[0], repair)

    def _goes_by_what_is_left(self, recovery: Recovery) -> bool:
        """Whether losses of power are all that keeps S members from proving the tail, and nobody can tell more."""
        told = [m for m in recovery.frozen if m in recovery.lengths or m in recovery.survived]
        return (
            recovery.segment.durability != ALWAYS
            and any(m in recovery.survived for m in told)
            and len(told) >= quorums(len(recovery.frozen))[1]
            and all(m in told or m in recovery.untrusted or self._given_up(m) for m in recovery.frozen)
        )

    def _given_up(self, member: Member) -> bool:
        """The operator took it out of the cluster, or another disk in its place in."""
        known = self._raft.committed_membership.get(member[0])
        return known is None or known.storage != member[1]

    def _say_what_is_left(self, recovery: Recovery) -> None:
        self.power_cut_seals += 1
        self._out.log(
            "error",
            f"{recovery.topic}:{recovery.segment.number}: power was lost on node {_nodes(recovery.survived)} before "
            f"everything was synced (durability {durability_text(recovery.segment.durability)}); it is sealed with the "
            f"{recovery.tail} records that are left, and acknowledged ones may be missing",
        )

    def _lower_tail(self, recovery: Recovery, now_ns: int) -> None:
        """Where nobody who holds the tail can be reached any more, do with the tail of S members that can.

        Any S fenced members hold every acknowledged record between them, and nothing was published yet.
        """
        live = self._live(now_ns)
        if any(self._is_there(m, live) for m in recovery.lengths if recovery.lengths[m] >= recovery.tail):
            return
        reached = [recovery.lengths[m] for m in recovery.frozen if m in recovery.lengths and self._is_there(m, live)]
        if len(reached) >= quorums(len(recovery.frozen))[1]:
            recovery.tail = max(reached)

    def _is_there(self, member: Member, live: tuple[int, ...]) -> bool:
        """The node lives, and with this disk."""
        known = self._metadata.nodes.get(member[0])
        return member[0] in live and (known is None or known.storage == member[1])

    def _call_spares(self, recovery: Recovery, now_ns: int) -> None:
        """Put live nodes in place of members that are dead or have lost their copy, unless they hold the tail.

        Those that were replaced may come back while their spare is gone, and are taken first.
        """
        live = self._live(now_ns)
        unfit = [
            member
            for member in recovery.members
            if (not self._is_there(member, live) or (member in recovery.untrusted and member not in recovery.survived))
            and recovery.lengths.get(member, -1) < recovery.tail
        ]
        taken = {m[0] for m in recovery.members if m not in unfit}
        found = [self._metadata.nodes[n].member for n in live if n in self._metadata.nodes and n not in taken]
        spares = [member for member in found if member not in recovery.untrusted]
        stay = staying(self._metadata.nodes, self._raft.committed_membership.voters)
        spares.sort(key=lambda member: (member[0] not in stay, -recovery.lengths.get(member, -1)))
        members = []
        for member in recovery.members:
            if member in unfit and spares:
                members.append(spares.pop(0))
            else:
                members.append(member)
        recovery.members = tuple(sorted(members))

    def _propose(self, recovery: Recovery, now_ns: int) -> None:
        if recovery.proposed:
            return
        after = recovery.segment.writer[0]
        live, nodes = self._live(now_ns), self._metadata.nodes
        voters = placeable(nodes, self._raft.committed_membership)
        successor: NodeInfo | None = choose_writer(nodes, voters, live, after)
        if successor is None:
            return
        following = choose_members(nodes, voters, live, successor, self._config.target_replicas)
        command = Seal(
            recovery.topic, recovery.segment.number, SEALING, recovery.epoch, recovery.tail, recovery.members,
            successor.writer, following, None,
            recovery.sizes.get(recovery.tail, 0), self._wall.milliseconds(now_ns), recovery.power_cut,
        )  # fmt: skip
        recovery.proposed = bool(self._raft.propose(encode(command), now_ns))
        assert recovery.segment.state != OPEN
