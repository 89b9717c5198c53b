"""``walrus-cli topic``: create topics, change their settings, list and delete them."""

from typing import Any

import click

from walrus.cli.output import print_json
from walrus.client import WalrusClient, calls
from walrus.core.metadata.durability import DurabilityError, durability_text, parse_durability
from walrus.core.wire import MAX_NUMBER


def topic_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """A topic name as the wire takes it; BadParameter says what is wrong with it."""
    try:
        calls.topic_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return value


def _durability(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return value if value is None else durability_text(parse_durability(value))
    except DurabilityError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def _settings(command: Any) -> Any:
    """The options of a command that takes a topic's settings."""
    limit = click.IntRange(0, MAX_NUMBER)
    for option in (
        click.option(
            "--durability",
            metavar="MODE",
            callback=_durability,
            help="What an acknowledged record has outlived: always (synced on a quorum), interval:<ms> or never.",
        ),
        click.option("--retention-records", type=limit, help="Keep so many sealed records at least; 0: all."),
        click.option("--retention-bytes", type=limit, help="Keep so many sealed bytes at least; 0: all."),
        click.option("--retention-ms", type=limit, help="Keep a segment for so long once it is sealed; 0: for ever."),
    ):
        command = option(command)
    return command


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


@click.group()
def topic() -> None:
    """Create topics, change their settings, list and delete them."""


@topic.command("create")
@click.argument("name", callback=topic_name)
@_settings
@click.pass_obj
def _create(client: WalrusClient, /, name: str, **settings: Any) -> None:
    """Create topic NAME with these settings; nothing happens if it exists with them."""
    calls.check_ok(client.call(calls.create_topic(name, _given(settings))))
    click.echo("OK")


@topic.command("set")
@click.argument("name", callback=topic_name)
@_settings
@click.pass_context
def _set(ctx: click.Context, /, name: str, **settings: Any) -> None:
    """Change the settings of topic NAME that are given; the others stay."""
    if not _given(settings):
        raise click.UsageError("nothing to set: give at least one of the options", ctx)
    client: WalrusClient = ctx.obj
    calls.check_ok(client.call(calls.set_topic(name, _given(settings))))
    click.echo("OK")


@topic.command("info")
@click.argument("name", callback=topic_name)
@click.pass_obj
def _info(client: WalrusClient, name: str) -> None:
    """Print the settings of topic NAME and what it holds as JSON."""
    print_json(calls.check(client.call(calls.topic_info(name))))


@topic.command("ls")
@click.pass_obj
def _ls(client: WalrusClient) -> None:
    """Print the names of all topics, one a line."""
    for name in client.topics():
        click.echo(name)


@topic.command("rm")
@click.argument("name", callback=topic_name)
@click.pass_obj
def _rm(client: WalrusClient, name: str) -> None:
    """Delete topic NAME with all its records, for good."""
    calls.check_ok(client.call(calls.delete_topic(name)))
    click.echo("OK")
