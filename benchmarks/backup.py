"""How fast a backup is made, verified and restored, in MB of payloads a second.

Starts a three-node cluster of its own at default settings, fills a topic and takes half of it, backs it up into a
directory (or whatever --place names), again with nothing new, verifies it, and restores it into a cluster of one, which
is then compared with what was written, record by record.
"""

import argparse
import contextlib
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from walrus.cli.backup.create import create
from walrus.cli.backup.errors import BackupError
from walrus.cli.backup.places import open_place
from walrus.cli.backup.restore import restore
from walrus.cli.backup.source import Source
from walrus.cli.backup.verify import verify
from walrus.cli.bench import prepare_topic, spawned_cluster
from walrus.cli.processes import ClusterError, LocalCluster
from walrus.client import WalrusClient, WalrusError, calls

TOPIC = "backup"
MB = 1_000_000
AT_ONCE = 4096
PORTS = (19291, 16201)
TARGET_PORTS = (19391, 16301)

_T = TypeVar("_T")


def payloads(options: argparse.Namespace) -> Iterator[bytes]:
    """The same records every time they are asked for."""
    draw = random.Random(options.seed)
    for _ in range(options.mb * MB // options.payload):
        yield draw.randbytes(options.payload)


def timed(what: str, options: argparse.Namespace, work: Callable[[], _T]) -> _T:
    began_s = time.monotonic()
    result = work()
    seconds = time.monotonic() - began_s
    print(f"{what:<24} {seconds:8.2f} s  {options.mb / seconds:8.1f} MB/s", flush=True)
    return result


def fill(client: WalrusClient, options: argparse.Namespace) -> None:
    batch: list[bytes] = []
    for payload in payloads(options):
        batch.append(payload)
        if len(batch) == AT_ONCE:
            client.put_many(TOPIC, batch)
            batch.clear()
    client.put_many(TOPIC, batch)
    half = options.mb * MB // options.payload // 2
    for first in range(0, half, AT_ONCE):
        client.call_many([calls.get(TOPIC)] * min(AT_ONCE, half - first))


def is_the_same(client: WalrusClient, options: argparse.Namespace) -> bool:
    source = Source(client)
    expected = payloads(options)
    for run in source.read(TOPIC, 1, 0, options.mb * MB // options.payload):
        if any(payload != next(expected) for payload in run):
            return False
    return source.view(TOPIC).count == options.mb * MB // options.payload


def client_of(cluster: LocalCluster) -> WalrusClient:
    return WalrusClient([cluster.client_address(node) for node in cluster.node_ids], 60.0)


def measure(options: argparse.Namespace, where: str) -> bool:
    place = open_place(where)
    with spawned_cluster(*PORTS, options.data_dir) as cluster, client_of(cluster) as client:
        prepare_topic([cluster.client_address(node) for node in cluster.node_ids], TOPIC, replicas=3)
        timed("filling the cluster", options, lambda: fill(client, options))
        source = Source(client)
        timed("create", options, lambda: create(source, place, ()))
        manifest = timed("create, nothing new", options, lambda: create(source, place, ())).manifest
        wrong = timed("verify", options, lambda: verify(place)).wrong
    with spawned_cluster(*TARGET_PORTS, options.data_dir, nodes=1) as cluster, client_of(cluster) as client:
        timed("restore, half of it read", options, lambda: restore(client, place, manifest, ()))
        same = timed("compare", options, lambda: is_the_same(client, options))
    print(f"largest memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    print("the same, record by record" if same and not wrong else f"not the same: {wrong}")
    return same and not wrong


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mb", type=int, default=100, help="megabytes of payloads (100)")
    parser.add_argument("--payload", type=int, default=1024, metavar="BYTES", help="of one record (1024)")
    parser.add_argument("--seed", type=int, default=1, help="of the payloads (1)")
    parser.add_argument("--place", help="directory or URL, new or empty (a directory of its own)")
    parser.add_argument("--data-dir", type=Path, help="below which the data goes (/tmp)")
    options = parser.parse_args(argv)
    try:
        with contextlib.ExitStack() as stack:
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="walrus-backup-", dir=options.data_dir))
            same = measure(options, options.place or os.path.join(root, "place"))
    except (BackupError, ClusterError, WalrusError) as error:
        print(f"backup: {error}", file=sys.stderr)
        return 1
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
