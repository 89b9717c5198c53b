"""Who has answered a leader elects nobody else for a while (Ongaro's dissertation, 4.2.3; design 5), and otherwise
a node speaks when it is asked.

- From when a node sends the answer to a heartbeat until the least election time-out has passed by its own clock, it
  gives no vote or pre-vote for a later term, its own included; across restarts too. A vote that the old leader asked
  for is another matter.
- It refuses a vote only with a reason: it has heard a leader, the candidate's log ends before its own, it gave its vote
  in that term to another, the term is past. Not being a voter is none: the candidate may know better (4.2.1).
- Whoever speaks as the leader of a past term is told of the newer one (the Raft paper, figure 2).
"""

from walrus.core.peer import AppendEntries, Heartbeat, RequestVote, VoteReply
from walrus.core.raft.output import LEADER
from walrus.sim import probe
from walrus.sim.checkers.lease_grants import LeaseGrants
from walrus.sim.checkers.lease_holding import LeaseHolding
from walrus.sim.checkers.opened import body, opened
from walrus.sim.checkers.stable_storage import StableStorage
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import MS, Violation

_LEADERS_SAY = ("Heartbeat", "AppendEntries", "InstallSnapshot")
_TELL = ("HeartbeatReply", "AppendReply", "Removed")


class Stickiness:
    """Remembers the last request for a vote on each link, and when each node last heard a leader."""

    def __init__(self, cluster: Cluster, storage: StableStorage, grants: LeaseGrants, holding: LeaseHolding) -> None:
        self._cluster = cluster
        self._storage = storage
        self._grants = grants
        self._promised = holding.promised
        self._asked: dict[tuple[int, int, bool, int], RequestVote] = {}  # candidate, voter, pre-vote, term
        self._new: dict[int, list[tuple[int, RequestVote]]] = {}  # node -> requests since its last turn
        self._heard_ns: dict[int, int] = {}  # node -> when a message of some leader last came, by its clock
        self._life: dict[int, tuple[int, int]] = {}  # node -> life, when it had begun by its clock
        self._untold: dict[int, dict[int, int]] = {}  # node -> leader of a past term -> that term
        network = cluster.network
        network.when_received("RequestVote", self._is_asked)
        network.when_sent("VoteReply", self._votes)
        network.when_received("VoteReply", self._may_win)
        network.when_sent("RequestVote", self._campaigns)
        for kind in _LEADERS_SAY:
            network.when_received(kind, self._hears)
        for kind in _TELL:
            network.when_sent(kind, self._tells)

    def after_turn(self, host: Host) -> None:
        """Everything that came has been answered."""
        if self._life.get(host.node_id, (0, 0))[0] != host.life and probe.raft(host) is not None:
            self._life[host.node_id] = (host.life, host.now_ns())
        self._new.pop(host.node_id, None)
        untold = self._untold.get(host.node_id)
        if untold:
            leader, term = untold.popitem()
            raft = probe.raft(host)
            assert raft is not None
            raise Violation(
                f"elections: node {host.node_id} in term {raft.term} does not tell node {leader}, which speaks as the "
                f"leader of term {term}"
            )

    def on_crash(self, host: Host) -> None:
        """What waited for an answer gets none. Who does not know of any term yet is in no cluster, and promises
        nothing that outlives its process.
        """
        self._untold.pop(host.node_id, None)
        self._new.pop(host.node_id, None)
        storage = probe.storage(host)
        journal = self._storage.journal(host, storage) if storage else None
        if journal is None or not journal.hard.term:
            self._promised.pop((host.node_id, storage), None)

    # --- votes ---

    def _is_asked(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, RequestVote)
        known = self._asked.get((sender, to, message.pre, message.term))
        if known is None or not known.transfer:
            self._asked[sender, to, message.pre, message.term] = message
        self._new.setdefault(to, []).append((sender, message))

    def _votes(self, sender: int, to: int, data: bytes) -> None:
        envelope, message = opened(data)
        assert isinstance(message, VoteReply)
        host = self._cluster.host(sender)
        if message.granted:
            request = self._asked.get((to, sender, message.pre, message.term))
            if request is None or not request.transfer:
                self._check_free(host, envelope.sender_storage, message.term, to)
        else:
            self._check_refusal(host, to, message)

    def _may_win(self, sender: int, to: int, data: bytes) -> None:
        """With this vote it may lead, and who leads or has just led hears a leader."""
        message = body(data)
        assert isinstance(message, VoteReply)
        if message.granted and not message.pre:
            self._heard_ns[to] = self._cluster.host(to).now_ns()

    def _campaigns(self, sender: int, to: int, data: bytes) -> None:
        envelope, message = opened(data)
        assert isinstance(message, RequestVote)
        if not message.pre and not message.transfer:
            self._check_free(self._cluster.host(sender), envelope.sender_storage, message.term, sender)

    def _check_free(self, host: Host, storage: int, term: int, candidate: int) -> None:
        promised = self._promised.get((host.node_id, storage))
        if promised is None or term <= promised[0]:
            return
        passed_ns = host.now_ns() - promised[1]
        if passed_ns < host.config.election_timeout_min_ns:
            raise Violation(
                f"stickiness: node {host.node_id} votes for node {candidate} in term {term}, {passed_ns // MS} ms "
                f"after it answered the leader of term {promised[0]}"
            )

    def _check_refusal(self, host: Host, to: int, message: VoteReply) -> None:
        raft = probe.raft(host)
        if raft is None or raft.role is LEADER or host.stood_still_ns or host.clock.jumped_ns():
            return
        if not self._cluster.clocks_within_margin:
            return
        life, began_ns = self._life.get(host.node_id, (0, 0))
        led_ns = self._grants.leading[host.node_id].elected_ns if host.node_id in self._grants.leading else began_ns
        heard_ns = max(self._heard_ns.get(host.node_id, began_ns), began_ns, led_ns)
        if life != host.life or host.now_ns() < heard_ns + host.config.election_timeout_min_ns:
            return
        asked = [r for who, r in self._new.get(host.node_id, ()) if who == to and r.pre == message.pre]
        if asked and all(_deserves(request, to, raft) for request in asked):
            raise Violation(
                f"elections: node {host.node_id} in term {raft.term} refuses node {to} its {'pre-' * message.pre}vote "
                f"in term {asked[0].term}, and has no reason to"
            )

    # --- leaders ---

    def _hears(self, sender: int, to: int, data: bytes) -> None:
        host = self._cluster.host(to)
        self._heard_ns[to] = host.now_ns()
        raft = probe.raft(host)
        envelope, message = opened(data)
        if raft is None or not isinstance(message, Heartbeat | AppendEntries) or message.term >= raft.term:
            return
        if envelope.recipient_storage in (0, probe.storage(host)):
            self._untold.setdefault(to, {})[sender] = message.term

    def _tells(self, sender: int, to: int, data: bytes) -> None:
        untold = self._untold.get(sender)
        if untold and to in untold and getattr(body(data), "term", untold[to] + 1) > untold[to]:
            del untold[to]


def _deserves(request: RequestVote, candidate: int, raft: RaftView) -> bool:
    """Whether nothing but a leader could be in the way of a vote."""
    last = raft.log.last_index
    if (request.last_term, request.last_index) < (raft.log.term(last) or 0, last):
        return False
    if request.pre:
        return request.term > raft.term
    return request.term == raft.term and raft.vote in (0, candidate)
