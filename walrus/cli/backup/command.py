"""walrus-cli backup: create, list, verify and restore backups."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from walrus.cli.backup.errors import BackupError
from walrus.client import WalrusClient, calls

if TYPE_CHECKING:
    from walrus.cli.backup.format import Manifest

_MB: Final = 1_000_000
_HELP: Final = """Back up a running cluster, and restore what was backed up.

PLACE is a directory, or a URL such as s3://bucket/path (that takes `pip install 'distributed-walrus[s3]'`; credentials
come from the environment, as the AWS tools read them). All backups of one cluster go to one place: a later one copies
only what is new.

\b
Exit codes, besides those of walrus-cli:
  1  refused, the place cannot be used, or something there is damaged; the message names it
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
def backup() -> None:
    pass


def _reporting(command: Callable[..., None]) -> Callable[..., None]:
    """Ends a command that cannot go on with exit code 1 and a sentence on standard error."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except BackupError as error:
            click.echo(str(error), err=True)
            raise SystemExit(1) from None

    return run


def _topics(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            calls.topic_bytes(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return values


_place = click.argument("place", metavar="PLACE")
_topic = click.option(
    "--topic", "topics", metavar="TOPIC", multiple=True, callback=_topics, help="Only this topic; may be repeated."
)


@backup.command()
@_place
@_topic
@click.pass_obj
@_reporting
def create(client: WalrusClient, place: str, topics: tuple[str, ...]) -> None:
    """Copy everything acknowledged so far to PLACE: topics, settings, GET cursors, records.

    The cluster goes on meanwhile. A backup that was cut off is none; the next one goes on where it ended. Run one at a
    time. Progress goes to standard error, the new backup's id to standard output.
    """
    # Imported only here, like everything below: the other commands do without.
    from walrus.cli.backup.create import create as run
    from walrus.cli.backup.places import open_place
    from walrus.cli.backup.source import Source

    created = run(Source(client), open_place(place), dict.fromkeys(topics))
    manifest = created.manifest
    click.echo(
        f"{manifest.count:,} records of {len(manifest.topics)} topics: copied {created.copied} objects "
        f"({created.copied_size / _MB:,.1f} MB), {created.kept} were there",
        err=True,
    )
    click.echo(manifest.id)


@backup.command()
@_place
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
@_reporting
def ls(place: str, form: str) -> None:
    """List the backups at PLACE, the oldest first.

    MB is what a backup's objects take; backups share them.
    """
    from walrus.cli.backup.places import open_place
    from walrus.cli.backup.shelf import read_shelf

    shelf = read_shelf(open_place(place))
    if form == "json":
        click.echo(msgspec.json.encode([_listed(manifest) for manifest in shelf.manifests]))
    else:
        click.echo(f"{'BACKUP':<20}  {'CLUSTER':<16}  {'TOPICS':>7}  {'RECORDS':>13}  {'MB':>11}")
        for manifest in shelf.manifests:
            counts = f"{len(manifest.topics):>7,}  {manifest.count:>13,}  {manifest.size / _MB:>11,.1f}"
            click.echo(f"{manifest.id:<20}  {manifest.cluster}  {counts}")
    if shelf.damaged:
        raise BackupError("\n".join(shelf.damaged.values()))


def _listed(manifest: "Manifest") -> dict[str, Any]:
    return {
        "backup": manifest.id,
        "finished": manifest.finished,
        "cluster": manifest.cluster,
        "topics": len(manifest.topics),
        "records": manifest.count,
        "bytes": manifest.size,
    }


@backup.command()
@_place
@click.argument("backups", metavar="[BACKUP]...", nargs=-1)
@_reporting
def verify(place: str, backups: tuple[str, ...]) -> None:
    """Read all objects of all backups at PLACE, or of those named, and check them.

    Checked are checksums, that no offset is missing or double, and that counts and cursors agree. What is wrong is
    named on standard output.
    """
    from walrus.cli.backup.places import open_place
    from walrus.cli.backup.verify import verify as run

    verdict = run(open_place(place), backups)
    for text in verdict.wrong:
        click.echo(text)
    outcome = f"{len(verdict.wrong)} things are wrong" if verdict.wrong else "all sound"
    if verdict.unused:
        outcome += f"; {verdict.unused} objects belong to no backup, as one that was cut off leaves them"
    amount = f"{verdict.backups} backups, {verdict.objects} objects, {verdict.size / _MB:,.1f} MB"
    click.echo(f"{amount}: {outcome}", err=True)
    if verdict.wrong:
        sys.exit(1)


@backup.command()
@_place
@_topic
@click.option("--backup", "chosen", metavar="BACKUP", help="Which one, as ls shows it.  [default: the newest]")
@click.pass_obj
@_reporting
def restore(client: WalrusClient, place: str, topics: tuple[str, ...], chosen: str | None) -> None:
    """Write a backup from PLACE into a running cluster, of any size.

    Its topics must have no records there, unless they come from an interrupted restore of the same backup, which goes
    on. Nobody else may write or read them meanwhile. Afterwards they have the same records in the same order, cursor
    and settings; offsets count from the first record that was backed up, and segments are as long as that cluster
    makes them.
    """
    from walrus.cli.backup.places import open_place
    from walrus.cli.backup.restore import restore as run
    from walrus.cli.backup.shelf import read_shelf

    opened = open_place(place)
    manifest = read_shelf(opened).chosen(chosen)
    rows = run(client, opened, manifest, set(topics))
    click.echo(f"{sum(row.count for row in rows):,} records of {len(rows)} topics restored", err=True)
    click.echo(manifest.id)
