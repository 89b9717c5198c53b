"""What a segment's writer knows of one copy it feeds."""

from collections import deque
from typing import Final

from walrus.core.config import MS
from walrus.core.peer import Member

PROBE_AFTER_NS: Final = 150 * MS  # no progress for so long: ask for the length again
MAX_UNACKED_BYTES: Final = 8 << 20  # sent ahead to one copy


class Target:
    """Invariant: ``match <= next``; ``match`` never falls (it only comes from ACCEPTED answers)."""

    __slots__ = (
        *("_flying", "fetching", "match", "member", "next", "no_room", "probing", "progress_ns", "synced"),
        *("unacked_bytes", "version"),
    )

    def __init__(self, member: Member, version: int) -> None:
        self.member = member
        self.version = version  # of the set under which it was taken on; what an older stay acknowledged is void
        self.match = 0  # records durable there, as the segment's mode has it
        self.synced = 0  # those of them that would outlive a loss of power
        self.next = 0  # first record not sent yet
        self.unacked_bytes = 0
        self.progress_ns = 0  # when it last confirmed something, or was sent something while idle
        self.probing = False  # it fell silent: send nothing but probes until it answers
        self.no_room = False  # its disk is full, as far as it said last
        self.fetching = False  # a local read for catching up is under way
        self._flying: deque[tuple[int, int]] = deque()  # (record behind a message, its bytes)

    def sent(self, upto: int, size_bytes: int, now_ns: int) -> None:
        if not self._flying:
            self.progress_ns = now_ns
        self.next = upto
        self.unacked_bytes += size_bytes
        self._flying.append((upto, size_bytes))

    def accepted(self, length: int, now_ns: int) -> bool:
        """``length`` records are durable there; True if that is news."""
        if length <= self.match:
            return False
        self.match = length
        self.next = max(self.next, length)
        self.progress_ns = now_ns
        flying = self._flying
        while flying and flying[0][0] <= length:
            self.unacked_bytes -= flying.popleft()[1]
        return True

    def rewind(self, length: int) -> None:
        """Go on from record ``length``: what was sent beyond it did not arrive."""
        if length < self.next:
            self.next = max(self.match, length)
            self.unacked_bytes = 0
            self._flying.clear()


def held_by_quorum(members: tuple[Member, ...], quorum: int, match: dict[Member, int]) -> int:
    """How many records ``quorum`` of ``members`` hold: the quorum-th greatest of their durable lengths."""
    lengths = sorted((match.get(member, 0) for member in members), reverse=True)
    return lengths[quorum - 1]
