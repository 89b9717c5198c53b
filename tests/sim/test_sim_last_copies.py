"""Who may give up a copy of a sealed segment, and who may call one lost."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from walrus.core.actions import Delete
from walrus.core.metadata.commands import SEALED, ChangeSet, CreateTopic, RegisterNode, Seal
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Member
from walrus.core.segment.replica import LOST, READY
from walrus.core.storage import blocks
from walrus.sim.checkers.last_copies import LastCopies
from walrus.sim.checkers.lost_copies import LostCopies
from walrus.sim.damage import Damage, records_on
from walrus.sim.world import Violation

TOPIC, KEY = "logs", ("logs", 1)
PATH = "user_data/logs:1.wal"
WHOLE = bytes(blocks.FILE_HEADER_BYTES) + blocks.encode_block(0, 0, 0, 0, [b"a", b"b"])
NOW_NS = 1_000


def members(*nodes: int) -> tuple[Member, ...]:
    return tuple((node, 1000 + node) for node in nodes)


def sealed_at_two() -> Metadata:
    """Segment 1 of logs, with nodes 1 to 3 for its set, has two records."""
    metadata = Metadata()
    for node, storage in members(1, 2, 3, 4):
        assert metadata.apply(RegisterNode(node, storage, 1, f"node{node}:1", "")) == ""
    writer, copies = (1, 1001, 1), members(1, 2, 3)
    assert metadata.apply(CreateTopic(TOPIC, writer, copies)) == ""
    assert metadata.apply(Seal(TOPIC, 1, 0, 0, 2, copies, writer, copies, None)) == ""
    return metadata


class Disks:
    """Node 2 has left the set of logs:1, which is nodes 1, 3 and 4 now; all four hold its two records."""

    def __init__(self) -> None:
        self.metadata = sealed_at_two()
        self.segment = self.metadata.existing(*KEY)
        self.changes: dict[Any, Any] = {KEY: SimpleNamespace(version=self.segment.version)}
        self.hosts = [self._host(node) for node in (1, 2, 3, 4)]
        world = SimpleNamespace(labels=Counter())
        self.cluster: Any = SimpleNamespace(hosts=self.hosts, host=self.host, lost_members={}, world=world)
        self.checker = LastCopies(self.cluster)

    def _host(self, node: int) -> Any:
        running = SimpleNamespace(upkeep=SimpleNamespace(_changes=self.changes if node == 1 else {}))
        disk = SimpleNamespace(files={PATH: bytearray(WHOLE)}, damage=Damage(Counter()), busy=False, flying=[])
        disk.in_flight = lambda: iter(disk.flying)
        raft = SimpleNamespace(applied_index=1)
        process = SimpleNamespace(raft=raft, metadata=self.metadata, running=running, replicas={})
        return SimpleNamespace(node_id=node, node=process, disk=disk, life=2, dead=False, world_ns=NOW_NS)

    def host(self, node: int) -> Any:
        return self.hosts[node - 1]

    def begun(self) -> "Disks":
        """The leader has begun to change the set, and the change takes effect."""
        self.checker.after_turn(self.host(1))
        self.changes.clear()
        command = ChangeSet(TOPIC, 1, SEALED, self.segment.epoch, self.segment.version, members(1, 3, 4))
        assert self.metadata.apply(command) == ""
        return self

    def rot(self, node: int, at_ns: int, read_by: int = 0) -> "Disks":
        disk = self.host(node).disk
        disk.files[PATH][-1] ^= 1
        disk.damage.add("bit-rot", PATH, len(WHOLE) - 1, len(WHOLE), at_ns, read_by)
        return self

    def drop(self) -> int:
        """Node 2 begins to remove its copy; how many drops the checker has judged."""
        disk = self.host(2).disk
        disk.busy, disk.flying = True, [Delete(PATH, 7)]
        self.checker.after_turn(self.host(2))
        return self.checker.drops


def test_a_copy_may_be_given_up_where_a_quorum_of_the_new_set_holds_all_records() -> None:
    assert records_on(WHOLE) == 2
    assert Disks().rot(3, NOW_NS - 1).begun().drop() == 1


def test_a_copy_is_not_given_up_for_members_whose_files_rotted_before_they_were_asked() -> None:
    disks = Disks().rot(3, NOW_NS - 1).rot(4, NOW_NS - 1).begun()
    with pytest.raises(Violation, match=r"node 2 gives up .* of nodes \[1, 3, 4\] only \[1\] hold all of them, not 2"):
        disks.drop()


def test_a_copy_is_not_given_up_for_members_that_are_short_without_damage() -> None:
    disks = Disks().rot(3, NOW_NS - 1).begun()
    del disks.host(4).disk.files[PATH][-1:]
    with pytest.raises(Violation, match="last copies"):
        disks.drop()


@pytest.mark.parametrize(("at_ns", "read_by", "is_excused"), [(NOW_NS, 0, True), (0, 2, True), (0, 1, False)])
def test_damage_that_no_process_could_know_is_nobodys_fault(at_ns: int, read_by: int, is_excused: bool) -> None:
    """It came after they were asked, or beneath the process that was asked; not beneath an earlier one."""
    disks = Disks().rot(3, at_ns, read_by).rot(4, at_ns, read_by).begun()
    if is_excused:
        assert disks.drop() == 1
        return
    with pytest.raises(Violation, match="last copies"):
        disks.drop()


def test_a_damaged_copy_may_be_given_up_by_anybody() -> None:
    disks = Disks().rot(2, 0).rot(3, 0).rot(4, 0).begun()
    assert disks.drop() == 0


def test_a_drop_is_judged_once() -> None:
    disks = Disks().begun()
    assert [disks.drop(), disks.drop()] == [1, 1]


def lost(state: int, *, hurt: bool = False, there: bool = True) -> Any:
    host = Disks().host(2)
    host.node.replicas = {KEY: SimpleNamespace(state=state, home_path=PATH)}
    if hurt:
        host.disk.damage.add("bit-rot", PATH, 0, 1)
    if not there:
        host.disk.files.clear()
    return host


def test_a_copy_is_called_lost_only_where_something_befell_it() -> None:
    checker = LostCopies()
    for host in (lost(READY), lost(LOST, hurt=True), lost(LOST, there=False)):
        checker.on_crash(host)
    with pytest.raises(Violation, match=r"node 2 takes user_data/logs:1\.wal for lost, and nothing befell that file"):
        checker.on_crash(lost(LOST))


def test_the_turns_are_looked_at_too() -> None:
    checker = LostCopies()
    for _ in range(7):
        checker.after_turn(lost(LOST))
    with pytest.raises(Violation, match="for lost"):
        checker.after_turn(lost(LOST))
