"""walrus-cli: a REPL and one-off commands for a Walrus cluster.

Exit codes: 0 done (an empty topic included); 1 a node refused the request, or a record of several; 2 the
command line is wrong; 3 no node could be reached, or none answered in time; 4 the outcome is unknown: the
connection broke after a PUT or GET had left, so a record may or may not have been stored or taken. ``inspect``,
``recover`` and ``doctor`` have their own.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import click

from walrus import __version__
from walrus.cli.backup.command import backup
from walrus.cli.doctor.command import doctor
from walrus.cli.inspection.command import inspect
from walrus.cli.nodes import node
from walrus.cli.output import print_json
from walrus.cli.recover import recover
from walrus.cli.repl import run_lines
from walrus.cli.topic import topic, topic_name
from walrus.client import (
    NotConnected,
    OutcomeUnknown,
    ProtocolError,
    PutManyFailed,
    ServerError,
    WalrusClient,
    WalrusError,
    calls,
)
from walrus.client.address import DEFAULT_ADDRESS, TIMEOUT_MAX_S, parse_address
from walrus.core.wire import MAX_NUMBER

_READ_BYTES = 1024 * 1024
_SHOWN_LINES = 10  # of those that failed

_HELP = f"""Talk to a Walrus cluster. Without a command: a REPL.

Any node takes any request. With several --addr the first that can be reached is used. They may also come from
the environment variable WALRUS_ADDR, separated by spaces or commas. The default is {DEFAULT_ADDRESS}.

\b
Exit codes:
  0  done (GET and FETCH of nothing included)
  1  a node refused the request (ERR ...)
  2  the command line is wrong
  3  no node could be reached, or none answered in time
  4  outcome unknown: the record may or may not have been stored (put) or taken (get)
