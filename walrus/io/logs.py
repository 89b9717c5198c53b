"""Log lines, written by a thread of their own so that a slow terminal or disk never holds the loop.

A line is ``2026-01-01T00:00:00.000Z INFO  Node 1: <text>``, UTC. With ``--log-file`` the file is opened for
appending and, after :meth:`LogWriter.reopen` (SIGHUP), opened anew by name, as log rotation expects.

What ends the process goes to standard error in any case. A log file gets it too, unless standard error leads to that
very file, as it does for the nodes that a launcher starts: there it would stand twice.
"""

import os
import queue
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

from walrus.io.errors import StartError, describe

LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "error": 40, "off": 100}
_BACKLOG_LINES_MAX: Final = 10_000
_STDOUT_FD: Final = 1
_STDERR_FD: Final = 2


class Logger(Protocol):
    """What the rest of the runtime needs of a log."""

    def log(self, level: str, text: str) -> None:
        """Note ``text``, about this node, at ``level`` (debug, info, warn or error); returns at once."""

    def line(self, level: str, text: str) -> None:
        """Note ``text`` that names its node already, as the core's lines do."""


class _Command:
    """Something for the writing thread to do, between two lines."""


_REOPEN: Final = _Command()
_CLOSE: Final = _Command()


class LogWriter:
    """The process's log. ``log``, ``reopen`` and ``close`` may be called from any thread.

    As a context manager it also notes the exception that its body, or meanwhile another thread, ends with.
    """

    def __init__(self, node_id: int, level: str, path: Path | None) -> None:
        """Open the log at ``path``, or standard output for None.

        Raises:
            StartError: the file cannot be opened.
        """
        self._threshold = LEVELS[level]
        self._node_id = node_id
        self._path = path
        self._overflow_lines = 0
        self._queue: queue.SimpleQueue[str | _Command] = queue.SimpleQueue()
        try:
            self._fd = _STDOUT_FD if path is None else _open(path)
        except OSError as error:
            raise StartError(f"cannot open log file {path}: {describe(error)}") from error
        self._thread = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._thread.start()

    def log(self, level: str, text: str) -> None:
        self.line(level, f"Node {self._node_id}: {text}")

    def line(self, level: str, text: str) -> None:
        if LEVELS[level] < self._threshold:
            return
        if self._queue.qsize() >= _BACKLOG_LINES_MAX:
            self._overflow_lines += 1
            return
        self._queue.put(f"{timestamp(time.time_ns())} {level.upper():<5} {text}\n")

    def reopen(self) -> None:
        """Open the log file anew by its name; nothing for standard output."""
        self._queue.put(_REOPEN)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is queued, for at most ``timeout_s``, and stop."""
        self._queue.put(_CLOSE)
        self._thread.join(timeout_s)

    def __enter__(self) -> "LogWriter":
        self._report_thread = threading.excepthook
        threading.excepthook = self._on_thread_end
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        threading.excepthook = self._report_thread
        if isinstance(error, Exception):
            self._note_end(error)
        self.close()

    def _on_thread_end(self, args: threading.ExceptHookArgs) -> None:
        if isinstance(args.exc_value, Exception):
            self._note_end(args.exc_value)
        self._report_thread(args)

    def _note_end(self, error: Exception) -> None:
        """Note what is reported on standard error too."""
        if self._path is None or _is_stderr(self._path):
            return
        lines = [str(error)] if isinstance(error, StartError) else traceback.format_exception(error)
        for line in "".join(lines).splitlines():
            self.log("error", line)

    def _write_lines(self) -> None:
        while True:
            item = self._queue.get()
            if item is _CLOSE:
                break
            if item is _REOPEN:
                self._switch_file()
            elif isinstance(item, str):
                self._write(item)
            if self._overflow_lines:
                lost, self._overflow_lines = self._overflow_lines, 0
                self.log("warn", f"{lost} log lines were lost because the log could not keep up")
        if self._path is not None:
            os.close(self._fd)

    def _write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            return  # a full disk or a closed terminal must not stop the node; there is nowhere left to say so

    def _switch_file(self) -> None:
        if self._path is None:
            return
        try:
            fd = _open(self._path)
        except OSError as error:
            self.log("warn", f"cannot reopen log file {self._path}, keeping the old one: {describe(error)}")
            return
        os.close(self._fd)
        self._fd = fd


def timestamp(wall_ns: int) -> str:
    """Return UTC time in ISO 8601 with milliseconds, such as ``2026-01-01T00:00:00.000Z``."""
    seconds, rest_ns = divmod(wall_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest_ns // 1_000_000:03d}Z"


def _is_stderr(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(_STDERR_FD))
    except OSError:  # the file was moved away, or standard error is closed
        return False


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
