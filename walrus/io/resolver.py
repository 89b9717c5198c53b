"""Names to addresses, off the loop: ``getaddrinfo`` blocks, for seconds where a name server is silent.

One short-lived thread per lookup, so that one silent name holds up no other; the callers have at most one
lookup under way per peer.
"""

import socket
import threading
from collections.abc import Callable
from typing import Final

from walrus.core.events import Event
from walrus.io.addresses import literal_family
from walrus.io.source import FIRST
from walrus.io.wakeup import Wakeup

SocketAddress = tuple[socket.AddressFamily, tuple[str, int]]
"""Family and (IP address, port)."""

Found = Callable[[list[SocketAddress]], None]
"""Called on the loop's thread with what a name resolved to; empty where it did not."""

_ADDRESSES_MAX: Final = 8


class Resolver:
    """Looks names up, anew each time."""

    order = FIRST

    def __init__(self) -> None:
        self._wakeup = Wakeup()
        self._lock = threading.Lock()
        self._done: list[tuple[Found, list[SocketAddress]]] = []
        self._closed = False

    def fileno(self) -> int:
        return self._wakeup.fileno()

    def look_up(self, host: str, port: int, found: Found) -> None:
        """Resolve ``host`` and call ``found`` on the loop's thread; at once for an address written out."""
        family = literal_family(host)
        if family is not None:
            found([(family, (host, port))])
        else:
            threading.Thread(target=self._run, args=(host, port, found), name="resolve", daemon=True).start()

    def on_ready(self, mask: int) -> list[Event]:
        self._wakeup.clear()
        with self._lock:
            done, self._done = self._done, []
        for found, addresses in done:
            found(addresses)
        return []

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._wakeup.close()

    def _run(self, host: str, port: int, found: Found) -> None:
        addresses: list[SocketAddress] = []
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        except (OSError, ValueError):  # ValueError: no name at all, such as one with an empty label
            answers = []
        for family, _, _, _, address in answers[:_ADDRESSES_MAX]:
            if isinstance(address[0], str):
                addresses.append((socket.AddressFamily(family), (address[0], int(address[1]))))
        with self._lock:
            if not self._closed:
                self._done.append((found, addresses))
                self._wakeup.set()
