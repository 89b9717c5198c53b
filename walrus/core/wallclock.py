"""What the calendar says, for retention: carried on from the driver's last word by the monotonic clock.

It decides no safety and no order. An idle node needs it all the same, and only some events bring it.
"""

from walrus.core.config import MS


class WallClock:
    """Wall clock times are nanoseconds since 1970."""

    def __init__(self) -> None:
        self._wall_ns: int | None = None
        self._at_ns = 0

    def told(self, wall_ns: int, now_ns: int) -> None:
        """The driver says that it is ``wall_ns``."""
        self._wall_ns = wall_ns
        self._at_ns = now_ns

    def milliseconds(self, now_ns: int) -> int:
        """Milliseconds since 1970; 0 where the calendar stands before that, or is not known."""
        if self._wall_ns is None:
            return 0
        return max(0, (self._wall_ns + now_ns - self._at_ns) // MS)
