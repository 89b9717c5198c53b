"""The Raft explorer's invariants say no where they should, and its journals recover as the real ones do."""

from fuzz.explore.raft_machine import RaftMachine, RaftView, Write, recovered
from fuzz.explore.raft_scope import RaftScope
from fuzz.explore.raft_world import RaftRest, RaftWorld
from fuzz.explore.search import Search
from walrus.core.peer import ENTRY_NORMAL, Entry
from walrus.core.raft.output import HardState

SCOPE = RaftScope("of-a-test", "Two voters.", nodes=(1, 2), voters=(1, 2))


REST = RaftRest(0, 0, 0, 0, 0, 0, 0, (), ())


def entry(index: int, term: int, data: bytes = b"a") -> Entry:
    return Entry(index, term, ENTRY_NORMAL, data)


def view(*log: Entry, term: int = 2, leads: bool = False, commit: int = 0) -> RaftView:
    return RaftView(True, term, leads, True, commit, log, 0)


def world_of(*views: RaftView) -> RaftWorld:
    world = RaftWorld(SCOPE)
    world.views[:] = views
    return world


def test_an_entry_in_a_journal_replaces_what_stood_at_its_index_and_behind() -> None:
    journal = [HardState(1, 0), entry(1, 1), entry(2, 1), HardState(2, 1), entry(2, 2, b"b")]
    assert recovered(journal) == (HardState(2, 1), [entry(1, 1), entry(2, 2, b"b")])


def test_a_crash_keeps_the_part_of_a_write_that_reached_the_disk() -> None:
    machine = RaftMachine(1, [HardState(1, 0)])
    machine.take(("start",))
    machine.flying = Write((HardState(2, 1), HardState(3, 1)))
    machine.take(("crash", 1))
    assert (machine.journal, machine.flying, machine.raft) == ([HardState(1, 0), HardState(2, 1)], None, None)


def test_logs_that_differ_below_a_match_are_told() -> None:
    world = world_of(view(entry(1, 1, b"a"), entry(2, 2)), view(entry(1, 1, b"x"), entry(2, 2)))
    rest = REST
    assert world._wrong((0, 1), 0, rest) == "log matching: nodes 1 and 2 differ below a match"


def test_an_entry_applied_otherwise_than_committed_is_told() -> None:
    world = world_of(view(entry(1, 1, b"x"), commit=1), view())
    rest = REST._replace(committed=(entry(1, 1, b"a"),))
    assert "state machine safety: node 1" in world._wrong((0, 1), 0, rest)


def test_two_leaders_of_a_term_and_a_leader_without_a_committed_entry_are_told() -> None:
    leader = view(entry(1, 1), term=3, leads=True)
    world = world_of(leader, view())
    rest = REST
    assert "nodes 2 and 1 both led in term 3" in world._election(leader, 1, rest._replace(leaders=((3, 1), (3, 2))))
    lacking = rest._replace(leaders=((3, 1),), committed=(entry(1, 1), entry(2, 2)))
    assert "leader completeness: node 1" in world._election(leader, 1, lacking)


def test_an_exploration_elects_leaders_in_several_terms_and_commits() -> None:
    scope = RaftScope("of-a-test", "Two terms.", nodes=(1, 2), voters=(1, 2), timeouts=2, abandoned=1, standing=(1,))
    world = RaftWorld(scope)
    assert Search(scope.name, world, 100_000, lambda text: None).run().problem == ""
    rests = [value for value in world._values if hasattr(value, "leaders")]
    assert max(len(rest.leaders) for rest in rests) >= 2
    assert any(entry.data == b"a" for rest in rests for entry in rest.committed)
