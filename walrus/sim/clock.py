"""One node's clocks: a monotonic one whose zero and rate are its own, and a calendar that may be wrong.

The core sees nothing but what these say. Simulated time is what they are wrong against.
"""

from collections.abc import Sequence
from typing import Final

from walrus.sim.world import SECOND, WALL_START_NS, World

_MILLION: Final = 1_000_000
_JUMP_COUNTS_NS: Final = 1 * SECOND  # longer than any lease: for so long a jump shortens what was reckoned before it


class Clock:
    """``rate_ppm`` is how much faster than simulated time the monotonic clock runs, in millionths.

    Changing the rate or jumping forward never moves the clock back. ``slowest_ppm`` <= 0 <= ``fastest_ppm``: the
    extremes so far.
    """

    __slots__ = (
        "_from_local_ns",
        "_from_world_ns",
        "_jumps",
        "_world",
        "fastest_ppm",
        "rate_ppm",
        "slowest_ppm",
        "wall_offset_most_ns",
        "wall_offset_ns",
    )

    def __init__(self, world: World, start_ns: int) -> None:
        self._world = world
        self._from_world_ns = world.now_ns
        self._from_local_ns = start_ns
        self._jumps: list[tuple[int, int]] = []  # when (simulated time), how far
        self.rate_ppm = 0
        self.slowest_ppm = 0
        self.fastest_ppm = 0
        self.wall_offset_ns = 0
        self.wall_offset_most_ns = 0

    def now_ns(self) -> int:
        """The monotonic clock."""
        passed = self._world.now_ns - self._from_world_ns
        if self.rate_ppm:
            passed += passed * self.rate_ppm // _MILLION
        return self._from_local_ns + passed

    def world_ns_at(self, local_ns: int) -> int:
        """The first moment of simulated time at which :meth:`now_ns` is ``local_ns`` or more."""
        passed = local_ns - self._from_local_ns
        if self.rate_ppm and passed > 0:
            passed = -(-passed * _MILLION // (_MILLION + self.rate_ppm))
        return self._from_world_ns + passed

    def wall_ns(self) -> int:
        """The calendar. It counts from 1970, and cannot show less."""
        return max(0, WALL_START_NS + self._world.now_ns + self.wall_offset_ns)

    def set_calendar(self, offset_ns: int) -> None:
        """Let the calendar be so far ahead of simulated time from now on."""
        self.wall_offset_ns = offset_ns
        self.wall_offset_most_ns = max(self.wall_offset_most_ns, offset_ns)

    def set_rate(self, rate_ppm: int) -> None:
        """Run faster or slower from now on."""
        self._settle()
        self.rate_ppm = rate_ppm
        self.slowest_ppm = min(self.slowest_ppm, rate_ppm)
        self.fastest_ppm = max(self.fastest_ppm, rate_ppm)

    def jump(self, forward_ns: int) -> None:
        """Let the monotonic clock jump forward while those of others do not."""
        assert forward_ns >= 0, "monotonic clocks do not go back"
        self._settle()
        self._from_local_ns += forward_ns
        self._jumps.append((self._world.now_ns, forward_ns))

    def jumped_ns(self) -> int:
        """How far it jumped of late."""
        since_ns = self._world.now_ns - _JUMP_COUNTS_NS
        return sum(forward_ns for at_ns, forward_ns in self._jumps if at_ns > since_ns)

    @property
    def latest_ns(self) -> int:
        """The latest calendar time that a node may believe that was told the worst of it and counts on by this clock,
        having run fast and jumped.
        """
        gained_ns = sum(forward_ns for _, forward_ns in self._jumps) + self._world.now_ns * self.fastest_ppm // _MILLION
        return WALL_START_NS + self._world.now_ns + self.wall_offset_most_ns + gained_ns

    def _settle(self) -> None:
        self._from_local_ns = self.now_ns()
        self._from_world_ns = self._world.now_ns


def within_margin(clocks: Sequence[Clock], lease_ns: int, margin_ns: int) -> bool:
    """Whether leases still hold whichever node grants, holds and expires them (see :mod:`walrus.core.lease`).

    At worst a slow leader confirms for one lease after a round that fast voters have forgotten, a slow holder counts
    another lease from there, and a fast new leader waits out one lease and the margin from its election on:
    ``lease / slow + lease / slow - lease / fast <= (lease + margin) / fast``. Two fast clocks are in it, and a jump of
    either takes off what it jumped; all jumps are added up.
    """
    slowest = _MILLION + min(clock.slowest_ppm for clock in clocks)
    fastest = _MILLION + max(clock.fastest_ppm for clock in clocks)
    jumped_ns = sum(clock.jumped_ns() for clock in clocks)
    return 2 * lease_ns * fastest <= (2 * lease_ns + margin_ns - jumped_ns) * slowest
