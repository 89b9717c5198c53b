"""walrus-cli's one-off commands: what goes to which stream, and with which exit code."""

import io
import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest
from fake_server import FakeCluster, FakeServer, Hangup, free_port

from walrus.cli.client import main


class Outcome(NamedTuple):
    code: int
    out: bytes
    err: str


class Cli:
    """Runs the command in this process, on streams of bytes as a pipe would be."""

    def __init__(self, capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._patch = patch

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            main(list(arguments), prog_name="walrus-cli")
        out, err = self._capture.readouterr()
        return Outcome(int(caught.value.code or 0), out, err.decode())


@pytest.fixture
def cli(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("WALRUS_ADDR", raising=False)
    return Cli(capsysbinary, monkeypatch)


def hangs_up(frame: bytes) -> bytes | None:
    raise Hangup


def test_each_command_prints_its_reply_and_exits_0(cli: Cli) -> None:
    with FakeServer(FakeCluster()) as server:
        at = ("--addr", server.address)
        assert cli(*at, "register", "t") == (0, b"OK\n", "")
        assert cli(*at, "put", "t", "hello there") == (0, b"OK\n", "")
        assert cli(*at, "get", "t") == (0, b"hello there\n", "")
        assert cli(*at, "get", "t") == (0, b"EMPTY\n", "")
        assert cli(*at, "fetch", "t", "1", "0") == (0, b"hello there\n", "")
        assert cli(*at, "fetch", "t", "1", "1") == (0, b"EMPTY\n", "")
        assert cli(*at, "topics") == (0, b'["t"]\n', "")
        assert cli(*at, "metrics") == (0, b'{"current_leader":1,"state":"Leader"}\n', "")
        assert json.loads(cli(*at, "state", "t").out)["segment_leaders"] == {"1": 1}


def test_a_record_keeps_every_byte(cli: Cli) -> None:
    cluster = FakeCluster()
    cluster.topics["t"] = [bytes(range(256)) * 2]
    with FakeServer(cluster) as server:
        assert cli("--addr", server.address, "fetch", "t", "1", "0").out == cluster.topics["t"][0] + b"\n"
        assert cli("--addr", server.address, "get", "-n", "t").out == cluster.topics["t"][0]


@pytest.mark.parametrize("payload", ["", "-", "-x", "--flag", " two  spaces ", '"quoted"', "\udcff"])
def test_a_payload_argument_is_taken_literally(cli: Cli, payload: str) -> None:
    cluster = FakeCluster()
    cluster.topics["t"] = []
    with FakeServer(cluster) as server:
        assert cli("--addr", server.address, "put", "t", payload).code == 0
        assert cluster.topics["t"] == [os.fsencode(payload)]


@pytest.mark.parametrize(
    ("stdin", "records"),
    [
        (b"", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one"]),
        (b"one\ntwo\r\n\nlast \xff\x00", [b"one", b"two\r", b"", b"last \xff\x00"]),
    ],
)
def test_put_without_a_payload_stores_each_line_of_its_input(cli: Cli, stdin: bytes, records: list[bytes]) -> None:
    cluster = FakeCluster()
    cluster.topics["t"] = []
    with FakeServer(cluster) as server:
        assert cli("--addr", server.address, "put", "t", stdin=stdin) == (0, b"%d\n" % len(records), "")
        assert cluster.topics["t"] == records


def test_lines_longer_than_one_read_stay_whole(cli: Cli) -> None:
    cluster = FakeCluster()
    cluster.topics["t"] = []
    lines = [b"a" * 3_000_000, b"b", b"c" * 1_500_000]
    with FakeServer(cluster) as server:
        assert cli("--addr", server.address, "put", "t", stdin=b"\n".join(lines)).out == b"3\n"
        assert cluster.topics["t"] == lines


def test_records_of_a_pipe_are_stored_while_it_is_open() -> None:
    cluster = FakeCluster()
    cluster.topics["t"] = []
    with FakeServer(cluster) as server:
        command = [sys.executable, "-m", "walrus.cli.client", "--addr", server.address, "put", "t"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for number in range(3):
                process.stdin.write(b"%d\n" % number)
                process.stdin.flush()
                assert server.wait_for_requests(number + 1) == [b"PUT t %d" % n for n in range(number + 1)]
            process.stdin.close()
            assert process.stdout.read() == b"3\n"
        assert process.returncode == 0


@pytest.mark.parametrize("command", [["put", "nope", "x"], ["get", "nope"], ["state", "nope"]])
def test_a_refusal_goes_to_stderr_and_exits_1(cli: Cli, command: list[str]) -> None:
    with FakeServer(FakeCluster()) as server:
        assert cli("--addr", server.address, *command) == (1, b"", "ERR unknown topic nope\n")


def test_refused_lines_are_named_and_the_stored_ones_counted(cli: Cli) -> None:
    def refuses_b(frame: bytes) -> bytes | None:
        return b"ERR disk full" if frame == b"PUT t b" else b"OK"

    with FakeServer(refuses_b) as server:
        code, out, err = cli("--addr", server.address, "put", "t", stdin=b"a\nb\nc\n")
    assert (code, out) == (1, b"2\n")
    assert "line 2: ERR disk full\n" in err


def test_lines_whose_fate_is_unknown_are_named_and_exit_4(cli: Cli) -> None:
    def hangs_up_at_b(frame: bytes) -> bytes | None:
        if frame == b"PUT t b":
            raise Hangup
        return b"OK"

    with FakeServer(hangs_up_at_b) as server:
        code, out, err = cli("--addr", server.address, "put", "t", stdin=b"a\nb\nc\n")
    assert (code, out) == (4, b"1\n")
    assert "line 2: outcome unknown\nline 3: outcome unknown\n" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--addr", "localhost", "metrics"],
        ["--addr", "localhost:x", "metrics"],
        ["--addr", "localhost:70000", "metrics"],
        ["--addr", "", "metrics"],
        ["--timeout", "0", "metrics"],
        ["--timeout", "nan", "metrics"],
        ["nonsense"],
        ["get"],
        ["get", "a/b"],
        ["put", "a b", "x"],
        ["put", "t", "two", "words"],
        ["fetch", "t", "0", "0"],
        ["fetch", "t", "one", "0"],
    ],
)
def test_a_wrong_command_line_exits_2_with_a_reason(cli: Cli, arguments: list[str]) -> None:
    code, out, err = cli(*arguments)
    assert (code, out) == (2, b"")
    assert "Error: " in err


def test_a_bad_address_is_named(cli: Cli) -> None:
    assert "bad address 'localhost': expected HOST:PORT" in cli("--addr", "localhost", "metrics").err


def test_a_cluster_that_cannot_be_reached_exits_3(cli: Cli) -> None:
    address = f"127.0.0.1:{free_port()}"
    for command in (["metrics"], ["put", "t", "x"]):
        code, out, err = cli("--addr", address, *command)
        assert (code, out) == (3, b"")
        assert f"cannot connect to {address}: Connection refused" in err


def test_a_node_that_does_not_answer_exits_3_or_4(cli: Cli) -> None:
    with FakeServer(lambda frame: None) as server:
        assert cli("--addr", server.address, "--timeout", "0.3", "metrics").code == 3
        assert cli("--addr", server.address, "--timeout", "0.3", "put", "t", "x").code == 4


@pytest.mark.parametrize("behaviour", [hangs_up, lambda frame: b"ERR outcome unknown: t:1"])
def test_an_unknown_outcome_exits_4(cli: Cli, behaviour: object) -> None:
    assert callable(behaviour)
    with FakeServer(behaviour) as server:
        code, out, err = cli("--addr", server.address, "put", "t", "x")
    assert (code, out) == (4, b"")
    assert "outcome unknown" in err


def test_the_next_address_is_tried(cli: Cli) -> None:
    with FakeServer(FakeCluster()) as server:
        assert cli("--addr", f"127.0.0.1:{free_port()}", "--addr", server.address, "topics").code == 0


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_addresses_come_from_the_environment_too(cli: Cli, monkeypatch: pytest.MonkeyPatch, separator: str) -> None:
    with FakeServer(FakeCluster()) as server:
        monkeypatch.setenv("WALRUS_ADDR", f"127.0.0.1:{free_port()}{separator}{server.address}")
        assert cli("topics") == (0, b"[]\n", "")


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    assert b"4  outcome unknown" in out
