"""How long writes stall when the leader of a topic's open segment is killed.

Starts a three-node cluster of its own at default settings. One client, connected to a node that is not going
to be killed, writes one record after the other without a pause. Then, again and again: ``kill -9`` the
segment's leader, note the longest time between two acknowledgements, start the node again, wait until the
cluster is whole. Rounds in which the killed node was the Raft leader too are reported apart, for there an
election comes first.
"""

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from walrus.cli.bench import prepare_topic, spawned_cluster
from walrus.cli.probe import wait_until
from walrus.cli.processes import ClusterError, LocalCluster
from walrus.client.errors import OutcomeUnknown, ServerError, WalrusError
from walrus.client.sync import WalrusClient

TOPIC = "failover"
CLIENT_PORT = 19191
RAFT_PORT = 16101
BEFORE_S = 0.5  # of undisturbed writing before the kill
AFTER_S = 3.0  # of writing after it
ANSWER_TIMEOUT_S = 20.0
PAYLOAD = b"x" * 1024


def is_acknowledged(client: WalrusClient) -> bool:
    """One PUT; False where its outcome is unknown, which a writer whose leader died must expect."""
    try:
        client.put(TOPIC, PAYLOAD)
    except OutcomeUnknown:
        return False
    except ServerError as error:
        if not error.text.startswith("NotLeaderForPartition"):
            raise
        return False
    return True


def longest_gap_ms(cluster: LocalCluster, victim: int, client: WalrusClient) -> float:
    """Write, kill ``victim`` on the way, write on; the longest time between two acknowledgements."""
    acknowledged_ns: list[int] = []
    kill_ns = time.monotonic_ns() + int(BEFORE_S * 1e9)
    end_ns = kill_ns + int(AFTER_S * 1e9)
    killed = False
    while not acknowledged_ns or acknowledged_ns[-1] < end_ns:
        if is_acknowledged(client):
            acknowledged_ns.append(time.monotonic_ns())
        if not killed and time.monotonic_ns() >= kill_ns:
            cluster.kill(victim)
            killed = True
    return max(after - before for before, after in pairwise(acknowledged_ns)) / 1e6


def one_round(cluster: LocalCluster) -> tuple[float, bool]:
    """The longest gap in milliseconds, and whether the killed node was the Raft leader too."""
    if amiss := wait_until(cluster.why_not_formed, timeout_s=60.0):
        raise ClusterError(f"The cluster is not whole again after 60 s: {amiss}.")
    addresses = [cluster.client_address(node) for node in cluster.node_ids]
    prepare_topic(addresses, TOPIC, replicas=3)
    with WalrusClient(addresses) as client:
        victim: int = client.state(TOPIC)["leader_node"]
        was_raft_leader = client.metrics()["current_leader"] == victim
    witness = next(node for node in cluster.node_ids if node != victim)
    with WalrusClient([cluster.client_address(witness)], ANSWER_TIMEOUT_S) as client:
        gap_ms = longest_gap_ms(cluster, victim, client)
    cluster.start_node(victim)
    return gap_ms, was_raft_leader


def summary(title: str, gaps_ms: Sequence[float]) -> str:
    if not gaps_ms:
        return f"{title}: none of the rounds"
    middle, worst = statistics.median(gaps_ms), max(gaps_ms)
    p99 = sorted(gaps_ms)[math.ceil(len(gaps_ms) * 0.99) - 1]
    return f"{title}: {len(gaps_ms)} rounds, p50 {middle:.0f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="kills (20)")
    parser.add_argument("--data-dir", type=Path, help="below which the cluster's data goes (/tmp)")
    options = parser.parse_args(argv)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before", flush=True)
    only_segment: list[float] = []
    raft_too: list[float] = []
    try:
        with spawned_cluster(CLIENT_PORT, RAFT_PORT, options.data_dir) as cluster:
            for number in range(1, options.rounds + 1):
                gap_ms, was_raft_leader = one_round(cluster)
                (raft_too if was_raft_leader else only_segment).append(gap_ms)
                note = " (Raft leader too)" if was_raft_leader else ""
                print(f"round {number:2}: {gap_ms:6.0f} ms without an acknowledgement{note}", flush=True)
    except (ClusterError, WalrusError) as error:
        print(f"failover: {error}", file=sys.stderr)
        return 1
    print(summary("segment leader only", only_segment))
    print(summary("Raft leader too    ", raft_too))
    print(summary("all                ", only_segment + raft_too))
    print(f"load {os.getloadavg()[0]:.1f} after")
    return 0


if __name__ == "__main__":
    sys.exit(main())
