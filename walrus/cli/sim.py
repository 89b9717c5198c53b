"""``walrus-sim``: run simulated clusters under faults and say whether every property held.

Exit status: 0 all runs clean, 1 a property was broken, 2 wrong usage, 130 interrupted without a finding.
"""

import os
import re
import secrets
import sys
from typing import Final

import click

from walrus.sim.campaign import Summary, run_campaign
from walrus.sim.faults import KINDS
from walrus.sim.options import Options
from walrus.sim.runner import Result, command, run_seed
from walrus.sim.world import MS, SECOND

_MOST_NODES: Final = 50
_MOST_SEED: Final = (1 << 64) - 1
_RANGE: Final = re.compile(r"(\d{1,20})\.\.(\d{1,20})")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seed", help="Run this seed and tell its story. Default: a random one.")
@click.option("--seeds", help="Run a campaign over the seeds A..B, both included, on all cores.")
@click.option("--nodes", type=int, default=3, show_default=True, help="Nodes in the cluster.")
@click.option("--clients", type=int, default=3, show_default=True, help="Clients that load it.")
@click.option("--topics", type=int, default=2, show_default=True, help="Topics they use.")
@click.option("--duration-ms", type=int, default=2200, show_default=True, help="Simulated time with faults.")
@click.option("--steps", type=int, default=400_000, show_default=True, help="Bound on the steps of one run.")
@click.option("--faults", help="Comma-separated fault kinds, or none. Default: each with probability 1/2.")
@click.option("--jobs", type=int, help="Processes for a campaign. Default: one per core.")
@click.option("--trace", type=click.Path(dir_okay=False), help="Write every event and action of the run to this file.")
def main(
    seed: str | None,
    seeds: str | None,
    nodes: int,
    clients: int,
    topics: int,
    duration_ms: int,
    steps: int,
    faults: str | None,
    jobs: int | None,
    trace: str | None,
) -> None:
    """Torment simulated clusters: the shipped node, under faults that a seed decides, in simulated time.

    The same seed with the same options is the same run, byte for byte, on every machine.
    """
    for name, value, least, most in (
        ("--nodes", nodes, 1, _MOST_NODES),
        ("--clients", clients, 0, 1000),
        ("--topics", topics, 1, 1000),
        ("--duration-ms", duration_ms, 1, 3_600_000),
        ("--steps", steps, 1, 10**12),
        ("--jobs", jobs if jobs is not None else 1, 1, 1024),
    ):
        if not least <= value <= most:
            raise click.BadParameter(f"{value} is not between {least} and {most}", param_hint=name)
    if nodes == 2:
        click.echo("Warning: a cluster of 2 nodes stops when either fails; use 1, 3 or more.", err=True)
    options = Options(
        nodes=nodes,
        clients=clients,
        topics=topics,
        fault_ns=duration_ms * MS,
        max_steps=steps,
        faults=_fault_names(faults),
    )
    if seeds is not None:
        if seed is not None or trace is not None:
            raise click.UsageError("--seeds cannot be combined with --seed or --trace.")
        sys.exit(_campaign(_seed_range(seeds), options, jobs or os.cpu_count() or 1))
    number = _seed(seed, "--seed") if seed is not None else secrets.randbelow(1 << 32)
    result = run_seed(number, options) if trace is None else _traced(number, options, trace)
    _tell(result, options)
    sys.exit(1 if result.violation else 0)


def _traced(seed: int, options: Options, path: str) -> Result:
    try:
        with open(path, "w", encoding="utf-8") as text:
            return run_seed(seed, options, text=text)
    except OSError as error:
        raise click.BadParameter(f"cannot write {path}: {error.strerror}", param_hint="--trace") from error


def _seed(text: str, hint: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > _MOST_SEED:
        raise click.BadParameter(f"{text!r} is not a whole number from 0 to {_MOST_SEED}", param_hint=hint)
    return int(text)


def _seed_range(text: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a range such as 1..1000", param_hint="--seeds")
    first, last = (_seed(part, "--seeds") for part in match.groups())
    if last < first:
        raise click.BadParameter(f"{text!r} is empty: {last} is less than {first}", param_hint="--seeds")
    return range(first, last + 1)


def _fault_names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    known = [kind.name for kind in KINDS]
    names = tuple(name.strip() for name in text.split(",")) if text != "none" else ()
    for name in names:
        if name not in known:
            raise click.BadParameter(
                f"{name!r} is no fault kind; there are: none, {', '.join(known)}", param_hint="--faults"
            )
    return names


def _tell(result: Result, options: Options) -> None:
    """One run: its story, what happened how often, the verdict."""
    for time_ns, text in result.story:
        click.echo(f"{time_ns / MS:12.3f} ms  {text}")
    click.echo()
    _tell_labels(result.labels)
    click.echo(f"seed {result.seed}: {result.steps} steps, {result.simulated_ns / SECOND:.2f} simulated seconds")
    click.echo(f"verdict: {result.verdict}")
    click.echo(f"trace hash: {result.trace_hash}")
    if result.violation:
        click.echo(f"\n{result.violation.rstrip()}\n\nRepeat it with: {command(result.seed, options)}")


def _campaign(seeds: range, options: Options, jobs: int) -> int:
    def progress(total: Summary, part: Summary) -> None:
        for failure in part.failures:
            click.echo(f"seed {failure.seed}: {failure.violation.splitlines()[0]}", err=True)
        rate = total.seeds / total.wall_s * 60 if total.wall_s else 0
        click.echo(f"{total.seeds}/{len(seeds)} seeds, {rate:.0f} per minute", err=True)

    total, finished = run_campaign(seeds, options, jobs, progress)
    for failure in total.failures:
        click.echo(f"seed {failure.seed}: {failure.violation.splitlines()[0]}")
        click.echo(f"    {command(failure.seed, options)}")
    if total.failures:
        click.echo()
    _tell_labels(total.labels)
    wall = max(total.wall_s, 1e-9)
    click.echo(
        f"{total.seeds} of {len(seeds)} seeds, {len(total.failures)} with a violation; "
        f"{total.steps} steps in {wall:.1f} s: {total.steps / max(total.busy_s, 1e-9):.0f} steps per second "
        f"and core, {total.seeds / wall * 60:.0f} seeds per minute, "
        f"{total.simulated_ns / SECOND / wall:.0f} times real time"
    )
    if total.failures:
        return 1
    if not finished:
        click.echo("Interrupted.")
        return 130
    return 0


def _tell_labels(labels: dict[str, int]) -> None:
    for label, count in sorted(labels.items()):
        click.echo(f"{count:10}  {label}")
    if labels:
        click.echo()
