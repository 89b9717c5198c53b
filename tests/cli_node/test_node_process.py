"""``walrus-node`` as a process: start, refusals, signals."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from walrus.cli.node import main; main()"]
PATIENCE_S = 30


class Process:
    """A node on free ports, its log on standard output unless told otherwise."""

    def __init__(self, data: Path, *arguments: str) -> None:
        command = [*COMMAND, "--data-dir", str(data), "--raft-port", "0", "--client-port", "0", *arguments]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("WALRUS_")}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment | {"RUST_LOG": "info"}
        )
        assert self.process.stdout is not None
        self.stdout = self.process.stdout

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Read log lines until one matches."""
        for line in self.stdout:
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"no line matched {pattern}; stderr: {self.finish()[2]}")

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, rest of stdout, stderr."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def run(*arguments: str) -> Process:
        started.append(Process(tmp_path / "data", *arguments))
        return started[-1]

    yield run
    for process in started:
        process.process.kill()
        process.process.communicate()


def until(condition: Callable[[], object], what: str) -> None:
    """Check ``condition`` again and again, for a bounded time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        select.select([], [], [], 0.01)


def test_the_log_begins_with_version_addresses_directory_and_driver(start: Callable[..., Process]) -> None:
    node = start()
    node.wait_for_line(r"^\d{4}-.*Z INFO  Node 1: walrus-node \d+\.\d+\.\d+, process \d+")
    node.wait_for_line(r"Node 1: raft on 127\.0\.0\.1, told to peers as 127\.0\.0\.1:\d+")
    node.wait_for_line(r"Node 1: clients on 127\.0\.0\.1, reached at 127\.0\.0\.1:\d+")
    node.wait_for_line(r"Node 1: data directory: .*/data/node_1")
    node.wait_for_line(r"Node 1: storage driver: (io_uring$|mmap \(.+\)$)")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(start: Callable[..., Process], number: signal.Signals) -> None:
    node = start()
    node.wait_for_line("storage driver")
    node.process.send_signal(number)
    assert node.finish()[::2] == (0, "")


def test_a_second_process_on_one_directory_is_refused_with_a_sentence(start: Callable[..., Process]) -> None:
    node = start()
    node.wait_for_line("storage driver")
    code, _, err = start().finish()
    assert code == 1
    assert err.startswith("walrus-node: data directory ")
    assert f"in use by another walrus-node (process {node.process.pid})" in err


def test_a_port_in_use_is_refused_with_a_sentence_that_names_it(start: Callable[..., Process]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = start("--client-port", str(port)).finish()
        assert (code, err.startswith(f"walrus-node: client port 127.0.0.1:{port} is already in use")) == (1, True)
        code, _, err = start("--raft-port", str(port)).finish()
        assert (code, err.startswith(f"walrus-node: raft port 127.0.0.1:{port} is already in use")) == (1, True)


def test_the_log_file_is_reopened_on_hangup(start: Callable[..., Process], tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    node = start("--log-file", str(path))
    until(lambda: path.exists() and "storage driver" in path.read_text(), "first log lines")
    path.rename(tmp_path / "node.log.1")
    node.process.send_signal(signal.SIGHUP)
    until(path.exists, "a new log file")
    node.process.send_signal(signal.SIGTERM)
    assert node.finish() == (0, "", "")
    assert path.read_text()


def test_an_impossible_variable_ends_it_before_anything_is_created(tmp_path: Path) -> None:
    environment = os.environ | {"WALRUS_MAX_SEGMENT_ENTRIES": "many"}
    command = [*COMMAND, "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "WALRUS_MAX_SEGMENT_ENTRIES=many: expected a whole number of entries" in done.stderr
    assert not (tmp_path / "data").exists()
