"""Explores a scope, with a planted bug in the core or without."""

from collections.abc import Callable
from contextlib import ExitStack

from fuzz.explore.machine import scope_world
from fuzz.explore.raft_scope import RaftScope
from fuzz.explore.raft_world import RaftWorld
from fuzz.explore.scopes import AnyScope
from fuzz.explore.search import Outcome, Search
from fuzz.explore.world import World
from fuzz.planted.bug import Bug


def _silent(text: str) -> None:
    """Nobody is told how it goes."""


def explore(
    scope: AnyScope, most_states: int, *, bug: Bug | None = None, progress: Callable[[str], None] = _silent
) -> Outcome:
    """All states of a scope, or the first ``most_states``. Raises CannotPlant where the bug does not fit the core."""
    with ExitStack() as stack:
        if bug is not None:
            stack.enter_context(bug.planted())
        if isinstance(scope, RaftScope):
            return Search(scope.name, RaftWorld(scope), most_states, progress).run()
        stack.enter_context(scope_world())
        return Search(scope.name, World(scope), most_states, progress).run()
