"""Breadth first through all states of a scope, so that the first counterexample is a shortest one."""

import resource
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Protocol

Label = tuple[Any, ...]

_NONE: Final = 0xFFFFFFFF
_LOOK_EVERY: Final = 20_000  # states between two words on how it goes
STUCK: Final = "the cluster can never get well again from here, although nothing more goes wrong"


class StepLike(Protocol):
    """Something that can happen, the state after it, "" or what it violates."""

    @property
    def label(self) -> Label: ...
    @property
    def state(self) -> Any: ...
    @property
    def problem(self) -> str: ...
    @property
    def fault(self) -> bool: ...


class Explorable(Protocol):
    """A state space."""

    def initial(self) -> Any: ...
    def successors(self, state: Any) -> list[Any]: ...
    def healthy(self, state: Any) -> bool: ...
    def describe(self, label: Label) -> str: ...


@dataclass(frozen=True)
class Outcome:
    """What an exploration found. ``problem`` is "" where nothing is wrong; then ``path`` is empty."""

    scope: str
    states: int
    transitions: int
    depth: int  # the greatest number of steps from the beginning
    seconds: float  # of this process on a core
    memory_mb: int  # of this process, at its greatest
    complete: bool  # False: cut before all states were visited
    problem: str = ""
    path: tuple[str, ...] = field(default=(), compare=False)

    @property
    def extent(self) -> str:
        """How much of the scope was seen, honestly."""
        if self.problem:
            return "ended at a violation"
        return "complete" if self.complete else f"cut at {self.states:,} states"


class Search:
    """One exploration. States are numbered in the order in which they are found."""

    def __init__(self, name: str, world: Explorable, most_states: int, progress: Callable[[str], None]) -> None:
        self._name = name
        self._world = world
        self._most = most_states
        self._progress = progress
        first = world.initial()
        self._states = [first]
        self._known = {first: 0}
        self._parents = array("I", [_NONE])
        # Steps that are no faults, backwards: of each state the last one into it, of each step its source and the next.
        self._last_in = array("I", [_NONE])
        self._sources = array("I")
        self._next_in = array("I")
        self._expanded = 0
        self._transitions = 0

    def run(self) -> Outcome:
        """Visit all states, or as many as the bound allows."""
        began_s = time.process_time()
        problem, where, label = "", 0, ()
        while not problem and self._expanded < len(self._states) <= self._most:
            problem, label = self._expand(self._expanded)
            where = self._expanded
            self._expanded += 1
            if self._expanded % _LOOK_EVERY == 0:
                self._progress(f"{self._name}: {self._expanded:,} of {len(self._states):,} states so far")
        path: list[str] = []
        if problem:
            path = [*self._path(where), self._world.describe(label)]
        else:
            stuck = self._stuck()
            if stuck is not None:
                problem, path = STUCK, self._path(stuck)
        return Outcome(
            self._name, len(self._states), self._transitions, self._depth(len(self._states) - 1),
            time.process_time() - began_s, _memory_mb(), self._expanded == len(self._states), problem, tuple(path),
        )  # fmt: skip

    def _expand(self, number: int) -> tuple[str, Label]:
        """Find the states after this one; returns what a step violates, and the step."""
        known, states = self._known, self._states
        for step in self._world.successors(states[number]):
            self._transitions += 1
            if step.problem:
                return step.problem, step.label
            found = known.get(step.state)
            if found is None:
                found = known[step.state] = len(states)
                states.append(step.state)
                self._parents.append(number)
                self._last_in.append(_NONE)
            if not step.fault:
                self._next_in.append(self._last_in[found])
                self._last_in[found] = len(self._sources)
                self._sources.append(number)
        return "", ()

    def _stuck(self) -> int | None:
        """The first state from which no healthy one can be reached without a fault; what was not visited may be one."""
        healthy = self._world.healthy
        fine = bytearray(len(self._states))
        todo = [n for n, state in enumerate(self._states) if n >= self._expanded or healthy(state)]
        for number in todo:
            fine[number] = 1
        while todo:
            for source in self._into(todo.pop()):
                if not fine[source]:
                    fine[source] = 1
                    todo.append(source)
        first = fine.find(0)
        return first if first >= 0 else None

    def _into(self, number: int) -> Iterator[int]:
        step = self._last_in[number]
        while step != _NONE:
            yield self._sources[step]
            step = self._next_in[step]

    def _chain(self, number: int) -> list[int]:
        chain = [number]
        while self._parents[chain[-1]] != _NONE:
            chain.append(self._parents[chain[-1]])
        return chain[::-1]

    def _depth(self, number: int) -> int:
        return len(self._chain(number)) - 1

    def _path(self, number: int) -> list[str]:
        """What happens on the way to a state, in words."""
        chain = self._chain(number)
        words = []
        for before, after in pairwise(chain):
            steps = self._world.successors(self._states[before])
            label = next(step.label for step in steps if step.state == self._states[after])
            words.append(self._world.describe(label))
        return words


def _memory_mb() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)
