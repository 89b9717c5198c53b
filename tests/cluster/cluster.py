"""A cluster of real ``walrus-node`` processes for tests, and how they look at it.

Nothing here asserts how long anything takes: tests wait for conditions, with a patience that only a cluster
that will never get there exhausts.
"""

import contextlib
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from walrus.cli.probe import wait_until
from walrus.cli.processes import HOST, LocalCluster
from walrus.client.calls import Call, check, fetch, record_of
from walrus.client.errors import WalrusError
from walrus.client.session import ClientSession
from walrus.client.sync import WalrusClient

PATIENCE_S = 90.0
_NODES_MAX = 5
_WINDOW = 256  # FETCHes in flight of one reader
SMALL_SEGMENTS = {"WALRUS_MAX_SEGMENT_ENTRIES": "10", "WALRUS_MONITOR_CHECK_MS": "200"}


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds. It may fail with a client error meanwhile: then it does not hold."""

    def is_amiss() -> str:
        try:
            return "" if condition() else what
        except WalrusError as error:
            return f"{what}: {error}"

    amiss = wait_until(is_amiss, PATIENCE_S, interval_s=0.05)
    assert not amiss, f"waited {PATIENCE_S:.0f} s in vain for {amiss}"


class PortsHeld:
    """Consecutive ports, chosen by the system, that nobody but a listener who reuses addresses can get.

    A bound socket that does not listen keeps the system from giving its port to an outgoing connection
    while the node that belongs there is down.
    """

    def __init__(self, count: int) -> None:
        self._sockets: list[socket.socket] = []
        while not self._hold(count):
            self.release()
        self.first: int = self._sockets[0].getsockname()[1]

    def _hold(self, count: int) -> bool:
        port = 0
        for _ in range(count):
            held = socket.socket()
            self._sockets.append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind((HOST, port))
            except (OSError, OverflowError):
                return False
            port = held.getsockname()[1] + 1
        return True

    def close(self) -> None:
        self.release()

    def release(self) -> None:
        for held in self._sockets:
            held.close()
        self._sockets.clear()


class Cluster(LocalCluster):
    """Nodes 1 to 3 unless told otherwise; others, up to node 5, may be added."""

    def __init__(self, directory: Path, nodes: int = 3, environment: Mapping[str, str] | None = None) -> None:
        self._ports = PortsHeld(2 * _NODES_MAX)
        self._contact: dict[int, int] = {}
        self._peers_of: dict[int, tuple[int, ...]] = {}
        ports = {"client_port": self._ports.first, "raft_port": self._ports.first + _NODES_MAX}
        settings = {"RUST_LOG": "debug", **(environment or {})}
        super().__init__(directory, nodes=nodes, environment=settings, **ports)

    def command(self, node: int) -> list[str]:
        command = super().command(node)
        if node in self._contact:
            command[-1] = f"{HOST}:{self.raft_port + self._contact[node] - 1}"
        for peer in self._peers_of.get(node, ()):
            command += ["--initial-peer", f"{HOST}:{self.raft_port + peer - 1}"]
        return command

    def set_initial_peers(self, node: int, *peers: int) -> None:
        """What a node that is started from now on is told."""
        self._peers_of[node] = peers

    def join(self, node: int, through: int) -> None:
        """Start a node that is new, or was not part of ``nodes``, and joins through another."""
        assert node != 1, "node 1 founds the cluster"
        self._contact[node] = through
        self.node_ids = range(1, max(node, self.node_ids[-1]) + 1)
        self.start_node(node)

    def until_formed(self) -> None:
        """Every node is a voter, all name one leader, and every topic is written by a process that runs."""
        eventually(lambda: not self.why_not_formed(), "one cluster of all nodes")

        def all_led() -> bool:
            metrics = [self.metrics(node) for node in self.running()]
            topics = metrics[0]["topics"]
            led = sum(each["leading_segments"] for each in metrics)
            return led == topics and all(each["topics"] == each["open_segments"] == topics for each in metrics)

        eventually(all_led, "a running leader for the open segment of every topic")

    def until_replicated(self, topic: str, copies: int = 3) -> None:
        """The open segment of ``topic`` has so many copies."""
        eventually(lambda: len(self.replicas(topic)) == copies, f"{copies} copies of the open segment of {topic}")

    def set_environment(self, **settings: str) -> None:
        """What nodes that are started from now on are told."""
        self._environment.update(settings)

    def dispose(self) -> None:
        """End whatever still runs, stopped processes too, and give the ports back."""
        self.kill_all()
        self._ports.release()

    # --- processes ---

    def pause(self, node: int) -> None:
        os.kill(self.pid(node), signal.SIGSTOP)

    def go_on(self, node: int) -> None:
        os.kill(self.pid(node), signal.SIGCONT)

    def exit_codes(self, nodes: Sequence[int]) -> dict[int, int]:
        """Wait until these nodes have ended by themselves; their exit codes."""
        codes: dict[int, int] = {}

        def all_ended() -> bool:
            codes.update(self.reap())
            return set(nodes) <= set(codes)

        eventually(all_ended, f"the end of nodes {nodes}")
        return codes

    def memory_bytes(self, node: int) -> int:
        """Resident memory of a node."""
        for line in Path(f"/proc/{self.pid(node)}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS in /proc")

    def log_text(self, node: int) -> str:
        return self.log_file(node).read_text()

    def recoveries(self) -> list[str]:
        """The log lines that tell of segments sealed in place of a writer that was taken for dead."""
        logs = [self.log_text(node).splitlines() for node in self.node_ids]
        return [line for log in logs for line in log if " Sealing " in line]

    # --- what clients see ---

    def client(self, *nodes: int, timeout_s: float = 30.0) -> WalrusClient:
        """A client of these nodes, in this order; without any, of all that run."""
        return WalrusClient([self.client_address(node) for node in nodes or self.running()], timeout_s)

    def metrics(self, node: int) -> dict[str, Any]:
        with self.client(node) as client:
            return client.metrics()

    def state(self, topic: str, *nodes: int) -> dict[str, Any]:
        with self.client(*nodes) as client:
            return client.state(topic)

    def replicas(self, topic: str) -> list[int]:
        """The nodes that hold the newest segment."""
        state = self.state(topic)
        replicas: list[int] = state["segment_replicas"][str(state["current_segment"])]
        return replicas

    def raft_leader(self) -> int:
        """The leader that a majority's metrics agree on; waits for one."""
        found: list[int] = []

        def agreed() -> bool:
            named = [self.metrics(node)["current_leader"] for node in self.running()]
            found[:] = [node for node in set(named) if node is not None and named.count(node) == len(named)]
            return bool(found)

        eventually(agreed, "a Raft leader that all nodes name")
        return found[0]

    def segment_leader(self, topic: str) -> int:
        leader: int = self.state(topic)["leader_node"]
        return leader

    def register(self, topic: str) -> None:
        with self.client() as client:
            client.register(topic)

    def topic_led_by(self, is_wanted: Callable[[int], bool], name: str = "topic") -> str:
        """A topic with three copies whose segment leader is wanted; topics are created until there is one."""
        created: list[str] = []

        def found() -> bool:
            created.append(f"{name}-{len(created)}")
            self.register(created[-1])
            return is_wanted(self.segment_leader(created[-1]))

        eventually(found, "a topic with such a leader")
        self.until_replicated(created[-1])
        return created[-1]

    def read_all(self, topic: str, node: int) -> list[bytes]:
        """Every record of a topic, in order, as FETCH through one node shows them."""
        with Wire(self.client_address(node)) as wire:
            return wire.read_all(topic)

    def segments_read(self, topic: str, node: int) -> dict[int, bytes]:
        """The first record of every segment, by FETCH with the segment's own number."""
        first: dict[int, bytes] = {}
        with self.client(node) as client:
            for number in range(1, client.state(topic)["current_segment"] + 1):
                record = client.fetch(topic, number, 0)
                if record is not None:
                    first[number] = record.payload
        return first


