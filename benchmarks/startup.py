"""How long a node takes to start on a disk that holds many sealed segments, and what it needs then.

Makes a data directory with so many segments (a small file each, all noted as complete), starts a real node on it,
and takes the time until a PUT is acknowledged and an old record is read: process start, recovery, election and the
sealing of the segment that was open are all in it. Then memory, open descriptors, and how many bytes the process had
read by the first acknowledgement: a start reads what describes the segments, never the segments.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient
from walrus.core.metadata import snapshot
from walrus.core.metadata.commands import OPEN, SEALED
from walrus.core.metadata.snapshot import NodeRow, SegmentRow, Snapshot, TopicRow
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import HardState
from walrus.core.storage import blocks, catalogue, journal, recordlog, snapshotfile
from walrus.core.storage.blocks import SegmentHeader

NODE, STORAGE, CLUSTER = 1, 4711, 77
TOPICS = 10
CLIENT_PORT, RAFT_PORT = 19391, 16301
PATIENCE_S = 60.0
NODE_MAIN = "from walrus.cli.node import main; main()"
PAYLOAD = b"x" * 100


def make(root: Path, count: int) -> None:
    """A data directory of node 1, alone in its cluster, with ``count`` sealed segments of one record."""
    meta, user = root / f"node_{NODE}" / "raft_meta", root / f"node_{NODE}" / "user_data"
    meta.mkdir(parents=True)
    user.mkdir()
    member = (NODE, STORAGE)
    sealed = SegmentRow((*member, 1), (member,), 1, 0, SEALED, 1, 0, 0)
    last = SegmentRow((*member, 1), (member,), 1, 0, OPEN, 0, 0, 0)
    names = [f"topic-{number}" for number in range(TOPICS)]
    each = count // TOPICS
    topics = tuple(TopicRow(name, 0, 0, (*[sealed] * each, last)) for name in names)
    address = f"127.0.0.1:{RAFT_PORT}"
    membership = Membership((MemberInfo(NODE, STORAGE, address, voter=True),))
    nodes = (NodeRow(NODE, STORAGE, 1, address, f"127.0.0.1:{CLIENT_PORT}"),)
    body = snapshot.encode(Snapshot(CLUSTER, 10, 1, membership, nodes, topics))
    (meta / "snapshot.bin").write_bytes(snapshotfile.encode_file(NODE, STORAGE, body))
    records = [
        *(journal.Cluster(CLUSTER), journal.Boot(1), journal.Base(10, 1)),
    ]
    payloads = [*map(journal.encode_record, records), journal.encode_raft(HardState(1, 1))]
    (meta / "entries.log").write_bytes(recordlog.encode_whole(journal.JOURNAL_MAGIC, NODE, STORAGE, payloads))
    payloads = []
    block = blocks.encode_block(0, 0, 1, 0, [PAYLOAD])
    for name in names:
        for number in range(1, each + 1):
            header = blocks.encode_header(SegmentHeader(NODE, STORAGE, CLUSTER, name, number))
            (user / f"{name}:{number}.wal").write_bytes(header + block)
            payloads.append(catalogue.encode_record(catalogue.Held(name, number, 1)))
            payloads.append(catalogue.encode_record(catalogue.Complete(name, number, 1)))
    version = catalogue.CATALOGUE_VERSION
    whole = recordlog.encode_whole(catalogue.CATALOGUE_MAGIC, NODE, STORAGE, payloads, version)
    (user / "replicas.log").write_bytes(whole)


def until_served(client: WalrusClient) -> None:
    """Wait for an acknowledged PUT and for the oldest record."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            client.put("topic-0", PAYLOAD)
            record = client.fetch("topic-0", 1, 0)
        except WalrusError:
            if time.monotonic() > end:
                raise
            continue
        if record is None or record.payload != PAYLOAD:
            raise SystemExit("the oldest record is not what was written")
        return


def measure(count: int, directory: Path) -> None:
    """Start a node on so many segments, and print what it took."""
    made = time.monotonic()
    make(directory, count)
    made_s = time.monotonic() - made
    command = [sys.executable, "-c", NODE_MAIN, "--node-id", str(NODE), "--data-dir", str(directory)]
    command += ["--raft-port", str(RAFT_PORT), "--client-port", str(CLIENT_PORT)]
    environment = {**os.environ, "WALRUS_DISABLE_IO_URING": "1"}  # the kernel's counters miss what a ring reads
    began = time.monotonic()
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as node,
    ):
        try:
            with WalrusClient([f"127.0.0.1:{CLIENT_PORT}"], PATIENCE_S) as client:
                until_served(client)
            took_s = time.monotonic() - began
            status = Path(f"/proc/{node.pid}/status").read_text()
            memory_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
            descriptors = len(os.listdir(f"/proc/{node.pid}/fd"))
            counters = dict(line.split(": ") for line in Path(f"/proc/{node.pid}/io").read_text().splitlines())
        finally:
            node.kill()
    print(
        f"{count:>8} segments (made in {made_s:.1f} s): first PUT and oldest record after {took_s:.2f} s, "
        f"{memory_kib / 1024:.0f} MiB resident, {descriptors} descriptors, {int(counters['rchar']) / 1e6:.1f} MB read"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[10, 10_000, 100_000], help="numbers of segments")
    parser.add_argument("--dir", type=Path, help="where to make the data directories (default: the system's)")
    arguments = parser.parse_args()
    for count in arguments.counts:
        with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
            measure(count, Path(directory))


if __name__ == "__main__":
    main()
