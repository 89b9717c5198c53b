"""A server on a real socket that answers as a test wants it to; and a whole cluster in a dictionary."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from walrus.core.wire import FrameParser, encode_frame

Behaviour = Callable[[bytes], bytes | None]
"""Gives the body of the reply to a request; None for silence. Raises Hangup to close the connection."""


class Hangup(Exception):
    pass


class _Handler(socketserver.BaseRequestHandler):
    server: "FakeServer"
    request: socket.socket

    def handle(self) -> None:
        self.server.connections.append(self.request)
        self.request.sendall(self.server.greeting)
        parser = FrameParser(1 << 24)
        try:
            while data := self.request.recv(65536):
                for frame in parser.feed(data):
                    assert frame is not None
                    with self.server.arrival:
                        self.server.received.append(frame)
                        self.server.arrival.notify_all()
                    reply = self.server.behaviour(frame)
                    if reply is not None:
                        self.request.sendall(encode_frame(reply))
        except (Hangup, OSError):
            return


class FakeServer(socketserver.ThreadingTCPServer):
    """Listens from construction on; ``received`` holds the body of every request.

    ``greeting`` is sent to whoever connects, as servers of other protocols do.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, behaviour: Behaviour, port: int = 0) -> None:
        self.behaviour = behaviour
        self.greeting = b""
        self.arrival = threading.Condition()
        self.received: list[bytes] = []
        self.connections: list[socket.socket] = []
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hang_up()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def wait_for_requests(self, number: int) -> list[bytes]:
        """The requests so far, once there are at least ``number``."""
        with self.arrival:
            assert self.arrival.wait_for(lambda: len(self.received) >= number, timeout=60)
            return list(self.received)

    def hang_up(self) -> None:
        """Close all connections, as a node that dies does."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it is closed already
        self.connections.clear()


class FakeCluster:
    """A behaviour: what a healthy cluster would answer, for one segment per topic."""

    def __init__(self) -> None:
        self.topics: dict[str, list[bytes]] = {}
        self.cursors: dict[str, int] = {}

    def __call__(self, frame: bytes) -> bytes:
        verb, _, rest = frame.partition(b" ")
        if verb == b"METRICS":
            return b'{"current_leader":1,"state":"Leader"}'
        if verb == b"TOPICS":
            return json.dumps(list(self.topics), separators=(",", ":")).encode()
        raw, _, argument = rest.partition(b" ")
        topic = raw.decode()
        if verb == b"REGISTER":
            self.topics.setdefault(topic, [])
            return b"OK"
        if topic not in self.topics:
            return b"ERR unknown topic " + raw
        records = self.topics[topic]
        if verb == b"PUT":
            records.append(argument)
            return b"OK"
        if verb == b"STATE":
            return (
                b'{"current_segment":1,"leader_node":1,"sealed_segments":{},"segment_leaders":{"1":1},'
                b'"last_sealed_entry_offset":0}'
            )
        if verb == b"FETCH":
            at = int(argument.split()[1])
            return b"OK %d %b" % (at + 1, records[at]) if at < len(records) else b"EMPTY"
        assert verb == b"GET"
        at = self.cursors.setdefault(topic, 0)
        if at == len(records):
            return b"EMPTY"
        self.cursors[topic] = at + 1
        return b"OK " + records[at]


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
