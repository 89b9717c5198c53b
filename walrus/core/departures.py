"""Nodes leave: the Raft leader takes out those that have nothing any more, or whose disk is lost.

What an operator wants is a state of the node in the metadata, so it outlives leaders and may be asked of any node. The
segments of a node that is to leave move by what moves them anyhow (rollover, upkeep); here is what comes after.
"""

from typing import Final

from walrus.core.config import MS, SECOND, NodeConfig
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import ACTIVE, LEAVING, LOST, SetNodeState, encode
from walrus.core.metadata.placement import endangered, staying
from walrus.core.metadata.state import Metadata, NodeInfo
from walrus.core.outbox import Outbox
from walrus.core.peer import Member
from walrus.core.raft.output import LEADER
from walrus.core.raft.quorum import majority
from walrus.core.raft.raft import Raft

LOOK_NS: Final = 250 * MS
HAND_OVER_NS: Final = 2 * SECOND
SETTLE_NS: Final = 1 * SECOND
"""What was on its way when a node was to leave, and names it, has mostly come after so long; the rest is repaired."""
SILENT_NS: Final = 10 * SECOND
"""A node that has not been heard of for so long is dead to one that comes with its number and another disk."""
SURE_NS: Final = 2 * SECOND
"""A node that is live for so long since another one asked for its number has been heard meanwhile."""
NAMED_MOST: Final = 5  # segments or topics in one sentence


def listed(names: list[str]) -> str:
    """Some names in words, the rest as a number."""
    more = f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else ""
    return ", ".join(names[:NAMED_MOST]) + more


