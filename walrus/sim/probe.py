"""How the checkers look into a node: the one place that knows where :class:`walrus.core.node.Node` keeps its
state.

Nodes without the part that is asked for (the small ones of the tests) yield None.
"""

from typing import TYPE_CHECKING, Any, Protocol

from walrus.core.peer import Entry
from walrus.core.raft.output import LEADER, Role
from walrus.core.report import report as tell
from walrus.core.segment.writer import PROPOSED

if TYPE_CHECKING:
    from walrus.core.cursors import OwnedCursor
    from walrus.core.metadata.commands import Writer
    from walrus.core.metadata.state import Metadata
    from walrus.core.raft.membership import Membership
    from walrus.core.raft.snapshot import RaftSnapshot
    from walrus.core.segment.replica import Key, Replica
    from walrus.core.segment.writer import SegmentWriter
    from walrus.sim.host import Host


_NONE: "dict[str, OwnedCursor]" = {}
_NO_WRITERS: "dict[Key, SegmentWriter]" = {}


class LogView(Protocol):
    """What the checkers read of a Raft log (see :class:`walrus.core.raft.log.RaftLog`)."""

    @property
    def last_index(self) -> int:
        """Index of the last entry, durable or not."""

    @property
    def last_term(self) -> int:
        """Its term."""

    @property
    def snapshot_index(self) -> int:
        """The entries up to this index are not held."""

    def term(self, index: int) -> int | None:
        """Term of the entry at ``index`` (0 for index 0), None where it is not known."""

    def entry(self, index: int) -> Entry:
        """The entry at ``index``."""


class RaftView(Protocol):
    """What the checkers read of a node's Raft (see :class:`walrus.core.raft.state.RaftState`)."""

    @property
    def term(self) -> int:
        """Its term."""

    @property
    def vote(self) -> int:
        """Whom it voted for in its term, or 0."""

    @property
    def commit_index(self) -> int:
        """Known to be committed up to here."""

    @property
    def applied_index(self) -> int:
        """Applied up to here."""

    @property
    def persisted_index(self) -> int:
        """Durable up to here."""

    @property
    def leader(self) -> int:
        """Whom it takes for the leader of its term, or 0."""

    @property
    def role(self) -> Role:
        """What it is in its term."""

    @property
    def log(self) -> LogView:
        """Its log."""

    @property
    def snapshot(self) -> "RaftSnapshot | None":
        """The newest durable snapshot."""

    @property
    def membership(self) -> "Membership":
        """The newest configuration in its log."""

    @property
    def committed_membership(self) -> "Membership":
        """The newest one known to be committed."""


def is_beside(host: "Host") -> bool:
    """Whether the host's process belongs to another cluster than the one that is judged."""
    beside: bool = getattr(host, "beside", False)
    return beside


def raft(host: "Host") -> RaftView | None:
    """The host's Raft, if its process runs and has begun, in the one cluster that there is."""
    if is_beside(host):
        return None
    node: Any = host.node
    view: RaftView | None = getattr(node, "raft", None)
    return view


def metadata(host: "Host") -> "Metadata | None":
    """The host's copy of the replicated state, if its process runs and has begun, in the one cluster."""
    if is_beside(host):
        return None
    node: Any = host.node
    state: Metadata | None = getattr(node, "metadata", None)
    return state


def replica(host: "Host", topic: str, number: int) -> "Replica | None":
    """The host's copy of a segment, if its process runs, has begun and knows of one."""
    node: Any = host.node
    replicas: dict[tuple[str, int], Replica] = getattr(node, "replicas", None) or {}
    return replicas.get((topic, number))


def writes(host: "Host", key: "Key") -> bool:
    """Whether the host's process is the writer of a segment and would serve its records, given a lease."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    writer = running.writers.get(key) if running is not None else None
    return writer is not None and writer.readable and writer.state != PROPOSED


def writers(host: "Host") -> "dict[Key, SegmentWriter]":
    """The writers in the host's process, by segment."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    found: dict[Key, SegmentWriter] = running.writers._writers if running is not None else _NO_WRITERS
    return found


