"""How far a backup or a restore has come: a line on standard error, at most one a second."""

import sys
import time

_INTERVAL_S = 1.0
_MB = 1_000_000


class Progress:
    """``doing`` is the first word of the lines; ``records`` is how many there are to come in all."""

    def __init__(self, doing: str, records: int) -> None:
        self._doing = doing
        self._records = records
        self._done = 0
        self._bytes = 0
        self._began_s = time.monotonic()
        self._told_s = self._began_s

    def add(self, topic: str, records: int, size: int) -> None:
        """So many more records, of so many bytes together (0: they were there already)."""
        self._done += records
        self._bytes += size
        now_s = time.monotonic()
        if now_s - self._told_s >= _INTERVAL_S:
            self._told_s = now_s
            rate = self._bytes / _MB / (now_s - self._began_s)
            sys.stderr.write(
                f"{self._doing} {topic}: {self._done:,} of {self._records:,} records, "
                f"{self._bytes / _MB:,.1f} MB, {rate:.1f} MB/s\n"
            )
            sys.stderr.flush()
