"""``walrus-cli topic``: what goes onto the wire, and how a wrong command line or a refusal is told."""

import pytest
from fake_server import FakeServer
from test_cli_commands import Cli, cli

__all__ = ["cli"]

INFO = b'{"topic":"t","retention_ms":5}'


def node(frame: bytes) -> bytes:
    """Takes everything; knows the topics t and u."""
    return {b"INFO": INFO, b"TOPICS": b'["t","u"]'}.get(frame.split()[0], b"OK")


@pytest.mark.parametrize(
    ("words", "frame", "printed"),
    [
        (("create", "t"), b"CREATE t", b"OK\n"),
        (
            ("create", "t", "--retention-ms", "5", "--retention-records", "7"),
            b"CREATE t retention_ms=5 retention_records=7",
            b"OK\n",
        ),
        (("set", "t", "--retention-bytes", "0"), b"SET t retention_bytes=0", b"OK\n"),
        (("create", "t", "--durability", "interval:250"), b"CREATE t durability=interval:250", b"OK\n"),
        (("set", "t", "--durability", "never"), b"SET t durability=never", b"OK\n"),
        (("info", "t"), b"INFO t", INFO + b"\n"),
        (("ls",), b"TOPICS", b"t\nu\n"),
        (("rm", "t"), b"DELETE t", b"OK\n"),
    ],
)
def test_each_command_sends_one_request_and_prints_its_reply(
    cli: Cli, words: tuple[str, ...], frame: bytes, printed: bytes
) -> None:
    with FakeServer(node) as server:
        assert cli("--addr", server.address, "topic", *words) == (0, printed, "")
        assert server.received == [frame]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("create", "a b"), "invalid topic name 'a b'"),
        (("create", "t", "--retention-bytes", "1k"), "'1k' is not a valid integer"),
        (("set", "t", "--retention-ms", "-1"), "-1 is not in the range"),
        (("set", "t", "--durability", "interval:0"), "or never: 'interval:0'"),
        (("create", "t", "--durability", "sometimes"), "always, interval:<ms> with 1 to 86400000 milliseconds, or"),
        (("set", "t"), "nothing to set: give at least one of the options"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_asks_no_node(cli: Cli, words: tuple[str, ...], told: str) -> None:
    with FakeServer(node) as server:
        status, _, errors = cli("--addr", server.address, "topic", *words)
        assert (status, server.received) == (2, [])
        assert told in errors


def test_a_refusal_is_told_and_exits_1(cli: Cli) -> None:
    with FakeServer(lambda _: b"ERR unknown topic t") as server:
        assert cli("--addr", server.address, "topic", "rm", "t") == (1, b"", "ERR unknown topic t\n")
