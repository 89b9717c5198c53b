"""When a leader may commit (the Raft paper, section 5.4.2; Ongaro's dissertation, 3.6.2 and 4.1), and when what is on a
disk may be counted.

A leader moves its commit index to entries of its own term only, and only once a majority of the voters of the newest
configuration in its log, each with the disk that it is a member with, has held that entry durably. And what a node
takes for durable in its own log is on its disk.
"""

from walrus.core.raft.membership import Membership
from walrus.core.raft.output import LEADER
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.sim import probe
from walrus.sim.checkers.stable_storage import StableStorage
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class _Seen:
    """What was last seen of a process."""

    __slots__ = ("commit", "durable", "leads", "life", "membership")

    def __init__(self, life: int) -> None:
        self.life = life
        self.leads = 0  # the term
        self.commit = 0
        self.durable = (-1, 0)
        self.membership = Membership()


class Commitment:
    """Two comparisons per turn of a node in which nothing moved."""

    def __init__(self, cluster: Cluster, storage: StableStorage) -> None:
        self._cluster = cluster
        self._storage = storage
        self._seen: dict[int, _Seen] = {}

    def after_turn(self, host: Host) -> None:
        """A node finished a turn."""
        raft = probe.raft(host)
        if raft is None:
            return
        seen = self._seen.get(host.node_id)
        if seen is None or seen.life != host.life:
            seen = self._seen[host.node_id] = _Seen(host.life)
            seen.commit, seen.membership = raft.commit_index, raft.membership
        durable = raft.persisted_index
        if durable != seen.durable[0] or raft.log.term(durable) != seen.durable[1]:
            self._check_durable(host, raft)
            seen.durable = (durable, raft.log.term(durable) or 0)
        if raft.role is LEADER:
            if raft.commit_index > seen.commit and seen.leads == raft.term:
                self._check_commit(host, raft, seen.membership)
            seen.leads = raft.term
        seen.commit = raft.commit_index
        seen.membership = raft.membership

    def _check_durable(self, host: Host, raft: RaftView) -> None:
        """``persisted_index`` moved."""
        index = raft.persisted_index
        covered = raft.snapshot.index if raft.snapshot is not None else 0
        if index <= max(covered, raft.log.snapshot_index) or JOURNAL_PATH in host.disk.damage.hurt:
            return
        if not self._storage.ever_held(host, probe.storage(host), index, raft.log.term(index) or 0):
            raise Violation(
                f"stable storage: node {host.node_id} takes entry {index} of term {raft.log.term(index)} for durable, "
                "and it never was on its disk"
            )

    def _check_commit(self, host: Host, raft: RaftView, before: Membership) -> None:
        index = raft.commit_index
        term = raft.log.term(index)
        if term != raft.term:
            raise Violation(
                f"commitment: node {host.node_id} leads in term {raft.term} and commits entry {index} of term {term}"
            )
        # In one turn it may have committed first, and then begun another configuration.
        having, voters = self._held_by(index, term, raft.membership)
        if 2 * len(having) > len(voters):
            return
        earlier, others = self._held_by(index, term, before)
        if 2 * len(earlier) <= len(others):
            raise Violation(
                f"commitment: node {host.node_id} commits entry {index} of its term {term}, and of the voters "
                f"{voters} only {having} ever held it"
            )

    def _held_by(self, index: int, term: int, membership: Membership) -> tuple[list[int], list[int]]:
        """Which voters have had an entry on their disks, and the voters."""
        having = []
        voters = [member for member in membership.members if member.voter]
        for member in voters:
            host = self._cluster.host(member.node)
            held = self._storage.ever_held(host, member.storage, index, term)
            if held or JOURNAL_PATH in host.disk.damage.hurt:
                having.append(member.node)
        return having, [member.node for member in voters]
