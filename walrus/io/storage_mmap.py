"""Files written through memory maps and synced with ``fdatasync``.

Facts of the operating system and of CPython that this relies on:

- A store into a shared map whose block was never reserved kills the process (SIGBUS) when the disk is full,
  so blocks are reserved with ``posix_fallocate`` before a range is mapped; the lack of room is then an
  error here.
- CPython's ``mmap`` duplicates the descriptor it is given: an open file takes two.
- ``fdatasync`` writes pages dirtied through a map as well, and releases the interpreter lock;
  ``mmap.flush`` does the first but not the second.
- ``pread`` sees what was stored through a map (one page cache), so reads need no map.
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from walrus.core.actions import Change, Delete, Read, Rename, Truncate, Write
from walrus.core.events import ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.io.errors import describe
from walrus.io.files import OPEN_FILES_MAX, Directory, Doubts, SyncFailed, is_no_room, is_short, reserve
from walrus.io.storage import Changed

_SYNC_THREADS: Final = 4  # the journal of a file system commits syncs of several files together
_PARALLEL_FILES_MIN: Final = 4


class _File:
    """One open file. Invariant: ``view`` is None or maps exactly ``size`` bytes, all of them reserved.

    ``unsynced``: something was written without a sync, and nothing has synced it since.
    """

    __slots__ = ("fd", "path", "size", "unsynced", "view")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self.view: mmap.mmap | None = None
        self.unsynced = False

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

    def waits(self, change: Change) -> bool:
        """Whether a change is over only after the batch's syncs."""
        if isinstance(change, Write) and not change.sync:
            return change.path in self.dirty or change.path in self.entries
        return True


