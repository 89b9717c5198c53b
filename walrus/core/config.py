"""Settings of one node, as plain values: a driver reads flags and environment, the core reads this."""

import msgspec

MS = 1_000_000
SECOND = 1_000_000_000


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """All that a node is told at construction. Times are nanoseconds, sizes bytes."""

    node_id: int
    advertise_address: str  # host:port where peers reach this node
    client_address: str = ""  # host:port where clients reach it; shown in STATE and METRICS
    join: tuple[str, ...] = ()  # addresses of existing nodes; empty on node 1 of a new cluster
    initial_peers: tuple[str, ...] = ()
    version: str = "0"
    python: str = ""  # version of the interpreter; this and the driver are shown in METRICS
    storage_driver: str = ""
    storage_reason: str = ""  # why not the other driver; "" where there is nothing to say

    max_segment_entries: int = 1_000_000
    max_segment_bytes: int = 1_073_741_824
    monitor_interval_ns: int = 10 * SECOND
    rpc_timeout_ns: int = 5 * SECOND
    cursor_commit_interval_ns: int = 100 * MS
    max_frame_bytes: int = 16 * 1024 * 1024
    target_replicas: int = 3
    durability: int = 0  # of topics made through this node, unless they say; see walrus.core.metadata.durability
    snapshot_entries: int = 10_000  # log entries applied since the last metadata snapshot that make the next one due
    snapshot_bytes: int = 16 * 1024 * 1024  # the same by growth of the journal
    snapshot_chunk_bytes: int = 256 * 1024  # of one message that brings a snapshot to a follower
    found_after_ns: int = 3 * SECOND  # an empty node 1 waits so long for initial peers that stay silent
    replace_after_ns: int = 30 * SECOND  # a replica dead for so long is replaced by a spare
    metadata_reserve_bytes: int = 4 * 1024 * 1024  # reserved ahead in journal and catalogue each, for a full disk
    mark_interval_ns: int = 100 * MS  # how often it is noted up to where copies are durable, at most; 0: never
    catalogue_rewrite_bytes: int = 1024 * 1024  # growth of the catalogue that makes a new one due, at least
    room_check_ns: int = 500 * MS  # how often a full disk is asked whether it has room again
    room_needed_bytes: int = 4 * 1024 * 1024  # so much room, and PUTs are taken again

    repair_bytes_per_s: int = 32 * 1024 * 1024  # at which a node copies sealed segments that it lacks from others
    scrub_bytes_per_s: int = 4 * 1024 * 1024  # at which complete copies of sealed segments are looked through; 0: never
    scrub_interval_ns: int = 24 * 3600 * SECOND  # from the beginning of one round to that of the next, at least

    heartbeat_interval_ns: int = 40 * MS
    lease_ns: int = 400 * MS
    lease_margin_ns: int = 50 * MS  # clock drift over one lease, plus the message in flight
    election_timeout_min_ns: int = 400 * MS  # at least lease_ns: see walrus.core.lease
    election_timeout_max_ns: int = 700 * MS
    shutdown_timeout_ns: int = 1_800 * MS

    max_pending_requests: int = 4096  # per client connection, then reading pauses
    max_pending_bytes: int = 32 * 1024 * 1024
    frame_timeout_ns: int = 60 * SECOND  # a half-sent frame or HTTP request closes the connection


class Deadline(msgspec.Struct, frozen=True):
    """The one next moment at which the node wants ``TimerFired``, and what for."""

    at_ns: int
    name: str
