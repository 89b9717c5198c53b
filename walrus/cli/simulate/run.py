"""``walrus-sim run``: one seed, its story, the verdict."""

import sys

import click
import msgspec

from walrus.cli.simulate import arguments
from walrus.sim.options import Options
from walrus.sim.result import Result
from walrus.sim.runner import command, run_seed
from walrus.sim.world import MS, SECOND


@click.command()
@click.option("--seed", help="The seed. Default: a random one.")
@arguments.of_a_run
@click.option("--trace", type=click.Path(dir_okay=False), help="Write every event and action to this file.")
@arguments.output_format
def run(seed: str | None, trace: str | None, form: str, **settings: arguments.Setting) -> None:
    """Run one seed and tell its story."""
    sys.exit(run_one(arguments.seed_or_random(seed), arguments.options(settings), trace, form))


def run_one(seed: int, options: Options, trace: str | None, form: str) -> int:
    """Run a seed, say what became of it; returns the exit status."""
    result = run_seed(seed, options) if trace is None else _traced(seed, options, trace)
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode({**as_plain(result), "command": command(seed, options)})))
    else:
        tell(result, f"seed {seed}", command(seed, options))
    return 1 if result.violation else 0


def as_plain(result: Result) -> dict[str, object]:
    """A result for JSON."""
    plain: dict[str, object] = msgspec.to_builtins(result)
    return {"verdict": result.verdict, **plain}


def tell(result: Result, name: str, again: str) -> None:
    """The story, what happened how often, the verdict, and how to repeat it."""
    for time_ns, text in result.story:
        click.echo(f"{time_ns / MS:12.3f} ms  {text}")
    click.echo()
    for label, count in sorted(result.labels.items()):
        click.echo(f"{count:10}  {label}")
    click.echo(f"\n{name}: {result.steps} steps, {result.simulated_ns / SECOND:.2f} simulated seconds")
    click.echo(f"verdict: {result.verdict}")
    click.echo(f"trace hash: {result.trace_hash}")
    if result.violation:
        click.echo(f"\n{result.violation.rstrip()}\n\nRepeat it with: {again}")


def _traced(seed: int, options: Options, path: str) -> Result:
    try:
        with open(path, "w", encoding="utf-8") as text:
            return run_seed(seed, options, text=text)
    except OSError as error:
        raise click.BadParameter(f"cannot write {path}: {error.strerror}", param_hint="--trace") from error
