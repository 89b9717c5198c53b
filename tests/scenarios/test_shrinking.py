"""Shrinking: what is left still breaks the same property, and is little."""

from collections.abc import Sequence

import pytest
from failing_nodes import Touchy

from walrus.sim.deeds import Ask, Crash, ShutDown
from walrus.sim.options import Options
from walrus.sim.recorder import Recorder
from walrus.sim.runner import run_scenario, run_seed
from walrus.sim.scenario import Scenario, decode, encode
from walrus.sim.shrink import CannotShrink, Shrinker, reduce


def failing() -> Scenario:
    """A run of 3 nodes in which one fails."""
    for seed in range(1, 50):
        recorder = Recorder()
        result = run_seed(seed, Options(), Touchy, watch=recorder.watch)
        if "the third PUT after a restart" in result.violation:
            return recorder.scenario(seed, result.story[0][1], result.property_broken)
    raise AssertionError("no seed restarts a node under load")


@pytest.fixture(scope="module")
def shrinker() -> Shrinker:
    shrinker = Shrinker(failing(), Touchy, 300, lambda: True)
    shrinker.run()
    return shrinker


def test_only_the_restart_and_the_puts_are_left(shrinker: Shrinker) -> None:
    deeds = [step.deed for step in shrinker.scenario.steps]
    puts = [request for deed in deeds if isinstance(deed, Ask) for request in deed.requests]
    assert len(deeds) <= 6, deeds
    assert any(isinstance(deed, Crash | ShutDown) for deed in deeds)
    assert {request.verb for request in puts} == {"PUT"}


def test_what_is_left_fails_in_the_same_way_when_it_is_read_from_its_file(shrinker: Shrinker) -> None:
    again = decode(encode(shrinker.scenario), "it")
    result = run_scenario(again, Touchy)
    assert result.property_broken == shrinker.scenario.expect == shrinker.property_broken
    assert "the third PUT after a restart" in result.violation


def test_no_single_deed_can_be_left_out(shrinker: Shrinker) -> None:
    steps = shrinker.scenario.steps
    for index in range(len(steps)):
        fewer = steps[:index] + steps[index + 1 :]
        changed = Scenario(
            title="", expect="", seed=shrinker.scenario.seed, setup=shrinker.scenario.setup, steps=tuple(fewer)
        )
        assert run_scenario(changed, Touchy).property_broken != shrinker.property_broken, steps[index]


def test_the_search_keeps_to_its_budget() -> None:
    shrinker = Shrinker(failing(), Touchy, 5, lambda: True)
    shrinker.run()
    assert shrinker.runs == 5
    assert shrinker.exhausted
    assert run_scenario(shrinker.scenario, Touchy).property_broken == shrinker.property_broken


def test_a_clean_scenario_cannot_be_shrunk() -> None:
    with pytest.raises(CannotShrink, match="clean when it is replayed"):
        Shrinker(failing(), None, 10, lambda: True)


@pytest.mark.parametrize("needed", [set(), {3}, {0, 63}, {5, 6, 40}, set(range(64))])
def test_reduce_finds_exactly_what_is_needed(needed: set[int]) -> None:
    best: list[int] = list(range(64))

    def holds(candidate: Sequence[int]) -> bool:
        if needed <= set(candidate):
            best[:] = candidate
            return True
        return False

    reduce(range(64), holds)
    assert set(best) == needed