Start = Callable[..., Cluster]
"""The fixture ``start``: ``start(nodes=3, **environment)`` returns a formed cluster."""


@contextlib.contextmanager
def started(directory: Path, nodes: int = 3, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A formed cluster, ended afterwards whatever happened."""
    cluster = Cluster(directory, nodes, environment)
    try:
        cluster.start()
        cluster.until_formed()
        yield cluster
    finally:
        cluster.dispose()


class Wire:
    """One client connection on which a test may send what no client library would."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self._session = ClientSession()
        self._replies: list[bytes] = []

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def expect(self, count: int = 1) -> None:
        """Count on ``count`` replies to bytes sent raw: the session wants to know of every request."""
        for _ in range(count):
            self._session.request(Call(b"-"))
        self._session.data_to_send()

    def replies(self, count: int) -> list[bytes]:
        """The next replies, bodies only."""
        while len(self._replies) < count:
            data = self._socket.recv(1 << 16)
            assert data, "the node closed the connection"
            self._replies += [reply.body for reply in self._session.receive(data)]
        taken, self._replies = self._replies[:count], self._replies[count:]
        return taken

    def send(self, *calls: Call) -> None:
        """Send requests in one piece."""
        for call in calls:
            self._session.request(call)
        self._socket.sendall(self._session.data_to_send())

    def ask(self, *calls: Call) -> list[bytes]:
        """Send requests in one piece; their replies."""
        self.send(*calls)
        return self.replies(len(calls))

    def abort(self) -> None:
        """Reset the connection: the node learns that nobody takes its replies."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def rest(self) -> bytes:
        """Whatever still comes, until the node closes the connection."""
        pieces = []
        with contextlib.suppress(ConnectionResetError):
            while piece := self._socket.recv(1 << 16):
                pieces.append(piece)
        return b"".join(pieces)

    def read_all(self, topic: str) -> list[bytes]:
        records: list[bytes] = []
        while True:
            window = range(len(records), len(records) + _WINDOW)
            for reply in self.ask(*(fetch(topic, 1, offset) for offset in window)):
                record = record_of(check(reply))
                if record is None:
                    return records
                assert record.next_offset == len(records) + 1
                records.append(record.payload)
