"""Checkers: each file states the property that it watches. None of them influences the run."""

from walrus.sim.checkers.clean_stops import CleanStops
from walrus.sim.checkers.cursor_bounds import CursorBounds
from walrus.sim.checkers.departures import Departures
from walrus.sim.checkers.leases import Leases
from walrus.sim.checkers.meters import Meters
from walrus.sim.checkers.raft_logs import RaftLogs
from walrus.sim.checkers.reads import check_reads
from walrus.sim.checkers.records import check_records
from walrus.sim.checkers.replica_prefixes import ReplicaPrefixes
from walrus.sim.checkers.replicated_state import ReplicatedState
from walrus.sim.checkers.sealed_counts import SealedCounts
from walrus.sim.cluster import Checker, Cluster
from walrus.sim.history import History

__all__ = ["check_history", "node_checkers"]


def node_checkers(cluster: Cluster, history: History) -> list[Checker]:
    """Fresh checkers of everything that happens inside nodes and on disks; ``history`` is what clients see."""
    leases, cursors, stops = Leases(cluster), CursorBounds(), CleanStops(cluster)
    state = ReplicatedState(SealedCounts(), leases, cursors, stops)
    return [Departures(), RaftLogs(), state, leases, cursors, stops, ReplicaPrefixes(), Meters(cluster, history)]


def check_history(history: History, scans: dict[str, list[bytes]], drained: bool) -> None:
    """Check what clients saw against the records of each topic at the end (see :func:`check_reads`)."""
    for topic, scan in scans.items():
        check_records(topic, history, scan)
        check_reads(topic, history, scan, drained)
