"""walrus-cli node: the nodes of a cluster, who leaves it, and how far that has come."""

import math
from typing import Any, Final

import click

from walrus.cli.output import pretty_json
from walrus.cli.probe import wait_until
from walrus.client import WalrusClient, calls
from walrus.core.wire import MAX_NUMBER

_POLL_S: Final = 0.5
_COLUMNS: Final = ("node", "address", "client_address", "state", "live", "voter", "raft_leader", "segments", "writes")
_NODE: Final = click.IntRange(1, MAX_NUMBER)
_no_wait = click.option("--no-wait", is_flag=True, help="Only ask for it; do not show how it goes on.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def node() -> None:
    """List, drain, remove and replace the nodes of the cluster.

    Any node can be asked about any other.
    """


@node.command()
@click.option("--format", "form", type=click.Choice(("table", "json")), default="table", show_default=True)
@click.pass_obj
def ls(client: WalrusClient, form: str) -> None:
    """List all nodes.

    SEGMENTS counts those that a node has copies of or writes, WRITES those it writes.
    """
    reply = calls.check(client.call(calls.NODES))
    click.echo(reply if form == "json" else _table(calls.json_of(reply)))


@node.command()
@click.argument("number", metavar="NODE", type=_NODE)
@click.pass_obj
def status(client: WalrusClient, number: int) -> None:
    """Print as JSON what NODE has, topic by topic, and what its removal waits for.

    last_copies are segments of which nothing proves that the others hold everything. waits_for is known to the Raft
    leader alone.
    """
    click.echo(pretty_json(calls.check(client.call(calls.node("STATUS", number)))))


@node.command()
@click.argument("number", metavar="NODE", type=_NODE)
@_no_wait
@click.pass_obj
def drain(client: WalrusClient, number: int, no_wait: bool) -> None:
    """Move everything from NODE to the others: leaderships, open segments, copies. It stays a member."""
    _ask(client, "DRAIN", number)
    if not no_wait:
        _follow(client, number, until_gone=False)


@node.command()
@click.argument("number", metavar="NODE", type=_NODE)
@click.pass_obj
def undrain(client: WalrusClient, number: int) -> None:
    """Let NODE have segments again; also takes back a removal that waits for its copies to move."""
    _ask(client, "UNDRAIN", number)


@node.command()
@click.argument("number", metavar="NODE", type=_NODE)
@click.option("--force", is_flag=True, help="Give up a dead node although only its disk surely holds some records.")
@_no_wait
@click.pass_obj
def remove(client: WalrusClient, number: int, force: bool, no_wait: bool) -> None:
    """Drain NODE and take it out of the cluster for good.

    Its data directory is worthless then; with an empty one the node may join again. Refused where the cluster would
    lose its quorum or the last copy of something; --force overrides the latter for a node that is down, and those
    records are lost.
    """
    _ask(client, "REMOVE", number, force=force)
    if not no_wait:
        _follow(client, number, until_gone=True)


@node.command()
@click.argument("number", metavar="NODE", type=_NODE)
@_no_wait
@click.pass_obj
def replace(client: WalrusClient, number: int, no_wait: bool) -> None:
    """Take NODE, which is down for good, out of the cluster at once; the others copy what it had from one another.

    A new node may then join, under the same number too.
    """
    _ask(client, "REPLACE", number)
    if not no_wait:
        _follow(client, number, until_gone=True)


def _ask(client: WalrusClient, action: str, number: int, *, force: bool = False) -> None:
    reply = calls.check(client.call(calls.node(action, number, force=force)))
    click.echo(reply.removeprefix(b"OK "))


def _follow(client: WalrusClient, number: int, *, until_gone: bool) -> None:
    """Show how many segments are left, until none is or the node is no member any more."""
    shown = ""

    def is_amiss() -> str:
        nonlocal shown
        line, ended = _progress(calls.json_of(client.call(calls.NODES)), number, until_gone=until_gone)
        if line != shown:
            shown = line
            click.echo(line)
        return "" if ended else line

    wait_until(is_amiss, math.inf, _POLL_S)


def _progress(rows: list[dict[str, Any]], number: int, *, until_gone: bool) -> tuple[str, bool]:
    """What to tell, and whether it is the last thing to be told."""
    row = next((row for row in rows if row["node"] == number), None)
    if row is None:
        return f"node {number} is no member any more", True
    if row["state"] == "active":
        return f"node {number} was called back by somebody else", True
    if not row["segments"] and not until_gone:
        return f"node {number} has nothing any more", True
    return f"{row['segments']} segments left on node {number}", False


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [[name.upper().replace("_", " ") for name in _COLUMNS]]
    cells += [[_shown(row[name]) for name in _COLUMNS] for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(_COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _shown(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
