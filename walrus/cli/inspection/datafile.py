"""One file of a node, read a chunk at a time: a segment may be larger than the memory."""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 1 << 20
_LOCKS: Final = Path("/proc/locks")  # Linux: who holds which file lock, to be read without taking one


class DataFile:
    """``size`` is in bytes, as of opening: what a running node appends later is not looked at."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._fd).st_size
        self._start = 0
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def at(self, position: int, length: int) -> bytes:
        """``length`` bytes from ``position`` on, fewer at the end of the file. Raises OSError."""
        self._fill(position, length)
        start = position - self._start
        return self._buffer[start : start + length]

    def whole(self) -> bytes:
        """All bytes of the file. Raises OSError."""
        return self.at(0, self.size)

    def find(self, wanted: bytes, position: int) -> int:
        """Where ``wanted`` begins, from ``position`` on; -1 if nowhere. Raises OSError."""
        while position + len(wanted) <= self.size:
            self._fill(position, len(wanted))
            found = self._buffer.find(wanted, position - self._start)
            if found >= 0:
                return self._start + found
            following = self._start + len(self._buffer) - len(wanted) + 1
            if following <= position:  # the file is shorter than it was
                break
            position = following
        return -1

    def nonzero_end(self, position: int) -> int:
        """The byte behind the last one from ``position`` on that is not zero; ``position`` if there is none."""
        end = position
        while data := self.at(position, CHUNK_BYTES):
            stripped = data.rstrip(b"\0")
            if stripped:
                end = position + len(stripped)
            position += len(data)
        return end

    def forget(self) -> None:
        """Read anew what was read before: a running node may have finished writing it."""
        self._buffer = b""

    def _fill(self, position: int, length: int) -> None:
        length = min(length, self.size - position)
        if self._start <= position and position + length <= self._start + len(self._buffer):
            return
        wanted = min(max(length, CHUNK_BYTES), max(0, self.size - position))
        parts = []
        self._start = position
        while wanted > 0 and (part := self._pread(wanted, position)):  # one call gives 2 GiB at most
            parts.append(part)
            position += len(part)
            wanted -= len(part)
        self._buffer = b"".join(parts)

    def _pread(self, length: int, position: int) -> bytes:
        try:
            return os.pread(self._fd, length, position)
        except OSError as error:
            error.strerror = f"{error.strerror}, at byte {position}"
            raise


def lock_holder(lock: Path, locks: Path = _LOCKS) -> str:
    """The process that holds a data directory's lock; "" if none does, or if that cannot be told."""
    try:
        status = lock.stat()
        held = locks.read_text(encoding="ascii")
    except OSError:
        return ""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found = re.search(rf"FLOCK +ADVISORY +WRITE +(-?\d+) +{place} ", held)
    if found is None:
        return ""
    return found[1] if int(found[1]) > 0 else "in another container"
