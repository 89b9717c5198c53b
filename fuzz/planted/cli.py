"""``python -m fuzz.planted``: which bugs are there, and how many seeds each takes."""

import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from fuzz.planted import report, shrinking
from fuzz.planted.bug import Bug, CannotPlant
from fuzz.planted.catalogue import BUGS
from fuzz.planted.measure import Finding, Plan, measure
from fuzz.planted.shrinking import Small, shrink_all
from walrus import __version__

_MOST_NODES: Final = 50
_MOST_SEEDS: Final = 10_000_000
_SAY_EVERY_S: Final = 10.0


@click.command()
@click.argument("names", metavar="[BUG]...", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Say which bugs there are, and run nothing.")
@click.option("--seeds", type=int, default=1000, show_default=True, help="Give a bug up after so many seeds.")
@click.option("--first-seed", type=int, default=1, show_default=True, help="Begin with this seed.")
@click.option("--enough", type=int, default=20, show_default=True, help="A bug that showed so often is measured.")
@click.option("--nodes", default="3,5", show_default=True, help="Cluster sizes, in turn from seed to seed.")
@click.option("--jobs", type=int, help="Processes. Default: one per core.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--table", type=click.Path(dir_okay=False), help="Write a Markdown table to this file.")
@click.option(
    "--shrink-to", type=click.Path(file_okay=False, path_type=Path), help="Shrink a sighting of each bug into here."
)
@click.option("--date", help="The date to put into the table. Default: none.")
@click.option("--machine", help="The machine to name in the table. Default: what Python knows of it.")
def main(
    names: tuple[str, ...],
    listed: bool,
    seeds: int,
    first_seed: int,
    enough: int,
    nodes: str,
    jobs: int | None,
    form: str,
    table: str | None,
    shrink_to: Path | None,
    date: str | None,
    machine: str | None,
) -> None:
    """Put known bugs into the core, one at a time, and tell how many seeds the simulator takes to find each.

    BUG is the name of a bug or its number in the research note; without any, all are tried. Exit status 1: some bug was
    not found.
    """
    bugs = _chosen(names)
    if listed:
        click.echo(report.list_as_json(bugs) if form == "json" else _as_list(bugs))
        return
    plan = Plan(
        nodes=_sizes(nodes),
        first_seed=_within(first_seed, 0, 1 << 62, "--first-seed"),
        seeds=_within(seeds, 1, _MOST_SEEDS, "--seeds"),
        enough=_within(enough, 1, 1000, "--enough"),
    )
    processes = _within(jobs, 1, 1024, "--jobs") if jobs is not None else os.cpu_count() or 1
    _check_writable(table)
    planted = [bug for bug in bugs if bug.edits]
    progress = _Progress(len(planted))
    try:
        findings, finished = measure(planted, plan, processes, progress.show)
    except CannotPlant as error:
        raise click.UsageError(str(error)) from error
    progress.end()
    smalls = _shrunk(findings, shrink_to, processes) if finished and shrink_to is not None else []
    waiting = [bug for bug in bugs if not bug.edits]
    if form == "json":
        click.echo(report.as_json(findings, waiting, smalls, finished=finished))
    else:
        _tell(findings, waiting, smalls)
    if table is not None:
        with open(table, "w", encoding="utf-8") as file:
            file.write(report.markdown(findings, waiting, smalls, _setting(plan, machine, date)))
    if not finished:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    sys.exit(1 if report.holes(findings) else 0)


class _Progress:
    """A line per bug that is done, and how it goes meanwhile."""

    def __init__(self, bugs: int) -> None:
        self._bugs = bugs
        self._told: set[str] = set()
        self._on_terminal = sys.stderr.isatty()
        self._said_s = time.monotonic()

    def show(self, finding: Finding) -> None:
        """Something more is known of a bug."""
        name = finding.bug.name
        if finding.done and name not in self._told:
            self._told.add(name)
            click.echo(f"{self._clear()}[{len(self._told)}/{self._bugs}] {report.line(finding)}", err=True)
        elif self._on_terminal or time.monotonic() - self._said_s >= _SAY_EVERY_S:
            self._said_s = time.monotonic()
            text = f"[{len(self._told)}/{self._bugs}] {name}: {len(finding.sightings)} in {finding.seeds} seeds"
            click.echo(self._clear() + text, err=True, nl=not self._on_terminal)

    def end(self) -> None:
        """Leave the terminal clean."""
        click.echo(self._clear(), err=True, nl=False)

    def _clear(self) -> str:
        return "\r\x1b[K" if self._on_terminal else ""


def _shrunk(findings: Sequence[Finding], folder: Path, jobs: int) -> list[Small]:
    return shrink_all(findings, folder, jobs, lambda small: click.echo(shrinking.line(small), err=True))


def _tell(findings: Sequence[Finding], waiting: Sequence[Bug], smalls: Sequence[Small]) -> None:
    for finding in findings:
        if finding.seeds:
            click.echo(report.line(finding))
    for bug in waiting:
        click.echo(f"{report.of(bug):>3}  {bug.name:28} waits for {bug.waits_for}")
    click.echo()
    for text in report.figures(findings):
        click.echo(text)
    if smalls:
        click.echo(shrinking.figure(smalls))
    missed = report.holes(findings)
    if missed:
        click.echo(f"not found, so a hole in faults, workload or checkers: {', '.join(f.bug.name for f in missed)}")


def _as_list(bugs: Sequence[Bug]) -> str:
    lines = []
    for bug in bugs:
        kind = "textbook" if bug.textbook else ""
        lines.append(f"{report.of(bug):>3}  {bug.name:28} {kind:8}  {bug.says}")
        lines.append(f"{'':45}(seen: {bug.seen}{'; waits for ' + bug.waits_for if bug.waits_for else ''})")
    return "\n".join(lines)


def _chosen(names: tuple[str, ...]) -> list[Bug]:
    """The bugs of these names and numbers, in the catalogue's order."""
    known = {bug.name for bug in BUGS} | {str(bug.number) for bug in BUGS if bug.number}
    for name in names:
        if name not in known:
            raise click.UsageError(f"{name!r} is no planted bug; --list shows them")
    return [bug for bug in BUGS if not names or bug.name in names or (bug.number and str(bug.number) in names)]


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= _MOST_NODES for part in parts):
        raise click.UsageError(f"--nodes {text!r} is not a list of cluster sizes from 1 to {_MOST_NODES}, such as 3,5")
    return tuple(int(part) for part in parts)


def _within(value: int, least: int, most: int, name: str) -> int:
    if not least <= value <= most:
        raise click.UsageError(f"{name} {value} is not between {least} and {most}")
    return value


def _check_writable(table: str | None) -> None:
    """Before an hour of work, not after it."""
    if table is not None:
        try:
            with open(table, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise click.UsageError(f"cannot write {table}: {error.strerror}") from error


def _setting(plan: Plan, machine: str | None, date: str | None) -> str:
    found = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    parts = [
        f"Walrus {__version__}",
        f"clusters of {' and '.join(map(str, plan.nodes))} nodes in turn",
        f"seeds from {plan.first_seed} on, up to {plan.seeds:,} or {plan.enough} sightings",
        machine or found,
    ]
    return "; ".join([*parts, *([date] if date else [])]) + "."
