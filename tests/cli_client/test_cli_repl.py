"""The REPL: the session of the deployment document to the letter, in a pipe and on a terminal."""

import io
import json
import os
import pty
import select
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import FakeCluster, FakeServer, free_port
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from walrus.cli.output import pretty_json
from walrus.cli.prompt import RequestCompleter, open_history, run_prompt
from walrus.cli.repl import parse_line, run_lines
from walrus.client import NotConnected, WalrusClient

SESSION = b'REGISTER logs\nPUT logs "hello from distributed cluster"\nGET logs\nSTATE logs\n'


@pytest.mark.parametrize(
    ("line", "body"),
    [
        (b'PUT logs "hello there"\n', b"PUT logs hello there"),
        (b"PUT logs 'hello there'", b"PUT logs hello there"),
        (b"PUT logs hello there", b"PUT logs hello there"),
        (b'  PUT   logs   " padded "  ', b"PUT logs  padded "),
        (b'PUT logs ""', b"PUT logs "),
        (b"PUT logs", b"PUT logs"),
        (rb'PUT logs "say \"hi\" \\ \n"', rb'PUT logs say "hi" \ \n'),
        (b'PUT logs {"a": "b"}', b'PUT logs {"a": "b"}'),
        (b'PUT logs "a" and "b"', b'PUT logs "a" and "b"'),
        (b'PUT logs "unfinished', b'PUT logs "unfinished'),
        (b'PUT logs "', b'PUT logs "'),
        (b"PUT logs it's", b"PUT logs it's"),
        (rb'PUT logs "ends\"', rb'PUT logs "ends\"'),
        (b'GET "logs"', b"GET logs"),
        (b"FETCH logs 1 0", b"FETCH logs 1 0"),
        (b"nonsense", b"nonsense"),
    ],
)
def test_a_line_is_read_as_a_shell_would_read_its_quotes(line: bytes, body: bytes) -> None:
    assert parse_line(line).body == body


@given(st.binary())
def test_any_payload_can_be_written_in_quotes(payload: bytes) -> None:
    quoted = payload.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    assert parse_line(b'PUT t "%b"' % quoted).body == b"PUT t " + payload


@given(st.binary().filter(bytes.strip))
def test_no_line_is_too_odd_to_be_sent(line: bytes) -> None:
    assert parse_line(line).body


def test_the_session_of_the_document_can_be_piped_in() -> None:
    with FakeServer(FakeCluster()) as server:
        result = subprocess.run(
            [sys.executable, "-m", "walrus.cli.client", "--addr", server.address],
            input=SESSION + b"\nGET nope\nexit\nPUT logs never\n",
            capture_output=True,
            timeout=60,
            check=True,
        )
    replies = result.stdout.splitlines()
    assert replies[:3] == [b"OK", b"OK", b"OK hello from distributed cluster"]
    assert json.loads(replies[3])["segment_leaders"] == {"1": 1}
    assert replies[4:] == [b"ERR unknown topic nope"]
    assert result.stderr == b""


def test_lines_go_on_after_a_node_that_cannot_be_reached_and_the_error_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = io.BytesIO()
    with WalrusClient([f"127.0.0.1:{free_port()}"]) as client:
        error = run_lines(client, [b"METRICS\n", b"\n", b"help\n", b"q\n", b"METRICS\n"], output, pretty=False)
    assert isinstance(error, NotConnected)
    assert capsys.readouterr().err.count("Connection refused") == 1
    assert output.getvalue().startswith(b"REGISTER <topic>")


def test_a_piped_session_without_a_cluster_exits_3() -> None:
    command = [sys.executable, "-m", "walrus.cli.client", "--addr", f"127.0.0.1:{free_port()}", "repl"]
    assert subprocess.run(command, input=b"METRICS\n", capture_output=True, timeout=60).returncode == 3


