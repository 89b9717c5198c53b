"""One path of the io_uring driver: what waits for it, its descriptor, and what of that can go through the ring next."""

from collections import deque
from itertools import islice
from typing import Final

from walrus.core.actions import Change, Read, Write
from walrus.io.files import is_short
from walrus.io.uring.chain import WRITES_MAX

_CHAIN_BYTES_MAX: Final = 64 * 1024 * 1024


class RingFile:
    """One path with work to do, or with an open descriptor.

    Invariants: ``busy`` says that the change at the head of ``changes`` is under way, or an open; ``reading`` counts
    the reads that the ring has; ``fd`` is closed only when not ``busy`` and ``reading`` is 0, or by the helper that
    cuts, removes or renames. ``unsynced``: something was written without a sync, and nothing has synced it since.
    """

    __slots__ = ("busy", "changes", "fd", "grown_for", "path", "reading", "reads", "size", "unsynced")

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1
        self.grown_for = 0  # token of the last write for which blocks were reserved ahead, or could not be
        self.size = 0  # all of it reserved, as far as this process wrote
        self.changes: deque[Change] = deque()
        self.reads: deque[Read] = deque()
        self.reading = 0
        self.busy = False
        self.unsynced = False

    @property
    def idle(self) -> bool:
        return not (self.busy or self.reading or self.changes or self.reads)

    @property
    def held(self) -> bool:
        """A change that closes the file comes first."""
        return bool(self.changes) and not isinstance(self.changes[0], Write)


def has_to_grow(file: RingFile, write: Write) -> bool:
    """Blocks are to be reserved first: those of the write, or, asked for once, those ahead of it."""
    end = write.offset + len(write.data)
    return end > file.size or (file.grown_for != write.token and is_short(file.size, end, write.ahead))


def writes_that_fit(file: RingFile) -> list[Write]:
    """The writes at the head that one sync can serve: within what is reserved, and not too much at once."""
    writes: list[Write] = []
    size_bytes = 0
    for change in islice(file.changes, WRITES_MAX):
        if not isinstance(change, Write) or change.offset + len(change.data) > file.size:
            break
        if size_bytes and size_bytes + len(change.data) > _CHAIN_BYTES_MAX:
            break
        size_bytes += len(change.data)
        writes.append(change)
    return writes
