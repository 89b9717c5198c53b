"""What operators ask of nodes: NODES, and NODE with an action. Any node answers; what changes is a metadata command."""

from typing import Any, Final

from walrus.core.clients import ClientSessions, Slot
from walrus.core.departures import Departures, listed
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import ACTIVE, DRAINING, LEAVING, LOST, NODE_STATE_NAMES, SetNodeState, encode
from walrus.core.metadata.placement import holdings, staying
from walrus.core.metadata.state import Metadata, NodeInfo
from walrus.core.proposals import Outcome, Proposals
from walrus.core.raft.membership import MemberInfo
from walrus.core.raft.quorum import majority
from walrus.core.raft.raft import Raft
from walrus.core.status import to_json
from walrus.core.wire import NO_LEADER, NODES, Request, error

_ANSWERS: Final = {
    ACTIVE: "stays",
    DRAINING: "is being drained",
    LEAVING: "is removed once it is drained",
    LOST: "is taken out now",
}


_FEW: Final = 2  # voters; of two, one may leave the other alone


class Operators:
    """Takes requests once this node has applied everything that was committed when they came."""

    def __init__(
        self, metadata: Metadata, raft: Raft, liveness: Liveness, sessions: ClientSessions, proposals: Proposals,
        departures: Departures,
    ) -> None:  # fmt: skip
        self._metadata = metadata
        self._raft = raft
        self._liveness = liveness
        self._sessions = sessions
        self._proposals = proposals
        self._departures = departures
        self._asked: dict[int, tuple[Slot, int, int, int]] = {}  # rid -> (who, node, wanted state, deadline)

    @property
    def waiting(self) -> int:
        return len(self._asked)

    def request(self, slot: Slot, request: Request, deadline_ns: int) -> None:
        """NODES, or NODE: ``payload`` has the action, ``segment`` the node, ``offset`` is 1 for FORCE."""
        members = self._raft.committed_membership.members
        if request.verb == NODES:
            self._sessions.answer(slot, to_json([self._row(member) for member in members]))
            return
        member = self._raft.committed_membership.get(request.segment)
        if member is None:
            known = ", ".join(str(other.node) for other in members)
            self._sessions.answer(slot, error(f"node {request.segment} is no member: expected one of {known}"))
        elif request.payload == b"STATUS":
            self._sessions.answer(slot, to_json(self._details(member)))
        else:
            self._change(slot, request, member, deadline_ns)

    def _change(self, slot: Slot, request: Request, member: MemberInfo, deadline_ns: int) -> None:
        info = self._announced(member)
        if info is None:
            self._sessions.answer(slot, error(f"node {member.node} has not announced itself yet: start it once"))
            return
        wanted = self._wanted(info, request.payload, force=request.offset == 1)
        if isinstance(wanted, str):
            self._sessions.answer(slot, error(wanted))
            return
        rid = self._proposals.submit(encode(SetNodeState(*info.member, wanted)))
        self._asked[rid] = (slot, info.node, wanted, deadline_ns)

    def outcome(self, outcome: Outcome) -> bool:
        """A command was decided; False if it is not ours."""
        asked = self._asked.pop(outcome.rid, None)
        if asked is None:
            return False
        slot, node, wanted, _ = asked
        done = f"OK node {node} {_ANSWERS[wanted]}".encode()
        self._sessions.answer(slot, done if outcome.applied else error(outcome.reason))
        return True

    def tick(self, now_ns: int) -> None:
        """Refuse what has waited too long for a leader; it may be carried out yet."""
        for rid in [rid for rid, asked in self._asked.items() if asked[3] <= now_ns]:
            self._proposals.withdraw(rid)
            self._sessions.answer(self._asked.pop(rid)[0], NO_LEADER)

    # --- what may be done: the state that is wanted, or why not ---

    def _wanted(self, info: NodeInfo, action: bytes, *, force: bool) -> str | int:
        if action == b"DRAIN":
            return self._drain(info)
        if action == b"REMOVE":
            return self._remove(info, force=force)
        if action == b"REPLACE":
            return self._replace(info)
        assert action == b"UNDRAIN"
        return ACTIVE

    def _drain(self, info: NodeInfo) -> str | int:
        """Moves all to others, of which there must be some."""
        voters = self._raft.committed_membership.voters
        others = [n for n in staying(self._metadata.nodes, voters) if n != info.node]
        if not any(n in self._liveness.live for n in others):
            return f"node {info.node} cannot be drained: no other voter lives that is not drained itself"
        if info.state == ACTIVE and len(voters) > _FEW and len(others) < majority(len(voters)):
            left = ", ".join(map(str, others))
            return (
                f"node {info.node} cannot be drained yet: of {len(voters)} voters only {left} would be left to hold "
                "everything; remove or call back the nodes that are drained already"
            )
        return max(DRAINING, info.state)  # who leaves is drained too

    def _remove(self, info: NodeInfo, *, force: bool) -> str | int:
        """A live node moves its copies away first; of a dead one others must surely have all there is."""
        refusal = self._departures.why_no_quorum(info.node)
        if refusal:
            return f"node {info.node} cannot be removed: {refusal}"
        lives = info.node in self._liveness.live
        if force and lives:
            return f"node {info.node} lives: --force gives up the copies of a dead node; remove it without"
        if force:
            return LOST
        if not lives and (refusal := self._why_lost(info)):
            return refusal
        drains = self._drain(info)
        return drains if isinstance(drains, str) else max(LEAVING, drains)

    def _replace(self, info: NodeInfo) -> str | int:
        """A dead node goes at once, and those that stay copy what it had from one another."""
        if info.node in self._liveness.live:
            return f"node {info.node} lives: drain and remove it instead of replacing it"
        refusal = self._departures.why_no_quorum(info.node)
        if refusal:
            return f"node {info.node} cannot be replaced: {refusal}"
        return self._why_lost(info) or LOST

    def _why_lost(self, info: NodeInfo) -> str:
        lost = self._departures.lost_without(info.member)
        if not lost:
            return ""
        return (
            f"node {info.node} is down, and only its disk surely holds all of {listed(lost)}: start it, or give that "
            f"up with walrus-cli node remove {info.node} --force"
        )

    # --- what is shown ---

    def _announced(self, member: MemberInfo) -> NodeInfo | None:
        info = self._metadata.nodes.get(member.node)
        return info if info is not None and info.storage == member.storage else None

    def _row(self, member: MemberInfo) -> dict[str, Any]:
        info, who = self._announced(member), (member.node, member.storage)
        return {
            "node": member.node,
            "address": member.address,
            "client_address": info.client_address if info is not None else "",
            "state": NODE_STATE_NAMES[info.state if info is not None else ACTIVE],
            "live": member.node in self._liveness.live,
            "voter": member.voter,
            "raft_leader": member.node == self._raft.leader,
            "segments": sum(holdings(self._metadata, who).values()),
            "writes": sum(topic.last.writer[:2] == who for topic in self._metadata.topics.values()),
        }

    def _details(self, member: MemberInfo) -> dict[str, Any]:
        who = (member.node, member.storage)
        return {
            **self._row(member),
            "storage": f"{member.storage:016x}",
            "topics": holdings(self._metadata, who),
            "last_copies": self._departures.lost_without(who),
            "waits_for": self._departures.waits_for.get(member.node, ""),
        }