@pytest.mark.parametrize("leave", ["exit\r", "quit\r", "q\r", "\x03", "\x04"])
def test_the_prompt_answers_until_the_user_leaves(leave: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = io.BytesIO()
    with (
        FakeServer(FakeCluster()) as server,
        WalrusClient([server.address]) as client,
        create_pipe_input() as typed,
        create_app_session(input=typed, output=DummyOutput()),
    ):
        typed.send_text(SESSION.decode().replace("\n", "\r") + "\rhelp\r" + leave)
        run_prompt(client, InMemoryHistory(), printed)
        assert server.received[0] == b"TOPICS"
    text = printed.getvalue().decode()
    assert text.startswith("OK\n\nOK\n\nOK hello from distributed cluster\n\n{\n")
    assert '\n  "segment_leaders": { "1": 1 }' in text
    assert text.endswith("leave\n")
    assert "connected to" in capsys.readouterr().err


def test_lines_that_are_pasted_together_are_requests_one_by_one() -> None:
    printed = io.BytesIO()
    with (
        FakeServer(FakeCluster()) as server,
        WalrusClient([server.address]) as client,
        create_pipe_input() as typed,
        create_app_session(input=typed, output=DummyOutput()),
    ):
        typed.send_text(f"\x1b[200~{SESSION.decode()}q\x1b[201~\r")
        run_prompt(client, InMemoryHistory(), printed)
    assert printed.getvalue().startswith(b"OK\n\nOK\n\nOK hello from distributed cluster\n\n{\n")


def test_the_prompt_survives_a_cluster_that_cannot_be_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        WalrusClient([f"127.0.0.1:{free_port()}"]) as client,
        create_pipe_input() as typed,
        create_app_session(input=typed, output=DummyOutput()),
    ):
        typed.send_text("METRICS\rexit\r")
        run_prompt(client, InMemoryHistory(), io.BytesIO())
    assert capsys.readouterr().err.count("cannot connect to") == 2


def test_a_terminal_shows_the_session_as_the_document_does(tmp_path: Path) -> None:
    environment = os.environ | {
        "XDG_STATE_HOME": str(tmp_path),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    controller, terminal = pty.openpty()
    with FakeServer(FakeCluster()) as server:
        command = [sys.executable, "-m", "walrus.cli.client", "--addr", server.address]
        with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as process:
            os.close(terminal)
            try:
                read_until(controller, b"exit leaves")
                os.write(controller, b'REGISTER logs\rPUT logs "hello from distributed cluster"\rGET logs\r')
                read_until(controller, b"OK hello from distributed cluster")
                os.write(controller, b"STATE logs\r")
                read_until(controller, b'"segment_leaders": { "1": 1 }')
                os.write(controller, b"exit\r")
                assert process.wait(60) == 0
            finally:
                process.kill()
    os.close(controller)
    assert "GET logs" in (tmp_path / "walrus" / "history").read_text()


def read_until(controller: int, wanted: bytes) -> None:
    """Read what the terminal shows until ``wanted`` is among it."""
    shown = b""
    while wanted not in shown:
        assert select.select([controller], [], [], 60)[0], f"{wanted!r} did not come; the terminal shows {shown!r}"
        shown += os.read(controller, 4096)


def completions(completer: RequestCompleter, text: str) -> list[str]:
    return [found.text for found in completer.get_completions(Document(text), CompleteEvent())]


def test_verbs_and_topics_are_completed_in_their_places() -> None:
    completer = RequestCompleter()
    completer.topics = ["logs", "lists", "other"]
    assert completions(completer, "RE") == ["REGISTER"]
    assert completions(completer, "m") == ["METRICS"]
    assert completions(completer, "GET l") == ["logs", "lists"]
    assert completions(completer, "METRICS l") == []
    assert completions(completer, "PUT logs l") == []


def test_history_is_a_file_of_its_owner_alone(tmp_path: Path) -> None:
    history = open_history({"XDG_STATE_HOME": str(tmp_path / "state")})
    assert isinstance(history, FileHistory)
    assert stat.S_IMODE((tmp_path / "state" / "walrus" / "history").stat().st_mode) == 0o600


def test_history_is_in_the_home_directory_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert isinstance(open_history({}), FileHistory)
    assert (tmp_path / ".walrus_history").exists()


def test_history_is_in_memory_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "walrus").write_text("in the way")
    assert isinstance(open_history({"XDG_STATE_HOME": str(tmp_path)}), InMemoryHistory)


def test_state_is_laid_out_as_in_the_document() -> None:
    raw = b'{"current_segment":1,"leader_node":1,"sealed_segments":{},"segment_leaders":{"1":1}}'
    assert pretty_json(raw).decode() == (
        '{\n  "current_segment": 1,\n  "leader_node": 1,\n  "sealed_segments": {},\n  "segment_leaders": { "1": 1 }\n}'
    )


def test_long_members_are_broken_over_lines() -> None:
    raw = json.dumps({"segment_leaders": {str(number): 1 for number in range(40)}, "b": [1, [2]]}).encode()
    shown = pretty_json(raw).decode()
    assert '  "segment_leaders": {\n    "0": 1,\n' in shown
    assert '  "b": [1, [2]]' in shown


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_the_layout_changes_no_value(value: object) -> None:
    assert json.loads(pretty_json(json.dumps(value).encode())) == value


def test_an_error_is_shown_as_it_is() -> None:
    assert pretty_json(b"ERR unknown topic t") == b"ERR unknown topic t"
