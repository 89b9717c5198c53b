"""A bug in a running node: its traceback is told exactly once in each place, and the process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from walrus.io.storage_choice import choose

PATIENCE_S = 30
IN_THE_CORE = """
import walrus.io.runtime as runtime
from walrus.core.events import PollFinished

class Failing(runtime.Node):
    def handle(self, event, now_ns):
        if isinstance(event, PollFinished):
            raise ZeroDivisionError("planted")
        return super().handle(event, now_ns)

runtime.Node = Failing
"""
IN_A_STORAGE_THREAD = """
import os
import walrus.io.storage_choice as choice

class Failing(choice.MappedFiles):
    def apply(self, batch):
        raise ZeroDivisionError("planted")

choice.MappedFiles = Failing
os.environ["WALRUS_DISABLE_IO_URING"] = "1"
"""
IN_A_HELPER_OF_IO_URING = """
from walrus.io.uring import names

def failing(*arguments):
    raise ZeroDivisionError("planted")

names.open_file = failing
"""
needs_io_uring = pytest.mark.skipif(choose(False).name != "io_uring", reason=f"no io_uring: {choose(False).reason}")
bugs = pytest.mark.parametrize(
    "bug",
    [
        pytest.param(IN_THE_CORE, id="core"),
        pytest.param(IN_A_STORAGE_THREAD, id="storage thread"),
        pytest.param(IN_A_HELPER_OF_IO_URING, id="helper of io_uring", marks=needs_io_uring),
    ],
)


def run(tmp_path: Path, bug: str, stdout: Path, stderr: Path, *arguments: str) -> int:
    """Run a node with a bug until it ends of it; output is appended, as a launcher does. Returns the exit code."""
    program = bug + "from walrus.cli.node import main; main()"
    ports = ["--raft-port", "0", "--client-port", "0"]
    command = [sys.executable, "-c", program, "--data-dir", str(tmp_path / "data"), *ports, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with stdout.open("ab") as out, stderr.open("ab") as err:
        return subprocess.run(command, stdout=out, stderr=err, env=environment, timeout=PATIENCE_S).returncode


def tracebacks(path: Path) -> int:
    lines = path.read_text().splitlines()
    return sum(line.endswith("ZeroDivisionError: planted") for line in lines)


@bugs
def test_a_traceback_stands_once_in_a_log_file_that_standard_error_leads_to(tmp_path: Path, bug: str) -> None:
    log = tmp_path / "node.log"
    assert run(tmp_path, bug, log, log, "--log-file", str(log)) == 1
    assert tracebacks(log) == 1


@bugs
def test_a_traceback_stands_in_the_log_file_and_on_standard_error_elsewhere(tmp_path: Path, bug: str) -> None:
    log, error = tmp_path / "node.log", tmp_path / "stderr"
    assert run(tmp_path, bug, tmp_path / "stdout", error, "--log-file", str(log)) == 1
    assert (tracebacks(log), tracebacks(error)) == (1, 1)
    (line,) = (line for line in log.read_text().splitlines() if line.endswith("planted"))
    assert "Z ERROR Node 1: ZeroDivisionError" in line


@bugs
def test_a_traceback_goes_to_standard_error_where_the_log_is_standard_output(tmp_path: Path, bug: str) -> None:
    out, error = tmp_path / "stdout", tmp_path / "stderr"
    assert run(tmp_path, bug, out, error) == 1
    assert (tracebacks(out), tracebacks(error)) == (0, 1)
    assert "storage driver" in out.read_text()


@pytest.mark.parametrize("shared", [True, False])
def test_why_a_node_cannot_start_stands_once_in_its_log_file(tmp_path: Path, shared: bool) -> None:
    (tmp_path / "data").write_text("in the way")
    log = tmp_path / "node.log"
    error = log if shared else tmp_path / "stderr"
    assert run(tmp_path, "", error, error, "--log-file", str(log)) == 1
    for path in (log, error):
        assert path.read_text().count("cannot use data directory") == 1
