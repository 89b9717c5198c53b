"""What a leader knows of one follower's log, and how fast it sends.

PROBE: where the logs part is not known; one message is under way at a time.
REPLICATE: ``next_index`` runs ahead of the replies, with at most ``IN_FLIGHT_MAX`` messages unanswered.

Invariants: ``match_index < next_index``; ``match_index`` never falls; ``in_flight`` rises and lies above
``match_index``.
"""

import enum
from collections import deque
from typing import Final

from walrus.core.peer import AppendReply
from walrus.core.raft.log import RaftLog

IN_FLIGHT_MAX: Final = 16
MESSAGE_ENTRIES_MAX: Final = 256
MESSAGE_BYTES_MAX: Final = 1024 * 1024


class ProgressState(enum.Enum):
    """How entries are sent to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"


PROBE: Final = ProgressState.PROBE
REPLICATE: Final = ProgressState.REPLICATE


class Progress:
    """One follower or learner, as its leader sees it."""

    __slots__ = (
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
        "state",
        "waiting_since_ns",
    )

    def __init__(self, next_index: int, catch_up_index: int, now_ns: int) -> None:
        """Know nothing yet; ``catch_up_index`` ends the first catch-up round of a learner."""
        self.state = PROBE
        self.match_index = 0
        self.next_index = next_index
        self.probe_sent = False
        self.in_flight: deque[int] = deque()
        self.commit_sent = 0
        self.commit_index = 0  # as of its newest heartbeat reply
        self.lease_index = next_index  # its lease is confirmed once its commit index is here
        self.acked_seq = 0
        self.contact_ns = now_ns  # when its newest heartbeat reply came; given the benefit of the doubt at first
        self.waiting_since_ns = now_ns
        self.catch_up_index = catch_up_index

    def may_send(self, last_index: int) -> bool:
        """Whether another message with entries (or a probe) may go out now."""
        if self.state is PROBE:
            return not self.probe_sent
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
        if self.state is PROBE:
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
        if reply.reject_prev <= self.match_index:
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
