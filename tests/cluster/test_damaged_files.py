"""A file of each kind cut short, and with one bit turned over: what the node says, and that the cluster goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

from cluster import SMALL_SEGMENTS, Cluster, Start, eventually

TOPIC = "orders"
JOURNAL, SNAPSHOT, CATALOGUE = "raft_meta/entries.log", "raft_meta/snapshot.bin", "user_data/replicas.log"
SEALED, OPEN = f"user_data/{TOPIC}:1.wal", f"user_data/{TOPIC}:4.wal"
RECORDS = 35


def records(count: int = RECORDS) -> list[bytes]:
    return [b"record %d" % number for number in range(count)]


def cut_short(data: bytes) -> bytes:
    """Without the last bytes that mean something."""
    return data.rstrip(b"\0")[:-3]


def torn(data: bytes) -> bytes:
    """With the start of a record that was being written."""
    end = len(data.rstrip(b"\0"))
    return (data[:end] + b"WREC\1\2\3\4\xff" + data[end + 9 :]).ljust(len(data), b"\0")


def last_bit(data: bytes) -> bytes:
    """A bit of what was written last has turned over."""
    end = len(data.rstrip(b"\0")) - 1
    return data[:end] + bytes([data[end] ^ 0x20]) + data[end + 1 :]


def early_bit(data: bytes) -> bytes:
    """A bit behind the header has turned over, with much that was written later."""
    return data[:100] + bytes([data[100] ^ 0x20]) + data[101:]


class Damaged:
    """A cluster with three sealed segments, an open one, and journals that were cut behind snapshots; ``victim`` is a
    node that leads nothing.
    """

    def __init__(self, start: Start, *, snapshots: bool = True) -> None:
        self.cluster: Cluster = start(**SMALL_SEGMENTS, **({"WALRUS_SNAPSHOT_ENTRIES": "10"} if snapshots else {}))
        cluster = self.cluster
        cluster.register(TOPIC)
        cluster.until_replicated(TOPIC)
        with cluster.client() as client:
            assert client.put_many(TOPIC, records()) == RECORDS
        eventually(lambda: cluster.state(TOPIC)["current_segment"] == 4, "three sealed segments")
        busy = (cluster.segment_leader(TOPIC), cluster.raft_leader())
        self.victim = next(node for node in (3, 2, 1) if node not in busy)
        if snapshots:
            eventually(lambda: cluster.metrics(self.victim)["first_log_index"] > 1, "a journal that was cut")
        for path in (*(f"user_data/{TOPIC}:{number}.wal" for number in (1, 2, 3)), OPEN):
            wanted = 10 if path != OPEN else 5
            eventually(lambda path=path, wanted=wanted: self.stored(path) == wanted, f"{wanted} records in {path}")
        eventually(lambda: self.is_noted(4), "the open copy, noted as durable")

    def file(self, path: str) -> Path:
        return self.cluster.data_directory / f"node_{self.victim}" / path

    def stored(self, path: str) -> int:
        file = self.file(path)
        return file.read_bytes().count(b"record ") if file.exists() else 0

    def is_noted(self, segment: int) -> bool:
        """The catalogue has a mark of 5 records for the open copy."""
        return b"\xa1l\xa6orders" + bytes([segment, 5]) in self.file(CATALOGUE).read_bytes()

    def harm(self, path: str, how: Callable[[bytes], bytes]) -> bytes:
        """Damage one file while the node is down; what it held."""
        before = self.file(path).read_bytes()
        self.file(path).write_bytes(how(before))
        return before

    def said(self) -> str:
        return self.cluster.log_text(self.victim)

    def goes_on(self) -> None:
        """All records are there, seen through every node that runs."""
        for node in self.cluster.running():
            assert self.cluster.read_all(TOPIC, node)[:RECORDS] == records()


def test_a_node_refuses_metadata_that_it_could_only_guess_and_the_others_go_on(start: Start) -> None:
    """It says which file, and where; with the file restored it starts, and with an empty disk it is filled again."""
    damaged = Damaged(start)
    cluster, victim = damaged.cluster, damaged.victim
    for path, how, words in (
        (JOURNAL, early_bit, f"{JOURNAL}: corrupt record at byte "),
        (SNAPSHOT, last_bit, f"{SNAPSHOT}: "),
        (SNAPSHOT, cut_short, f"{SNAPSHOT}: "),
        (CATALOGUE, early_bit, f"{CATALOGUE}: corrupt record at byte "),
    ):
        cluster.kill(victim)
        before = damaged.harm(path, how)
        cluster.start_node(victim)
        assert cluster.exit_codes([victim]) == {victim: 1}
        assert words in damaged.said().splitlines()[-1], (path, damaged.said().splitlines()[-3:])
        damaged.goes_on()
        damaged.file(path).write_bytes(before)
        cluster.start_node(victim)
        cluster.until_formed()
    cluster.kill(victim)
    damaged.harm(CATALOGUE, early_bit)
    with cluster.client() as client:
        client.put(TOPIC, b"meanwhile")
    shutil.rmtree(cluster.data_directory / f"node_{victim}")
    cluster.start_node(victim)
    eventually(lambda: "Removed node" in "".join(map(cluster.log_text, cluster.node_ids)), "the old disk's removal")
    cluster.until_formed()
    eventually(lambda: damaged.stored(SEALED) == 10, "the sealed copy on the new disk")
    damaged.goes_on()


def test_a_node_whose_journal_lost_its_end_is_found_out_by_the_leader_that_counted_it(start: Start) -> None:
    """Such an end looks torn. But the leader knows what this disk has had, and nobody counts on it any more."""
    damaged = Damaged(start, snapshots=False)
    cluster, victim = damaged.cluster, damaged.victim
    cluster.kill(victim)
    damaged.harm(JOURNAL, cut_short)
    cluster.start_node(victim)
    assert cluster.exit_codes([victim]) == {victim: 1}
    last = damaged.said().splitlines()[-1]
    assert f"{JOURNAL}: entry " in last
    assert f"restore this file or replace node {victim} with an empty one" in last
    damaged.goes_on()


def test_torn_ends_of_journal_and_catalogue_are_cut_and_the_node_catches_up(start: Start) -> None:
    damaged = Damaged(start, snapshots=False)
    cluster, victim = damaged.cluster, damaged.victim
    for path in (JOURNAL, CATALOGUE):
        cluster.kill(victim)
        damaged.harm(path, torn)
        with cluster.client() as client:
            client.put(TOPIC, b"meanwhile")
        cluster.start_node(victim)
        cluster.until_formed()
        damaged.goes_on()
        assert len(damaged.file(path).read_bytes().split(b"\1\2\3\4\xff")) == 1


def test_a_damaged_copy_of_a_sealed_segment_is_filled_again(start: Start) -> None:
    damaged = Damaged(start)
    cluster, victim = damaged.cluster, damaged.victim
    for how in (cut_short, last_bit, early_bit):
        cluster.kill(victim)
        sound = damaged.harm(SEALED, how)
        cluster.start_node(victim)
        cluster.until_formed()
        damaged.goes_on()
        eventually(lambda sound=sound: damaged.file(SEALED).read_bytes() == sound, "the copy as it was")
        assert not damaged.file(f"{SEALED}.new").exists()
        lines = [line for line in damaged.said().splitlines() if f"{SEALED}: " in line]
        assert any("counts in no quorum until repaired" in line for line in lines), lines
        assert any("lost copy is filled again from its peers" in line for line in lines), lines


def test_a_damaged_copy_of_the_open_segment_is_not_counted_and_filled_again_once_it_is_sealed(start: Start) -> None:
    """Its last batch was durable, as the catalogue notes, so neither damage is taken for a torn tail."""
    damaged = Damaged(start)
    cluster, path = damaged.cluster, OPEN
    for how in (cut_short, last_bit, early_bit):
        cluster.kill_all()
        damaged.harm(path, how)
        for node in cluster.node_ids:
            cluster.start_node(node)
        cluster.until_formed()
        damaged.goes_on()
        eventually(lambda path=path: damaged.stored(path) == 5, "the copy, filled again")
        lines = [line for line in damaged.said().splitlines() if f"{path}: " in line]
        assert any("corrupt" in line and "counts in no quorum until repaired" in line for line in lines), lines
        with cluster.client() as client:
            number = client.state(TOPIC)["current_segment"]
            client.put_many(TOPIC, [b"record %d" % each for each in range(5)])
        path = f"user_data/{TOPIC}:{number}.wal"
        eventually(lambda path=path: damaged.stored(path) == 5, "the next open copy")
        eventually(lambda number=number: damaged.is_noted(number), "a mark")
