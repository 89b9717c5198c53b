"""What a failing network costs: how long writes stall for whom, and that nothing is lost, doubled or reordered.

Three nodes, each in a network namespace of its own, at default settings. While clients write and read all the time, one
fault after the other befalls the cluster, lasts some seconds and is mended; each is judged on a topic of its own.
The clients: a writer bound to each node; a writer that may go anywhere, begins at the node that the fault befalls, and
turns to the next one when an answer takes longer than half a second or is a refusal; a reader by GET and one by FETCH,
which also begin at that node and go elsewhere when they are refused.

Columns: PUTs acknowledged, refused and of unknown outcome (all writers); longest time without an acknowledgement, in
milliseconds, for the writer that may go anywhere (``gap``) and for the one bound to that node (``bound``; it may be cut
off all the while), and how soon after the mending the latter was served again (``mended``); after how many milliseconds
the node said that it had no lease (``no lease``), where the fault takes it; then what the checker found, and what was
read. Takes root, ip, tc and iptables.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cluster"))

from cluster import eventually
from network import why_not_here
from networked import FAULTS, NODES, Fault, NetworkedCluster, Role, Scene, networked, others, prepare
from traffic import Consumer, Tail, Verdict, Writer, judge_gets, verdict

from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient

BEFORE_S = 1.0  # of undisturbed load
AFTER_S = 1.0  # of load once everybody is served again
FLAP_S = 0.5  # a fault that comes and goes: so long on, so long off
PATIENCE_S = 0.5  # of the clients that may go elsewhere
RECORD_BYTES = 1024
NOTHING = Fault("none", Role.SEGMENT_LEADER, lambda cluster, scene: None)
TITLE = (
    f"{'fault':<29}{'acked':>7}{'refused':>8}{'unknown':>8}{'gap':>6}{'bound':>7}{'mended':>7}{'no lease':>9}"
    f"{'lost':>6}{'doubled':>8}{'reordered':>10}{'GETs':>7}{'FETCHes':>8}"
)


class LeaseWatch(threading.Thread):
    """Notes when a node says for the first time that it has no lease."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.seen_ns = 0
        self._address = address
        self._stop_asked = threading.Event()

    def run(self) -> None:
        with WalrusClient([self._address]) as client:
            while not self._stop_asked.wait(0.01) and not self.seen_ns:
                if not client.metrics()["lease_valid"]:
                    self.seen_ns = time.monotonic_ns()

    def finish(self) -> None:
        self._stop_asked.set()
        self.join()


class Load:
    """All clients of one topic."""

    def __init__(self, cluster: NetworkedCluster, scene: Scene) -> None:
        order = [scene.victim, *others(scene.victim)]
        addresses = [cluster.client_address(node) for node in order]
        roaming = {"roams": True, "patience_s": PATIENCE_S}
        self.bound = [
            Writer(f"w{node}", scene.topic, [cluster.client_address(node)], record_bytes=RECORD_BYTES) for node in NODES
        ]
        self.anywhere = Writer("anywhere", scene.topic, addresses, record_bytes=RECORD_BYTES, **roaming)
        self.writers = [*self.bound, self.anywhere]
        self.consumer = Consumer(scene.topic, addresses, **roaming)
        self.tail = Tail(scene.topic, addresses, **roaming)

    def start(self) -> None:
        for client in (*self.writers, self.consumer, self.tail):
            client.start()

    def until_served(self, more: int) -> None:
        for writer in self.writers:
            writer.until_acknowledged(more)


@dataclass(frozen=True)
class Times:
    began_ns: int
    mended_ns: int
    ended_ns: int
    no_lease_ns: int  # 0 where nobody looked


def pause_s(seconds: float) -> None:
    threading.Event().wait(seconds)


def under_fault(cluster: NetworkedCluster, fault: Fault, scene: Scene, load: Load, seconds: float) -> Times:
    """Let the fault befall the cluster under load, and mend it."""
    watch = LeaseWatch(cluster.client_address(scene.victim)) if fault.isolates and not fault.stops else None
    load.until_served(20)
    pause_s(BEFORE_S)
    began_ns = time.monotonic_ns()
    fault.begin(cluster, scene)
    if watch:
        watch.start()
    end_ns = began_ns + int(seconds * 1e9)
    while (left_s := (end_ns - time.monotonic_ns()) / 1e9) > 0:
        pause_s(min(left_s, FLAP_S) if fault.flaps else left_s)
        if fault.flaps:
            cluster.heal()
            pause_s(FLAP_S)
            fault.begin(cluster, scene)
    cluster.heal()
    mended_ns = time.monotonic_ns()
    if watch:
        watch.finish()
    load.until_served(5)
    pause_s(AFTER_S)
    return Times(began_ns, mended_ns, time.monotonic_ns(), watch.seen_ns if watch else 0)


