"""Runs that end with the loss of all disks but one, and what an operator makes of it."""

import pytest

from walrus.sim.options import Options
from walrus.sim.runner import run_seed

OPTIONS = Options(lost_majority=True)


@pytest.mark.parametrize("seed", range(1, 13))
def test_what_the_survivor_held_is_there_again_and_the_cluster_becomes_well(seed: int) -> None:
    result = run_seed(seed, OPTIONS)
    assert result.violation == ""


def test_the_same_seed_is_the_same_run() -> None:
    assert run_seed(7, OPTIONS).trace_hash == run_seed(7, OPTIONS).trace_hash
