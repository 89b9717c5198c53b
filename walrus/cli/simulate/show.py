"""``walrus-sim show``: the picture of a run, one HTML page that needs no network."""

import click

from walrus.cli.simulate import arguments
from walrus.sim.options import Options
from walrus.sim.recorder import Recorder
from walrus.sim.runner import command, run_scenario, run_seed
from walrus.sim.scenario import Scenario
from walrus.sim.show import page


@click.command()
@click.argument("source", metavar="SEED|FILE")
@arguments.of_a_run
@click.option("--output", "-o", type=click.Path(dir_okay=False), help="The page. Default: run-SEED.html or FILE.html.")
def show(source: str, output: str | None, **settings: arguments.Setting) -> None:
    """Draw a run, of a seed or of a scenario file, as a page for the browser."""
    found = arguments.seed_or_scenario(source)
    if isinstance(found, Scenario):
        path, text = output or f"{source.removesuffix('.json')}.html", page_of_scenario(found, source)
    else:
        path, text = output or f"run-{found}.html", page_of_seed(found, arguments.options_of_deeds(settings))
    arguments.write(path, text)
    click.echo(f"Wrote {path}; open it in a browser.")


def page_of_seed(seed: int, options: Options) -> str:
    """Run a seed under a recorder."""
    recorder = Recorder()
    result = run_seed(seed, options, watch=recorder.watch)
    return page(recorder.recording(result, f"seed {seed}", command(seed, options)))


def page_of_scenario(scenario: Scenario, name: str) -> str:
    """Run a scenario under a recorder."""
    recorder = Recorder()
    result = run_scenario(scenario, watch=recorder.watch)
    return page(recorder.recording(result, scenario.title, f"walrus-sim replay {name}"))