class Departures:
    """Runs on every node, acts only while it leads Raft. ``waits_for``: why each node that is to go is still there."""

    def __init__(self, out: Outbox, config: NodeConfig, metadata: Metadata, raft: Raft, liveness: Liveness) -> None:
        self._out = out
        self._config = config
        self._metadata = metadata
        self._raft = raft
        self._liveness = liveness
        self._next_look_ns = 0
        self._next_hand_over_ns = 0
        self._names: dict[Member, tuple[str, int]] = {}  # a segment that was found to name the member
        self._free_since_ns: dict[Member, int] = {}  # since when no segment names the member
        self._asked: dict[Member, tuple[int, int]] = {}  # whose number another disk has come with: first, last time
        self.waits_for: dict[int, str] = {}

    def tick(self, now_ns: int) -> None:
        """Hand leadership over if this node is to leave; remove who is ready to go."""
        if self._raft.role is not LEADER:
            self._names.clear()
            self._free_since_ns.clear()
            self.waits_for.clear()
            return
        if now_ns < self._next_look_ns or not self._is_current():
            return
        self._next_look_ns = now_ns + LOOK_NS
        for info in self._metadata.nodes.values():
            known = self._raft.membership.get(info.node)
            if info.state == ACTIVE or known is None or known.storage != info.storage:
                self._names.pop(info.member, None)
                self._free_since_ns.pop(info.member, None)
                self.waits_for.pop(info.node, None)
            elif info.node == self._out.node_id and self._hands_over(now_ns):
                return
            elif info.state >= LEAVING:
                self._remove(info, now_ns)

    def _is_current(self) -> bool:
        """All that earlier leaders committed has been applied here."""
        return self._raft.log.term(self._raft.applied_index) == self._raft.term

    def _hands_over(self, now_ns: int) -> bool:
        """Leadership is one of the things that move to others; if it cannot, this leader removes itself in the end."""
        if now_ns < self._next_hand_over_ns:
            return self._raft.is_transferring
        self._next_hand_over_ns = now_ns + HAND_OVER_NS
        voters = self._raft.committed_membership.voters
        stay = staying(self._metadata.nodes, voters)
        avoided = tuple(n for n in voters if n not in stay)
        return self._out.node_id not in stay and self._raft.transfer_leadership(now_ns, avoided)

    def _remove(self, info: NodeInfo, now_ns: int) -> None:
        if info.state == LEAVING and self._is_named(info.member):
            topic, number = self._names[info.member]
            refusal = f"segments name it still, such as {topic}:{number}"
            self._free_since_ns.pop(info.member, None)
        elif info.state == LEAVING and now_ns - self._free_since_ns.setdefault(info.member, now_ns) < SETTLE_NS:
            refusal = "it has nothing any more, but others may not all have heard yet that it gets nothing new"
        else:
            refusal = self._raft.remove(info.member, now_ns)
        if refusal:
            self.waits_for[info.node] = refusal
        else:
            self.waits_for.pop(info.node, None)

    def _is_named(self, member: Member) -> bool:
        """Whether the set of some segment names the member, or it is the writer of one that is not sealed."""
        topics = self._metadata.topics
        found = self._names.get(member)
        if found is not None and found[0] in topics and self._names_it(found, member):
            return True
        for topic in topics.values():
            for segment in topic.segments:
                if self._names_it((topic.name, segment.number), member):
                    self._names[member] = (topic.name, segment.number)
                    return True
        return False

    def _names_it(self, key: tuple[str, int], member: Member) -> bool:
        topic = self._metadata.topics[key[0]]
        segment = topic.segment(key[1])
        if segment is None:
            return False
        return member in segment.members or (segment is topic.last and segment.writer[:2] == member)

    # --- what may be asked for ---

    def why_no_quorum(self, node: int) -> str:
        """Why the cluster could decide nothing without this voter, or ""."""
        voters = self._raft.committed_membership.voters
        left = [n for n in voters if n != node]
        if node not in voters:
            return ""
        if not left:
            return f"node {node} is the only voter"
        alive = sum(n in self._liveness.live for n in left)
        if alive >= majority(len(left)):
            return ""
        names = ", ".join(map(str, left))
        return f"without node {node} the voters would be {names}, of which {alive} live and {majority(len(left))} must"

    def lost_without(self, member: Member) -> list[str]:
        """The segments of which the last sure copy would be lost with a dead member."""
        voters = self._raft.committed_membership.voters
        found = endangered(self._metadata, voters, self._liveness.live, member)
        return [f"{topic}:{number}" for topic, number in found]

    def make_way(self, known: Member, now_ns: int) -> tuple[str, bool]:
        """A node has come with the number of a member and another disk; asked of the leader.

        Returns why it cannot be taken yet, and whether asking again will not help. If the member is dead it is removed.
        """
        node = known[0]
        first_ns, last_ns = self._asked.get(known, (now_ns, now_ns))
        if now_ns - last_ns >= SURE_NS:
            first_ns = now_ns
        self._asked[known] = (first_ns, now_ns)
        if node in self._liveness.live:
            # One that has just died counts as live for as long as it may hold a lease.
            sure = now_ns - first_ns >= SURE_NS
            return f"node {node} lives, with another disk: give the new node a number of its own", sure
        if not self._is_current():
            return "the leader has not applied what earlier leaders committed yet", False
        patience_ns = min(SILENT_NS, self._config.replace_after_ns)
        if not self._liveness.gone([node], patience_ns, now_ns):
            return f"node {node} may live, with another disk: it is replaced once it is silent for long enough", False
        info = self._metadata.nodes.get(node)
        if info is None or info.member != known:
            refusal = self._raft.remove(known, now_ns)  # it never came as far as to announce itself
            return refusal or f"node {node} with its old disk is being removed", False
        refusal = self.why_no_quorum(node)
        if not refusal and (lost := self.lost_without(known)):
            refusal = (
                f"only the old disk of node {node} surely holds all of {listed(lost)}: bring it back, or give it up "
                f"with walrus-cli node remove {node} --force"
            )
        if refusal:
            return refusal, False
        if info.state != LOST:
            self._out.log("warn", f"Node {node} has come with another disk; the old one is taken out of the cluster")
            self._raft.propose(encode(SetNodeState(*known, LOST)), now_ns)
        return f"node {node} with its old disk is being removed", False
