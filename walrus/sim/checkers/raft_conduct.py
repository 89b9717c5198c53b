"""The checkers of how nodes conduct themselves in Raft: what they say is compared with the rules when they say it."""

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
from walrus.sim.cluster import Checker, Cluster


def raft_conduct(cluster: Cluster) -> list[Checker]:
    """Fresh checkers."""
    storage, leaders = StableStorage(), LeaderLogs()
    grants = LeaseGrants(cluster)
    holding = LeaseHolding(cluster, grants)
    return [
        leaders,
        Promises(cluster, storage, leaders),
        Commitment(cluster, storage),
        MembershipChanges(cluster, storage),
        ReplicationCare(cluster),
        grants,
        holding,
        LeaseReads(cluster, holding),
        Stickiness(cluster, storage, holding),
    ]
