"""Who may vote for whom (dissertation 3.4, 3.6.1, 4.2.3, 9.6), the count of the votes, and when to ask for them."""

from typing import Final, Protocol

from walrus.core.config import NodeConfig
from walrus.core.peer import RequestVote
from walrus.core.raft.log import RaftLog

_NEVER_NS: Final = 1 << 62


def may_grant(
    request: RequestVote, candidate: int, *, term: int, vote: int, log: RaftLog, leader_is_alive: bool
) -> bool:
    """Decide on a vote or pre-vote; ``term`` and ``vote`` are the voter's own, a newer term already adopted.

    A learner, or a node in no configuration, votes too: the candidate's log may hold the entry that made it a
    voter before its own does, and nobody could be elected if it kept silent.
    """
    if leader_is_alive and not request.transfer:
        return False
    if not log.is_up_to_date(request.last_index, request.last_term):
        return False
    if request.pre:
        return request.term > term
    return request.term == term and vote in (0, candidate)


class Ballot:
    """The votes that one candidate has been granted in one (pre-)election; its own vote is among them."""

    __slots__ = ("_granted", "_needed", "_voters")

    def __init__(self, voters: tuple[int, ...], candidate: int, needed: int) -> None:
        """Open the count: ``needed`` of ``voters`` elect, ``candidate`` has voted for itself if it is one of them."""
        self._voters = voters
        self._needed = needed
        self._granted = {candidate} if candidate in voters else set()

    @property
    def won(self) -> bool:
        """Whether a quorum has granted its vote."""
        return len(self._granted) >= self._needed

    def grant(self, node: int) -> None:
        """Count the vote of ``node``, once, and only where it is a voter."""
        if node in self._voters:
            self._granted.add(node)


class Rng(Protocol):
    """The part of ``random.Random`` that elections need."""

    def randrange(self, start: int, stop: int) -> int:
        """Return an integer of ``[start, stop)``."""


class ElectionTimer:
    """When to suspect the leader: a timeout drawn anew at each reset, so that candidates seldom collide."""

    __slots__ = ("_max_ns", "_min_ns", "_rng", "at_ns")

    def __init__(self, config: NodeConfig, rng: Rng, now_ns: int) -> None:
        """Start with a first timeout."""
        self._min_ns = config.election_timeout_min_ns
        self._max_ns = config.election_timeout_max_ns
        self._rng = rng
        self.at_ns = 0
        self.reset(now_ns)

    def reset(self, now_ns: int) -> None:
        """Fire within ``[min, max)`` from now."""
        if self._max_ns > self._min_ns:
            self.at_ns = now_ns + self._rng.randrange(self._min_ns, self._max_ns)
        else:
            self.at_ns = now_ns + self._min_ns

    def stop(self) -> None:
        """Fire no more until the next reset."""
        self.at_ns = _NEVER_NS

    def put_off(self, gap_ns: int) -> None:
        """Fire later by ``gap_ns``, if at all."""
        if self.at_ns != _NEVER_NS:
            self.at_ns += gap_ns
