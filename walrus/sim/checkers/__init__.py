"""Checkers: each file states the property that it watches. None of them influences the run."""

from walrus.sim.checkers.clean_stops import CleanStops
from walrus.sim.checkers.commands import Commands
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.cursor_bounds import CursorBounds
from walrus.sim.checkers.data_path import DataPath
from walrus.sim.checkers.deletions import check_deletions
from walrus.sim.checkers.departures import Departures
from walrus.sim.checkers.ends import Ends
from walrus.sim.checkers.forwarded_gets import ForwardedGets
from walrus.sim.checkers.forwarded_puts import ForwardedPuts
from walrus.sim.checkers.last_copies import LastCopies
from walrus.sim.checkers.leases import Leases
from walrus.sim.checkers.lost_copies import LostCopies
from walrus.sim.checkers.meters import Meters
from walrus.sim.checkers.raft_conduct import RaftConduct
from walrus.sim.checkers.raft_logs import RaftLogs
from walrus.sim.checkers.reads import check_reads
from walrus.sim.checkers.records import check_records
from walrus.sim.checkers.removals import Removals
from walrus.sim.checkers.replica_prefixes import ReplicaPrefixes
from walrus.sim.checkers.replicated_state import ReplicatedState
from walrus.sim.checkers.sealed_counts import SealedCounts
from walrus.sim.checkers.settled import Settled
from walrus.sim.cluster import Checker, Cluster
from walrus.sim.history import History

__all__ = ["check_deletions", "check_history", "lost_records", "node_checkers", "removed_from_all", "removed_records"]


def node_checkers(cluster: Cluster, history: History) -> list[Checker]:
    """Fresh checkers of everything that happens inside nodes and on disks; ``history`` is what clients see."""
    leases, cursors, stops = Leases(cluster), CursorBounds(), CleanStops(cluster)
    state = ReplicatedState(SealedCounts(), leases, cursors, stops, cluster.power_cuts)
    segments, commands = CommittedSegments(), Commands(cluster, Removals(cluster))
    logs, path = RaftLogs(commands, segments), DataPath(cluster, segments)
    ForwardedGets(cluster)
    puts, ends = ForwardedPuts(cluster, history, commands.model), Ends(cluster, history, commands.model)
    clients: list[Checker] = [puts, ends, Settled(cluster, commands)]
    copies: list[Checker] = [ReplicaPrefixes(), LostCopies(), LastCopies(cluster)]
    return [
        RaftConduct(cluster), Departures(), logs, path, *clients, state, leases, cursors, stops, *copies,
        Meters(cluster, history),
    ]  # fmt: skip


def removed_records(cluster: Cluster, topic: str, born: int) -> list[bytes] | None:
    """What retention removed of a topic, from its first record on; None where that is not known."""
    found = [removals.records.get((topic, born), []) for removals in _removals(cluster)]
    return found[0] if found else []


def removed_from_all(cluster: Cluster, topic: str) -> list[bytes] | None:
    """What retention removed of all topics of a name, in no order; None where that is not known."""
    found: list[bytes] = []
    for removals in _removals(cluster):
        for (name, _), records in removals.records.items():
            if name == topic:
                if records is None:
                    return None
                found += records
    return found


def _removals(cluster: Cluster) -> list[Removals]:
    logs = [checker for checker in cluster.checkers if isinstance(checker, RaftLogs)]
    return [checker.commands.removals for checker in logs if checker.commands is not None]


def lost_records(cluster: Cluster, topic: str) -> list[bytes]:
    """The records of a topic that losses of power may have taken (see :mod:`walrus.sim.powercuts`)."""
    for checker in cluster.checkers:
        if isinstance(checker, ReplicaPrefixes):
            lost = cluster.power_cuts.excused(cluster, topic, checker.longest)
            if lost:
                cluster.world.labels["records that losses of power may have taken"] += len(lost)
            return lost
    return []


def check_history(
    history: History, scans: dict[str, list[bytes]], drained: bool, removed: dict[str, int] | None = None
) -> None:
    """Check what clients saw against the records of each topic at the end (see :func:`check_reads`).

    ``removed``: how many records at the start of a scan are there no more, because retention removed them.
    """
    for topic, scan in scans.items():
        check_records(topic, history, scan)
        check_reads(topic, history, scan, drained, (removed or {}).get(topic, 0))
