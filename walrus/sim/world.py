"""Simulated time: a heap of what is going to happen, and the clock that jumps from one to the next."""

import heapq
from collections.abc import Callable
from typing import Any, Final

from walrus.sim.rng import Rng
from walrus.sim.trace import Trace

US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

WALL_START_NS: Final = 1_800_000_000 * SECOND
"""The calendar time at which every run starts."""


class Violation(Exception):
    """A property that must hold was seen broken; the text says which, where and when."""


class World:
    """The heap loop. Things due at the same instant happen in the order in which they were scheduled."""

    def __init__(self, seed: int, trace: Trace, max_steps: int) -> None:
        self.now_ns = 0
        self.steps = 0
        self.rng = Rng(seed)
        self.trace = trace
        self.labels = trace.labels
        self._max_steps = max_steps
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._sequence = 0

    def at(self, time_ns: int, callback: Callable[[Any], None], argument: object = None) -> None:
        """Call ``callback(argument)`` at ``time_ns``, not before now."""
        self._sequence += 1
        if time_ns < self.now_ns:
            time_ns = self.now_ns
        heapq.heappush(self._heap, (time_ns, self._sequence, callback, argument))

    def after(self, delay_ns: int, callback: Callable[[Any], None], argument: object = None) -> None:
        """Call ``callback(argument)`` in ``delay_ns`` nanoseconds."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now_ns + delay_ns, self._sequence, callback, argument))

    def run_until(self, time_ns: int) -> None:
        """Let everything happen that is due up to and including ``time_ns``.

        Raises :class:`Violation` when the run's bound of steps is passed: something spins.
        """
        heap, pop = self._heap, heapq.heappop
        steps, limit = self.steps, self._max_steps
        try:
            while heap and heap[0][0] <= time_ns:
                self.now_ns, _, callback, argument = pop(heap)
                steps += 1
                if steps > limit:
                    raise Violation(f"liveness: {limit} steps did not finish the run; something spins")
                callback(argument)
        finally:
            self.steps = steps
        self.now_ns = time_ns

    def note(self, text: str) -> None:
        """Add a line to the run's story."""
        self.trace.note(self.now_ns, text)
