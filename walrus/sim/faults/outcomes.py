"""What a fault may have changed: leaders, writers, leases, and what clients were told.

A fault on trial compares what is seen before it strikes with what is seen some time after. What changed meanwhile at
the nodes concerned counts as its doing; with several faults at once it may have been another's. Causes that can be
told directly (a lost write, an overtaken message) are told by the fault itself, with no trial.
"""

from typing import Any, Final

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.world import MS

AFTERMATH_NS: Final = 600 * MS
"""For so long after a fault a lease that lapsed may still lead to an election or a recovery."""

Seen = tuple[int, int, int, tuple[int, ...]]


def seen(cluster: Cluster, nodes: tuple[int, ...]) -> Seen:
    """Elections, segments sealed by recovery, requests that ``nodes`` left without a clear answer, and which of
    ``nodes`` run without a lease.
    """
    labels = cluster.world.labels
    unanswered = sum(cluster.streams.unanswered[node] for node in nodes)
    elected, recovered = labels["Raft leader elected"], labels["segment recovered and sealed"]
    return elected, recovered, unanswered, tuple(node for node in nodes if _has_no_lease(cluster, node))


def changed(before: Seen, after: Seen) -> bool:
    """Whether anything came about. A lease that was got again, or that ended with its process, is nothing."""
    return before[:3] != after[:3] or any(node not in before[3] for node in after[3])


def _has_no_lease(cluster: Cluster, node: int) -> bool:
    host = cluster.host(node)
    running: Any = getattr(host.node, "running", None)
    view = probe.raft(host)
    if running is None or view is None or node not in view.membership.voters:
        return False
    return not running.lease.valid(host.now_ns())
