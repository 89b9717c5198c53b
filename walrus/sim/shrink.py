"""Makes a failing scenario small: delta debugging (Zeller and Hildebrandt 2002) over deeds, nodes, requests, schedule.

A smaller scenario counts if it breaks the same property. Whole kinds of deeds are tried first, then ever smaller parts,
until no single deed can be left out; then what is left is made plainer.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from walrus.sim.deeds import Ask, Clog, Cut, Deed, Mend, MessageFate
from walrus.sim.host import NodeFactory
from walrus.sim.runner import run_scenario
from walrus.sim.scenario import Scenario, Step
from walrus.sim.world import MS, US

T = TypeVar("T")

_CALM_NETWORK_NS: Final = (200 * US, 200 * US)
_CALM_DISK_NS: Final = (300 * US, 300 * US)
_GAP_NS: Final = 50 * MS


class CannotShrink(Exception):
    """The scenario does not fail when it is replayed; the text says what it does instead."""


class Shrinker:
    """``scenario`` is the smallest one known that breaks ``property_broken``, ``result`` what its run gave.

    ``go_on`` is asked before each run after the first: False ends the search with what it has.
    """

    def __init__(
        self, scenario: Scenario, factory: NodeFactory | None, runs_max: int, go_on: Callable[[], bool]
    ) -> None:
        self.runs = 1
        self.scenario = scenario
        self.result = run_scenario(scenario, factory)
        self.property_broken = self.result.property_broken
        self._factory = factory
        self._runs_max = runs_max
        self._go_on = go_on
        if not self.result.violation:
            raise CannotShrink(f"the run of {scenario.title!r} is clean when it is replayed")

    def run(self) -> None:
        """Make it as small as the budget allows."""
        self._drop_after_the_end()
        self._drop_kinds()
        self._drop_nodes()
        self._reduce_steps()
        self._simplify_setup()
        self._join_asks()
        self._reduce_requests()
        self._reduce_steps()
        self._shorten_gaps()
        self.scenario = replace(self.scenario, expect=self.property_broken)

    @property
    def exhausted(self) -> bool:
        """Whether the budget ended the search."""
        return self.runs >= self._runs_max or not self._go_on()

    def _try(self, candidate: Scenario) -> bool:
        """Adopt ``candidate`` if it breaks the same property."""
        if candidate == self.scenario:
            return True
        if self.exhausted:
            return False
        self.runs += 1
        result = run_scenario(candidate, self._factory)
        if result.property_broken != self.property_broken:
            return False
        self.scenario, self.result = candidate, result
        return True

    def _try_steps(self, steps: Sequence[Step]) -> bool:
        return self._try(replace(self.scenario, steps=tuple(steps)))

    # --- fewer deeds ---

    def _drop_after_the_end(self) -> None:
        """A property that was seen broken in mid-run needs nothing that came later."""
        end_ns = self.result.simulated_ns
        self._try_steps([step for step in self.scenario.steps if step.at_ns <= end_ns])

    def _drop_kinds(self) -> None:
        """Leave out all deeds of a kind, all of a client, all messages of a kind; the most numerous first."""
        groups: dict[str, int] = {}
        for step in self.scenario.steps:
            for group in _groups_of(step.deed):
                groups[group] = groups.get(group, 0) + 1
        for group in sorted(groups, key=lambda name: (-groups[name], name)):
            self._try_steps([step for step in self.scenario.steps if group not in _groups_of(step.deed)])

    def _reduce_steps(self) -> None:
        reduce(self.scenario.steps, self._try_steps)

    def _reduce_requests(self) -> None:
        """Fewer requests within each piece that a client sends."""
        for index in range(len(self.scenario.steps)):
            step = self.scenario.steps[index]
            deed = step.deed
            if isinstance(deed, Ask) and len(deed.requests) > 1:
                reduce(deed.requests, lambda requests: self._try_requests(index, requests))

    def _try_requests(self, index: int, requests: Sequence[object]) -> bool:
        steps = list(self.scenario.steps)
        deed = steps[index].deed
        assert isinstance(deed, Ask)
        steps[index] = replace(steps[index], deed=replace(deed, requests=tuple(requests)))
        return bool(requests) and self._try_steps(steps)

    def _join_asks(self) -> None:
        """What a client asks one node in several pieces may do in one."""
        index = 0
        while index < len(self.scenario.steps):
            steps = list(self.scenario.steps)
            deed = steps[index].deed
            later = next((n for n in range(index + 1, len(steps)) if _continues(deed, steps[n].deed)), 0)
            if later:
                other = steps.pop(later).deed
                assert isinstance(deed, Ask)
                assert isinstance(other, Ask)
                steps[index] = replace(steps[index], deed=replace(deed, requests=deed.requests + other.requests))
            if not later or not self._try_steps(steps):
                index += 1

    # --- a plainer world ---

    def _drop_nodes(self) -> None:
        """Leave out the last node, as long as that goes."""
        while self.scenario.setup.nodes > 1 and self._try(_without_last_node(self.scenario)):
            pass

    def _simplify_setup(self) -> None:
        """One choice after the other."""
        for change in (
            {"drained": False},
            {"quiet_ns": ()},
            {"broken": ()},
            {"rest_ns": 0},
            {"network_delay_ns": _CALM_NETWORK_NS},
            {"topics": 1},
        ):
            self._try(replace(self.scenario, setup=replace(self.scenario.setup, **change)))
        calm = tuple(replace(own, disk_latency_ns=_CALM_DISK_NS) for own in self.scenario.setup.node_setups)
        self._try(replace(self.scenario, setup=replace(self.scenario.setup, node_setups=calm)))
        for entries in (2, 4, 8):
            if entries < self.scenario.setup.max_segment_entries:
                setup = replace(self.scenario.setup, max_segment_entries=entries)
                if self._try(replace(self.scenario, setup=setup)):
                    break
        last_ns = max((step.at_ns for step in self.scenario.steps), default=0)
        setup = replace(self.scenario.setup, heal_ns=min(self.scenario.setup.heal_ns, last_ns + _GAP_NS))
        self._try(replace(self.scenario, setup=setup))

    def _shorten_gaps(self) -> None:
        """Let what happens happen sooner after one another: half of each long pause."""
        steps = self.scenario.steps
        for index in range(1, len(steps)):
            gap_ns = self.scenario.steps[index].at_ns - self.scenario.steps[index - 1].at_ns
            if gap_ns > _GAP_NS:
                self._try(_sooner(self.scenario, index, gap_ns // 2))


def reduce(items: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> None:
    """Leave out ever smaller parts of ``items`` as long as ``holds`` says that what is left will do."""
    left = list(items)
    size = len(left)
    while size:
        position = 0
        while position < len(left):
            candidate = left[:position] + left[position + size :]
            if holds(candidate):
                left = candidate
            else:
                position += size
        size = size // 2 if size > 1 else 0


def _groups_of(deed: Deed) -> list[str]:
    if isinstance(deed, MessageFate):
        return ["messages", f"messages {deed.message}", f"link {deed.sender} {deed.to}"]
    client = getattr(deed, "client", 0)
    if client:
        return [f"client {client}", *([] if isinstance(deed, Ask) else ["connections"])]
    return [deed.kind, type(deed).__name__]


def _continues(deed: Deed, other: Deed) -> bool:
    return isinstance(deed, Ask) and isinstance(other, Ask) and (deed.client, deed.node) == (other.client, other.node)


def _without_last_node(scenario: Scenario) -> Scenario:
    setup = scenario.setup
    gone = setup.nodes
    nodes = tuple(
        replace(own, join=tuple(other for other in own.join if other != gone)) for own in setup.node_setups[:-1]
    )
    steps = []
    for step in scenario.steps:
        deed = step.deed
        if isinstance(deed, Cut | Clog | Mend):
            pairs = tuple(pair for pair in deed.pairs if gone not in pair)
            if pairs or (isinstance(deed, Mend) and not deed.pairs):
                steps.append(replace(step, deed=replace(deed, pairs=pairs)))
        elif gone not in deed.nodes:
            steps.append(step)
    return replace(scenario, setup=replace(setup, nodes=gone - 1, node_setups=nodes), steps=tuple(steps))


def _sooner(scenario: Scenario, index: int, by_ns: int) -> Scenario:
    """The deeds from ``index`` on and the end of the faults come earlier."""
    steps = list(scenario.steps[:index])
    steps += [replace(step, at_ns=step.at_ns - by_ns) for step in scenario.steps[index:]]
    setup = replace(scenario.setup, heal_ns=scenario.setup.heal_ns - by_ns)
    return replace(scenario, setup=setup, steps=tuple(steps))
