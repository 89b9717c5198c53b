"""``walrus-sim campaign``: many seeds, and what they add up to."""

import sys
from typing import Final

import click
import msgspec

from walrus.cli.simulate import arguments
from walrus.cli.simulate.shrink import scenario_of_seed, shrink_to
from walrus.sim.campaign import Summary, run_campaign
from walrus.sim.coverage import FaultRow, fault_rows, known_labels, never_hit
from walrus.sim.options import Options
from walrus.sim.runner import command
from walrus.sim.shrink import CannotShrink
from walrus.sim.world import SECOND

_BAR: Final = 30
_SHRUNK_MOST: Final = 3
_SHRINK_RUNS: Final = 300
_SHRINK_SECONDS: Final = 60


@click.command()
@click.argument("seeds", metavar="A..B")
@arguments.of_a_run
@click.option("--jobs", type=int, help="Processes. Default: one per core.")
@click.option("--shrink-to", "folder", type=click.Path(file_okay=False), help="Shrink the first failures into here.")
@arguments.output_format
def campaign(seeds: str, jobs: int | None, folder: str | None, form: str, **settings: arguments.Setting) -> None:
    """Run the seeds A..B, both included, on all cores."""
    found = arguments.seed_range(seeds, "A..B")
    options = arguments.options(settings) if folder is None else arguments.options_of_deeds(settings)
    sys.exit(run_and_tell(found, options, arguments.jobs(jobs), form, folder))


def run_and_tell(seeds: range, options: Options, jobs: int, form: str, folder: str | None) -> int:
    """Run a campaign and say what became of it; returns the exit status."""
    progress = _Progress(len(seeds))
    total, finished = run_campaign(seeds, options, jobs, progress.show)
    progress.end()
    rows = fault_rows(total.labels)
    if form == "json":
        click.echo(_as_json(total, rows, options, finished))
    else:
        _tell(total, rows, len(seeds), options)
    if folder is not None:
        _shrink(total, options, folder)
    if total.failures or (finished and any(row.toothless for row in rows)):
        return 1
    if not finished:
        click.echo("Interrupted.", err=form == "json")
        return 130
    return 0


class _Progress:
    """A bar on a terminal, a line at every tenth elsewhere; failures at once."""

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._tenth = 0
        self._on_terminal = sys.stderr.isatty()

    def show(self, total: Summary, part: Summary) -> None:
        """Another part of the campaign is done."""
        for failure in part.failures:
            click.echo(f"{self._clear()}seed {failure.seed}: {failure.violation.splitlines()[0]}", err=True)
        rate = total.seeds / total.wall_s * 60 if total.wall_s else 0
        text = f"{total.seeds}/{self._seeds} seeds, {rate:.0f} per minute, {len(total.failures)} with a violation"
        tenth = total.seeds * 10 // self._seeds
        if self._on_terminal:
            filled = total.seeds * _BAR // self._seeds
            click.echo(f"{self._clear()}[{'#' * filled:{_BAR}}] {text}", err=True, nl=False)
        elif tenth > self._tenth:
            click.echo(text, err=True)
        self._tenth = tenth

    def end(self) -> None:
        """Leave the terminal clean."""
        if self._on_terminal:
            click.echo(self._clear(), err=True, nl=False)

    def _clear(self) -> str:
        return "\r\x1b[K" if self._on_terminal else ""


def _tell(total: Summary, rows: list[FaultRow], wanted: int, options: Options) -> None:
    for failure in total.failures:
        click.echo(f"seed {failure.seed}: {failure.violation.splitlines()[0]}")
        click.echo(f"    {command(failure.seed, options)}")
    if total.failures:
        click.echo()
    if rows:
        width = max(len(row.name) for row in rows)
        click.echo(f"{'fault':{width}}  {'runs':>7}  {'fired':>9}  changed an outcome")
    for row in rows:
        warning = "  <- never, in so many runs" if row.toothless else ""
        click.echo(f"{row.name:{width}}  {row.runs:7}  {row.fired:9}  {row.bit:9}{warning}")
    click.echo()
    for label, count in sorted(total.labels.items()):
        if not label.startswith(("fault: ", "bit: ", "on: ")):
            click.echo(f"{count:10}  {label}")
    missed, known = never_hit(total.labels, options), len(known_labels(options))
    click.echo(f"\nlabels hit: {known - len(missed)} of {known}")
    if missed:
        click.echo(f"never hit: {', '.join(missed)}")
    wall, busy = max(total.wall_s, 1e-9), max(total.busy_s, 1e-9)
    click.echo(
        f"{total.seeds} of {wanted} seeds, {len(total.failures)} with a violation; "
        f"{total.steps} steps in {wall:.1f} s: {total.steps / busy:.0f} steps per second and core, "
        f"{total.seeds / busy * 60:.0f} seeds per minute and core, {total.seeds / wall * 60:.0f} in all, "
        f"{total.simulated_ns / SECOND / wall:.0f} times real time"
    )


def _as_json(total: Summary, rows: list[FaultRow], options: Options, finished: bool) -> str:
    plain = msgspec.to_builtins(total)
    failures = [{**failure, "command": command(failure["seed"], options)} for failure in plain.pop("failures")]
    summary = {
        "failures": failures,
        **plain,
        "finished": finished,
        "faults": msgspec.to_builtins(rows),
        "never_hit": never_hit(total.labels, options),
    }
    return msgspec.json.format(msgspec.json.encode(summary)).decode()


def _shrink(total: Summary, options: Options, folder: str) -> None:
    for failure in total.failures[:_SHRUNK_MOST]:
        scenario = scenario_of_seed(failure.seed, options)
        if scenario is not None:
            try:
                lines = shrink_to(scenario, _SHRINK_RUNS, _SHRINK_SECONDS, folder)
            except CannotShrink as error:
                lines = [str(error)]
            click.echo("\n".join(["", f"seed {failure.seed}:", *lines]), err=True)
