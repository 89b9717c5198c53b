"""Two states that count as one behave alike, and each invariant says no where it should."""

import random

import pytest

from fuzz.explore.invariants import Invariants
from fuzz.explore.log import Logs, base_of
from fuzz.explore.machine import Machine, Machines, scope_world, storage_of
from fuzz.explore.rest import OPEN_ENDED, STORED, Rest
from fuzz.explore.scope import Scope
from fuzz.explore.scopes import SCOPES
from fuzz.explore.views import Face, Writing
from fuzz.explore.world import World
from walrus.core.metadata.commands import OPEN, SEALED, BeginSealing, CommitCursors, CursorCommit, Seal, encode

SCOPE = Scope("of-a-test", "Three nodes.")
WALKS = 6
STEPS = 40


class Recorder(Machines):
    """Remembers which machines were reached on a second way, and what followed each."""

    def __init__(self, prompt_disks: tuple[int, ...]) -> None:
        super().__init__(prompt_disks)
        self.first: set[int] = set()
        self.again: list[tuple[int, tuple[object, ...], int, int]] = []
        self.after: dict[int, list[tuple[tuple[object, ...], int]]] = {}

    def step(self, number: int, event: tuple[object, ...], rid: int) -> tuple[int, list[tuple[int, bytes]]]:
        after, sent = super().step(number, event, rid)
        self.after.setdefault(number, []).append((event, rid))
        if after in self.first:
            self.again.append((number, event, rid, after))
        self.first.add(after)
        return after, sent


def live(machines: Recorder, number: int, event: tuple[object, ...], rid: int) -> Machine:
    """The machine itself after a step, not the one that is kept under its number."""
    machine = machines.get(number)
    machines.carry_out(machine, event, rid, machines.views[number].rids)
    return machine


@pytest.mark.parametrize("name", ["write", "restart", "two-recoverers", "growth-restart", "cursor"])
def test_a_machine_reached_on_two_ways_goes_on_alike(name: str) -> None:
    """Whatever follows a machine that counts as one with another: both send the same, and count as one again."""
    scope = next(scope for scope in SCOPES if scope.name == name)
    with scope_world():
        world = World(scope)
        machines = world.machines = Recorder(scope.prompt_disks)
        world.views = machines.views
        walk(world, random.Random(name))
        assert machines.again
        for number, event, rid, kept in machines.again[:80]:
            for following, following_rid in machines.after.get(kept, ()):
                ours = machines.get(kept)
                other = live(machines, number, event, rid)
                rids = machines.views[kept].rids
                sent = [machines.carry_out(m, following, following_rid, rids) for m in (ours, other)]
                assert sent[0] == sent[1]
                assert machines.content(ours) == machines.content(other)


def walk(world: World, rng: random.Random) -> None:
    for _ in range(WALKS):
        state = world.initial()
        for _ in range(STEPS):
            steps = world.successors(state)
            if not steps:
                break
            state = rng.choice(steps).state


# --- the invariants, each with a state that breaks it ---


class Cluster:
    """Three nodes that hold nothing; tests put in what is wrong."""

    def __init__(self) -> None:
        self.logs = Logs(base_of(SCOPE))
        self.invariants = Invariants(SCOPE, self.logs)
        self.rest = Rest.first(SCOPE)
        self.held: dict[int, bytes] = {}
        self.writing: dict[int, Writing] = {1: Writing(1, 0, 0, ())}
        self.shown: dict[int, int] = {}

    def commit(self, command: object) -> "Cluster":
        """One more command in the log."""
        self.rest = self.rest._replace(log=self.logs.commit(self.rest.log, encode(command), 1))
        return self

    def faces(self) -> tuple[Face, ...]:
        return tuple(
            Face(
                (node, storage_of(node)), True, 1,
                (self.writing[node],) if node in self.writing else (),
                ((1, tuple(b"%c" % record for record in self.held.get(node, b""))),),
                (), ((1, self.shown.get(node, 0)),),
            )
            for node in SCOPE.nodes
        )  # fmt: skip

    def problem(self) -> str:
        return self.invariants.check(self.faces(), self.rest)

    def acked(self, records: bytes) -> "Cluster":
        self.rest = self.rest._replace(acked=(tuple(b"%c" % record for record in records),))
        return self

    def healthy(self) -> bool:
        return self.invariants.healthy(self.faces(), self.rest)


