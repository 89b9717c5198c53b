"""Files written, synced and read through one io_uring; see :mod:`walrus.io.uring.ring` for what that relies on.

The ring carries bytes: writes with the data sync linked to them, and reads. Names and sizes (open and create,
reserve, cut, remove, rename) are rare and take several system calls with syncs between; helper threads make
those. Each path has a queue and at most one change under way, which is what keeps its order; paths do not wait for
each other. Reads wait for no write or sync, only for an open, a cut, a removal or a renaming of their file.

Registered buffers are not used: they spare the pinning of pages, which only direct I/O does. Measured on ext4, a
linked write and sync from one takes 0.98 to 1.00 times as long as from any memory (100 bytes to 1 MiB), and the bytes
would have to be copied there first.
"""

import contextlib
import os
import select
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from walrus.core.actions import Change, Delete, Read, Rename, Truncate, Write
from walrus.core.events import Event, ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.io.errors import describe
from walrus.io.files import OPEN_FILES_MAX, Directory, Doubts, SyncFailed, is_no_room, reserve
from walrus.io.source import FIRST
from walrus.io.storage import StorageAction
from walrus.io.uring import names
from walrus.io.uring.chain import Chain, Reading, Verdict, describe_number
from walrus.io.uring.ring import KernelRing, Ring
from walrus.io.uring.ringfile import RingFile, has_to_grow, writes_that_fit
from walrus.io.uring.traffic import Traffic
from walrus.io.wakeup import Wakeup

_HELPER_THREADS: Final = 4
_CLOSE_TIMEOUT_S: Final = 2.0

_abandoned: list["RingStorage"] = []  # closed with entries under way: the kernel still uses their memory


