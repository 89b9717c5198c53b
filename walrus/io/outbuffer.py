"""Bytes that wait for a socket."""

import socket
from collections import deque
from typing import Final

_SEND_BYTES: Final = 256 * 1024


class OutBuffer:
    """What is still to be sent on one connection, in order. Invariant: ``size`` is the sum of ``_pieces``."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[bytes | memoryview] = deque()
        self.size = 0

    def push(self, data: bytes) -> None:
        self._pieces.append(data)
        self.size += len(data)

    def send_to(self, sock: socket.socket) -> bool:
        """Send what the socket takes, joined; True once nothing is left. OSError: the connection broke."""
        while self._pieces:
            piece = self._take()
            try:
                sent = sock.send(piece)
            except BlockingIOError:
                sent = 0
            self.size -= sent
            if sent < len(piece):
                self._pieces.appendleft(memoryview(piece)[sent:])
                return False
        return True

    def _take(self) -> bytes | memoryview:
        """Return the first pieces as one, up to a bound (a large piece goes alone, uncopied)."""
        first = self._pieces.popleft()
        total = len(first)
        if not self._pieces or total + len(self._pieces[0]) > _SEND_BYTES:
            return first
        taken = [first]
        while self._pieces and total + len(self._pieces[0]) <= _SEND_BYTES:
            piece = self._pieces.popleft()
            total += len(piece)
            taken.append(piece)
        return b"".join(taken)
