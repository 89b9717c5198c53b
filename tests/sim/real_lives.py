"""Nodes in the real runtime, each in a thread of its own, recorded: sockets, files, clocks and threads are real."""

import random
import selectors
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from two_worlds import Life, RecordedNode

from walrus.cli.probe import wait_until, why_not_formed
from walrus.core.config import MS, SECOND, NodeConfig
from walrus.core.events import Event, ShutdownRequested, Started
from walrus.io.addresses import format_address
from walrus.io.clients import ClientServer
from walrus.io.clock import SystemClock
from walrus.io.datadir import DataDirectory
from walrus.io.dispatch import Dispatcher
from walrus.io.listener import listen
from walrus.io.peers import PeerTransport
from walrus.io.reactor import Reactor
from walrus.io.source import FIRST, READ
from walrus.io.storage import ThreadedStorage
from walrus.io.storage_mmap import MappedFiles
from walrus.io.wakeup import Wakeup

HOST: Final = "127.0.0.1"
PATIENCE_S: Final = 60.0


class Silence:
    """A log that nobody reads."""

    def log(self, level: str, text: str) -> None:
        """Nothing."""

    line = log


class AskedToStop(Wakeup):
    """What a signal is for a process."""

    order = FIRST

    def on_ready(self, _mask: int) -> list[Event]:
        """The operator wants it."""
        self.clear()
        return [ShutdownRequested()]


class RealNode:
    """One process lifetime on the data directory below ``root``; it runs until it is asked to stop."""

    def __init__(self, root: Path, node_id: int, seed: int, port: int, join: str = "") -> None:
        self._root = root
        self._port = port  # for peers; clients get any
        self._seed = seed
        self._stop = AskedToStop()
        self._is_made = threading.Event()
        self.config = NodeConfig(
            node_id=node_id,
            advertise_address="",
            join=(join,) if join else (),
            max_segment_entries=20,
            monitor_interval_ns=200 * MS,
        )
        self.life: Life

    def run(self) -> int:
        """Put the parts together as :func:`walrus.io.runtime.run_node` does, and run them; returns the exit code."""
        with ExitStack() as stack:
            directory = DataDirectory(self._root, self.config.node_id)
            stack.callback(directory.close)
            peer_socket, client_socket = listen(HOST, self._port, "raft port"), listen(HOST, 0, "client port")
            self.config = msgspec.structs.replace(
                self.config,
                advertise_address=format_address(HOST, peer_socket.getsockname()[1]),
                client_address=format_address(HOST, client_socket.getsockname()[1]),
            )
            clock, log = SystemClock(), Silence()
            selector = stack.enter_context(selectors.DefaultSelector())
            stack.callback(self._stop.close)
            storage = ThreadedStorage(MappedFiles(directory.path))
            stack.callback(storage.close)
            peers = PeerTransport(self.config.node_id, selector, peer_socket, clock, log)
            stack.callback(peers.close)
            clients = ClientServer(
                selector,
                client_socket,
                clock,
                log,
                connections_max=50,
                reply_timeout_ns=self.config.rpc_timeout_ns + SECOND,
            )
            stack.callback(clients.close)
            selector.register(self._stop.fileno(), READ, self._stop)
            selector.register(storage.fileno(), READ, storage)
            files = directory.files()
            held = {path: (directory.path / path).read_bytes() for path in files}
            self.life = Life(self.config, random.Random(self._seed), clock.now_ns(), held)
            self._is_made.set()
            reactor = Reactor(
                RecordedNode(self.life), selector, Dispatcher(storage, peers, clients, log), (peers, clients), clock
            )
            return reactor.run(Started(files, clock.wall_ns()))

    def begun(self) -> "RealNode":
        """Wait until its addresses are known."""
        assert self._is_made.wait(PATIENCE_S)
        return self

    def stop(self) -> None:
        """Ask it to."""
        self._stop.set()


class RealNodes:
    """Nodes that run in threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._running: list[tuple[RealNode, Future[int]]] = []

    def start(self, node: RealNode) -> RealNode:
        """Start one; its addresses are known afterwards."""
        self._running.append((node, self._pool.submit(node.run)))
        return node.begun()

    def formed(self) -> list[str]:
        """Wait until they are one cluster; returns their addresses for clients, node 1 first."""
        addresses = [node.config.client_address for node, _ in self._running]
        voters = {node.config.node_id for node, _ in self._running}
        amiss = wait_until(lambda: why_not_formed(addresses, voters), PATIENCE_S)
        assert not amiss, amiss
        return addresses

    def stop_all(self) -> None:
        """Ask one after the other to stop, the last one first; each must do so cleanly."""
        while self._running:
            node, code = self._running.pop()
            node.stop()
            assert code.result(PATIENCE_S) == 0


@contextmanager
def real_nodes() -> Iterator[RealNodes]:
    """Whatever happens, none of them runs on."""
    with ThreadPoolExecutor() as pool:
        nodes = RealNodes(pool)
        try:
            yield nodes
        finally:
            nodes.stop_all()


@contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """Free ports that nobody gets but a listener who reuses addresses: they are bound, and do not listen."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, 0))
        yield [held.getsockname()[1] for held in sockets]