class RingStorage:
    """A :class:`walrus.io.storage.StorageDriver` over io_uring; at most 128 files are open."""

    name = "io_uring"
    order = FIRST

    def __init__(self, root: Path, make_ring: Callable[[int], Ring] = KernelRing) -> None:
        """``make_ring`` is given the descriptor that completions have to make readable.

        Raises :class:`walrus.io.uring.ring.Unavailable`.
        """
        with contextlib.ExitStack() as stack:
            self._wakeup = Wakeup()
            stack.callback(self._wakeup.close)
            self._ring = make_ring(self._wakeup.fileno())
            stack.pop_all()
        self._traffic = Traffic[RingFile](self._ring, self._wakeup.set)
        self._directory = Directory(os.fspath(root))
        self._doubts = Doubts()
        self._files: OrderedDict[str, RingFile] = OrderedDict()  # least recently used first
        self._open_count = 0  # open or being opened
        self._waiting_to_open: deque[tuple[RingFile, bool]] = deque()
        self._helpers = ThreadPoolExecutor(_HELPER_THREADS, "storage-names")
        self._helped: deque[tuple[Future[Any], Callable[[Future[Any]], None]]] = deque()
        self._unfinished = 0  # actions whose completion the loop has not got
        self._done: list[Event] = []
        self._broken = False  # a turn has ended in the middle

    # --- what the loop calls ---

    def fileno(self) -> int:
        return self._wakeup.fileno()

    def submit(self, actions: Sequence[StorageAction]) -> None:
        touched: dict[str, RingFile] = {}
        for action in actions:
            file = touched[action.path] = self._file(action.path)
            if isinstance(action, Read):
                file.reads.append(action)
            else:
                file.changes.append(action)
                if isinstance(action, Rename) and action.to != action.path:
                    target = touched[action.to] = self._file(action.to)
                    target.changes.append(action)
        self._unfinished += len(actions)
        for file in touched.values():
            self._advance(file)
        self._traffic.push()
        if self._done:
            self._wakeup.set()  # what was refused at once

    def on_ready(self, mask: int) -> list[Event]:
        """Return the completions since the last call.

        Raises:
            RuntimeError: the kernel takes no more entries; going on would leave every write waiting for ever. A bug
                that a helper thread met comes out here as well.
        """
        self._broken = True
        self._wakeup.clear()
        for file, operation in self._traffic.take():
            self._judge(file, operation)
        while self._helped:
            future, finish = self._helped.popleft()
            finish(future)
        self._traffic.push()
        done, self._done = self._done, []
        self._unfinished -= len(done)
        self._broken = False
        return done

    def close(self) -> None:
        end = time.monotonic() + _CLOSE_TIMEOUT_S
        while self._unfinished and not self._broken and (left_s := end - time.monotonic()) > 0:
            select.select([self.fileno()], [], [], left_s)
            self.on_ready(0)
        if self._unfinished:
            _abandoned.append(self)
            return
        self._helpers.shutdown()
        for file in self._files.values():
            if file.fd >= 0:
                os.close(file.fd)
        self._ring.close()
        self._wakeup.close()

    # --- one path ---

    def _file(self, path: str) -> RingFile:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = RingFile(path)
        else:
            self._files.move_to_end(path)
        return file

    def _advance(self, file: RingFile) -> None:
        """Begin what can begin now."""
        while file.changes and not file.busy and self._begin(file, file.changes[0]):
            pass
        if file.reads and not file.held:
            if file.fd >= 0:
                while file.reads:
                    file.reading += 1
                    self._traffic.begin(file, Reading(file.reads.popleft(), file.fd))
            elif not file.busy:
                self._open(file, create=False)
        if file.idle:
            self._rest(file)

    def _begin(self, file: RingFile, change: Change) -> bool:
        """Begin the change at the head; True if it is over already, refused."""
        if not isinstance(change, Write):
            return self._begin_with_names(file, change)
        reason = self._doubts.about(file.path)
        if reason:
            self._finish(file, change, reason)
            return True
        if file.fd < 0:
            self._open(file, create=True)
        elif has_to_grow(file, change):
            end = change.offset + len(change.data)
            self._help([file], partial(self._reserved, file, change), reserve, file.fd, file.size, end, change.ahead)
        else:
            file.busy = True
            self._traffic.begin(file, Chain(file.path, file.fd, writes_that_fit(file)))
        return False

    def _finish(self, file: RingFile, change: Change, failure: str, *, no_room: bool = False) -> None:
        """The change at the head of its queue (a renaming: of two queues) is over."""
        if no_room:
            self._done.append(SpaceRanOut(change, failure))
        elif failure:
            self._done.append(WriteFailed(change.token, change.path, failure))
        else:
            self._done.append(WriteCompleted(change.token))
        for each in self._files_of(file, change):
            each.changes.popleft()
            each.busy = False
            if each is not file:
                self._advance(each)

    def _files_of(self, file: RingFile, change: Change) -> list[RingFile]:
        if not isinstance(change, Rename) or change.to == change.path:
            return [file]
        return [self._files[change.path], self._files[change.to]]

    # --- through the ring ---

    def _judge(self, file: RingFile, operation: Chain | Reading) -> None:
        """All entries of an operation are back."""
        verdict = operation.judge()
        if verdict is Verdict.AGAIN:
            self._traffic.begin(file, operation)
            return
        failure = describe_number(operation.error) if verdict is Verdict.FAILED else ""
        if isinstance(operation, Reading):
            file.reading -= 1
            self._has_read(operation, failure)
        else:
            file.unsynced = not (operation.syncs and verdict is Verdict.DONE)
            if failure:
                self._doubts.add(file.path, failure)
            for write in operation.writes:
                self._finish(file, write, failure)
        self._advance(file)

    def _has_read(self, reading: Reading, failure: str) -> None:
        action = reading.action
        if failure:
            self._done.append(ReadFailed(action.token, action.path, failure))
        else:
            self._done.append(ReadCompleted(action.token, reading.data))

    # --- through the helpers ---

    def _help(
        self,
        files: Sequence[RingFile],
        finish: Callable[[Future[Any]], None],
        call: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        """Let a helper thread make a call; ``finish`` is called on the loop."""
        for file in files:
            file.busy = True
        self._helpers.submit(call, *arguments).add_done_callback(partial(self._is_helped, finish))

    def _is_helped(self, finish: Callable[[Future[Any]], None], future: Future[Any]) -> None:
        """On the helper thread."""
        self._helped.append((future, finish))
        self._wakeup.set()

    def _reserved(self, file: RingFile, write: Write, future: Future[int]) -> None:
        file.busy = False
        try:
            file.size = future.result()
            file.grown_for = write.token
        except OSError as error:
            self._finish(file, write, describe(error), no_room=is_no_room(error))
        self._advance(file)

    def _begin_with_names(self, file: RingFile, change: Truncate | Delete | Rename) -> bool:
        """Begin a change that closes the file once its turn has come everywhere and nothing reads; True if refused."""
        files = self._files_of(file, change)
        if any(each.busy or each.reading or each.changes[0] is not change for each in files):
            return False
        reason = self._why_refused(change)
        if reason:
            self._finish(file, change, reason)
            return True
        unsynced = files[0].unsynced
        fds = [self._give_away(each) for each in files]
        finish = partial(self._changed_names, file, change)
        if isinstance(change, Truncate):
            self._help(files, finish, names.cut, self._directory, change.path, fds[0], change.size)
        elif isinstance(change, Delete):
            self._help(files, finish, names.remove, self._directory, change.path, fds[0])
        else:
            self._help(files, finish, names.rename, self._directory, change.path, change.to, fds, unsynced)
        return False

    def _why_refused(self, change: Truncate | Delete | Rename) -> str:
        """What is unknown that the change would build on; "" to go ahead."""
        paths = [os.path.dirname(change.path)] if isinstance(change, Delete) else [change.path]
        if isinstance(change, Rename):
            paths += [os.path.dirname(change.path), os.path.dirname(change.to)]
        return next((reason for path in paths if (reason := self._doubts.about(path))), "")

    def _changed_names(self, file: RingFile, change: Truncate | Delete | Rename, future: Future[None]) -> None:
        failure, no_room = "", False
        try:
            future.result()
        except SyncFailed as error:
            failure = error.reason
            self._doubts.add(error.path, error.reason)
        except OSError as error:
            failure, no_room = describe(error), is_no_room(error)
        if not failure and isinstance(change, Delete):
            self._doubts.removed(change.path)
        if not failure and isinstance(change, Rename):
            self._doubts.removed(change.to)
        self._finish(file, change, failure, no_room=no_room)
        self._advance(file)

    # --- descriptors ---

    def _open(self, file: RingFile, create: bool) -> None:
        """Open a file now, or when another has been closed for it."""
        file.busy = True
        if self._open_count >= OPEN_FILES_MAX and not self._waiting_to_open:
            oldest = next((each for each in self._files.values() if each.fd >= 0 and each.idle), None)
            if oldest is not None:
                self._close(oldest)
        if self._open_count >= OPEN_FILES_MAX:
            self._waiting_to_open.append((file, create))
            return
        self._open_count += 1
        why_no_entry = self._doubts.about(os.path.dirname(file.path))
        self._help(
            [file],
            partial(self._opened, file, create),
            names.open_file,
            self._directory,
            file.path,
            create,
            why_no_entry,
        )

    def _opened(self, file: RingFile, create: bool, future: Future[tuple[int, int]]) -> None:
        file.busy = False
        failure, no_room = "", False
        try:
            file.fd, file.size = future.result()
        except SyncFailed as error:
            failure = error.reason
            self._doubts.add(error.path, error.reason)
        except OSError as error:
            failure, no_room = describe(error), is_no_room(error)
        if failure:
            self._has_closed()
            if create:
                self._finish(file, file.changes[0], failure, no_room=no_room)
            else:
                self._done += [ReadFailed(read.token, read.path, failure) for read in file.reads]
                file.reads.clear()
        self._advance(file)

    def _rest(self, file: RingFile) -> None:
        """Nothing is left to do for ``file``: forget it, or lend its place to one that waits to be opened."""
        if file.fd >= 0 and self._waiting_to_open:
            self._close(file)
        elif file.fd < 0 and self._files.get(file.path) is file:
            del self._files[file.path]

    def _close(self, file: RingFile) -> None:
        unsynced, fd = file.unsynced, self._give_away(file)
        if unsynced:
            self._help([], self._synced_and_closed, names.sync_and_close, file.path, fd)
        else:
            self._helpers.submit(os.close, fd)
        self._files.pop(file.path, None)

    def _synced_and_closed(self, future: Future[None]) -> None:
        try:
            future.result()
        except SyncFailed as error:
            self._doubts.add(error.path, error.reason)

    def _give_away(self, file: RingFile) -> int:
        """Whoever gets the descriptor closes it."""
        fd, file.fd, file.size, file.unsynced = file.fd, -1, 0, False
        if fd >= 0:
            self._has_closed()
        return fd

    def _has_closed(self) -> None:
        self._open_count -= 1
        if self._waiting_to_open:
            self._open(*self._waiting_to_open.popleft())
