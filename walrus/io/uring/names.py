"""Names and sizes, as the helper threads see to them: each call blocks, and is durable when it returns.

All raise OSError, or :class:`walrus.io.files.SyncFailed` where something is unknown afterwards. A descriptor that is
given (-1: none) is closed, whatever happens, by those that take the file from under it.
"""

import os
from collections.abc import Sequence

from walrus.io.errors import describe
from walrus.io.files import Directory, SyncFailed


def open_file(directory: Directory, path: str, create: bool, why_no_entry: str) -> tuple[int, int]:
    """Open ``path``, or create it with its directory entry; returns descriptor and size.

    ``why_no_entry``, if not "", forbids new entries in the file's directory.
    """
    try:
        fd = directory.open(path)
    except FileNotFoundError:
        if not create:
            raise
        if why_no_entry:
            raise OSError(why_no_entry) from None
        fd = directory.create(path)
        try:
            directory.sync_parents(path)
        except SyncFailed:
            os.close(fd)
            raise
    return fd, os.fstat(fd).st_size


def cut(directory: Directory, path: str, fd: int, size: int) -> None:
    """Make ``path`` ``size`` bytes long. A smaller size is metadata and takes the full ``fsync``."""
    if fd < 0:
        fd = directory.open(path)
    try:
        os.ftruncate(fd, size)
        try:
            os.fsync(fd)
        except OSError as error:
            raise SyncFailed(path, describe(error)) from error
    finally:
        os.close(fd)


def sync_and_close(path: str, fd: int) -> None:
    """Close a file that was written to without a sync: what the kernel failed to write it tells only now."""
    try:
        os.fdatasync(fd)
    except OSError as error:
        raise SyncFailed(path, describe(error)) from error
    finally:
        os.close(fd)


def remove(directory: Directory, path: str, fd: int) -> None:
    """Remove ``path``. A missing one is durably so: whoever removed it, or else start-up, synced the directory."""
    _close(fd)
    if directory.remove(path):
        directory.sync_parents(path)


def rename(directory: Directory, path: str, to: str, fds: Sequence[int], unsynced: bool) -> None:
    """Rename ``path`` to ``to``, once its bytes are durable. The first of ``fds`` is that of ``path``."""
    for number, fd in enumerate(fds):
        if unsynced and number == 0:
            sync_and_close(path, fd)
        else:
            _close(fd)
    directory.rename(path, to)
    directory.sync_parents(path, to)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
