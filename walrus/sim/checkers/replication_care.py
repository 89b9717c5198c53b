"""A leader takes care of every follower that answers it (the Raft paper, 5.3 and section 7), one piece at a time.

- A follower says of no byte of a snapshot that it has it, unless pieces that came to this process cover all up to it.
- A leader that is told how much of a snapshot a follower has goes on from there, be it less than before.
- A follower that answers heartbeats and lacks entries is sent entries, a snapshot or at least a question again and
  again: what is lost on the way is not lost for good.
"""

from walrus.core.peer import HeartbeatReply, InstallSnapshot, SnapshotReply
from walrus.core.raft.output import Role
from walrus.sim import probe
from walrus.sim.checkers.opened import body, opened
from walrus.sim.cluster import Cluster
from walrus.sim.world import Violation

_ROUNDS_MOST = 12  # answered by a follower that is sent nothing meanwhile: a lost message is due again after three
_DEAF_MOST = 4  # pieces in a row that are not what the follower lacks: one may be under way when it says so

_Name = tuple[int, int]
"""Of a snapshot: last entry, checksum."""


class _Followed:
    """What a leader has said to a follower and heard of it."""

    __slots__ = ("acked", "counted_ns", "deaf", "has", "rounds", "term")

    def __init__(self, term: int) -> None:
        self.term = term
        self.acked = 0  # newest heartbeat answered
        self.rounds = 0  # answered since it was last sent anything, while it lacked entries
        self.counted_ns = 0  # when the newest of them was, by the leader's clock
        self.has: tuple[_Name, int] | None = None  # of which snapshot the follower said last to have how many bytes
        self.deaf = 0


class ReplicationCare:
    """Looks at the messages of replication."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pieces: dict[int, tuple[int, dict[_Name, dict[int, int]]]] = {}  # node -> life, start and end of pieces
        self._followed: dict[tuple[int, int], _Followed] = {}
        network = cluster.network
        network.when_received("InstallSnapshot", self._piece_comes)
        network.when_sent("SnapshotReply", self._piece_answered)
        network.when_received("SnapshotReply", self._is_told)
        network.when_sent("InstallSnapshot", self._piece_leaves)
        network.when_sent("AppendEntries", self._entries_leave)
        network.when_received("HeartbeatReply", self._round_answered)

    # --- the follower ---

    def _piece_comes(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, InstallSnapshot)
        life, name = self._cluster.host(to).life, (message.index, message.checksum)
        found = self._pieces.get(to)
        if found is None or found[0] != life:
            found = self._pieces[to] = (life, {})
        pieces, end = found[1].setdefault(name, {}), message.offset + len(message.data)
        pieces[message.offset] = max(pieces.get(message.offset, 0), end)

    def _piece_answered(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, SnapshotReply)
        found = self._pieces.get(sender)
        if message.installed or found is None:
            return
        pieces = found[1].get((message.index, message.checksum))
        if pieces is None or found[0] != self._cluster.host(sender).life:
            return
        covered = 0
        for start in sorted(pieces):
            if start <= covered:
                covered = max(covered, pieces[start])
        if message.received > covered:
            raise Violation(
                f"snapshot transfer: node {sender} says to have {message.received} bytes of the snapshot up to entry "
                f"{message.index}, and was sent the first {covered}"
            )

    # --- the leader ---

    def _with(self, leader: int, follower: int, term: int) -> _Followed:
        found = self._followed.get((leader, follower))
        if found is None or found.term != term:
            found = self._followed[leader, follower] = _Followed(term)
        return found

    def _is_told(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, SnapshotReply)
        if message.checksum and not message.installed:
            self._with(to, sender, message.term).has = ((message.index, message.checksum), message.received)

    def _piece_leaves(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, InstallSnapshot)
        followed = self._with(sender, to, message.term)
        followed.rounds = 0
        if not message.data or followed.has is None or followed.has[0] != (message.index, message.checksum):
            followed.deaf = 0
            return
        followed.deaf = followed.deaf + 1 if message.offset != followed.has[1] else 0
        if followed.deaf >= _DEAF_MOST:
            raise Violation(
                f"snapshot transfer: node {to} has {followed.has[1]} bytes of the snapshot up to entry {message.index}"
                f", as it said, and node {sender} sends what begins at byte {message.offset} again and again"
            )

    def _entries_leave(self, sender: int, to: int, data: bytes) -> None:
        followed = self._followed.get((sender, to))
        if followed is not None:
            followed.rounds = 0

    def _round_answered(self, sender: int, to: int, data: bytes) -> None:
        leader, follower = self._cluster.host(to), self._cluster.host(sender)
        raft, behind = probe.raft(leader), probe.raft(follower)
        if raft is None or behind is None or raft.role is not Role.LEADER or leader.paused:
            return
        envelope, message = opened(data)
        assert isinstance(message, HeartbeatReply)
        member = raft.membership.get(sender)
        if message.term != raft.term or member is None or member.storage != envelope.sender_storage:
            return
        followed = self._with(to, sender, raft.term)
        if message.seq <= followed.acked:
            return
        followed.acked = message.seq
        if behind.log.last_index >= raft.persisted_index:
            followed.rounds = 0
        elif leader.now_ns() >= followed.counted_ns + leader.config.heartbeat_interval_ns // 2:
            followed.counted_ns = leader.now_ns()  # many answers at once are one
            followed.rounds += 1
        if followed.rounds > _ROUNDS_MOST:
            raise Violation(
                f"replication: node {sender} has entries up to {behind.log.last_index}, node {to}, which leads in term "
                f"{raft.term}, up to {raft.persisted_index}, and in {followed.rounds} rounds of heartbeats that node "
                f"{sender} answered it was sent nothing"
            )
