"""How nodes conduct themselves in Raft and with leases: what they say and do is held against the rules at once, long
before a breach has consequences. Each rule has a file; this one sees to it that a turn in which nothing moved costs one
comparison.
"""

from typing import Final

from walrus.sim import probe
from walrus.sim.checkers.commitment import Commitment
from walrus.sim.checkers.leader_logs import LeaderLogs
from walrus.sim.checkers.lease_grants import LeaseGrants
from walrus.sim.checkers.lease_holding import LeaseHolding
from walrus.sim.checkers.lease_reads import LeaseReads
from walrus.sim.checkers.membership_changes import MembershipChanges
from walrus.sim.checkers.promises import Promises
from walrus.sim.checkers.replication_care import ReplicationCare
from walrus.sim.checkers.stable_storage import StableStorage
from walrus.sim.checkers.stickiness import Stickiness
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.probe import RaftView

_STIRRING: Final = ("Heartbeat", "HeartbeatReply", "RequestVote", "AppendEntries")


class RaftConduct:
    """Looks at a node's Raft when something in it moved, and at its lease and its votes when a message may have moved
    them.
    """

    def __init__(self, cluster: Cluster) -> None:
        storage, leaders = StableStorage(), LeaderLogs()
        grants = LeaseGrants(cluster)
        holding = LeaseHolding(cluster, grants)
        self._stickiness = Stickiness(cluster, storage, grants, holding)
        self._of_logs = (leaders, Commitment(cluster, storage), MembershipChanges(cluster, storage), grants)
        self._of_messages = (grants, holding, self._stickiness)
        self._seen: dict[int, tuple[RaftView, tuple[object, ...]]] = {}
        self._stirred: dict[int, bool] = {}
        self._only_listen = (
            Promises(cluster, storage, leaders), LeaseReads(cluster, holding), ReplicationCare(cluster)
        )  # fmt: skip
        for kind in _STIRRING:
            cluster.network.when_received(kind, lambda sender, to, data: self._stir(to))
        cluster.network.when_sent("Heartbeat", lambda sender, to, data: self._stir(sender))

    def _stir(self, node: int) -> None:
        self._stirred[node] = True

    def after_turn(self, host: Host) -> None:
        """A node finished a turn."""
        raft = probe.raft(host)
        if raft is None:
            return
        node, log = host.node_id, raft.log
        now = (
            raft.commit_index, raft.persisted_index, log.last_index, log.last_term, raft.term, raft.role,
            raft.membership,
        )  # fmt: skip
        seen = self._seen.get(node)
        if seen is None or seen[0] is not raft or seen[1] != now:
            self._seen[node] = (raft, now)
            for checker in self._of_logs:
                checker.after_turn(host)
        if node in self._stirred:
            del self._stirred[node]
            for other in self._of_messages:
                other.after_turn(host)

    def on_crash(self, host: Host) -> None:
        """A process ends."""
        self._stirred.pop(host.node_id, None)
        self._stickiness.on_crash(host)
