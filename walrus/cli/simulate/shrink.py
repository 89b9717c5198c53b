"""``walrus-sim shrink``: the smallest story that still breaks the same property."""

import os
import sys
import time

import click

from walrus.cli.simulate import arguments
from walrus.cli.simulate.show import page_of_scenario
from walrus.sim.deeds import MessageFate
from walrus.sim.options import Options
from walrus.sim.recorder import Recorder
from walrus.sim.runner import run_seed
from walrus.sim.scenario import Scenario, encode
from walrus.sim.shrink import CannotShrink, Shrinker
from walrus.sim.world import MS


@click.command()
@click.argument("source", metavar="SEED|FILE")
@arguments.of_a_run
@click.option("--runs", type=int, default=300, show_default=True, help="Try at most so many runs.")
@click.option("--seconds", type=int, default=120, show_default=True, help="Try for at most so long.")
@click.option(
    "--output", "-o", default=".", show_default=True, type=click.Path(file_okay=False), help="Where to write."
)
def shrink(source: str, runs: int, seconds: int, output: str, **settings: arguments.Setting) -> None:
    """Make a failing run small: writes a scenario file, which replays on its own, and its picture."""
    arguments.within(runs, 1, 1_000_000, "--runs")
    arguments.within(seconds, 1, 1_000_000, "--seconds")
    found = arguments.seed_or_scenario(source)
    failing = scenario_of_seed(found, arguments.options_of_deeds(settings)) if isinstance(found, int) else found
    if failing is None:
        click.echo(f"seed {source} is clean: nothing to shrink")
        sys.exit(0)
    try:
        click.echo("\n".join(shrink_to(failing, runs, seconds, output)))
    except CannotShrink as error:
        raise click.ClickException(str(error)) from error
    sys.exit(1)


def scenario_of_seed(seed: int, options: Options) -> Scenario | None:
    """What a failing seed did, deed by deed; None for a clean one."""
    recorder = Recorder()
    result = run_seed(seed, options, watch=recorder.watch)
    if not result.violation:
        return None
    return recorder.scenario(seed, f"seed {seed}, {result.story[0][1]}", result.property_broken)


def shrink_to(scenario: Scenario, runs: int, seconds: int, folder: str) -> list[str]:
    """Shrink, write scenario and picture into ``folder``; returns what to tell of it. Raises CannotShrink."""
    until = time.monotonic() + seconds
    shrinker = Shrinker(scenario, None, runs, lambda: time.monotonic() < until)
    shrinker.run()
    small = shrinker.scenario
    base = os.path.join(folder, f"scenario-{small.seed}")
    os.makedirs(folder, exist_ok=True)
    arguments.write(f"{base}.json", encode(small))
    arguments.write(f"{base}.html", page_of_scenario(small, f"{base}.json"))
    return [
        f"{len(scenario.steps)} deeds shrunk to {len(small.steps)} on {small.setup.nodes} nodes in {shrinker.runs} runs"
        + (", as far as the budget went" if shrinker.exhausted else ""),
        *(
            f"{'' if isinstance(step.deed, MessageFate) else f'{step.at_ns / MS:.3f} ms':>14}  {step.deed}"
            for step in small.steps
        ),
        shrinker.result.violation.splitlines()[0],
        f"Repeat it with: walrus-sim replay {base}.json",
        f"See it in: {base}.html",
    ]