def tail_in_recovery(host: "Host", key: "Key") -> int:
    """Up to where the host's process, a recoverer, has a segment's copies completed; -1 where it does not."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    recovery = running.recoveries._running.get(key) if running is not None else None
    return recovery.tail if recovery is not None else -1


def own_puts(host: "Host", topic: str) -> tuple[int, int]:
    """Of the PUTs that the host's own clients sent to a topic: (number of the segment they were given to, how many of
    them are neither answered nor with somebody who will answer them).
    """
    node: Any = host.node
    puts, held = node.running.puts, node.running.writers
    route = puts._routes.get(topic)
    if route is None:
        return 0, 0
    known = sum(key == (topic, route.target) for _, key, _ in puts._forwarded.values())
    writer = held.get((topic, route.target))
    if writer is not None:
        known += sum(pending.slot is not None for pending in writer.unsent)
        known += sum(pending.slot is not None for _, origins in writer.in_flight for pending in origins)
    return route.target, route.under_way - known


def holds_lease(host: "Host") -> bool:
    """Whether the host's process takes its lease for valid now."""
    node: Any = host.node
    valid: bool = node.running.lease.valid(host.now_ns())
    return valid


def lease_until(host: "Host") -> int:
    """When the lease of the host's process ends as far as it knows, by its own clock; -1 while it starts."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    until_ns: int = running.lease.until_ns(host.now_ns()) if running is not None else -1
    return until_ns


def gives_up(host: "Host", node_id: int) -> bool:
    """Whether the host, a leader, takes the lease of another node for over."""
    node: Any = host.node
    lapsed: bool = node.running.leases.lapsed(node_id, host.now_ns())
    return lapsed


def lifetime(host: "Host") -> "Writer | None":
    """Who the host's process is, as the writer of segments: node, storage id, incarnation."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    return running.me if running is not None else None


def cursors(host: "Host") -> "dict[str, OwnedCursor]":
    """The cursors that the host's process keeps, by topic."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    kept: dict[str, OwnedCursor] = running.cursors.owned if running is not None else _NONE
    return kept


def undelivered(host: "Host") -> int:
    """Reads under way on the host's process, and records that it has handed out without knowing what became of them."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    if running is None:
        return 0
    reads: int = running.gets.waiting
    return reads + sum(len(owned.outstanding) for owned in running.cursors.owned.values())


def acknowledged(host: "Host", topic: str, number: int) -> int:
    """How many records of a topic are acknowledged, up to a segment that the host's process writes."""
    node: Any = host.node
    running = node.running
    acked: int = running.writers.get((topic, number)).acked
    base: int = running.metadata.topics[topic].segment(number).base
    return base + acked


def report(host: "Host") -> dict[str, Any] | None:
    """What METRICS would say; None while the process starts, or where it is none of the real ones."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    return tell(running, host.now_ns()) if running is not None else None


def answered(host: "Host") -> dict[str, int] | None:
    """How many PUTs and GETs the host's process has counted as answered; None where :func:`report` has nothing."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    if running is None:
        return None
    meters = {"put": running.puts.meter, "get": running.gets.meter}
    return {verb: sum(meter.local.counts) + sum(meter.forwarded.counts) for verb, meter in meters.items()}


def copy_behind(host: "Host") -> int:
    """A node whose copy lacks records that the host's process, the writer, has acknowledged; 0 if there is none."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    for writer in running.writers._writers.values() if running is not None else ():
        for node_id, target in writer.targets.items():
            if target.match < writer.acked and target.member in writer.members:
                laggard: int = node_id
                return laggard
    return 0


def is_full(host: "Host") -> bool:
    """Whether the host's process says that its disk is full."""
    node: Any = host.node
    space = getattr(node, "space", None)
    return space is not None and bool(space.full)


def set_changes(host: "Host") -> "list[tuple[Key, int]]":
    """Sealed segments whose set the host's process is changing, with the version that it is to have."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    changes = running.upkeep._changes if running is not None else {}
    return [(key, change.version + 1) for key, change in changes.items()]


def storage(host: "Host") -> int:
    """The storage id of the host's process, 0 where it has none yet."""
    node: Any = host.node
    out = getattr(node, "out", None)
    found: int = out.storage_id if out is not None else 0
    return found


def cluster(host: "Host") -> int:
    """The id of the cluster that the host's process belongs to, 0 where there is none yet."""
    node: Any = host.node
    out = getattr(node, "out", None)
    found: int = out.cluster if out is not None else 0
    return found


def leaves(host: "Host") -> bool:
    """Whether the host's process was asked to stop."""
    node: Any = host.node
    running = getattr(node, "running", None) if not is_beside(host) else None
    return running is not None and running.leaving.begun


def left_in_order(host: "Host") -> bool:
    """Whether the host's process has handed everything over."""
    node: Any = host.node
    return leaves(host) and node.running.leaving.complete


def waits_for_when_leaving(host: "Host") -> list[int]:
    """The nodes that the host's process asks before it leaves, as things are."""
    node: Any = host.node
    others: list[int] = node.running.farewells.others()
    return others


def leads(host: "Host") -> bool:
    """Whether the host leads Raft, as far as it knows."""
    view = raft(host)
    return view is not None and view.role is LEADER