class MappedFiles:
    """Files over ``mmap``; at most 128 are open, least recently written out first."""

    name = "mmap"

    def __init__(self, root: Path) -> None:
        self._directory = Directory(os.fspath(root))
        self._open: OrderedDict[str, _File] = OrderedDict()
        self._doubts = Doubts()
        self._pool: ThreadPoolExecutor | None = None

    def apply(self, batch: Sequence[Change]) -> Iterator[list[Changed]]:
        touched = _Batch()
        failures: dict[int, str] = {}
        roomless: dict[int, str] = {}
        for position, change in enumerate(batch):
            try:
                self._change(change, touched)
            except OSError as error:
                (roomless if is_no_room(error) else failures)[position] = describe(error)

        def completions(*, of_waiting: bool) -> list[Changed]:
            return [
                self._outcome(change, failures.get(position), roomless.get(position), touched)
                for position, change in enumerate(batch)
                if touched.waits(change) is of_waiting
            ]

        if at_once := completions(of_waiting=False):
            yield at_once
        self._sync(touched)
        rest = completions(of_waiting=True)
        self._shrink(touched)
        if rest:
            yield rest

    def _outcome(self, change: Change, failure: str | None, roomless: str | None, touched: _Batch) -> Changed:
        failure = failure or touched.errors.get(change.path)
        if failure is not None:
            return WriteFailed(change.token, change.path, failure)
        return SpaceRanOut(change, roomless) if roomless is not None else WriteCompleted(change.token)

    def read(self, action: Read) -> ReadCompleted | ReadFailed:
        try:
            fd = os.open(self._directory.absolute(action.path), os.O_RDONLY | os.O_CLOEXEC)
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

    def _change(self, change: Change, touched: _Batch) -> None:
        """Carry out one change but for its syncs; raises OSError, also when an earlier sync has failed."""
        if isinstance(change, Delete):
            self._delete(change.path, touched)
        elif isinstance(change, Rename):
            self._rename(change, touched)
        elif isinstance(change, Truncate):
            file = self._opened(change.path, touched, create=False)
            touched.dirty[change.path] = file
            touched.cut[change.path] = None
            file.unmap()
            os.ftruncate(file.fd, change.size)
            file.size = change.size
        else:
            file = self._opened(change.path, touched, create=True)
            if change.sync:
                touched.dirty[change.path] = file
                touched.cut.pop(change.path, None)
            file.unsynced = True
            _store(file, change.offset, change.data, change.ahead)

    def _opened(self, path: str, touched: _Batch, create: bool) -> _File:
        """Return the open file of ``path``; raises OSError, also when an earlier sync of it has failed."""
        self._refuse_doubtful(path)
        file = self._open.get(path)
        if file is not None:
            self._open.move_to_end(path)
            return file
        try:
            fd = self._directory.open(path)
        except FileNotFoundError:
            if not create:
                raise
            self._refuse_doubtful(os.path.dirname(path))
            fd = self._directory.create(path)
            touched.entries[path] = os.path.dirname(path)
        file = self._open[path] = _File(path, fd)
        return file

    def _refuse_doubtful(self, path: str) -> None:
        reason = self._doubts.about(path)
        if reason:
            raise OSError(reason)

    def _delete(self, path: str, touched: _Batch) -> None:
        self._refuse_doubtful(os.path.dirname(path))
        self._let_go(path, touched)
        if self._directory.remove(path):  # else gone durably: an earlier removal synced the directory, or start-up did
            touched.entries[path] = os.path.dirname(path)
            self._doubts.removed(path)

    def _rename(self, change: Rename, touched: _Batch) -> None:
        """What the file holds is synced first: a name that outlives a crash must not lead to less."""
        for path in (change.path, os.path.dirname(change.path), os.path.dirname(change.to)):
            self._refuse_doubtful(path)
        file = self._open.get(change.path)
        if file is not None and (file.unsynced or change.path in touched.dirty):
            failed = _sync_files([file], touched.cut)
            if failed:
                touched.errors.update(failed)
                self._doubts.add(change.path, failed[change.path])
                self._refuse_doubtful(change.path)
        self._let_go(change.path, touched)
        self._let_go(change.to, touched)
        self._directory.rename(change.path, change.to)
        self._doubts.removed(change.to)
        for path in (change.path, change.to):
            touched.entries[path] = os.path.dirname(path)

    def _let_go(self, path: str, touched: _Batch) -> None:
        file = self._open.pop(path, None)
        if file is not None:
            file.close()
        touched.dirty.pop(path, None)
        touched.cut.pop(path, None)

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
        for file in files:
            file.unsynced = file.path in touched.errors
        for path, reason in touched.errors.items():
            self._doubts.add(path, reason)
        for directory in dict.fromkeys(touched.entries.values()):
            entries = [path for path, parent in touched.entries.items() if parent == directory]
            try:
                self._directory.sync_parents(entries[0])
            except SyncFailed as error:
                self._doubts.add(directory, error.reason)
                touched.errors.update(dict.fromkeys(entries, error.reason))

    def _shrink(self, touched: _Batch) -> None:
        """Close what was truncated or broke, then the least recently used beyond the limit."""
        for path in [*touched.cut, *touched.errors]:
            file = self._open.pop(path, None)
            if file is not None:
                file.close()
        while len(self._open) > OPEN_FILES_MAX:
            oldest = self._open.popitem(last=False)[1]
            if oldest.unsynced:
                for path, reason in _sync_files([oldest], {}).items():
                    self._doubts.add(path, reason)
            oldest.close()


def _store(file: _File, offset: int, data: bytes, ahead: int) -> None:
    """Copy ``data`` into the map, reserving blocks and mapping anew where needed; raises OSError."""
    end = offset + len(data)
    if file.view is None or is_short(file.size, end, ahead):
        _map(file, end, ahead)
    if data and file.view is not None:
        file.view[offset:end] = data


def _map(file: _File, end: int, ahead: int) -> None:
    """Map at least ``end`` bytes of ``file``, all of them reserved on the disk; raises OSError."""
    file.unmap()
    file.size = reserve(file.fd, file.size, end, ahead)
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
