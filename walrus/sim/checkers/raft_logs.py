"""Watches Raft on every node, after every turn, and tells the checkers of its properties what changed.

An entry counts once it is durable somewhere: a leader that needs no vote but its own may forget what it never wrote,
term included, and nobody has heard of it. Only what changed since the node's last turn is looked at, so the cost is one
comparison per new entry.
"""

from walrus.core.metadata.snapshot import Snapshot
from walrus.core.raft.output import LEADER
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.sim import probe
from walrus.sim.checkers.commands import Commands
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.election_safety import ElectionSafety
from walrus.sim.checkers.leader_completeness import check_leader
from walrus.sim.checkers.log_matching import LogMatching
from walrus.sim.checkers.snapshots import Snapshots
from walrus.sim.checkers.state_machine_safety import StateMachineSafety
from walrus.sim.host import Host


class _Seen:
    """What was last seen of one process."""

    __slots__ = ("base", "commit", "leads_term", "life", "snapshot", "terms")

    def __init__(self, life: int) -> None:
        self.life = life
        self.terms = [0]  # of the durable entries, by index; [0] stands before the log
        self.commit = 0
        self.leads_term = -1
        self.base = 0  # of its log
        self.snapshot: RaftSnapshot | None = None


class RaftLogs:
    """One comparison with what was last seen per turn of a node where nothing changed."""

    def __init__(self, commands: Commands | None = None, segments: CommittedSegments | None = None) -> None:
        self.elections = ElectionSafety()
        self.commands = commands
        self._segments = segments
        self._matching = LogMatching()
        self._machine = StateMachineSafety()
        self._snapshots = Snapshots(self._matching, self._machine)
        self._seen: dict[int, _Seen] = {}

    def begin_with(self, start: Snapshot) -> None:
        """Nothing was seen of what led to this snapshot, and nobody has anything else."""
        assert self.commands is None, "those have to be seen from the first one on"
        assert self._segments is None, "those as well"
        self._machine.committed = [(0, 0)] * start.index + [(start.term, start.term)]
        self._snapshots.begin_with(start)

    def after_turn(self, host: Host) -> None:
        """Compare a node with all that was seen before."""
        raft = probe.raft(host)
        if raft is None:
            return
        seen = self._seen.get(host.node_id)
        if seen is None or seen.life != host.life:
            seen = self._seen[host.node_id] = _Seen(host.life)
            if raft.snapshot is not None:
                self._snapshots.changed(host, raft, None, 0, -1)
                seen.snapshot, seen.base = raft.snapshot, raft.log.snapshot_index
        durable = raft.persisted_index
        if durable != len(seen.terms) - 1 or raft.log.term(durable) != seen.terms[durable]:
            self._matching.changed(host, raft, seen.terms, self._machine.committed)
            self._machine.log_changed(host, raft, seen.commit)
        if raft.snapshot is not seen.snapshot or raft.log.snapshot_index != seen.base:
            self._snapshots.changed(host, raft, seen.snapshot, seen.base, seen.commit)
            seen.snapshot, seen.base = raft.snapshot, raft.log.snapshot_index
        if raft.commit_index != seen.commit:
            before = len(self._machine.committed)
            self._machine.commit_changed(host, raft, seen.commit)
            seen.commit = raft.commit_index
            self._committed(host, raft, before)
        if raft.role is LEADER and seen.leads_term != raft.term:
            seen.leads_term = raft.term
            self.elections.elected(host, raft.term)
            check_leader(host, raft, self._machine.committed)

    def _committed(self, host: Host, raft: probe.RaftView, start: int) -> None:
        for index in range(start, len(self._machine.committed)):
            entry = self._matching.entry(index, self._machine.committed[index][0])
            assert entry is not None, "it is durable somewhere"
            if self._segments is not None:
                self._segments.committed(entry)
            if self.commands is not None:
                self.commands.committed(entry)
        if self.commands is not None:
            self.commands.applied(host, raft.applied_index)

    def on_crash(self, host: Host) -> None:
        """The node's state, compared with that of others that had applied as much."""
        raft, state = probe.raft(host), probe.metadata(host)
        if raft is not None and state is not None:
            self._machine.ended(host, raft.applied_index, state)
            if self.commands is not None:
                self.commands.ended(host, raft.applied_index)
