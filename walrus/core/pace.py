"""A bounded rate of bytes: what was taken is paid for with time."""

from typing import Final

from walrus.core.config import MS, SECOND

BURST_NS: Final = 250 * MS  # so far ahead of the rate may one go, that many small things need not wait for one another


class Pace:
    """Invariant: up to now, and a burst, no more was taken than the rate allows."""

    def __init__(self, bytes_per_s: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._paid_ns = 0  # when everything taken so far is paid for

    def allows(self, now_ns: int) -> bool:
        """Whether something may be taken, of whatever size."""
        return self._paid_ns <= now_ns + BURST_NS

    def take(self, size_bytes: int, now_ns: int) -> None:
        self._paid_ns = max(self._paid_ns, now_ns) + size_bytes * SECOND // self._bytes_per_s

    def give_back(self, size_bytes: int) -> None:
        """So many bytes of what was taken were not needed; negative: it was more than that."""
        self._paid_ns -= size_bytes * SECOND // self._bytes_per_s
