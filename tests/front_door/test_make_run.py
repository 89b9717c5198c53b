"""What ``make run`` starts, as real processes: it comes up, says what to do, outlives a node, stops."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_ports import free_ports

from walrus.cli.probe import wait_until
from walrus.client.errors import OutcomeUnknown
from walrus.client.sync import WalrusClient

PATIENCE_S = 60.0


class Launcher:
    """``python -m walrus.cli.local_cluster`` in a process group of its own, as a shell would run it."""

    def __init__(self, data: Path, client_port: int = 0) -> None:
        self.client_port = client_port or free_ports(6)
        self.output = ""
        ports = ["--client-port", str(self.client_port), "--raft-port", str(self.client_port + 3)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "walrus.cli.local_cluster", "--data-dir", str(data), *ports],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def read_until(self, text: str) -> None:
        """Collect output until it holds ``text``."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while text not in self.output:
                assert selector.select(deadline - time.monotonic()), f"no {text!r} in {self.output!r}"
                piece = os.read(self.process.stdout.fileno(), 65536)
                assert piece, f"ended without {text!r}: {self.output!r}"
                self.output += piece.decode()

    def client(self, node: int) -> WalrusClient:
        return WalrusClient([f"127.0.0.1:{self.client_port + node - 1}"], timeout_s=15.0)

    def node_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sorted(int(pid) for pid in children.split())

    def ctrl_c(self) -> int:
        """What a terminal does on Ctrl-C; returns the launcher's exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.output += self.process.communicate(timeout=PATIENCE_S)[0].decode()
        return self.process.returncode


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def launcher(data: Path) -> Iterator[Launcher]:
    started = Launcher(data)
    yield started
    if started.process.poll() is None:
        started.process.send_signal(signal.SIGTERM)
        started.process.communicate(timeout=PATIENCE_S)


def test_the_documented_session_works_on_each_port_and_survives_a_restart(launcher: Launcher, data: Path) -> None:
    """The five verbs on all three; Ctrl-C stops node by node; the next start has the data."""
    launcher.read_until("Ctrl-C stops the cluster")
    assert f"walrus-cli --addr 127.0.0.1:{launcher.client_port}" in launcher.output
    for node in (1, 2, 3):
        with launcher.client(node) as client:
            client.register("logs")
            client.put("logs", b"hello from node %d" % node)
            assert client.get("logs") == b"hello from node %d" % node
            assert client.state("logs")["current_segment"] == 1
            assert client.metrics()["membership_config"]["membership"]["configs"] == [[1, 2, 3]]
    assert launcher.ctrl_c() == 0
    stopped = [line for line in launcher.output.splitlines() if line.startswith("Stopping")]
    assert stopped == ["Stopping node 3", "Stopping node 2", "Stopping node 1"]
    assert "ends with" not in launcher.output, "a node did not stop cleanly"

    again = Launcher(data, launcher.client_port)
    try:
        again.read_until("Ctrl-C stops the cluster")
        with again.client(2) as client:
            assert client.fetch("logs", 1, 2) == (3, b"hello from node 3")
    finally:
        assert again.ctrl_c() == 0


def test_the_death_of_a_node_is_reported_and_the_others_carry_on(launcher: Launcher) -> None:
    """The report has the signal and the command that starts the node again."""
    launcher.read_until("Ctrl-C stops the cluster")
    os.kill(launcher.node_pids()[1], signal.SIGKILL)
    launcher.read_until("To start it again")
    assert "Node 2 was killed by SIGKILL" in launcher.output
    assert "The other 2 carry on" in launcher.output
    with launcher.client(3) as client:
        client.register("after")
        assert wait_until(lambda: "" if is_acknowledged(client) else "no acknowledgement", 15.0) == ""


def is_acknowledged(client: WalrusClient) -> bool:
    """One PUT; its outcome is unknown where the node that just died was to write it."""
    try:
        client.put("after", b"x")
    except OutcomeUnknown:
        return False
    return True


def test_the_terminals_ctrl_c_does_not_reach_the_nodes(launcher: Launcher) -> None:
    """Each node has a session of its own, so that they can be stopped one after the other."""
    launcher.read_until("Ctrl-C stops the cluster")
    assert [os.getsid(pid) for pid in launcher.node_pids()] == launcher.node_pids()


def test_nodes_do_not_outlive_a_launcher_that_was_killed(launcher: Launcher) -> None:
    """Nobody would stop them then, and they would hold the ports."""
    launcher.read_until("Ctrl-C stops the cluster")
    pids = [os.pidfd_open(pid) for pid in launcher.node_pids()]
    launcher.process.kill()
    with selectors.DefaultSelector() as selector:
        for pid in pids:
            selector.register(pid, selectors.EVENT_READ)
            assert selector.select(PATIENCE_S), "a node still runs"
            selector.unregister(pid)
            os.close(pid)
