"""Leases on the side of the holder (design 5). All times by its own clock.

A node's lease ends no later than one lease after this process first sent the answer that the leader's heartbeat
confirms; where the leader has got that answer from an earlier life of the node, it confirms nothing to this one. A
leader's own ends one lease after it sent the newest round that a quorum has answered, and only counts from when it has
applied an entry of its term: before, it does not know what was decided against it.
"""

from walrus.core.peer import Heartbeat, HeartbeatReply
from walrus.core.raft.output import LEADER
from walrus.sim import probe
from walrus.sim.checkers.lease_grants import LONG_AGO_NS, LeaseGrants
from walrus.sim.checkers.opened import body, opened
from walrus.sim.checkers.stable_storage import Member
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import MS, Violation

_KEPT = 600
_NEVER_NS = -1  # the end of a lease that there never was


class _Held:
    """What one process was confirmed, and what it makes of it."""

    __slots__ = ("confirmed_ns", "life", "until_ns")

    def __init__(self, life: int) -> None:
        self.life = life
        self.confirmed_ns = LONG_AGO_NS  # when the newest answer that a heartbeat confirmed was sent
        self.until_ns = LONG_AGO_NS  # the latest end that it believed in


class LeaseHolding:
    """``promised``: of each member, the term of the leader that it answered last, and when."""

    def __init__(self, cluster: Cluster, grants: LeaseGrants) -> None:
        self._cluster = cluster
        self._grants = grants
        self.promised: dict[Member, tuple[int, int]] = {}
        self._answers: dict[Member, dict[tuple[int, int, int], int]] = {}  # (term, round, life) -> first answer
        self._held: dict[int, _Held] = {}
        self._looked: dict[int, int] = {}  # node -> end of its lease at the last look
        cluster.network.when_sent("HeartbeatReply", self._answers_heartbeat)
        cluster.network.when_received("Heartbeat", self._confirmed)

    def latest_ns(self, host: Host) -> int:
        """The latest end of its lease that the process believed in so far."""
        return self._of(host).until_ns

    def _of(self, host: Host) -> _Held:
        held = self._held.get(host.node_id)
        if held is None or held.life != host.life:
            held = self._held[host.node_id] = _Held(host.life)
        return held

    def _answers_heartbeat(self, sender: int, to: int, data: bytes) -> None:
        envelope, message = opened(data)
        assert isinstance(message, HeartbeatReply)
        if not message.seq:
            return  # only tells of a newer term
        member = (sender, envelope.sender_storage)
        now_ns = self._cluster.host(sender).now_ns()
        self.promised[member] = (message.term, now_ns)
        answers = self._answers.setdefault(member, {})
        answers.setdefault((message.term, message.seq, message.life), now_ns)
        if len(answers) > _KEPT:
            del answers[next(iter(answers))]

    def _confirmed(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, Heartbeat)
        if message.confirmed_seq:
            host = self._cluster.host(to)
            member = (to, probe.storage(host))
            answers = self._answers.get(member, {})
            life = self._grants.counted.get((message.term, member, message.confirmed_seq), 0)
            me = probe.lifetime(host)
            if me is not None and life not in (0, me[2]):
                return  # the leader has the answer of another life
            sent_ns = answers.get((message.term, message.confirmed_seq, life), LONG_AGO_NS)
            held = self._of(host)
            held.confirmed_ns = max(held.confirmed_ns, sent_ns)

    def after_turn(self, host: Host) -> None:
        """A node finished a turn: when does it think that its lease ends?"""
        until_ns = probe.lease_until(host)
        if until_ns == self._looked.get(host.node_id):
            return
        self._looked[host.node_id] = until_ns
        held, raft = self._of(host), probe.raft(host)
        if until_ns <= max(held.until_ns, _NEVER_NS) or raft is None:
            return
        held.until_ns = until_ns
        if until_ns > held.confirmed_ns + host.config.lease_ns:
            self._check_leader(host, raft, held, until_ns)

    def _check_leader(self, host: Host, raft: RaftView, held: _Held, until_ns: int) -> None:
        """More than heartbeats confirmed: only a leader may have as much."""
        lease_ns = host.config.lease_ns
        leading = self._grants.now_leading(host, raft)
        if raft.role is LEADER and leading is not None:
            if raft.log.term(raft.applied_index) != raft.term:
                raise Violation(
                    f"leases: node {host.node_id} leads in term {raft.term} and takes a lease of its own for given, "
                    "with no entry of its term applied"
                )
            leading.look_around(host, raft)
            leading.count(host.node_id, raft.membership.members)
            if until_ns <= leading.quorum_ns + lease_ns:
                return
            confirmed_ns = max(held.confirmed_ns, leading.quorum_ns)
        else:
            confirmed_ns = held.confirmed_ns
        allowed = (
            f"was confirmed one until {(until_ns - confirmed_ns - lease_ns) / MS:g} ms before that"
            if confirmed_ns > LONG_AGO_NS
            else "was confirmed none"
        )
        raise Violation(f"leases: node {host.node_id} believes in one until {until_ns} by its clock, and {allowed}")
