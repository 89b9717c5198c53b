"""A ring without a kernel: it notes what is prepared, takes what it is told to, and completes by hand."""

import errno
import os
from typing import Any


class FakeRing:
    """``refusals``: what the next submissions do: an errno, or how many entries they take; all, once it is empty."""

    def __init__(self, entries: int = 8) -> None:
        self.entries = entries
        self.prepared: list[tuple[str, int, int]] = []  # kind, offset, tag
        self.taken: list[tuple[str, int, int]] = []
        self.refusals: list[int] = []
        self.submissions = 0
        self.buffers: dict[int, bytes] = {}
        self._completions: list[tuple[int, int]] = []

    def write(self, fd: int, data: memoryview, offset: int, tag: int, *, linked: bool) -> object:
        self._prepare(f"write {bytes(data).decode()}" + ("" if linked else " and no more"), offset, tag)
        return data

    def datasync(self, fd: int, tag: int) -> None:
        self._prepare("sync", 0, tag)

    def read(self, fd: int, length: int, offset: int, tag: int) -> Any:
        self._prepare(f"read {length}", offset, tag)
        return tag

    def taken_from(self, buffer: Any, length: int) -> bytes:
        return self.buffers[buffer][:length]

    def submit(self) -> int:
        self.submissions += 1
        count = len(self.prepared)
        if self.refusals:
            refusal = self.refusals.pop(0)
            if refusal < 0:
                raise OSError(-refusal, os.strerror(-refusal))
            count = refusal
        self.taken += self.prepared[:count]
        del self.prepared[:count]
        return count

    def reap(self) -> list[tuple[int, int]]:
        completions, self._completions = self._completions, []
        return completions

    def close(self) -> None:
        assert not self.taken, "closed with entries under way"

    def complete(self, *results: int) -> None:
        """The oldest entries that were taken come back with these results."""
        for result in results:
            self._completions.append((self.taken.pop(0)[2], result))

    def under_way(self) -> list[str]:
        return [f"{kind} at {offset}" if kind != "sync" else kind for kind, offset, _ in self.taken]

    def _prepare(self, kind: str, offset: int, tag: int) -> None:
        self.prepared.append((kind, offset, tag))
        assert len(self.prepared) + len(self.taken) <= self.entries, "a ring of this size has no room for that"


AGAIN = -errno.EAGAIN
INTERRUPTED = -errno.EINTR
BUSY = -errno.EBUSY
CANCELLED = -errno.ECANCELED
BROKEN = -errno.EIO
FULL = -errno.ENOSPC
