"""A slow wire for a kernel that has none: passes TCP streams on, each piece a while after it came."""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque

Endpoint = tuple[str, int]

_PIECE_BYTES = 64 * 1024
_HELD_BYTES_MAX = 4 * 1024 * 1024  # of one direction; then the sender is not read, as on a full wire


class _Way:
    """One direction of a connection: what ``source`` sent and ``sink`` has not got yet. b"" is the end."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.held_bytes = 0
        self.ended = False

    def read(self, due_s: float) -> None:
        data = self.source.recv(_PIECE_BYTES)
        self.pieces.append((due_s, data))
        self.held_bytes += len(data)
        self.ended = not data

    def write(self, now_s: float) -> None:
        """Pass on what is due, as far as the sink takes it."""
        while self.pieces and self.pieces[0][0] <= now_s:
            due_s, data = self.pieces.popleft()
            if not data:
                self.sink.shutdown(socket.SHUT_WR)
                return
            with contextlib.suppress(BlockingIOError):
                sent = self.sink.send(data)
                self.held_bytes -= sent
                data = data[sent:]
            if data:
                self.pieces.appendleft((due_s, data))
                return

    def wants_read(self) -> bool:
        return not self.ended and self.held_bytes < _HELD_BYTES_MAX

    def wants_write(self, now_s: float) -> bool:
        return bool(self.pieces) and self.pieces[0][0] <= now_s

    def is_done(self) -> bool:
        return self.ended and not self.pieces


class Relay(threading.Thread):
    """Relays from each listening address to its target; ``delay_s``, each way, may be changed at any time."""

    def __init__(self, routes: dict[Endpoint, Endpoint]) -> None:
        super().__init__(name="relay", daemon=True)
        self.delay_s = 0.0
        self._listeners = {_listen(at): target for at, target in routes.items()}
        self._pairs: list[tuple[_Way, _Way]] = []
        self._stop_asked = threading.Event()

    def close(self) -> None:
        self._stop_asked.set()
        self.join()
        for pair in self._pairs:
            _close(pair)
        for listener in self._listeners:
            listener.close()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            readable, writable = self._wait()
            for listener in self._listeners:
                if listener in readable:
                    self._accept(listener)
            for pair in list(self._pairs):
                if not self._carry(pair, readable, writable):
                    self._pairs.remove(pair)
                    _close(pair)

    def _wait(self) -> tuple[set[object], set[object]]:
        """Which sockets can be read and written, once there is one, or something is due."""
        now_s = time.monotonic()
        wanted: dict[socket.socket, int] = dict.fromkeys(self._listeners, selectors.EVENT_READ)
        wait_s = 0.2  # between looks at whether to stop
        for pair in self._pairs:
            for way in pair:
                if way.wants_read():
                    wanted[way.source] = wanted.get(way.source, 0) | selectors.EVENT_READ
                if way.wants_write(now_s):
                    wanted[way.sink] = wanted.get(way.sink, 0) | selectors.EVENT_WRITE
                elif way.pieces:
                    wait_s = min(wait_s, way.pieces[0][0] - now_s)
        with selectors.PollSelector() as selector:
            for sock, mask in wanted.items():
                selector.register(sock, mask)
            ready = selector.select(wait_s)
        readable: set[object] = {key.fileobj for key, mask in ready if mask & selectors.EVENT_READ}
        return readable, {key.fileobj for key, mask in ready if mask & selectors.EVENT_WRITE}

    def _accept(self, listener: socket.socket) -> None:
        near, _ = listener.accept()
        far = socket.socket()
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.connect_ex(self._listeners[listener])  # where that fails, the first read says so
        self._pairs.append((_Way(near, far), _Way(far, near)))

    def _carry(self, pair: tuple[_Way, _Way], readable: set[object], writable: set[object]) -> bool:
        """Move what can be moved; False once the connection is over."""
        now_s = time.monotonic()
        try:
            for way in pair:
                if way.source in readable and way.wants_read():
                    way.read(now_s + self.delay_s)
                if way.sink in writable or not self.delay_s:
                    way.write(now_s)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return not all(way.is_done() for way in pair)


def _listen(at: Endpoint) -> socket.socket:
    listener = socket.create_server(at)
    listener.setblocking(False)
    return listener


def _close(pair: tuple[_Way, _Way]) -> None:
    pair[0].source.close()
    pair[0].sink.close()
