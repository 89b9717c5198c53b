"""Becoming a member: the joiner asks until the leader takes it; any node tells where the leader is."""

from typing import Final

from walrus.core.actions import SendToAddress, SetPeerAddress
from walrus.core.config import MS, SECOND, NodeConfig
from walrus.core.departures import Departures
from walrus.core.outbox import Outbox
from walrus.core.peer import JoinReply, JoinRequest, Member
from walrus.core.raft.membership import MemberInfo
from walrus.core.raft.raft import Raft

RETRY_NS: Final = 250 * MS
SILENCE_NS: Final = 1_000 * MS
COMPLAIN_NS: Final = 5 * SECOND
TRY_AGAIN: Final = "not the leader"
ONLY_ASKED: Final = "only asked"
KNOWS_NONE: Final = "it runs, and belongs to no cluster itself yet"
NO_ANSWER: Final = "no answer (give --join the raft port of a member that runs and that this machine can reach)"


def why_removed(me: Member, *, abandoned: bool) -> str:
    """Why a node that is no member any more stops; ``abandoned``: its cluster went on without it."""
    which = f"node {me[0]} with this data directory (storage id {me[1]:016x}) was removed from the cluster"
    if not abandoned:
        return f"{which}; start it with an empty data directory to join anew"
    return (
        f"{which}, which has gone on without it (an operator used unsafe recovery on another node); what it holds is "
        "no part of it any more: start it with an empty data directory to join anew"
    )


class Joining:
    """Both sides of a join. ``cluster`` is set once, from the first answer that accepts this node."""

    def __init__(self, out: Outbox, config: NodeConfig, raft: Raft, now_ns: int, departures: Departures) -> None:
        self._out = out
        self._departures = departures
        self._config = config
        self._raft = raft
        self._targets = [*config.join, *config.initial_peers]
        self._heard_ns = now_ns  # from a leader
        self._attempt = 0
        self._next_ns = now_ns
        self._complained_ns = now_ns
        self._last_error = NO_ANSWER
        self.refused = ""  # why this node can never join as it is

    @property
    def has_targets(self) -> bool:
        """This node was told of a cluster."""
        return bool(self._targets)

    def heard_leader(self, now_ns: int) -> None:
        self._heard_ns = now_ns

    def _wanted(self, now_ns: int) -> bool:
        """In no cluster yet; or taken in by a leader whose successor may not know of it, since it is silent."""
        if not self._raft.membership.members:
            return True
        return not self._raft.is_voter and now_ns - self._heard_ns >= SILENCE_NS

    def _addresses(self) -> list[str]:
        known = [m.address for m in self._raft.membership.members if m.node != self._out.node_id]
        return list(dict.fromkeys(self._targets + known))

    def tick(self, now_ns: int, *, everybody: bool = False) -> None:
        """Ask the next address, or ``everybody`` at once."""
        if now_ns < self._next_ns or not self._wanted(now_ns):
            return
        self._next_ns = now_ns + RETRY_NS
        addresses = self._addresses()
        if not addresses:
            return
        address = addresses[self._attempt % len(addresses)]
        self._attempt += 1
        request = JoinRequest(self._out.node_id, self._out.storage_id, self._config.advertise_address)
        for asked in addresses if everybody else (address,):
            self._out.add(SendToAddress(asked, self._out.encode(0, request)))
        if now_ns - self._complained_ns >= COMPLAIN_NS:
            self._complained_ns = now_ns
            self._out.log("warn", f"Failed to join cluster through {address} so far: {self._last_error}; still trying")

    def requested(self, message: JoinRequest, now_ns: int) -> None:
        """A node wants to join. Only the leader decides; others name it."""
        if not self._out.cluster:
            self._out.send_to_member((message.node, message.storage), JoinReply(0, 0, "", KNOWS_NONE))
            return
        known = self._raft.membership.get(message.node)
        if message.only_asks:
            lists = known is not None or any(node == message.node for node, _ in self._raft.membership.removed)
            reply = JoinReply(self._out.cluster, 0, "", ONLY_ASKED, lists=lists)
            self._out.send_to_member((message.node, message.storage), reply)
            return
        if known is None or known.storage == message.storage:  # else the address is that of another process
            self._out.add(SetPeerAddress(message.node, message.address))
        leader, refused = self._raft.leader, False
        if leader == self._out.node_id:
            info = MemberInfo(message.node, message.storage, message.address, voter=False)
            address = self._config.advertise_address
            if known is None:
                error = self._raft.add_learner(info, now_ns)
            elif known.storage == message.storage:
                error = ""
            else:
                error, refused = self._departures.make_way((known.node, known.storage), now_ns)
        else:
            info_of_leader = self._raft.membership.get(leader)
            address = info_of_leader.address if info_of_leader else ""
            error = TRY_AGAIN
        reply = JoinReply(self._out.cluster, leader, address, error, refused)
        self._out.send_to_member((message.node, message.storage), reply)

    def answered(self, message: JoinReply, now_ns: int) -> int:
        """Take an answer; returns the cluster id to adopt, or 0."""
        if not self._wanted(now_ns):
            return 0
        if message.error == TRY_AGAIN:
            self._last_error = "the cluster has no leader at the moment"
            if message.leader_address:
                if message.leader_address not in self._targets:
                    self._targets.append(message.leader_address)
                self._attempt = self._addresses().index(message.leader_address)
                self._next_ns = now_ns
            return 0
        if message.error:
            self._last_error = message.error
            if message.refused and not self._raft.membership.members:
                self.refused = f"the cluster refuses node {self._out.node_id}: {message.error}"
            return 0
        return message.cluster
