"""Whether too much at once costs only time: no PUT fails, no node is taken for dead, every record is there once.

Starts a three-node cluster of its own with segments of 10 entries, debug level. Each of 100 connections, spread
over the nodes, has a topic to itself and one PUT in flight, and sends the next as soon as the reply comes. No
request is ever sent again. Afterwards every topic is read back with FETCH, each through a node other than
the one it was written through. Exit code 1 where anything but time was lost.
"""

import argparse
import contextlib
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from walrus.cli.bench import percentile, processor_seconds
from walrus.cli.probe import wait_until
from walrus.cli.processes import ClusterError, LocalCluster
from walrus.client.address import parse_address
from walrus.client.calls import Call, fetch, put, record_of
from walrus.client.errors import WalrusError
from walrus.client.session import ClientSession
from walrus.client.sync import WalrusClient

CLIENT_PORT = 19291
RAFT_PORT = 16201
ENVIRONMENT = {"WALRUS_MAX_SEGMENT_ENTRIES": "10", "WALRUS_MONITOR_CHECK_MS": "200", "WALRUS_LOG": "debug"}
PATIENCE_S = 60.0
WINDOW = 128  # FETCHes in flight when the records are read back
RECEIVE_BYTES = 64 * 1024


class Connection:
    """One client: its topic, its socket, its session, and what became of its PUTs."""

    def __init__(self, address: str, topic: str) -> None:
        self.topic = topic
        self.socket = socket.create_connection(parse_address(address), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._session = ClientSession()
        self.sent = 0
        self.sent_ns = 0
        self.latencies_ns: list[int] = []
        self.errors: list[str] = []

    def payload(self, number: int) -> bytes:
        return b"%s %d" % (self.topic.encode(), number)

    def put_next(self) -> None:
        self.sent_ns = time.perf_counter_ns()
        self._send([put(self.topic, self.payload(self.sent))])
        self.sent += 1

    def take(self) -> list[bytes]:
        """Receive; the replies that are now whole."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ClusterError(f"A node closed the connection of {self.topic}.")
        return [reply.body for reply in self._session.receive(data)]

    def note(self, reply: bytes) -> None:
        """The PUT in flight is answered."""
        self.latencies_ns.append(time.perf_counter_ns() - self.sent_ns)
        if reply != b"OK":
            self.errors.append(f"{self.payload(self.sent - 1).decode()}: {reply.decode(errors='replace')}")

    def read_back(self) -> list[bytes]:
        """Every record of the topic, in order."""
        records: list[bytes] = []
        while True:
            window = range(len(records), len(records) + WINDOW)
            self._send([fetch(self.topic, 1, offset) for offset in window])
            replies: list[bytes] = []
            while len(replies) < WINDOW:
                replies += self.take()
            for reply in replies:
                record = record_of(reply)
                if record is None:
                    return records
                records.append(record.payload)

    def _send(self, calls: Sequence[Call]) -> None:
        for call in calls:
            self._session.request(call)
        self.socket.sendall(self._session.data_to_send())


class Health(NamedTuple):
    """What must not change under load."""

    terms: tuple[int, ...]  # Raft terms that the nodes are in
    recoveries: int  # segments sealed in place of a writer that was taken for dead


def health(cluster: LocalCluster) -> Health:
    terms = []
    recoveries = 0
    for node in cluster.node_ids:
        with WalrusClient([cluster.client_address(node)], PATIENCE_S) as client:
            terms.append(client.metrics()["current_term"])
        recoveries += cluster.log_file(node).read_text().count(" Sealing ")
    return Health(tuple(sorted(set(terms))), recoveries)


@contextlib.contextmanager
def overloaded_cluster(data_root: Path | None) -> Iterator[LocalCluster]:
    """Three nodes with small segments. Raises :class:`ClusterError`."""
    with tempfile.TemporaryDirectory(prefix="walrus-overload-", dir=data_root) as directory:
        cluster = LocalCluster(Path(directory), client_port=CLIENT_PORT, raft_port=RAFT_PORT, environment=ENVIRONMENT)
        try:
            cluster.start()
            if amiss := wait_until(cluster.why_not_formed, PATIENCE_S):
                raise ClusterError(f"No cluster after {PATIENCE_S:.0f} s: {amiss}.")
            yield cluster
        finally:
            cluster.stop()


def connect(cluster: LocalCluster, topics: Sequence[str], shift: int) -> list[Connection]:
    """A connection per topic, dealt out to the nodes in turn, beginning with number ``shift``."""
    nodes = list(cluster.node_ids)
    return [
        Connection(cluster.client_address(nodes[(number + shift) % len(nodes)]), topic)
        for number, topic in enumerate(topics)
    ]


def load(connections: Sequence[Connection], seconds: float) -> None:
    """Keep one PUT of each connection in flight for so long, then wait for the last replies."""
    end_ns = time.perf_counter_ns() + int(seconds * 1e9)
    waiting = len(connections)
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.put_next()
        while waiting:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise ClusterError(f"{waiting} PUTs have no answer after {PATIENCE_S:.0f} s.")
            for key, _ in ready:
                for reply in key.data.take():
                    key.data.note(reply)
                    if time.perf_counter_ns() < end_ns:
                        key.data.put_next()
                    else:
                        waiting -= 1


def check(connections: Sequence[Connection], readers: Sequence[Connection]) -> list[str]:
    """What is not as it must be, a sentence each."""
    problems = []
    for writer, reader in zip(connections, readers, strict=True):
        problems += writer.errors
        records = reader.read_back()
        if records != [writer.payload(number) for number in range(writer.sent)]:
            distinct = len(set(records))
            problems.append(f"{writer.topic}: {writer.sent} records written, {len(records)} there, {distinct} distinct")
    return problems


def run(cluster: LocalCluster, clients: int, seconds: float) -> list[str]:
    """Load, print what it took, check; the problems found."""
    topics = [f"overload-{number}" for number in range(clients)]
    with WalrusClient([cluster.client_address(1)], PATIENCE_S) as client:
        for topic in topics:
            client.register(topic)
    pids = [cluster.pid(node) for node in cluster.running()]
    connections = connect(cluster, topics, shift=0)
    before, cpu_s, began_s = health(cluster), processor_seconds(pids), time.monotonic()
    load(connections, seconds)
    took_s = time.monotonic() - began_s
    latencies = sorted(latency for connection in connections for latency in connection.latencies_ns)
    print(
        f"{len(latencies):,} PUTs in {took_s:.1f} s, {len(latencies) / took_s:,.0f} a second; latency p50 "
        f"{percentile(latencies, 50) / 1e6:.1f} ms, p99 {percentile(latencies, 99) / 1e6:.1f} ms, "
        f"worst {latencies[-1] / 1e6:.1f} ms; nodes used {processor_seconds(pids) - cpu_s:.1f} s of processor time"
    )
    problems = check(connections, connect(cluster, topics, shift=1))
    after = health(cluster)
    if after != before:
        problems.append(f"failovers: before {before}, after {after}")
    segments = sum(connection.sent // 10 for connection in connections)
    print(f"{segments:,} segments were filled and sealed; every record was read back through another node")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (60)")
    parser.add_argument("--clients", type=int, default=100, help="connections, with a topic each (100)")
    parser.add_argument("--data-dir", type=Path, help="below which the cluster's data goes (/tmp)")
    options = parser.parse_args(argv)
    try:
        with overloaded_cluster(options.data_dir) as cluster:
            problems = run(cluster, options.clients, options.seconds)
    except (ClusterError, WalrusError, OSError) as error:
        print(f"overload: {error}", file=sys.stderr)
        return 1
    for problem in problems[:20]:
        print(f"overload: {problem}", file=sys.stderr)
    print(f"{len(problems)} problems" if problems else "no error, no failover, every record there exactly once")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