inspect, recover and doctor have their own.
"""


class Failure(click.ClickException):
    """Ends the command with an exit code and the message on standard error."""

    def show(self, file: Any = None) -> None:
        click.echo(self.message, err=True)


class Refused(Failure):
    exit_code = 1


class NotReached(Failure):
    exit_code = 3


class Unknown(Failure):
    exit_code = 4


def failure_of(error: WalrusError) -> Failure:
    """What an error of the client library means to whoever ran the command."""
    match error:
        case ServerError():
            return Refused(f"ERR {error}")
        case OutcomeUnknown():
            return Unknown(str(error))
        case PutManyFailed(unknown=[_, *_]):
            return Unknown(str(error))
        case PutManyFailed(refused=refused) if refused:
            return Refused(str(error))
        case NotConnected() | ProtocolError() | PutManyFailed():
            return NotReached(str(error))
    raise AssertionError(f"no exit code for {error!r}")


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WalrusError as error:
            raise failure_of(error) from error


def _addresses(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    addresses = [address for value in values for address in value.replace(",", " ").split() or [value]]
    for address in addresses:
        try:
            parse_address(address)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return addresses or [DEFAULT_ADDRESS]


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--addr",
    "addresses",
    metavar="HOST:PORT",
    multiple=True,
    envvar="WALRUS_ADDR",
    callback=_addresses,
    help=f"Client address of a node; may be repeated.  [default: {DEFAULT_ADDRESS}]",
)
@click.option(
    "--timeout",
    "timeout_s",
    metavar="SECONDS",
    type=click.FloatRange(0, TIMEOUT_MAX_S, min_open=True),
    default=10.0,
    show_default=True,
    help="How long to wait for a reply.",
)
@click.version_option(__version__, prog_name="walrus-cli")
@click.pass_context
def main(ctx: click.Context, addresses: list[str], timeout_s: float) -> None:
    try:
        ctx.obj = ctx.with_resource(WalrusClient(addresses, timeout_s))
    except ValueError as error:  # a time-out that is not a number
        raise click.UsageError(str(error), ctx) from None
    if ctx.invoked_subcommand is None:
        ctx.invoke(repl)


@main.command()
@click.pass_obj
def repl(client: WalrusClient) -> None:
    """Read requests from the terminal, or from standard input.

    Quotes around a payload are not part of it. Leave with exit, quit, q, Ctrl-C or Ctrl-D. History is kept
    in $XDG_STATE_HOME/walrus/history or ~/.walrus_history.
    """
    output = _stdout()
    if sys.stdin.isatty() and sys.stdout.isatty():
        # Imported only here: prompt_toolkit takes longer to load than most commands take to run.
        from walrus.cli.prompt import open_history, run_prompt

        run_prompt(client, open_history(dict(os.environ)), output)
        return
    error = run_lines(client, sys.stdin.buffer, output, pretty=sys.stdout.isatty())
    if error is not None:
        raise SystemExit(failure_of(error).exit_code)


@main.command()
@click.argument("topic", callback=topic_name)
@click.pass_obj
def register(client: WalrusClient, topic: str) -> None:
    """Create TOPIC; nothing happens if it exists."""
    client.register(topic)
    click.echo("OK")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("topic", callback=topic_name)
@click.argument("payload", required=False)
@click.pass_obj
def put(client: WalrusClient, topic: str, payload: str | None) -> None:
    """Append PAYLOAD to TOPIC and print OK.

    Without PAYLOAD each line of standard input is a record, an empty one too, and what is printed is how many
    were stored. Records are sent as they come, so the input may go on for ever.
    """
    if payload is not None:
        client.put(topic, os.fsencode(payload))
        click.echo("OK")
        return
    stored = lines = 0
    try:
        for records in _records(sys.stdin.buffer):
            stored += client.put_many(topic, records)
            lines += len(records)
    except PutManyFailed as error:
        failed = {index: f"ERR {text}" for index, text in error.refused.items()}
        failed |= dict.fromkeys(error.unknown, "outcome unknown")
        for index in sorted(failed)[:_SHOWN_LINES]:
            click.echo(f"line {lines + index + 1}: {failed[index]}", err=True)
        if len(failed) > _SHOWN_LINES:
            click.echo(f"... and {len(failed) - _SHOWN_LINES} more lines", err=True)
        click.echo(f"stopped before line {lines + error.unsent_from + 1}", err=True)
        stored += error.acknowledged
        raise
    finally:
        click.echo(str(stored))


@main.command()
@click.argument("topic", callback=topic_name)
@click.option("-n", "bare", is_flag=True, help="Print no line end after the record.")
@click.pass_obj
def get(client: WalrusClient, topic: str, bare: bool) -> None:
    """Take the next record of TOPIC and print its bytes and a line end, or EMPTY."""
    _print_record(client.get(topic), bare)


@main.command()
@click.argument("topic", callback=topic_name)
@click.argument("segment", type=click.IntRange(1, MAX_NUMBER))
@click.argument("offset", type=click.IntRange(0, MAX_NUMBER))
@click.option("-n", "bare", is_flag=True, help="Print no line end after the record.")
@click.pass_obj
def fetch(client: WalrusClient, topic: str, segment: int, offset: int, bare: bool) -> None:
    """Print the record at OFFSET (from 0), counted from the start of SEGMENT (from 1), or EMPTY.

    It moves no cursor. Offsets run on through the segments after SEGMENT.
    """
    record = client.fetch(topic, segment, offset)
    _print_record(None if record is None else record.payload, bare)


@main.command()
@click.argument("topic", callback=topic_name)
@click.pass_obj
def state(client: WalrusClient, topic: str) -> None:
    """Print the segments of TOPIC and their leaders as JSON."""
    print_json(calls.check(client.call(calls.state(topic))))


@main.command()
@click.pass_obj
def metrics(client: WalrusClient) -> None:
    """Print the node's view of the cluster as JSON."""
    print_json(calls.check(client.call(calls.METRICS)))


@main.command()
@click.pass_obj
def topics(client: WalrusClient) -> None:
    """Print the names of all topics as JSON; topic ls prints them one a line."""
    print_json(calls.check(client.call(calls.TOPICS)))


main.add_command(inspect)
main.add_command(recover)
main.add_command(topic)
main.add_command(doctor)
main.add_command(node)
main.add_command(backup)


def _stdout() -> BinaryIO:
    return sys.stdout.buffer


def _print_record(payload: bytes | None, bare: bool) -> None:
    output = _stdout()
    output.write(b"EMPTY\n" if payload is None else payload if bare else payload + b"\n")
    output.flush()


def _records(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of ``stream`` without their ends, as many at a time as have come."""
    partial: list[bytes] = []
    while data := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]
        first, *lines = data.split(b"\n")
        partial.append(first)
        if lines:
            yield [b"".join(partial), *lines[:-1]]
            partial = [lines[-1]]
    if last := b"".join(partial):
        yield [last]


if __name__ == "__main__":
    main(prog_name="walrus-cli")
