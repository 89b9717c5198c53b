"""The one place where the real runtime reads the time."""

import time
from typing import Final, Protocol

SECOND_NS: Final = 1_000_000_000


class Clock(Protocol):
    """Two clocks: one for durations and deadlines, one for the calendar."""

    def now_ns(self) -> int:
        """Monotonic time."""

    def wall_ns(self) -> int:
        """Time since 1970, UTC; may jump."""


class SystemClock:
    """The operating system's clocks."""

    now_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)
