"""A cluster of ``walrus-node`` processes on this machine: what ``make run``, benchmarks and tests share.

Node ``n`` listens on ``127.0.0.1`` at ports ``client_port + n - 1`` and ``raft_port + n - 1``, keeps its data
in ``<data directory>/node_<n>`` and logs to ``<data directory>/node_<n>.log``.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from walrus.cli.probe import why_not_formed

HOST = "127.0.0.1"
_RUN_NODE = "from walrus.cli.node import main; main()"  # where the package is not installed
_PR_SET_PDEATHSIG = 1
_OWN_NAMES = re.compile(r"node_[1-9][0-9]*(\.log.*|\.damaged)?\Z")
_LOG_TAIL_BYTES = 16 * 1024


class ClusterError(Exception):
    """The cluster cannot be started, or did not form; the text is a sentence for the operator."""


class LocalCluster:
    """Starts, watches and stops the processes."""

    def __init__(
        self,
        data_directory: Path,
        *,
        nodes: int = 3,
        client_port: int = 9091,
        raft_port: int = 6001,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` (``WALRUS_...`` settings) is added to this process's own for the nodes."""
        self.data_directory = data_directory
        self.node_ids = range(1, nodes + 1)
        self.client_port = client_port
        self.raft_port = raft_port
        self._environment = {**os.environ, **(environment or {})}
        self._processes: dict[int, subprocess.Popen[bytes]] = {}  # by node id, until seen to have ended

    def client_address(self, node: int) -> str:
        return f"{HOST}:{self.client_port + node - 1}"

    def log_file(self, node: int) -> Path:
        return self.data_directory / f"node_{node}.log"

    def command(self, node: int) -> list[str]:
        """The command line of one node. Nodes other than 1 join through node 1, unless they have data."""
        script = Path(sys.executable).with_name("walrus-node")
        program = [str(script)] if script.exists() else [sys.executable, "-c", _RUN_NODE]
        flags: dict[str, object] = {
            "--node-id": node,
            "--data-dir": self.data_directory,
            "--raft-port": self.raft_port + node - 1,
            "--client-port": self.client_port + node - 1,
            "--log-file": self.log_file(node),
        }
        if node != 1:
            flags["--join"] = f"{HOST}:{self.raft_port}"
        return program + [str(part) for flag in flags.items() for part in flag]

    def start(self) -> None:
        """Start all nodes. Raises :class:`ClusterError` where a port or the directory cannot be used."""
        check_data_directory(self.data_directory)
        for node in self.node_ids:
            check_port_is_free(self.client_port + node - 1)
            check_port_is_free(self.raft_port + node - 1)
        for node in self.node_ids:
            self.start_node(node)

    def start_node(self, node: int) -> None:
        """Start one node in a session of its own, so that the terminal's Ctrl-C does not reach it."""
        with self.log_file(node).open("ab") as log:  # for what Python itself says when it cannot even start
            self._processes[node] = subprocess.Popen(
                self.command(node),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )

    def why_not_formed(self) -> str:
        """The empty string once all nodes are voters of one cluster, else what is amiss.

        Raises :class:`ClusterError` if a node has ended.
        """
        for node, code in self.reap().items():
            raise ClusterError(f"Node {node} {describe_exit(code)}; {self.last_words(node)}")
        addresses = [self.client_address(node) for node in self.node_ids]
        return why_not_formed(addresses, set(self.node_ids), timeout_s=1.0)

    def running(self) -> list[int]:
        """The nodes whose process has not been seen to end, ascending."""
        return sorted(self._processes)

    def pid(self, node: int) -> int:
        return self._processes[node].pid

    def reap(self) -> dict[int, int]:
        """Nodes found to have ended, each told once: exit code, or minus the signal that killed it."""
        codes = {node: self._processes[node].poll() for node in self.running()}
        ended = {node: code for node, code in codes.items() if code is not None}
        for node in ended:
            del self._processes[node]
        return ended

    def last_words(self, node: int, lines: int = 8) -> str:
        """The end of a node's log, for a message about its death."""
        path = self.log_file(node)
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            tail = log.read().decode(errors="replace").splitlines()[-lines:]
        return "\n    ".join([f"its log {path} ends with:", *tail])

    def terminate(self, node: int) -> None:
        """Ask one node for a clean stop (SIGTERM) and do not wait for it."""
        self._processes[node].terminate()

    def kill(self, node: int) -> None:
        """``kill -9`` one node and wait until it is gone."""
        process = self._processes.pop(node)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        for node in self.running():
            self.kill(node)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Stop all nodes cleanly, one after the other; one that takes longer than ``timeout_s`` is killed."""
        for node in reversed(self.running()):
            self.terminate(node)
            try:
                self._processes[node].wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._processes[node].kill()
                self._processes[node].wait()
            del self._processes[node]


def _end_with_parent() -> None:
    """In the child: get SIGTERM when the launcher is killed, for nobody else would stop the nodes then."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def describe_exit(code: int) -> str:
    """An exit code as :mod:`subprocess` gives it, in words."""
    return f"ended with exit code {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


def check_data_directory(directory: Path) -> None:
    """Make sure that ``directory`` is new, empty or a local cluster's, and can be written.

    Raises :class:`ClusterError`, a sentence that says what to do instead.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = sorted(entry.name for entry in directory.iterdir())
    except (FileExistsError, NotADirectoryError):
        raise ClusterError(f"{directory} is not a directory; name another with --data-dir.") from None
    except OSError as error:
        raise ClusterError(f"The data directory {directory} cannot be used: {error.strerror}.") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ClusterError(f"You may not write to the data directory {directory}.")
    for name in names:
        path = directory / name
        if not _OWN_NAMES.match(name) or path.is_dir() == (".log" in name):
            raise ClusterError(
                f"The data directory {directory} holds {name!r}, which is no part of a local cluster's data. "
                "Nothing was changed: move it away, or name another directory with --data-dir."
            )
        if not os.access(path, os.W_OK):
            raise ClusterError(f"You may not write to {path}; was it made by another user?")
    others = [name for name in names if ".log" not in name and name != "node_1"]
    if others and "node_1" not in names:
        raise ClusterError(
            f"The data directory {directory} holds {', '.join(others)} but not node_1. A new node 1 would "
            "start another cluster beside theirs: put node_1 back, or start anew with make clean."
        )


def check_port_is_free(port: int) -> None:
    """Raise :class:`ClusterError` if something listens on ``port`` already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ClusterError(
                f"Port {port} cannot be used: {error.strerror}. Is another cluster running "
                f"(make run, make cluster-up)? `lsof -i :{port}` shows who has it."
            ) from None
