"""What the commands of ``walrus-sim`` are told, and plain sentences for what makes no sense."""

import os
import re
import secrets
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from walrus.sim.faults import KINDS
from walrus.sim.options import Options
from walrus.sim.scenario import Scenario, ScenarioError, decode
from walrus.sim.world import MS

Command = TypeVar("Command", bound=Callable[..., Any])
Setting = int | str | None

_MOST_NODES: Final = 50
_MOST_SEED: Final = (1 << 64) - 1
_RANGE: Final = re.compile(r"(\d{1,20})\.\.(\d{1,20})")
_DEFAULT: Final = Options()

_OF_A_RUN: Final = (
    click.option("--nodes", type=int, default=3, show_default=True, help="Nodes in the cluster."),
    click.option("--clients", type=int, default=_DEFAULT.clients, show_default=True, help="Clients that load it."),
    click.option("--topics", type=int, default=_DEFAULT.topics, show_default=True, help="Topics they use."),
    click.option(
        "--duration-ms", type=int, help="Simulated time of faults. Default: until the run is about 3,000 steps long."
    ),
    click.option(
        "--steps", type=int, default=_DEFAULT.max_steps, show_default=True, help="Bound on the steps of one run."
    ),
    click.option(
        "--lose-majority", is_flag=True, help="At the end all disks but one are lost, and an operator goes on with it."
    ),
    click.option(
        "--unsynced-power-loss", is_flag=True, help="Machines lose power also where topics acknowledge without a sync."
    ),
    click.option("--faults", help="Comma-separated fault kinds, or none. Default: each with probability 1/2."),
)


def of_a_run(command: Command) -> Command:
    """The options that, with a seed, make a run."""
    for option in reversed(_OF_A_RUN):
        command = option(command)
    return command


def output_format(command: Command) -> Command:
    """``--format``."""
    kinds = click.Choice(["text", "json"])
    return click.option("--format", "form", type=kinds, default="text", show_default=True, help="How to tell.")(command)


def options(settings: dict[str, Any]) -> Options:
    """Check what :func:`of_a_run` brought."""
    nodes, duration_ms = settings["nodes"], settings["duration_ms"]
    for name, least, most in (
        ("nodes", 1, _MOST_NODES),
        ("clients", 0, 1000),
        ("topics", 1, 1000),
        *([("duration_ms", 1, 3_600_000)] if duration_ms is not None else []),
        ("steps", 1, 10**12),
    ):
        within(settings[name], least, most, "--" + name.replace("_", "-"))
    if nodes == 2:
        click.echo("Warning: a cluster of 2 nodes stops when either fails; use 1, 3 or more.", err=True)
    return Options(
        nodes=nodes,
        clients=settings["clients"],
        topics=settings["topics"],
        fault_ns=(duration_ms or 0) * MS,
        max_steps=settings["steps"],
        faults=_fault_names(settings["faults"]),
        lost_majority=bool(settings["lose_majority"]),
        unsynced_power_loss=bool(settings["unsynced_power_loss"]),
    )


def options_of_deeds(settings: dict[str, Any]) -> Options:
    """The same, for a run that is to be taken down as deeds."""
    found = options(settings)
    if found.lost_majority:
        raise click.UsageError("--lose-majority makes a run of two clusters, which can be neither shrunk nor shown")
    return found


def within(value: int, least: int, most: int, hint: str) -> int:
    """``value``, if it is in bounds."""
    if not least <= value <= most:
        raise click.BadParameter(f"{value} is not between {least} and {most}", param_hint=hint)
    return value


def jobs(value: int | None) -> int:
    """How many processes."""
    return within(value, 1, 1024, "--jobs") if value is not None else os.cpu_count() or 1


def seed(text: str, hint: str = "--seed") -> int:
    """A seed."""
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > _MOST_SEED:
        raise click.BadParameter(f"{text!r} is not a whole number from 0 to {_MOST_SEED}", param_hint=hint)
    return int(text)


def seed_or_random(text: str | None) -> int:
    """The seed asked for, or one that nobody has tried."""
    return seed(text) if text is not None else secrets.randbelow(1 << 32)


def seed_range(text: str, hint: str) -> range:
    """Seeds A..B, both included."""
    match = _RANGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a range such as 1..1000", param_hint=hint)
    first, last = (seed(part, hint) for part in match.groups())
    if last < first:
        raise click.BadParameter(f"{text!r} is empty: {last} is less than {first}", param_hint=hint)
    return range(first, last + 1)


def scenario(path: str) -> Scenario:
    """Read a scenario file."""
    try:
        with open(path, encoding="utf-8") as file:
            return decode(file.read(), path)
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{path}: not a scenario file: byte {error.start} is no UTF-8") from error
    except ScenarioError as error:
        raise click.UsageError(str(error)) from error


def seed_or_scenario(text: str) -> int | Scenario:
    """What a run is made from: a number is a seed, anything else a scenario file."""
    return seed(text, "RUN") if text.isdigit() or text.startswith("-") else scenario(text)


def write(path: str, text: str) -> None:
    """Write a result to a file."""
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from error


def refuse_before_command(context: click.Context) -> None:
    """Options stand behind the command that they are for: in front of it they would do nothing."""
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if source is click.core.ParameterSource.COMMANDLINE:
            option, command = "--" + name.replace("_", "-"), context.invoked_subcommand
            raise click.UsageError(f"{option} {value} is for a run: write it behind {command!r}, not in front of it")


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
