"""What a leader knows of one follower's log, and how fast it sends.

PROBE: where the logs part is not known; one message is under way at a time.
REPLICATE: ``next_index`` runs ahead of the replies, with at most ``IN_FLIGHT_MAX`` messages unanswered.
SNAPSHOT: what the follower needs next is not in the log any more; it gets a snapshot, a piece at a time.

Invariants: ``match_index < next_index``; ``match_index`` never falls; ``in_flight`` rises and lies above
``match_index``; ``snapshot`` is set exactly in SNAPSHOT, and above ``match_index``.
"""

import enum
from collections import deque
from collections.abc import Iterable
from typing import Final

from walrus.core.peer import AppendReply, SnapshotReply
from walrus.core.raft.log import RaftLog
from walrus.core.raft.snapshot import RaftSnapshot

IN_FLIGHT_MAX: Final = 16
MESSAGE_ENTRIES_MAX: Final = 256
MESSAGE_BYTES_MAX: Final = 1024 * 1024


def lowest_held(followers: Iterable["Progress"], since_ns: int) -> int | None:
    """Up to which index every follower that has answered since then will hold the log, once the snapshots that are on
    their way have arrived; None without any.
    """
    held = [
        progress.snapshot.index if progress.snapshot is not None else progress.match_index
        for progress in followers
        if progress.contact_ns > since_ns
    ]
    return min(held, default=None)


