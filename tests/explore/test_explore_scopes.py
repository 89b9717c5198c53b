"""Every small scope is explored to its end and holds; each planted bug is caught by the scope that names it."""

import pytest

from fuzz.explore.bugs import RULES, bug_of
from fuzz.explore.raft_scope import RAFT_SMALL
from fuzz.explore.run import explore
from fuzz.explore.scopes import SCOPES, SMALL, AnyScope

ENOUGH = 400_000
SLOW = {"cursor-commit-unconditional", "fence-not-durable", "note-after-acknowledgement"}
"""Bugs that take longer to catch than tests may: ``make explore`` tries them."""

IN_TIME: list[tuple[AnyScope, str]] = [(scope, bug) for scope in SCOPES for bug in scope.catches if bug not in SLOW]


@pytest.mark.parametrize("scope", [*SMALL, *RAFT_SMALL], ids=lambda scope: scope.name)
def test_a_small_scope_holds_through_every_interleaving(scope: AnyScope) -> None:
    found = explore(scope, ENOUGH)
    assert (found.problem, found.path) == ("", ())
    assert found.complete
    assert found.states > 100


@pytest.mark.parametrize(("scope", "bug"), IN_TIME, ids=[f"{scope.name}-{bug}" for scope, bug in IN_TIME])
def test_a_scope_catches_that_a_clause_is_taken_out(scope: AnyScope, bug: str) -> None:
    found = explore(scope, ENOUGH, bug=bug_of(bug))
    assert found.problem
    assert found.path


def test_every_clause_of_the_data_paths_rules_is_in_a_scope() -> None:
    caught = {bug for scope in SCOPES for bug in scope.catches}
    assert sorted({bug for bugs in RULES.values() for bug in bugs} - caught) == []
    assert {rule.split()[0] for rule in RULES} == {"2", "3", "4", "5", "8", "9", "11"}


def test_scopes_have_names_of_their_own_and_say_what_they_are_about() -> None:
    assert len({scope.name for scope in SCOPES}) == len(SCOPES)
    assert [scope.name for scope in SCOPES if not scope.about.endswith(".")] == []
    assert [scope for scope in SCOPES if scope.small] == [*RAFT_SMALL, *SMALL]


def test_a_cut_says_that_it_is_one() -> None:
    found = explore(SMALL[0], 50)
    assert not found.complete
    assert found.extent.startswith("cut at ")
    assert found.problem == ""


def test_two_explorations_of_a_scope_find_the_same() -> None:
    first, second = (explore(SMALL[0], 2_000) for _ in range(2))
    assert (first.states, first.transitions, first.depth) == (second.states, second.transitions, second.depth)


def test_a_counterexample_reads_as_what_happened() -> None:
    found = explore(SMALL[0], 1_000, bug=bug_of("one-copy-acknowledges"))
    assert found.path == (
        "the client puts 'a' into segment 1 at node 1",
        "node 1: its write to user_data/logs:1.wal is durable",
        "node 1: its write to user_data/replicas.log is durable",
    )
    assert "only 1 of nodes 1, 2, 3 hold them durably" in found.problem
