"""Every scenario in this folder ends as it says: bugs that were found once stay found."""

from pathlib import Path

import pytest

from walrus.sim.runner import run_scenario
from walrus.sim.scenario import decode

FILES = sorted(Path(__file__).parent.glob("*.json"))


def test_there_are_regressions() -> None:
    """The folder holds at least one scenario."""
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_scenario_ends_as_it_says(path: Path) -> None:
    scenario = decode(path.read_text(encoding="utf-8"), path.name)
    result = run_scenario(scenario)
    assert (result.property_broken or "clean") == scenario.expect, result.violation
