"""Names and sizes of files: the blocking calls that the drivers make on threads of their own.

Facts of the operating system that this relies on:

- A new, removed or renamed directory entry is durable only after a sync of the directory.
- Blocks reserved with ``posix_fallocate`` are there when the bytes come: what runs out of room is the reservation,
  before anything is written. It also sets the size, so that a later data sync has no size to write.
- After a failed sync the kernel may mark the lost pages clean: a second sync would succeed and prove nothing. What
  such a file or directory holds is unknown for the rest of the process's life.
"""

import errno
import os
from typing import Final

from walrus.io.datadir import sync_directory
from walrus.io.errors import describe

OPEN_FILES_MAX: Final = 128
_GROWTH_BYTES_MIN: Final = 64 * 1024
_GROWTH_BYTES_MAX: Final = 8 * 1024 * 1024
_PAGE_BYTES: Final = 4096
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class SyncFailed(Exception):
    """A sync of ``path`` (a file or a directory, relative to the root) failed; ``reason`` has the errno."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason


class Doubts:
    """Files and directories of which a write or sync has failed; nothing is written to them any more."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, path: str, reason: str) -> None:
        self._reasons[path] = reason

    def removed(self, path: str) -> None:
        """The file is gone, and what was unknown about it with it."""
        self._reasons.pop(path, None)

    def about(self, path: str) -> str:
        """Why ``path`` may not be written to; "" if it may."""
        reason = self._reasons.get(path)
        if reason is None:
            return ""
        return f"an earlier write or sync of {path or '.'} failed ({reason}), so what it holds is unknown"


class Directory:
    """The files below ``root``. Paths are relative to it; every method blocks and raises OSError or SyncFailed."""

    def __init__(self, root: str) -> None:
        self._root = root

    def absolute(self, path: str) -> str:
        return f"{self._root}/{path}"

    def open(self, path: str) -> int:
        """Open an existing file for reading and writing; returns its descriptor."""
        return os.open(self.absolute(path), os.O_RDWR | os.O_CLOEXEC)

    def create(self, path: str) -> int:
        """Create a file, or open the one that is there. The entry is durable after :meth:`sync_parents`."""
        return os.open(self.absolute(path), os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o644)

    def remove(self, path: str) -> bool:
        """Remove a file; False if there is none."""
        try:
            os.unlink(self.absolute(path))
        except FileNotFoundError:
            return False
        return True

    def rename(self, path: str, to: str) -> None:
        """Rename a file, replacing what is at ``to``."""
        os.rename(self.absolute(path), self.absolute(to))

    def sync_parents(self, *paths: str) -> None:
        """Make the entries of ``paths`` durable, or what became of them."""
        for directory in dict.fromkeys(os.path.dirname(path) for path in paths):
            try:
                sync_directory(self.absolute(directory))
            except OSError as error:
                raise SyncFailed(directory, describe(error)) from error


def is_no_room(error: OSError) -> bool:
    """Whether a call failed for want of room, before it did anything. Not to be asked of a failed write or sync."""
    return error.errno in _NO_ROOM


def is_short(size: int, end: int, ahead: int) -> bool:
    """Whether a file should grow before a write that ends at ``end`` and wants ``ahead`` bytes reserved behind it."""
    return size < end + ahead // 2


def reserve(fd: int, old_size: int, end: int, ahead: int = 0) -> int:
    """Reserve blocks for the first ``end`` bytes of a file of ``old_size``, and ``ahead`` more; returns its new size.

    Files grow in steps that double from 64 KiB to 8 MiB; when the disk has no room for a step, or for what is wanted
    ahead, by what is needed. A failure leaves the file at its old size and raises OSError. What ``old_size`` covers may
    have holes, left by somebody else: with ``end`` not beyond it, they are filled.
    """
    exact = max(-(-end // _PAGE_BYTES) * _PAGE_BYTES if end > old_size else 0, old_size)
    sizes = [exact] if exact else []
    if is_short(old_size, end, ahead):
        step = old_size + min(max(old_size, _GROWTH_BYTES_MIN), _GROWTH_BYTES_MAX)
        wanted = -(-(end + ahead) // _PAGE_BYTES) * _PAGE_BYTES
        if max(step, wanted) > exact:
            sizes.insert(0, max(step, wanted))
    for attempt, size in enumerate(sizes, 1):
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:
            os.ftruncate(fd, old_size)  # gives back the part that was reserved before room ran out
            if attempt == len(sizes):
                raise
        else:
            return size
    return old_size
