"""METRICS as text for Prometheus: a table of what is exported, read from :mod:`walrus.core.report`.

Two forms of one thing: the text format 0.0.4 of old, and OpenMetrics 1.0, which names a family of counters without
``_total`` and ends with ``# EOF``. How many samples there are does not depend on how many topics there are.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from walrus.core.report import Report

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

GAUGE: Final = "gauge"
COUNTER: Final = "counter"
HISTOGRAM: Final = "histogram"

Samples = Iterable[tuple[tuple[str, ...], Any]]
"""(label values, number; a histogram's value where the kind is one). None instead of either: not known now."""

_BUILD: Final = ("version", "python", "driver", "node", "cluster")
_STATES: Final = ("Leader", "Follower", "Candidate", "Learner")


class Family(msgspec.Struct, frozen=True):
    """One metric. ``name`` is that of its samples: a counter's ends in ``_total``."""

    name: str
    kind: str
    help: str
    read: Callable[[Report], Samples]
    labels: tuple[str, ...] = ()


def _one(*path: str) -> Callable[[Report], Samples]:
    """A family of one sample: the number under these keys, nothing where one of them leads to null."""

    def read(report: Report) -> Samples:
        value: Any = report
        for key in path:
            if value is None:
                return ()
            value = value[key]
        return () if value is None else (((), value),)

    return read


def _build(report: Report) -> Samples:
    build = report["build"]
    yield (build["version"], build["python"], build["storage_driver"], str(report["id"]), report["cluster"]), 1


def _state(report: Report) -> Samples:
    return ((((state,), int(report["state"] == state))) for state in _STATES)


def _leader(report: Report) -> Samples:
    yield (), report["current_leader"] or 0


def _lease(report: Report) -> Samples:
    yield (), int(report["lease_valid"])


def _count(key: str) -> Callable[[Report], Samples]:
    return lambda report: (((), len(report[key])),)


def _durability(report: Report) -> Samples:
    return (((mode,), count) for mode, count in report["durability"].items())


def _followers(report: Report) -> Samples:
    for node, progress in (report["replication"] or {}).items():
        if node != str(report["id"]):
            yield (node,), max(0, report["last_log_index"] - progress["index"])


def _voters(report: Report) -> Samples:
    yield (), len({node for config in report["membership_config"]["membership"]["configs"] for node in config})


def _latency(verb: str) -> Callable[[Report], Samples]:
    return lambda report: (((route,), report[verb][route]) for route in ("local", "forwarded"))


def _failed(report: Report) -> Samples:
    for verb in ("put", "get"):
        for reason, count in report[verb]["failed"].items():
            yield (verb, reason), count
    yield ("any", "no_leader"), report["leaderless_requests"]


def _lags(report: Report) -> Samples:
    for lag in report["replication_lag"]:
        yield (lag["topic"], str(lag["segment"]), str(lag["node"])), lag["records"]


def _gauge(name: str, text: str, *path: str) -> Family:
    return Family(name, GAUGE, text, _one(*path))


def _counter(name: str, text: str, *path: str) -> Family:
    return Family(name, COUNTER, text, _one(*path))


def _histogram(name: str, text: str, *path: str) -> Family:
    return Family(name, HISTOGRAM, text, _one(*path))


RAFT: Final = (
    Family("walrus_raft_state", GAUGE, "1 for what this node is in the Raft group.", _state, ("state",)),
    Family("walrus_raft_leader", GAUGE, "The leader's node id as this node knows it; 0: none.", _leader),
    _counter("walrus_raft_leader_changes_total", "Leaders that this node has followed or become.", "leader_changes"),
    _gauge("walrus_raft_term", "The current term.", "current_term"),
    _gauge("walrus_raft_last_log_index", "The newest entry in this node's log.", "last_log_index"),
    _gauge("walrus_raft_commit_index", "The newest entry known to be committed.", "commit_index"),
    _gauge("walrus_raft_applied_index", "The newest entry in this node's metadata.", "last_applied"),
    _gauge("walrus_raft_commit_lag_entries", "Entries in the log that are not committed.", "commit_lag"),
    _gauge("walrus_raft_apply_lag_entries", "Entries committed that are not applied.", "apply_lag"),
    Family("walrus_raft_follower_lag_entries", GAUGE, "On the leader: what a member lacks.", _followers, ("member",)),
    Family("walrus_raft_voters", GAUGE, "Voters of the cluster.", _voters),
    Family("walrus_live_nodes", GAUGE, "Nodes that answer the leader, by its word.", _count("live_nodes")),
    Family("walrus_lease_valid", GAUGE, "1 while this node may serve open segments.", _lease),
    _gauge("walrus_lease_remaining_seconds", "How long the lease lasts as it is.", "lease_remaining_s"),
    _counter("walrus_lease_losses_total", "Leases of this node that ran out.", "lease_losses"),
)

SEGMENTS: Final = (
    _gauge("walrus_topics", "Topics of the cluster.", "topics"),
    _gauge("walrus_open_segments", "Open segments of the cluster.", "open_segments"),
    _gauge("walrus_leading_segments", "Segments that this node writes.", "leading_segments"),
    _gauge("walrus_copies", "Copies of segments on this node's disk.", "copies"),
    Family("walrus_stuck_segments", GAUGE, "On the leader: too few copies are left.", _count("stuck_segments")),
    Family("walrus_topics_by_durability", GAUGE, "Topics by how they acknowledge.", _durability, ("durability",)),
    _gauge("walrus_unsynced_copies", "Copies on this node that hold acknowledged records unsynced.", "unsynced_copies"),
    _gauge(
        "walrus_power_cut_copies", "Copies on this node that count for nothing since a power cut.", "power_cut_copies"
    ),
    _counter(
        "walrus_power_cut_seals_total", "Seals of what power cuts had left, by this node as leader.", "power_cut_seals"
    ),
    _gauge("walrus_repairs_waiting", "Copies on this node that lack records.", "repairs_waiting"),
    _counter("walrus_recoveries_total", "Seals that this node began, as leader, for a lost writer.", "recoveries"),
    Family("walrus_unsafe_recoveries", GAUGE, "Lost majorities that operators overrode.", _count("unsafe_recoveries")),
    _histogram("walrus_rollover_duration_seconds", "From a segment's last record until it is sealed.", "rollovers"),
    Family(
        "walrus_replication_lag_records",
        GAUGE,
        "Records of open segments of this node that a copy lacks; only the copies farthest behind.",
        _lags,
        ("topic", "segment", "replica"),
    ),
    _gauge("walrus_replication_lag_records_max", "The greatest such lag.", "replication_lag_max"),
)

CLIENTS: Final = (
    Family("walrus_put_latency_seconds", HISTOGRAM, "PUTs acknowledged to clients here.", _latency("put"), ("route",)),
    Family("walrus_get_latency_seconds", HISTOGRAM, "GETs answered to clients here.", _latency("get"), ("route",)),
    Family("walrus_requests_failed_total", COUNTER, "Requests that failed.", _failed, ("verb", "reason")),
    _gauge("walrus_client_connections", "Connections of clients.", "client_connections"),
    _gauge("walrus_requests_waiting", "Requests of clients here under way.", "requests_waiting"),
    _gauge("walrus_client_buffered_bytes", "Bytes of requests held.", "client_buffered_bytes"),
    _gauge("walrus_client_unsent_bytes", "Replies that clients have not taken.", "driver", "client_unsent_bytes"),
)

MACHINE: Final = (
    Family("walrus_build_info", GAUGE, "What runs here; always 1.", _build, _BUILD),
    _gauge("walrus_time_seconds", "The node's time of day at this scrape.", "time_s"),
    _gauge("walrus_peer_connections", "Connections with other nodes.", "driver", "peer_connections"),
    _gauge("walrus_peer_unsent_bytes", "Messages that other nodes have not taken.", "driver", "peer_unsent_bytes"),
    _histogram("walrus_sync_latency_seconds", "Changes of files until they are durable.", "driver", "sync"),
    _gauge("walrus_disk_used_bytes", "Blocks that the node's files take.", "driver", "disk_used_bytes"),
    _gauge("walrus_disk_files", "Files of the node.", "driver", "disk_files"),
    _gauge("walrus_disk_size_bytes", "Size of the file system they are on.", "driver", "disk_size_bytes"),
    _gauge("walrus_disk_free_bytes", "What is free there.", "driver", "disk_free_bytes"),
    _histogram("walrus_loop_lag_seconds", "How late the event loop got to its regular tick.", "loop", "lag"),
    _counter(
        "walrus_loop_stalls_total", "Times that the process stood still for several heartbeats.", "loop", "stalls"
    ),
    _counter("walrus_loop_stalled_seconds_total", "For how long it did.", "loop", "stalled_s"),
    _gauge("process_start_time_seconds", "When the process started, since 1970.", "driver", "started_s"),
    _counter("process_cpu_seconds_total", "User and system time of the process.", "driver", "processor_s"),
    _gauge("process_resident_memory_bytes", "Memory of the process.", "driver", "resident_bytes"),
    _gauge("process_open_fds", "Open descriptors of the process.", "driver", "descriptors"),
)

FAMILIES: Final = (*RAFT, *SEGMENTS, *CLIENTS, *MACHINE)


def render(report: Report, *, open_metrics: bool) -> bytes:
    """The report as text, in the order of the table."""
    lines: list[str] = []
    for family in FAMILIES:
        told = family.name.removesuffix("_total") if open_metrics else family.name
        lines += (f"# HELP {told} {family.help}", f"# TYPE {told} {family.kind}")
        for values, value in family.read(report):
            labels = "".join([f'{name}="{_escaped(text)}",' for name, text in zip(family.labels, values, strict=True)])
            shown = f"{{{labels[:-1]}}}" if labels else ""
            if family.kind == HISTOGRAM:
                bucket = f'{family.name}_bucket{{{labels}le="'
                lines += [f'{bucket}{le}"}} {n}' for le, n in value["le"].items()]
                lines.append(f"{family.name}_sum{shown} {value['sum_s']}")
                lines.append(f"{family.name}_count{shown} {value['count']}")
            else:
                lines.append(f"{family.name}{shown} {value}")
    if open_metrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode("utf-8")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