def longest_gap_ms(writer: Writer, times: Times) -> float:
    """The longest time without an acknowledgement to this writer, from just before the fault to the end."""
    moments = [at for at in writer.acknowledged_ns if times.began_ns - BEFORE_S * 1e9 / 2 < at < times.ended_ns]
    return max(after - before for before, after in pairwise(moments)) / 1e6


def served_again_ms(writer: Writer, times: Times) -> float:
    return (min(at for at in writer.acknowledged_ns if at > times.mended_ns) - times.mended_ns) / 1e6


def judge_readers(records: Sequence[bytes], load: Load) -> list[str]:
    """What the readers saw that they should not have."""
    wrong = []
    try:
        judge_gets(records, load.consumer.events, [])
    except AssertionError as error:
        wrong.append(f"GET: {error}")
    if load.tail.records != list(records[: len(load.tail.records)]):
        wrong.append("FETCH: not what is there")
    return wrong


def one_fault(cluster: NetworkedCluster, fault: Fault, number: int, seconds: float) -> tuple[str, list[str]]:
    """A row of the table, and what was wrong."""
    cluster.until_formed()
    scene = prepare(cluster, fault.role, f"fault-{number}")
    load = Load(cluster, scene)
    load.start()
    times = under_fault(cluster, fault, scene, load, seconds)
    for writer in load.writers:
        writer.finish()
    cluster.until_formed()
    records = cluster.read_all(scene.topic, scene.victim)
    eventually(lambda: records[-1] in load.consumer.events[-10:], "the last record by GET")
    load.consumer.finish()
    load.tail.finish()
    found = verdict(records, load.writers)
    wrong = judge_readers(records, load)
    wrong += [f"{what}: {[each[:20] for each in those[:5]]}" for what, those in vars(found).items() if those]
    return row(fault, scene, load, times, found), wrong


def row(fault: Fault, scene: Scene, load: Load, times: Times, found: Verdict) -> str:
    bound = load.bound[scene.victim - 1]
    lease = f"{(times.no_lease_ns - times.began_ns) / 1e6:.0f}" if times.no_lease_ns else "-"
    counts = [
        sum(len(getattr(writer, what)) for writer in load.writers) for what in ("acknowledged", "refused", "unknown")
    ]
    return (
        f"{fault.name:<29}{counts[0]:>7}{counts[1]:>8}{counts[2]:>8}"
        f"{longest_gap_ms(load.anywhere, times):>6.0f}{longest_gap_ms(bound, times):>7.0f}"
        f"{served_again_ms(bound, times):>7.0f}{lease:>9}"
        f"{len(found.lost):>6}{len(found.doubled):>8}{len(found.reordered):>10}"
        f"{load.consumer.delivered:>7}{len(load.tail.records):>8}"
    )


def run_all(faults: Sequence[Fault], seconds: float, relayed: bool, directory: Path) -> bool:
    """Run these on one cluster; True if nothing was wrong."""
    sound = True
    with networked(directory, {"RUST_LOG": "info"}, relayed) as cluster:
        for number, fault in enumerate(faults):
            line, wrong = one_fault(cluster, fault, number, seconds)
            print("\n    ".join([line, *wrong]), flush=True)
            sound = sound and not wrong
    return sound


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each fault lasts (6)")
    parser.add_argument("--only", metavar="TEXT", default="", help="faults whose name has this text")
    parser.add_argument("--data-dir", type=Path, help="below which the clusters' data goes (/tmp)")
    options = parser.parse_args(argv)
    if why_not := why_not_here():
        print(f"network_faults: {why_not}", file=sys.stderr)
        return 1
    chosen = [fault for fault in (NOTHING, *FAULTS) if options.only in fault.name]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; each fault for {options.seconds:g} s")
    print(TITLE, flush=True)
    sound = True
    for relayed in (False, True):
        faults = [fault for fault in chosen if fault.relayed == relayed]
        if not faults:
            continue
        with tempfile.TemporaryDirectory(prefix="walrus-network-", dir=options.data_dir) as directory:
            try:
                sound = run_all(faults, options.seconds, relayed, Path(directory) / "data") and sound
            except (AssertionError, WalrusError) as error:
                print(f"network_faults: {error}", file=sys.stderr)
                return 1
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
