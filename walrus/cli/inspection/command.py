"""walrus-cli inspect: prints and verifies a node's files, offline."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from walrus.cli.inspection.report import EXIT_CODES, NO_FILE_OF_OURS, Listing, Listings, Report, unreadable, worst
from walrus.cli.inspection.show import JsonShow, TextShow

_HELP = """Print and verify files of a node, offline. FILE: one of them, or a whole directory such as data/node_1.

A directory is also checked for whether its files belong together and a node would start on them. Nothing is written
or locked. A running node's files may end in what it is just writing. FORMATS.md describes the bytes.

\b
Exit codes:
  0  sound; also with a torn tail, as a crash leaves it
  1  damage was found
  2  not a Walrus file, one of a newer version, or one that cannot be read
"""


@click.command(help=_HELP)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--records", is_flag=True, help="List every block and record.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print; json is one object a line.",
)
def inspect(files: tuple[Path, ...], records: bool, form: str) -> None:
    show = JsonShow(_line) if form == "json" else TextShow(_line)
    verdicts = []

    def listings(file: str) -> Listing:
        return partial(show.item, file)

    for path in files:
        try:
            for report in _reports(path, listings if records else None):
                show.report(report)
                verdicts.append(report.verdict)
        except OSError as error:
            report = unreadable(str(path), error)
            show.report(report)
            verdicts.append(report.verdict)
    raise SystemExit(EXIT_CODES[worst(verdicts)])


def _reports(path: Path, listings: Listings) -> Iterator[Report]:
    """What is found at ``path``. Raises OSError."""
    # Imported only here: the other commands, which are the same program, do without all that reads files.
    from walrus.cli.inspection import directory, kinds
    from walrus.cli.inspection.datafile import DataFile

    if not path.is_dir():
        with DataFile(path) as file:
            yield kinds.inspect(file, listings)
    elif directory.is_node_directory(path):
        yield from directory.inspect(path, listings)
    else:
        report = Report(str(path), directory.KIND)
        nodes = sorted(found.name for found in path.glob("node_*"))
        hint = f"; give one of its nodes: {', '.join(nodes)}" if nodes else ", such as data/node_1"
        report.add(NO_FILE_OF_OURS, None, f"there is no raft_meta or user_data in it: give a node's directory{hint}")
        yield report


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
