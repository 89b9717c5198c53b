"""What happened: every input of :class:`walrus.core.node.Node`, as frozen values in the past tense.

A driver calls ``node.handle(event, now_ns)`` once per event, and ends each turn of its loop with
:class:`PollFinished`, on which the node flushes what it gathered (one block, one message per replica,
one reply buffer per connection).
"""

import msgspec

from walrus.core.actions import Change


class Event(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Base of all events. An encoded one names its kind."""


class Started(Event, frozen=True, gc=False):
    """The process began; ``files`` lists what the data directory held.

    ``files`` maps a path relative to ``data/node_<id>`` (such as ``raft_meta/entries.log``) to its size in bytes.
    ``boot_id`` is another one whenever the operating system has been started anew; "" where that cannot be known.
    Always the first event of a node's life.
    """

    files: dict[str, int]
    wall_ns: int
    boot_id: str = ""


class ClientConnected(Event, frozen=True, gc=False):
    """A client opened connection ``conn`` (a number the driver never reuses within a process)."""

    conn: int


class ClientDataReceived(Event, frozen=True, gc=False):
    """Bytes arrived on a client connection, in the order sent; frames may be cut anywhere."""

    conn: int
    data: bytes
    wall_ns: int


class ClientDisconnected(Event, frozen=True, gc=False):
    """The client's connection is gone; nothing more can be sent on it."""

    conn: int


class MessageReceived(Event, frozen=True, gc=False):
    """One whole peer message (see :mod:`walrus.core.peer`) arrived. ``data`` has its envelope."""

    data: bytes


class PeerDisconnected(Event, frozen=True, gc=False):
    """The last connection to node ``node`` broke, so messages on their way to or from it may be lost. A hint."""

    node: int


class WriteCompleted(Event, frozen=True, gc=False):
    """The write with ``token`` is on stable storage, its file's directory entry included; without ``sync`` it is with
    the operating system, and only that entry is on stable storage.
    """

    token: int


class WriteFailed(Event, frozen=True, gc=False):
    """A write, sync, truncation, renaming or removal failed; what reached the disk is unknown."""

    token: int
    path: str
    error: str  # errno name and text, e.g. "EIO: Input/output error"


class SpaceRanOut(Event, frozen=True, gc=False):
    """The disk had no room for a change, and nothing of it was done: everything is as before, and the same change may
    be asked for again. What waits for its token waits on.
    """

    change: Change
    error: str  # errno name and text, e.g. "ENOSPC: No space left on device"


class ReadCompleted(Event, frozen=True, gc=False):
    """Bytes of a file; fewer than asked for only where the file ends."""

    token: int
    data: bytes


class ReadFailed(Event, frozen=True, gc=False):
    """A read failed; ``error`` is errno name and text (``ENOENT: ...`` for a missing file)."""

    token: int
    path: str
    error: str


class TimerFired(Event, frozen=True, gc=False):
    """The deadline that the node named has come."""


class PollFinished(Event, frozen=True, gc=False):
    """All events of this turn of the driver's loop have been handed over; flush."""


class DriverMeasured(Event, frozen=True, gc=False, kw_only=True):
    """What the driver alone can know, for METRICS; comes every few seconds and decides nothing. -1: unknown.

    ``disk_used_bytes`` and ``disk_files`` are of the node's directory, ``disk_size_bytes`` and ``disk_free_bytes`` of
    the file system that it lies on. ``sync_counts`` are the buckets of :data:`walrus.core.meters.LATENCY_BOUNDS_NS`.
    """

    disk_used_bytes: int = -1  # blocks taken, what is reserved included
    disk_files: int = -1
    disk_size_bytes: int = -1
    disk_free_bytes: int = -1
    started_wall_ns: int = -1
    processor_ns: int = -1  # user and system time of the process
    resident_bytes: int = -1
    descriptors: int = -1
    client_unsent_bytes: int = -1
    peer_unsent_bytes: int = -1
    peer_connections: int = -1
    sync_counts: tuple[int, ...] = ()  # of changes of files, from being asked for until durable
    sync_sum_ns: int = 0


class ShutdownRequested(Event, frozen=True, gc=False):
    """The operator asked for a clean stop (SIGTERM, SIGINT)."""
