"""METRICS: what a node tells about itself, as one value of numbers, texts, lists and dicts with text keys.

The original's keys come first and keep their names. :mod:`walrus.core.prometheus` shows the same value as text.
"""

from typing import TYPE_CHECKING, Any, Final

from walrus.core import status
from walrus.core.config import SECOND
from walrus.core.metadata.durability import durability_text
from walrus.core.meters import histogram_value

if TYPE_CHECKING:
    from walrus.core.running import Running

Report = dict[str, Any]

LAGS_MAX: Final = 20  # copies named one by one: a scrape must not grow with the topics


def report(node: "Running", now_ns: int) -> Report:
    """All that is told. Linear in the topics and in the clients' connections."""
    raft, sessions, config = node.raft, node.sessions, node.config
    return {
        **status.raft_metrics(raft, config),
        "cluster": f"{node.out.cluster:016x}",
        "incarnation": node.me[2],
        "build": {
            "version": config.version,
            "python": config.python,
            "storage_driver": config.storage_driver,
            "storage_reason": config.storage_reason,
        },
        "time_s": node.wall_ns / SECOND,
        "client_addresses": {str(n): info.client_address for n, info in sorted(node.metadata.nodes.items())},
        "leader_changes": node.group.leader_changes,
        "commit_lag": raft.log.last_index - raft.commit_index,
        "apply_lag": raft.commit_index - raft.applied_index,
        "lease_valid": node.lease.valid(now_ns),
        "lease_remaining_s": max(0, node.lease.until_ns(now_ns) - now_ns) / SECOND,
        "lease_losses": node.lease.losses,
        "live_nodes": list(node.liveness.live),
        "topics": len(node.metadata.topics),
        "open_segments": status.open_segments(node.metadata.topics),
        "leading_segments": node.writers.count,
        "copies": len(node.store.replicas),
        "stuck_segments": node.recoveries.stuck(),
        "recoveries": node.recoveries.count,
        "unsafe_recoveries": status.unsafe_recoveries(node.metadata.recoveries),
        "default_durability": durability_text(config.durability),
        "durability": status.durabilities(node.metadata.topics),
        **node.store.syncs.value(),
        "power_cut_seals": node.recoveries.power_cut_seals,
        "repairs_waiting": node.repairs.waiting,
        "rollovers": histogram_value(node.writers.rollovers.counts, node.writers.rollovers.sum_ns),
        **_replication_lag(node),
        "put": node.puts.meter.value(),
        "get": node.gets.meter.value(),
        "leaderless_requests": node.service.leaderless + node.service.topics.leaderless,
        "client_connections": sessions.open_connections,
        "requests_waiting": node.waiting(),
        "client_buffered_bytes": sessions.buffered_bytes,
        "loop": node.loop.value(),
        "driver": _driver(node),
    }


def _replication_lag(node: "Running") -> Report:
    """Of the segments that this node writes, the copies farthest behind: records that are not durable there."""
    lags = node.writers.lags(LAGS_MAX)
    return {
        "replication_lag_max": max((lag for lag, _, _ in lags), default=0),
        "replication_lag": [
            {"topic": key[0], "segment": key[1], "node": where, "records": lag} for lag, key, where in lags if lag > 0
        ],
    }


def _driver(node: "Running") -> Report | None:
    """What the driver measured last; None until it has measured, and for each thing that it could not tell."""
    measured = node.driver
    if measured is None:
        return None
    return {
        "disk_used_bytes": _known(measured.disk_used_bytes),
        "disk_files": _known(measured.disk_files),
        "disk_size_bytes": _known(measured.disk_size_bytes),
        "disk_free_bytes": _known(measured.disk_free_bytes),
        "started_s": _seconds(measured.started_wall_ns),
        "processor_s": _seconds(measured.processor_ns),
        "resident_bytes": _known(measured.resident_bytes),
        "descriptors": _known(measured.descriptors),
        "client_unsent_bytes": _known(measured.client_unsent_bytes),
        "peer_unsent_bytes": _known(measured.peer_unsent_bytes),
        "peer_connections": _known(measured.peer_connections),
        "sync": histogram_value(measured.sync_counts, measured.sync_sum_ns) if measured.sync_counts else None,
    }


def _known(value: int) -> int | None:
    return value if value >= 0 else None


def _seconds(value_ns: int) -> float | None:
    return value_ns / SECOND if value_ns >= 0 else None
