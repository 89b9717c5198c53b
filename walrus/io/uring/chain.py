"""What goes through the ring: writes of one file with their data sync as one linked chain, and reads.

A chain's entries come back one by one, and only all of them together say what happened:

=====================================  ==========================================================================
the entries came back as               verdict
=====================================  ==========================================================================
every write in full, sync 0            done: all writes are durable (none asked for a sync: written)
a write short, EAGAIN or EINTR         again: from the byte that was reached, with a new sync; what follows was
                                       cancelled, that is, never started
a write or the sync with an error      failed, for every write of the chain: what is on disk is unknown. Never
                                       tried again; the error that counts is the first that is no cancellation
a write of some bytes wrote none       failed (EIO): it would go on for ever
the chain was submitted in two halves  again from where this round began, once all entries are back without an
                                       error: the link between the halves did not hold
=====================================  ==========================================================================
"""

import errno
import os
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from walrus.core.actions import Read, Write
from walrus.io.errors import describe
from walrus.io.uring.ring import Ring

WRITES_MAX: Final = 63
"""Writes in one chain; the sync makes 64 entries."""

NOT_BEGUN: Final = (-errno.EAGAIN, -errno.EINTR)
_CANCELLED: Final = -errno.ECANCELED


class Verdict(Enum):
    AGAIN = "again"
    DONE = "done"
    FAILED = "failed"


def describe_number(number: int) -> str:
    """Return errno name and text, such as ``EIO: Input/output error``."""
    return describe(OSError(number, os.strerror(number)))


class Chain:
    """Writes of one file, in order, and the sync after them, where one of them asks for it.

    Invariant: writes before ``_next`` were transferred in full, of the next one ``_done_bytes``; none is durable
    before the verdict says so.
    """

    def __init__(self, path: str, fd: int, writes: Sequence[Write]) -> None:
        self.path = path
        self.writes = writes
        self.error = 0  # errno, once failed
        self.severed = False  # submitted in two halves
        self.syncs = any(write.sync for write in writes)
        self._fd = fd
        self._next = 0
        self._done_bytes = 0
        self._results: list[int | None] = []
        self._held: list[object] = []

    @property
    def entries(self) -> int:
        """How many entries :meth:`prepare` takes."""
        return len(self.writes) - self._next + self.syncs

    def prepare(self, ring: Ring, first_tag: int) -> None:
        """Prepare the entries; their tags count up from ``first_tag``."""
        self.severed = False
        self._results = [None] * self.entries
        skip = self._done_bytes
        last_tag = first_tag + self.entries - 1
        for tag, write in enumerate(self.writes[self._next :], first_tag):
            rest = memoryview(write.data)[skip:]
            self._held.append(ring.write(self._fd, rest, write.offset + skip, tag, linked=tag < last_tag))
            skip = 0
        if self.syncs:
            ring.datasync(self._fd, last_tag)

    def came_back(self, position: int, result: int) -> bool:
        """Note one entry's result; True once all are back."""
        self._results[position] = result
        return None not in self._results

    def judge(self) -> Verdict:
        """Say what this round came to; all entries are back."""
        results = [result for result in self._results if result is not None]
        self._held.clear()
        failed = [-result for result in results if result < 0 and result not in (*NOT_BEGUN, _CANCELLED)]
        if failed:
            self.error = failed[0]
            return Verdict.FAILED
        if self.severed:
            return Verdict.AGAIN
        transfers, sync = (results[:-1], results[-1]) if self.syncs else (results, 0)
        for result in transfers:
            left = len(self.writes[self._next].data) - self._done_bytes
            if result in NOT_BEGUN or 0 < result < left:
                self._done_bytes += max(0, result)
                return Verdict.AGAIN
            if result != left:
                self.error = errno.EIO if result >= 0 else -result
                return Verdict.FAILED
            self._next += 1
            self._done_bytes = 0
        self.error = -sync
        return Verdict.FAILED if sync < 0 else Verdict.DONE


class Reading:
    """A read, from its first entry to the end of the file or of what was asked for."""

    entries = 1

    def __init__(self, action: Read, fd: int) -> None:
        self.action = action
        self.error = 0
        self.severed = False  # one entry cannot be
        self._fd = fd
        self._parts: list[bytes] = []
        self._done_bytes = 0
        self._ring: Ring | None = None
        self._buffer: Any = None
        self._result = 0

    @property
    def data(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def prepare(self, ring: Ring, first_tag: int) -> None:
        self._ring = ring
        left = self.action.length - self._done_bytes
        self._buffer = ring.read(self._fd, left, self.action.offset + self._done_bytes, first_tag)

    def came_back(self, position: int, result: int) -> bool:
        self._result = result
        return True

    def judge(self) -> Verdict:
        """Short reads go on until one brings nothing: the end of the file."""
        assert self._ring is not None
        buffer, self._buffer = self._buffer, None
        if self._result in NOT_BEGUN:
            return Verdict.AGAIN
        if self._result < 0:
            self.error = -self._result
            return Verdict.FAILED
        if self._result:
            self._parts.append(self._ring.taken_from(buffer, self._result))
            self._done_bytes += self._result
        at_end = not self._result or self._done_bytes == self.action.length
        return Verdict.DONE if at_end else Verdict.AGAIN
