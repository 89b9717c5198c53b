"""What a run looked like, as plain values: the one thing that a picture of it is drawn from.

Times are simulated nanoseconds. A span that never ended runs to ``Recording.end_ns``.
"""

import msgspec


class SentMessage(msgspec.Struct, frozen=True):
    """One copy of a message between nodes. ``arrived_ns`` is -1 where it was lost; ``fate`` says why."""

    number: int
    sender: int
    to: int
    kind: str  # "AppendEntries", "Fence", ...
    topic: str  # "topic:segment" where the message names one, else ""
    sent_ns: int
    arrived_ns: int
    fate: str  # "arrived", "dropped", "cut", "recipient down", "under way at the end"
    content: str


class Mark(msgspec.Struct, frozen=True):
    """Something done to the cluster from outside, at one moment or for a while (``until_ns`` > ``at_ns``).

    ``kind`` is the kind of deed ("crash", "start", "cut", "pause", "disk", "clock", "client", ...); ``nodes`` whom it
    concerns, empty for all.
    """

    at_ns: int
    until_ns: int
    kind: str
    nodes: tuple[int, ...]
    text: str


class RoleSpan(msgspec.Struct, frozen=True):
    """For how long a node was what in Raft: "down", "starting", "learner", "follower", "candidate", "leader"."""

    node: int
    from_ns: int
    to_ns: int
    role: str
    term: int


class SegmentSpan(msgspec.Struct, frozen=True):
    """For how long a node knew a segment to be in a state, and as what the node took part in it."""

    node: int
    from_ns: int
    to_ns: int
    segment: str  # "topic:number"
    state: str  # "OPEN", "SEALING(3)", "SEALED(17)"
    part: str  # "writer", "replica", "lost replica", ""


class ClientRequest(msgspec.Struct, frozen=True):
    """One request of a client. ``done_ns`` is -1 without an answer; ``outcome`` as in the history."""

    client: int
    node: int
    verb: str
    topic: str
    sent_ns: int
    done_ns: int
    outcome: str  # "done", "empty", "failed", "unknown"
    request: str
    reply: str


class LogLine(msgspec.Struct, frozen=True):
    """A line of the run's story. ``node`` is 0 where it is about no single node."""

    at_ns: int
    node: int
    text: str


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. Lanes are nodes 1 to ``nodes`` and clients 0 (the auditor) to ``clients``."""

    title: str
    command: str  # repeats the run
    nodes: int
    clients: int
    end_ns: int
    messages: list[SentMessage]
    marks: list[Mark]
    roles: list[RoleSpan]
    segments: list[SegmentSpan]
    requests: list[ClientRequest]
    lines: list[LogLine]
    verdict: str  # "clean" or "violation"
    violation: str = ""
    violation_ns: int = -1
    violation_nodes: tuple[int, ...] = ()  # where it was seen; empty: everywhere
