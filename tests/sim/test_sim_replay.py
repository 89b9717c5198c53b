"""A run that was recorded and is replayed from its deeds alone is the same run."""

import pytest
from fake_nodes import LogNode

from walrus.sim.cluster import Cluster
from walrus.sim.deeds import AnyDeed
from walrus.sim.history import History
from walrus.sim.host import NodeFactory
from walrus.sim.options import Options
from walrus.sim.result import Result
from walrus.sim.runner import run_scenario, run_seed
from walrus.sim.scenario import Scenario, Step, decode, encode


def recorded(seed: int, options: Options, factory: NodeFactory | None = None) -> tuple[Result, Scenario]:
    """A run, and the scenario that it makes."""
    clusters: list[Cluster] = []
    deeds: list[tuple[int, AnyDeed]] = []

    def watch(cluster: Cluster, history: History) -> None:
        clusters.append(cluster)
        cluster.deeds = deeds
        cluster.network.on_fate = lambda fate: deeds.append((cluster.world.now_ns, fate))

    result = run_seed(seed, options, factory, watch=watch)
    steps = tuple(Step(at_ns, deed) for at_ns, deed in deeds)
    title, setup = result.story[0][1], clusters[0].setup_as_it_was()
    return result, Scenario(title=title, expect="", seed=seed, setup=setup, steps=steps)


@pytest.mark.parametrize(("nodes", "seed"), [(1, 3), (5, 3), *((3, seed) for seed in range(100, 108))])
def test_a_recorded_run_replays_to_the_same_verdict_and_trace(nodes: int, seed: int) -> None:
    result, scenario = recorded(seed, Options(nodes=nodes))
    assert len(scenario.steps) > 50
    replayed = run_scenario(scenario)
    assert replayed.violation == result.violation
    assert replayed.trace_hash == result.trace_hash


def test_a_scenario_survives_its_file() -> None:
    _, scenario = recorded(101, Options())
    assert decode(encode(scenario), "a file") == scenario


def test_a_violation_replays_as_the_same_violation() -> None:
    class Hasty(LogNode):
        acknowledge_early = True

    options = Options(faults=("crash", "drop", "mixed-versions"))
    result, scenario = next(
        found
        for seed in range(40)
        if "acknowledged record lost" in (found := recorded(seed, options, Hasty))[0].violation
    )
    assert run_scenario(scenario, Hasty).violation == result.violation


@pytest.mark.parametrize("seed", range(110, 116))
def test_any_part_of_the_deeds_is_a_run_too(seed: int) -> None:
    result, scenario = recorded(seed, Options())
    assert result.violation == ""
    kinds = sorted({type(step.deed).__name__ for step in scenario.steps})
    for left_out in (kinds[::2], kinds[1::2]):
        steps = tuple(step for step in scenario.steps if type(step.deed).__name__ not in left_out)
        part = Scenario(title="a part", expect="", seed=seed, setup=scenario.setup, steps=steps)
        assert "exception" not in run_scenario(part).violation
