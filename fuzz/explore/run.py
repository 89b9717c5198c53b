"""Explores a scope, with a planted bug in the core or without."""

from collections.abc import Callable
from contextlib import ExitStack

from fuzz.explore.machine import scope_world
from fuzz.explore.scope import Scope
from fuzz.explore.search import Outcome, Search
from fuzz.explore.world import World
from fuzz.planted.bug import Bug


def _silent(text: str) -> None:
    """Nobody is told how it goes."""


def explore(
    scope: Scope, most_states: int, *, bug: Bug | None = None, progress: Callable[[str], None] = _silent
) -> Outcome:
    """All states of a scope, or the first ``most_states``. Raises CannotPlant where the bug does not fit the core."""
    with ExitStack() as stack:
        if bug is not None:
            stack.enter_context(bug.planted())
        stack.enter_context(scope_world())
        return Search(scope.name, World(scope), most_states, progress).run()