class ProgressState(enum.Enum):
    """How entries are sent to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


PROBE: Final = ProgressState.PROBE
REPLICATE: Final = ProgressState.REPLICATE
SNAPSHOT: Final = ProgressState.SNAPSHOT


class Progress:
    """One follower or learner, as its leader sees it."""

    __slots__ = (
        "acked_life",
        "acked_seq",
        "catch_up_index",
        "commit_index",
        "commit_sent",
        "contact_ns",
        "in_flight",
        "lease_index",
        "match_index",
        "next_index",
        "probe_sent",
        "snapshot",
        "snapshot_offset",
        "state",
        "waiting_since_ns",
    )

    def __init__(self, next_index: int, catch_up_index: int, now_ns: int) -> None:
        """Know nothing yet; ``catch_up_index`` ends the first catch-up round of a learner."""
        self.state = PROBE
        self.match_index = 0
        self.next_index = next_index
        self.probe_sent = False  # the one message of PROBE, or of SNAPSHOT, is unanswered
        self.snapshot: RaftSnapshot | None = None
        self.snapshot_offset = 0  # bytes of it that the follower is known to have
        self.in_flight: deque[int] = deque()
        self.commit_sent = 0
        self.commit_index = 0  # as of its newest heartbeat reply
        self.lease_index = next_index  # its lease is confirmed once its commit index is here
        self.acked_seq = 0
        self.acked_life = 0  # incarnation of the process that sent this answer
        self.contact_ns = now_ns  # when its newest heartbeat reply came; given the benefit of the doubt at first
        self.waiting_since_ns = now_ns
        self.catch_up_index = catch_up_index

    def may_send(self, last_index: int) -> bool:
        """Whether another message with entries (or a probe) may go out now."""
        if self.state is not REPLICATE:
            return self.state is PROBE and not self.probe_sent
        return self.next_index <= last_index and len(self.in_flight) < IN_FLIGHT_MAX

    def sent(self, last_sent: int, now_ns: int) -> None:
        """Note that entries up to ``last_sent`` are under way."""
        if not self.is_waiting:
            self.waiting_since_ns = now_ns
        if self.state is PROBE:
            self.probe_sent = True
        else:
            self.next_index = last_sent + 1
            self.in_flight.append(last_sent)

    @property
    def may_hold_lease(self) -> bool:
        """Whether it knows all that it must know before it serves under a lease."""
        return self.commit_index >= self.lease_index

    @property
    def is_waiting(self) -> bool:
        """Whether a reply is owed."""
        if self.state is not REPLICATE:
            return self.probe_sent
        return self.match_index < self.next_index - 1

    def accepted(self, match_index: int, now_ns: int) -> bool:
        """Take a success reply; tell whether it is news. Late and repeated ones change nothing."""
        if self.state is PROBE and match_index >= max(self.match_index, self.next_index - 1):
            self.state = REPLICATE
            self.probe_sent = False
            self.next_index = match_index + 1
        if match_index <= self.match_index:
            return False
        if self.snapshot is not None and match_index >= self.snapshot.index:
            self._end_snapshot(match_index + 1)
        self.match_index = match_index
        self.next_index = max(self.next_index, match_index + 1)
        while self.in_flight and self.in_flight[0] <= match_index:
            self.in_flight.popleft()
        self.waiting_since_ns = now_ns
        return True

    def rejected(self, reply: AppendReply, log: RaftLog) -> bool:
        """Take a refusal and go back to where the logs may agree; tell whether it was news.

        The follower's entries from ``conflict_index`` to ``reject_prev`` all have ``conflict_term``, so the
        logs can agree within that stretch only where the leader's has that term too (the paper, end of
        section 5.3).
        """
        if reply.reject_prev <= self.match_index or self.state is SNAPSHOT:
            return False
        if self.state is PROBE and reply.reject_prev != self.next_index - 1:
            return False
        next_index = reply.conflict_index
        if reply.conflict_term:
            same_term_end = log.term_end(reply.conflict_term)
            if reply.conflict_index <= same_term_end < reply.reject_prev:
                next_index = same_term_end + 1
        self._probe_from(max(self.match_index + 1, min(next_index, reply.reject_prev)))
        return True

    # --- a snapshot instead of entries ---

    def begin_snapshot(self, snapshot: RaftSnapshot) -> None:
        """The follower needs what only a snapshot has."""
        assert snapshot.index > self.match_index, "the follower has all that the snapshot includes"
        self.state = SNAPSHOT
        self.snapshot = snapshot
        self.snapshot_offset = 0
        self.probe_sent = False
        self.in_flight.clear()

    def piece_sent(self, now_ns: int) -> None:
        """A piece of the snapshot, or the question how far the follower is, is under way."""
        self.probe_sent = True
        self.waiting_since_ns = now_ns

    def piece_answered(self, reply: SnapshotReply, now_ns: int) -> bool:
        """Take a reply about the snapshot; tell whether ``match_index`` rose. Of other snapshots: nothing new.

        A follower that has begun again is sent what it lacks; a repeated answer sends nothing again.
        """
        snapshot = self.snapshot
        if snapshot is None or (reply.index, reply.checksum) != (snapshot.index, snapshot.checksum):
            return False
        if reply.installed:
            return self.accepted(snapshot.index, now_ns)
        if reply.received != self.snapshot_offset and reply.received <= len(snapshot.data):
            self.snapshot_offset = reply.received
            self.probe_sent = reply.received == len(snapshot.data)  # then there is nothing to send but a question
            self.waiting_since_ns = now_ns
        return False

    def _end_snapshot(self, next_index: int) -> None:
        self.state = REPLICATE
        self.snapshot = None
        self.snapshot_offset = 0
        self.probe_sent = False
        self.next_index = next_index

    def _probe_from(self, next_index: int) -> None:
        self.state = PROBE
        self.next_index = next_index
        self.probe_sent = False
        self.in_flight.clear()

    def check(self) -> None:
        """Assert the invariants on the fields."""
        assert self.match_index < self.next_index, "match_index < next_index"
        assert list(self.in_flight) == sorted(set(self.in_flight)), "in_flight rises"
        assert not self.in_flight or self.match_index < self.in_flight[0], "in_flight lies above match_index"
        assert self.state is REPLICATE or not self.in_flight, "a probe is not counted in flight"
        assert (self.state is SNAPSHOT) == (self.snapshot is not None), "snapshot is set in SNAPSHOT"
        assert self.snapshot is None or self.match_index < self.snapshot.index, "the snapshot lies above match_index"