def members() -> tuple[tuple[int, int], ...]:
    return tuple((node, storage_of(node)) for node in SCOPE.nodes)


def seal(count: int) -> Seal:
    return Seal("logs", 1, OPEN, 0, count, members(), (2, storage_of(2), 1), members(), None)


def test_a_cluster_that_holds_nothing_is_in_order() -> None:
    assert Cluster().problem() == ""
    assert Cluster().healthy()


def test_a_second_writer_is_told() -> None:
    cluster = Cluster()
    cluster.writing[3] = Writing(1, 0, 0, ())
    assert "is written by (3, " in cluster.problem()


def test_copies_that_differ_are_told() -> None:
    cluster = Cluster()
    cluster.held = {1: b"ab", 2: b"ax"}
    assert cluster.problem() == "segment 1: node 2 holds [a x], but on node 1 is [a b]"


def test_a_copy_that_differs_from_what_was_acknowledged_is_told() -> None:
    cluster = Cluster().acked(b"a")
    cluster.held = {1: b"a", 2: b"a", 3: b"x"}
    assert cluster.problem() == "segment 1: node 3 holds [x], but acknowledged is [a]"


def test_an_acknowledged_record_on_one_copy_only_is_told() -> None:
    cluster = Cluster().acked(b"a")
    cluster.held = {1: b"a"}
    assert "only 1 of nodes 1, 2, 3 hold them durably" in cluster.problem()


def test_a_lost_copy_counts_as_one_that_held_its_records() -> None:
    cluster = Cluster().acked(b"a")
    cluster.held = {1: b"a"}
    cluster.rest = cluster.rest._replace(burnt=(((2, storage_of(2)), 1, 1),))
    assert cluster.problem() == ""


def test_a_count_below_what_was_acknowledged_is_told() -> None:
    cluster = Cluster().acked(b"ab").commit(seal(1))
    cluster.held = dict.fromkeys(SCOPE.nodes, b"ab")
    assert "SEALED at 1, but [a b] was acknowledged" in cluster.problem()


def test_a_record_that_is_there_twice_is_told() -> None:
    cluster = Cluster().acked(b"aa")
    cluster.held = dict.fromkeys(SCOPE.nodes, b"aa")
    assert "twice" in cluster.problem()


def test_a_record_that_was_answered_ok_and_is_not_there_is_told() -> None:
    cluster = Cluster()
    cluster.rest = cluster.rest._replace(records=(STORED, OPEN_ENDED))
    assert "record a was answered OK" in cluster.problem()


def test_a_read_of_what_is_not_acknowledged_is_told() -> None:
    cluster = Cluster()
    cluster.shown = {1: 1}
    assert "shows 1 records to readers" in cluster.problem()


def test_a_cursor_past_a_record_that_nobody_got_is_told() -> None:
    cluster = Cluster().acked(b"a")
    before = cluster.rest
    commit = CursorCommit("logs", 1, 1, 1)
    cluster.commit(CommitCursors((1, storage_of(1), 1), (commit,)))
    assert "record 0 was never handed out" in cluster.invariants.committed(before, cluster.rest)
    got = cluster.rest._replace(handed=(0,))
    assert cluster.invariants.committed(before, got) == ""


def test_a_cluster_is_not_well_while_a_segment_is_being_sealed_or_a_put_waits() -> None:
    assert not Cluster().commit(BeginSealing("logs", 1, OPEN, 0, 2, 1)).healthy()
    cluster = Cluster()
    cluster.rest = cluster.rest._replace(records=(17, 0))
    assert not cluster.healthy()


def test_a_command_that_changes_nothing_is_not_committed_again() -> None:
    cluster = Cluster().commit(seal(0))
    assert cluster.logs.logs[cluster.rest.log].metadata.topics["logs"].segments[0].state == SEALED
    assert cluster.logs.commit(cluster.rest.log, encode(seal(0)), 1) < 0
