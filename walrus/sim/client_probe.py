"""How the checkers look into what a node does for clients: beside :mod:`walrus.sim.probe` the one place that knows
where :class:`walrus.core.node.Node` keeps it.

Nodes without the part that is asked for (those that start, the small ones of the tests) have nothing.
"""

from typing import TYPE_CHECKING, Any

from walrus.core.metadata.commands import Writer

if TYPE_CHECKING:
    from walrus.core.segment.replica import Key
    from walrus.core.segment.writer import SegmentWriter
    from walrus.sim.host import Host

_NO_WRITERS: "dict[Key, SegmentWriter]" = {}


def _running(host: "Host") -> Any:
    node: Any = host.node
    return getattr(node, "running", None)


def lifetime(host: "Host") -> Writer | None:
    """(node, storage id, incarnation) of the host's process."""
    running = _running(host)
    me: Writer | None = running.me if running is not None else None
    return me


def segment_writers(host: "Host") -> "dict[Key, SegmentWriter]":
    """The writers in the host's process, by segment."""
    running = _running(host)
    found: dict[Key, SegmentWriter] = running.writers._writers if running is not None else _NO_WRITERS
    return found


def forwards_puts(host: "Host") -> bool:
    """Whether PUTs of the host's clients are under way to other nodes."""
    running = _running(host)
    return running is not None and bool(running.puts._forwarded)


def puts_under_way(host: "Host") -> "dict[Key, int]":
    """How many PUTs of the host's own clients are under way to the writer of each segment, its own ones included."""
    running = _running(host)
    found: dict[Key, int] = {}
    for _, key, _ in running.puts._forwarded.values():
        found[key] = found.get(key, 0) + 1
    for key, writer in segment_writers(host).items():
        waiting = [*writer.unsent, *[pending for _, origins in writer.in_flight for pending in origins]]
        own = sum(pending.slot is not None for pending in waiting)
        if own:
            found[key] = found.get(key, 0) + own
    return found


def asker(host: "Host", rid: int) -> int:
    """Number of the client connection whose GET the host's process forwards as ``rid``; -1 if it does not."""
    running = _running(host)
    found = running.gets._forwarded.get(rid) if running is not None else None
    conn: int = found.pending.slot.conn if found is not None and found.pending.slot is not None else -1
    return conn


def is_connected(host: "Host", conn: int) -> bool:
    """Whether a client connection is open, as far as the host's process has heard."""
    running = _running(host)
    return running is not None and conn in running.sessions._connections
