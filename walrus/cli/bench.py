"""``walrus-bench``: how fast a cluster takes PUTs, and how long each one waits for its acknowledgement.

Each row of the result is one shape of load: so many connections, each with so many requests in flight,
sending the next request as soon as a reply comes (a closed loop). All connections go to the node that leads
the topic's open segment. The client is one thread that does as little as it can per request, because on a
small machine it takes its processor time from the nodes; its own share is printed.
"""

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from walrus.cli.bench_load import Load, LoadError, Outcome
from walrus.cli.probe import wait_until
from walrus.cli.processes import ClusterError, LocalCluster
from walrus.client.address import parse_address
from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient

_DEFAULT_ROWS = "1x1,16x1,64x1,1x64,1x512"
_LOCAL_ADDRESSES = ["127.0.0.1:9091", "127.0.0.1:9092", "127.0.0.1:9093"]
_SPAWN_CLIENT_PORT = 19091
_SPAWN_RAFT_PORT = 16001


@contextlib.contextmanager
def spawned_cluster(client_port: int, raft_port: int, data_root: Path | None, nodes: int = 3) -> Iterator[LocalCluster]:
    """Nodes at default settings on data of their own, which is deleted afterwards.

    Raises :class:`ClusterError`.
    """
    with tempfile.TemporaryDirectory(prefix="walrus-bench-", dir=data_root) as directory:
        cluster = LocalCluster(Path(directory), nodes=nodes, client_port=client_port, raft_port=raft_port)
        try:
            cluster.start()
            if amiss := wait_until(cluster.why_not_formed, timeout_s=30.0):
                raise ClusterError(f"No cluster after 30 s: {amiss}.")
            yield cluster
        finally:
            cluster.stop()


def prepare_topic(addresses: Sequence[str], topic: str, replicas: int) -> None:
    """Register ``topic`` and wait until it has ``replicas`` copies. Raises WalrusError, ClusterError."""
    with WalrusClient(addresses) as client:
        client.register(topic)

        def is_amiss() -> str:
            state = client.state(topic)
            copies = len(state["segment_replicas"][str(state["current_segment"])])
            return "" if copies >= replicas else f"{topic} has {copies} of {replicas} copies"

        if amiss := wait_until(is_amiss, timeout_s=30.0):
            raise ClusterError(f"After 30 s {amiss}; --copies tells for how many to wait.")


def processor_seconds(pids: Sequence[int]) -> float:
    """User and system time of these processes so far; 0.0 where the system does not tell (no /proc)."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            return 0.0
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def percentile(ascending: Sequence[int], percent: float) -> int:
    """The smallest value that at least ``percent`` per cent of the values do not exceed."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


def report(connections: int, window: int, outcome: Outcome, node_cpu_s: float) -> dict[str, Any]:
    """One row of the result, as shown and as ``--json`` prints it."""
    latencies = sorted(outcome.latencies_ns)
    return {
        "connections": connections,
        "in_flight": window,
        "puts_per_second": round(len(latencies) / outcome.seconds),
        "p50_ms": percentile(latencies, 50) / 1e6,
        "p99_ms": percentile(latencies, 99) / 1e6,
        "max_ms": latencies[-1] / 1e6,
        "client_cpu_seconds": round(outcome.cpu_seconds, 2),
        "node_cpu_seconds": round(node_cpu_s, 2),
        "seconds": round(outcome.seconds, 2),
    }


def print_row(row: dict[str, Any]) -> None:
    shape = f"{row['connections']:>5} x {row['in_flight']:<4}"
    times = f"{row['p50_ms']:>9.2f} {row['p99_ms']:>9.2f} {row['max_ms']:>9.2f}"
    cpu = f"{row['client_cpu_seconds']:>8.2f} {row['node_cpu_seconds']:>8.2f}"
    print(f"{shape} {row['puts_per_second']:>10,} {times} {cpu}", flush=True)


def parse_rows(text: str) -> list[tuple[int, int]]:
    """``16x1,1x64`` as (connections, in flight) pairs. Raises ValueError that names the row."""
    rows = []
    for row in text.split(","):
        connections, _, window = row.partition("x")
        if not (connections.isdigit() and window.isdigit() and int(connections) and int(window)):
            raise ValueError(f"{row!r} is not a row: CONNECTIONSxIN_FLIGHT is wanted, such as 16x1")
        rows.append((int(connections), int(window)))
    return rows


def measure(options: argparse.Namespace, addresses: Sequence[str], pids: Sequence[int]) -> None:
    """Run all rows and print them. Raises WalrusError, LoadError, ClusterError."""
    prepare_topic(addresses, options.topic, options.copies)
    if not options.json:
        print(f"PUT {options.payload} bytes to {options.topic}, {options.seconds:g} s a row")
        print("conns x each     PUT/s    p50 ms    p99 ms    max ms  client s  nodes s (processor)")
    for connections, window in options.rows:
        load = Load(addresses, options.topic, options.payload, connections, window, options.follow_leader)
        load.run(options.warm_up)
        before_s = processor_seconds(pids)
        outcome = load.run(options.seconds)
        row = report(connections, window, outcome, processor_seconds(pids) - before_s)
        load.close()
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            print_row(row)


def parse_options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="walrus-bench", description=__doc__.partition("\n")[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--addr", action="append", metavar="HOST:PORT", help="give all (make run's)")
    where.add_argument("--spawn", action="store_true", help="start three nodes, on data of their own")
    parser.add_argument("--rows", default=_DEFAULT_ROWS, help=f"connections x in flight ({_DEFAULT_ROWS})")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured a row (5)")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before, not counted (1)")
    parser.add_argument("--payload", type=int, default=1024, metavar="BYTES", help="of one record (1024)")
    parser.add_argument("--topic", default="bench", help="created if it does not exist (bench)")
    parser.add_argument("--copies", type=int, default=3, help="wait until the topic has so many (3)")
    parser.add_argument("--follow-leader", action="store_true", help="go along when the lead changes")
    parser.add_argument("--data-dir", type=Path, help="with --spawn: below this (/tmp)")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    options = parser.parse_args(argv)
    if options.payload < 0 or options.seconds <= 0 or options.warm_up < 0:
        parser.error("--payload, --seconds and --warm-up take positive numbers")
    try:
        options.rows = parse_rows(options.rows)
        options.addr = [str(parse_address(text)) for text in options.addr or _LOCAL_ADDRESSES]
    except ValueError as error:
        parser.error(str(error))
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``walrus-bench``: 0, or 1 where the cluster fails or refuses a PUT."""
    options = parse_options(argv)
    try:
        if not options.spawn:
            measure(options, options.addr, [])
            return 0
        with spawned_cluster(_SPAWN_CLIENT_PORT, _SPAWN_RAFT_PORT, options.data_dir) as cluster:
            addresses = [cluster.client_address(node) for node in cluster.node_ids]
            measure(options, addresses, [cluster.pid(node) for node in cluster.running()])
    except (ClusterError, LoadError, WalrusError, OSError) as error:
        print(f"walrus-bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
