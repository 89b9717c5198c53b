"""``python -m fuzz.explore``: which scopes there are, and what every interleaving of them shows."""

import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import click

from fuzz.explore import report
from fuzz.explore.bugs import Catch, bug_of, table
from fuzz.explore.run import explore
from fuzz.explore.scopes import SCOPES, AnyScope
from fuzz.explore.search import Outcome
from fuzz.planted.bug import Bug, CannotPlant
from walrus import __version__

_MOST_STATES: Final = 100_000_000


@click.command()
@click.argument("names", metavar="[SCOPE]...", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Say which scopes there are, and run nothing.")
@click.option("--small", is_flag=True, help="Only those that end in seconds.")
@click.option("--max-states", type=int, default=1_000_000, show_default=True, help="Cut a scope at so many states.")
@click.option("--bug", "planted", metavar="NAME", help="Put this planted bug into the core first.")
@click.option("--bugs", "all_bugs", is_flag=True, help="Also put in, one at a time, the bugs that each scope catches.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--table", "file", type=click.Path(dir_okay=False), help="Write a Markdown table to this file.")
def main(
    names: tuple[str, ...], listed: bool, small: bool, max_states: int, planted: str | None, all_bugs: bool,
    form: str, file: str | None,
) -> None:  # fmt: skip
    """Drive the core's own machines through every interleaving of small scopes.

    Without SCOPE all are explored. Exit status 1: an invariant is violated, or a bug of --bugs was not caught.
    """
    scopes = _chosen(names, small=small)
    if listed:
        click.echo(report.list_as_json(scopes) if form == "json" else report.as_list(scopes))
        return
    if not 1 <= max_states <= _MOST_STATES:
        raise click.UsageError(f"--max-states {max_states} is not between 1 and {_MOST_STATES}")
    bug = _bug(planted) if planted is not None else None
    _check_writable(file)
    outcomes: list[Outcome] = []
    catches: list[Catch] = []
    try:
        finished = _run(scopes, max_states, bug, outcomes, catches, form, all_bugs=all_bugs)
    except CannotPlant as error:
        raise click.UsageError(str(error)) from error
    if form == "json":
        click.echo(report.as_json(outcomes, catches))
    if file is not None:
        setting = f"Walrus {__version__}, Python {platform.python_version()}, one core of {platform.machine()}."
        with open(file, "w", encoding="utf-8") as opened:
            opened.write(report.markdown(scopes, outcomes, catches, setting))
    if not finished:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    violated = any(outcome.problem for outcome in outcomes)
    sys.exit(1 if violated or not all(catch.caught for catch in catches) else 0)


def _run(
    scopes: Sequence[AnyScope], most: int, bug: Bug | None, outcomes: list[Outcome], catches: list[Catch], form: str,
    *, all_bugs: bool,
) -> bool:  # fmt: skip
    """Fill in what was found; False if it was interrupted."""
    with suppress(KeyboardInterrupt):
        for scope in scopes:
            outcomes.append(explore(scope, most, bug=bug, progress=_say))
            found = table([scope], most, _say) if all_bugs else []
            catches += found
            if form == "text":
                click.echo(
                    "\n".join([report.line(outcomes[-1]), *(f"  {report.catch_line(catch)}" for catch in found)])
                )
        return True
    return False


def _say(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _chosen(names: tuple[str, ...], *, small: bool) -> list[AnyScope]:
    known = {scope.name for scope in SCOPES}
    for name in names:
        if name not in known:
            raise click.UsageError(f"{name!r} is no scope; --list shows them")
    return [scope for scope in SCOPES if (not names or scope.name in names) and (scope.small or not small)]


def _bug(name: str) -> Bug:
    try:
        return bug_of(name)
    except KeyError as error:
        raise click.UsageError(f"{name!r} is no planted bug; python -m fuzz.planted --list shows them") from error


def _check_writable(file: str | None) -> None:
    """Before minutes of work, not after them."""
    if file is not None:
        try:
            with open(file, "a", encoding="utf-8"):
                pass
        except OSError as error:
            raise click.UsageError(f"cannot write {file}: {error.strerror}") from error
