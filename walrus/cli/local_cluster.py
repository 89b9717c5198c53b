"""``make run``: a three-node cluster on this machine in the foreground, until Ctrl-C.

The nodes do not get the terminal's Ctrl-C themselves: this process stops them one after the other, so that
each can hand its leadership over to those that still run. A second Ctrl-C kills the rest; acknowledged
records survive that too. A node that ends by itself is reported and not started again: what broke it may
break it again, and somebody who killed it wants to see the others carry on.
"""

import argparse
import os
import selectors
import shlex
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from walrus.cli.processes import HOST, ClusterError, LocalCluster, describe_exit
from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FORM_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


def say(text: str) -> None:
    print(text, flush=True)


class Signals:
    """Stop signals, and SIGCHLD, as something to wait for instead of an interruption at any line."""

    def __enter__(self) -> "Signals":
        self._received, self._from_handler = socket.socketpair()
        self._received.setblocking(False)
        self._from_handler.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._received, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._from_handler.fileno(), warn_on_full_buffer=False)
        for number in (*_STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)  # without a handler nothing is written
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._received.close()
        self._from_handler.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for any signal, at most ``timeout_s``. True if it was one that asks to stop."""
        if not self._selector.select(timeout_s):
            return False
        return any(number in _STOP_SIGNALS for number in self._received.recv(4096))


def _welcome(cluster: LocalCluster, seconds: float) -> str:
    """What to read once the cluster is up: where to connect and what to type."""
    try:
        with WalrusClient([cluster.client_address(1)]) as client:
            leader = str(client.metrics()["current_leader"])
    except WalrusError:
        leader = "unknown"
    script = Path(sys.executable).with_name("walrus-cli")
    cli = os.path.relpath(script) if script.exists() else "walrus-cli"
    count = len(cluster.node_ids)
    lines = [f"Walrus is up after {seconds:.1f} s: {count} nodes, all voters. Raft leader: node {leader}."]
    for node in cluster.node_ids:
        clients, raft = cluster.client_address(node), f"{HOST}:{cluster.raft_port + node - 1}"
        lines.append(f"  node {node}   clients {clients}   raft {raft}   log {cluster.log_file(node)}")
    lines += [
        "",
        "In a second terminal:",
        f"  {cli} --addr {cluster.client_address(1)}",
        "and there, for example:",
        "  REGISTER logs",
        '  PUT logs "hello from distributed cluster"',
        "  GET logs",
        "  STATE logs",
        "  METRICS",
        "",
        f"Ctrl-C stops the cluster. Its data stays in {cluster.data_directory}; make run goes on with it.",
    ]
    return "\n".join(lines)


def _form(cluster: LocalCluster, signals: Signals) -> bool:
    """Wait until the nodes are one cluster; False if a stop was asked for first. Raises ClusterError."""
    deadline = time.monotonic() + _FORM_TIMEOUT_S
    while amiss := cluster.why_not_formed():
        if time.monotonic() > deadline:
            raise ClusterError(f"No cluster after {_FORM_TIMEOUT_S:.0f} s: {amiss}. See {cluster.log_file(1)}.")
        if signals.wait(0.05):
            return False
    return True


def _report_deaths(cluster: LocalCluster) -> None:
    """Say which nodes ended by themselves, why, and what the cluster can still do."""
    for node, code in cluster.reap().items():
        say(f"\nNode {node} {describe_exit(code)}; {cluster.last_words(node)}")
        left = len(cluster.running())
        if left > len(cluster.node_ids) // 2:
            say(f"The other {left} carry on.")
        else:
            say(f"{left} of {len(cluster.node_ids)} are left, no majority: nothing is acknowledged.")
        say(f"To start it again, in another terminal:\n  {shlex.join(cluster.command(node))}")


def _watch(cluster: LocalCluster, signals: Signals) -> None:
    """Report nodes that end by themselves until a stop is asked for. Raises ClusterError if none is left."""
    while not signals.wait():
        _report_deaths(cluster)
        if not cluster.running():
            raise ClusterError("No node is left.")


def _stop(cluster: LocalCluster, signals: Signals) -> None:
    """Stop all nodes, one after the other; kill what is left when a stop is asked for again."""
    for node in reversed(cluster.running()):
        say(f"Stopping node {node}")
        cluster.terminate(node)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while node in cluster.running():
            if signals.wait(max(0.0, deadline - time.monotonic())):
                say("Killing the rest")
                cluster.kill_all()
                return
            for ended, code in cluster.reap().items():
                if code not in (0, -signal.SIGTERM):  # the latter: before the node could prepare for it
                    say(f"Node {ended} {describe_exit(code)}; {cluster.last_words(ended)}")
            if node in cluster.running() and time.monotonic() >= deadline:
                say(f"Node {node} did not stop within {_STOP_TIMEOUT_S:.0f} s; killing it")
                cluster.kill(node)


def run(cluster: LocalCluster) -> int:
    """Start, wait, watch, stop. Returns the exit code: 0 after a stop that was asked for, else 1."""
    started = time.monotonic()
    with Signals() as signals:
        try:
            say(f"Starting {len(cluster.node_ids)} nodes; data and logs go to {cluster.data_directory}")
            cluster.start()
            if _form(cluster, signals):
                say(_welcome(cluster, time.monotonic() - started))
                _watch(cluster, signals)
            say("")
        except ClusterError as error:
            print(error, file=sys.stderr)
            _stop(cluster, signals)
            return 1
        _stop(cluster, signals)
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``python -m walrus.cli.local_cluster``."""
    parser = argparse.ArgumentParser(prog="walrus.cli.local_cluster", description=__doc__.partition("\n")[0])
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="default ./data")
    parser.add_argument("--nodes", type=int, default=3, help="1 to 9, default 3")
    parser.add_argument("--client-port", type=int, default=9091, help="of node 1; default 9091")
    parser.add_argument("--raft-port", type=int, default=6001, help="of node 1; default 6001")
    options = parser.parse_args(argv)
    if not 1 <= options.nodes <= 9:
        parser.error(f"--nodes {options.nodes}: 1 to 9 are possible")
    for flag, port in (("--client-port", options.client_port), ("--raft-port", options.raft_port)):
        if not 0 < port <= 65536 - options.nodes:
            parser.error(f"{flag} {port}: 1 to {65536 - options.nodes} leave room for {options.nodes} nodes")
    ports = {"client_port": options.client_port, "raft_port": options.raft_port}
    return run(LocalCluster(options.data_dir, nodes=options.nodes, **ports))


if __name__ == "__main__":
    sys.exit(main())
