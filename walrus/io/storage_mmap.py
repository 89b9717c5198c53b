"""Files written through memory maps and synced with ``fdatasync``.

Facts of the operating system and of CPython that this relies on:

- A store into a shared map whose block was never reserved kills the process (SIGBUS) when the disk is full,
  so blocks are reserved with ``posix_fallocate`` before a range is mapped; the lack of room is then an
  error here.
- ``fdatasync`` writes pages dirtied through a map as well, and releases the interpreter lock;
  ``mmap.flush`` does the first but not the second.
- After a failed sync the kernel may mark the lost pages clean: a second sync would succeed and prove
  nothing. The path is therefore broken for the rest of the process's life.
- A new file's directory entry is durable only after a sync of the directory.
- ``pread`` sees what was stored through a map (one page cache), so reads need no map.
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from walrus.core.actions import Delete, Read, Rename, Write
from walrus.core.events import ReadCompleted, ReadFailed, WriteCompleted, WriteFailed
from walrus.io.datadir import sync_directory
from walrus.io.errors import describe
from walrus.io.storage import Change

_GROWTH_BYTES_MIN: Final = 64 * 1024
_GROWTH_BYTES_MAX: Final = 8 * 1024 * 1024
_PAGE_BYTES: Final = 4096
_OPEN_FILES_MAX: Final = 128  # twice as many descriptors: CPython's mmap duplicates the one it is given
_SYNC_THREADS: Final = 4  # the journal of a file system commits syncs of several files together
_PARALLEL_FILES_MIN: Final = 4


class _File:
    """One open file. Invariant: ``view`` is None or maps exactly ``size`` bytes, all of them reserved."""

    __slots__ = ("fd", "path", "size", "view")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self.view: mmap.mmap | None = None

    def unmap(self) -> None:
        if self.view is not None:
            self.view.close()
            self.view = None

    def close(self) -> None:
        self.unmap()
        os.close(self.fd)


class _Batch:
    """What one batch has touched and must sync; ``errors`` holds the failed syncs, by path."""

    def __init__(self) -> None:
        self.dirty: dict[str, _File] = {}
        self.cut: dict[str, None] = {}  # truncated: their new size has to reach the disk, and they are closed after
        self.entries: dict[str, str] = {}  # created or removed: path -> directory
        self.errors: dict[str, str] = {}


class MappedFiles:
    """Files over ``mmap``; at most 128 are open, least recently written out first."""

    name = "mmap"

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._open: OrderedDict[str, _File] = OrderedDict()
        self._broken: dict[str, str] = {}  # path or directory -> error of the sync that failed
        self._pool: ThreadPoolExecutor | None = None

    def apply(self, batch: Sequence[Change]) -> list[WriteCompleted | WriteFailed]:
        touched = _Batch()
        failures: dict[int, str] = {}
        for position, change in enumerate(batch):
            try:
                self._change(change, touched)
            except OSError as error:
                failures[position] = describe(error)
        self._sync(touched)
        self._shrink(touched)
        completions: list[WriteCompleted | WriteFailed] = []
        for position, change in enumerate(batch):
            failure = failures.get(position) or touched.errors.get(change.path)
            if failure is None:
                completions.append(WriteCompleted(change.token))
            else:
                completions.append(WriteFailed(change.token, change.path, failure))
        return completions

    def read(self, action: Read) -> ReadCompleted | ReadFailed:
        try:
            fd = os.open(self._absolute(action.path), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return ReadCompleted(action.token, os.pread(fd, action.length, action.offset))
            finally:
                os.close(fd)
        except OSError as error:
            return ReadFailed(action.token, action.path, describe(error))

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
        if self._pool is not None:
            self._pool.shutdown()

    def _absolute(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _change(self, change: Change, touched: _Batch) -> None:
        if isinstance(change, Delete):
            self._delete(change.path, touched)
            return
        if isinstance(change, Rename):
            self._rename(change, touched)
            return
        file = self._opened(change.path, touched, create=isinstance(change, Write))
        touched.dirty[change.path] = file
        if isinstance(change, Write):
            touched.cut.pop(change.path, None)
            _store(file, change.offset, change.data)
        else:
            touched.cut[change.path] = None
            file.unmap()
            os.ftruncate(file.fd, change.size)
            file.size = change.size

    def _opened(self, path: str, touched: _Batch, create: bool) -> _File:
        """Return the open file of ``path``; raises OSError, also when an earlier sync of it has failed."""
        file = self._open.get(path)
        if file is not None:
            self._open.move_to_end(path)
        directory = os.path.dirname(path)
        self._refuse_broken(path)
        if file is None:
            flags = os.O_RDWR | os.O_CLOEXEC
            try:
                fd = os.open(self._absolute(path), flags)
            except FileNotFoundError:
                if not create:
                    raise
                self._refuse_broken(directory)
                fd = os.open(self._absolute(path), flags | os.O_CREAT, 0o644)
                touched.entries[path] = directory
            file = self._open[path] = _File(path, fd)
        return file

    def _refuse_broken(self, path: str) -> None:
        reason = self._broken.get(path)
        if reason is not None:
            raise OSError(f"an earlier sync of {path or '.'} failed ({reason}), so what it holds is unknown")

    def _delete(self, path: str, touched: _Batch) -> None:
        directory = os.path.dirname(path)
        self._refuse_broken(directory)
        file = self._open.pop(path, None)
        if file is not None:
            file.close()
        touched.dirty.pop(path, None)
        touched.cut.pop(path, None)
        try:
            os.unlink(self._absolute(path))
        except FileNotFoundError:
            return  # gone, and durably so: an earlier removal synced the directory or start-up did
        touched.entries[path] = directory
        self._broken.pop(path, None)

    def _rename(self, change: Rename, touched: _Batch) -> None:
        """What is renamed is durable already, so only the directory is to be synced. Raises OSError."""
        directory = os.path.dirname(change.path)
        for path in (directory, change.path, change.to):
            self._refuse_broken(path)
        for path in (change.path, change.to):
            file = self._open.pop(path, None)
            if file is not None:
                file.close()
            touched.dirty.pop(path, None)
            touched.cut.pop(path, None)
        os.rename(self._absolute(change.path), self._absolute(change.to))
        touched.entries[change.path] = directory

    def _sync(self, touched: _Batch) -> None:
        """Make everything durable: one sync per file, then one per directory; fills ``touched.errors``."""
        files = list(touched.dirty.values())
        if len(files) < _PARALLEL_FILES_MIN:
            touched.errors.update(_sync_files(files, touched.cut))
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_SYNC_THREADS, "storage-sync")
            shares = [files[share::_SYNC_THREADS] for share in range(_SYNC_THREADS)]
            for errors in self._pool.map(_sync_files, shares, [touched.cut] * _SYNC_THREADS):
                touched.errors.update(errors)
        for directory in dict.fromkeys(touched.entries.values()):
            try:
                sync_directory(self._absolute(directory))
            except OSError as error:
                reason = self._broken[directory] = describe(error)
                touched.errors.update({path: reason for path, parent in touched.entries.items() if parent == directory})
        self._broken.update(touched.errors)

    def _shrink(self, touched: _Batch) -> None:
        """Close what was truncated or broke, then the least recently used beyond the limit."""
        for path in [*touched.cut, *touched.errors]:
            file = self._open.pop(path, None)
            if file is not None:
                file.close()
        while len(self._open) > _OPEN_FILES_MAX:
            self._open.popitem(last=False)[1].close()


def _store(file: _File, offset: int, data: bytes) -> None:
    """Copy ``data`` into the map, reserving blocks and mapping anew where needed; raises OSError."""
    end = offset + len(data)
    if file.view is None or end > file.size:
        _reserve(file, end)
    if data and file.view is not None:
        file.view[offset:end] = data


def _reserve(file: _File, end: int) -> None:
    """Map at least ``end`` bytes of ``file``, all reserved on the disk.

    Files grow in steps that double from 64 KiB to 8 MiB; when the disk has no room for a step, by what is
    needed. A failure leaves the file at its old size.
    """
    file.unmap()
    old_size = file.size
    if end > old_size:
        step = old_size + min(max(old_size, _GROWTH_BYTES_MIN), _GROWTH_BYTES_MAX)
        exact = -(-end // _PAGE_BYTES) * _PAGE_BYTES
        sizes = [step, exact] if step > exact else [exact]
    else:
        sizes = [old_size]
    for attempt, size in enumerate(sizes, 1):
        try:
            if size:
                os.posix_fallocate(file.fd, 0, size)
        except OSError:
            os.ftruncate(file.fd, old_size)  # gives back the part that was reserved before room ran out
            if attempt == len(sizes):
                raise
        else:
            file.size = size
            break
    if file.size:
        file.view = mmap.mmap(file.fd, file.size)


def _sync_files(files: Sequence[_File], cut: dict[str, None]) -> dict[str, str]:
    """Sync each file; return errors by path. A smaller size is metadata and takes the full ``fsync``."""
    errors: dict[str, str] = {}
    for file in files:
        try:
            if file.path in cut:
                os.fsync(file.fd)
            else:
                os.fdatasync(file.fd)
        except OSError as error:
            errors[file.path] = describe(error)
    return errors
