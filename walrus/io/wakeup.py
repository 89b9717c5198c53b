"""Waking the loop from another thread, and turning signals into events.

Facts of the operating system that this relies on: an eventfd (or a socket pair where there is none) becomes
readable when written, from any thread. CPython writes a signal's number to the ``set_wakeup_fd`` descriptor
from its C-level handler, which also ends ``select``; the Python-level handler has to exist or the default
action (terminate) stays in place.
"""

import os
import signal
import socket
from collections.abc import Callable
from types import FrameType

from walrus.core.events import Event, ShutdownRequested
from walrus.io.source import FIRST


class Wakeup:
    """A descriptor that any thread can make readable."""

    def __init__(self) -> None:
        if hasattr(os, "eventfd"):
            self._reader = self._writer = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._reader, False)
            os.set_blocking(self._writer, False)

    def fileno(self) -> int:
        return self._reader

    def set(self) -> None:
        """Make the descriptor readable. A full pipe already is."""
        try:
            os.write(self._writer, b"\1\0\0\0\0\0\0\0")
        except BlockingIOError:
            return

    def clear(self) -> None:
        """Make the descriptor unreadable until the next :meth:`set`."""
        try:
            os.read(self._reader, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._reader)
        if self._writer != self._reader:
            os.close(self._writer)


class Signals:
    """SIGTERM and SIGINT as :class:`ShutdownRequested`, SIGHUP as a call of ``on_hangup``.

    Only the main thread may install it (the interpreter's rule).
    """

    order = FIRST
    _HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def __init__(self, on_hangup: Callable[[], None]) -> None:
        self._on_hangup = on_hangup
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._old_handlers = {number: signal.signal(number, _note) for number in self._HANDLED}
        self._old_wakeup_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def on_ready(self, mask: int) -> list[Event]:
        events: list[Event] = []
        for number in self._reader.recv(256):
            if number == signal.SIGHUP:
                self._on_hangup()
            elif number in self._HANDLED:
                events.append(ShutdownRequested())
        return events

    def close(self) -> None:
        """Give the signals back to whoever had them."""
        signal.set_wakeup_fd(self._old_wakeup_fd)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()


def _note(number: int, frame: FrameType | None) -> None:
    """The Python-level handler: the number is already in the wake-up descriptor."""
