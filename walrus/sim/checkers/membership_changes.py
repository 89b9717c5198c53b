"""Changes of the membership, one server at a time (Ongaro's dissertation, 4.1 and 4.2.1, and his correction of 2015).

A leader appends a configuration only once the one before it is committed, and an entry of its own term is; the voters
of the two differ by one at most; a learner gets its vote only once its disk has held everything up to the entry that
took it in. The newest configuration in its log is the one that a node goes by, committed or not.
"""

from walrus.core.peer import ENTRY_CONFIG
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import LEADER
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.sim import probe
from walrus.sim.checkers.stable_storage import Member, StableStorage, recovered
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class MembershipChanges:
    """One comparison per turn of a node whose configuration is what it was."""

    def __init__(self, cluster: Cluster, storage: StableStorage) -> None:
        self._cluster = cluster
        self._storage = storage
        self._seen: dict[int, tuple[int, Membership]] = {}  # node -> life, configuration
        self._looked: dict[int, tuple[int, int]] = {}  # node -> term it leads, last entry looked at
        self._added: dict[Member, int] = {}  # index of the entry that took a member in

    def after_turn(self, host: Host) -> None:
        """A node finished a turn."""
        raft = probe.raft(host)
        if raft is None:
            return
        seen = self._seen.get(host.node_id)
        if seen is not None and seen[0] == host.life and seen[1] is raft.membership:
            return
        self._seen[host.node_id] = (host.life, raft.membership)
        found = _newest(raft, raft.log.last_index)
        if raft.membership != found[1]:
            raise Violation(
                f"membership: node {host.node_id} goes by {raft.membership.voters} and "
                f"{raft.membership.learners}, but the newest configuration in its log, entry {found[0]}, has "
                f"{found[1].voters} and {found[1].learners}"
            )
        if raft.role is LEADER:
            self._look(host, raft)

    def _look(self, host: Host, raft: RaftView) -> None:
        """What a leader appended since the last look."""
        looked = self._looked.get(host.node_id, (0, 0))
        index = looked[1] if looked[0] == raft.term else 0
        self._looked[host.node_id] = (raft.term, raft.log.last_index)
        for at in range(max(index, raft.log.snapshot_index) + 1, raft.log.last_index + 1):
            entry = raft.log.entry(at)
            if entry.kind == ENTRY_CONFIG and entry.term == raft.term:
                before_at, before = _newest(raft, at - 1)
                self._check(host, raft, at, before_at, before, Membership.decode(entry.data))

    def _check(
        self, host: Host, raft: RaftView, at: int, before_at: int, before: Membership, after: Membership
    ) -> None:
        where = f"membership: node {host.node_id}, leading in term {raft.term}, changes it with entry {at}"
        if before.members:
            if before_at > raft.commit_index:
                raise Violation(f"{where} while the change of entry {before_at} is not committed")
            if raft.log.term(raft.commit_index) != raft.term:
                raise Violation(f"{where} and has committed no entry of its term")
        voters, others = ({(m.node, m.storage) for m in found.members if m.voter} for found in (after, before))
        if len(voters ^ others) > 1:
            raise Violation(f"{where} from the voters {before.voters} to {after.voters}: more than one at a time")
        known = {(m.node, m.storage) for m in before.members}
        for member in after.members:
            who = (member.node, member.storage)
            if who not in known:
                self._added[who] = at
            elif member.voter and who not in others:
                self._check_promoted(where, who)

    def _check_promoted(self, where: str, who: Member) -> None:
        host = self._cluster.host(who[0])
        added = self._added.get(who, 0)
        if probe.storage(host) == who[1]:
            self._storage.journal(host, who[1])
        if self._storage.reach.get(who, 0) >= added or JOURNAL_PATH in host.disk.damage.hurt:
            return
        start = recovered(host) if probe.storage(host) == who[1] else None
        if start is None or start.base.index + len(start.entries) < added:
            raise Violation(
                f"{where}: node {who[0]} gets a vote, and its disk never held entry {added}, which added it"
            )


def _newest(raft: RaftView, upto: int) -> tuple[int, Membership]:
    """Index and content of the newest configuration of a log at or below an entry that it holds, or of its snapshot."""
    for index in range(upto, raft.log.snapshot_index, -1):
        entry = raft.log.entry(index)
        if entry.kind == ENTRY_CONFIG:
            return index, Membership.decode(entry.data)
    if raft.snapshot is not None:
        return raft.snapshot.index, raft.snapshot.membership
    return 0, Membership()
