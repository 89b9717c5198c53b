"""One node in the real world: composes log, data directory, storage, transports, core and loop."""

import contextlib
import gc
import os
import random
import resource
import selectors
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from walrus.core.config import SECOND, NodeConfig
from walrus.core.events import Started
from walrus.core.node import Node
from walrus.io.addresses import format_address
from walrus.io.bootid import boot_id
from walrus.io.clients import ClientServer
from walrus.io.clock import SystemClock
from walrus.io.datadir import DataDirectory
from walrus.io.dispatch import Dispatcher
from walrus.io.gauges import DiskWatch, Gauges, TimedStorage
from walrus.io.listener import listen
from walrus.io.logs import LogWriter
from walrus.io.peers import PeerTransport
from walrus.io.reactor import Reactor
from walrus.io.source import READ
from walrus.io.storage_choice import open_storage
from walrus.io.wakeup import Signals

_CLIENTS_MAX: Final = 10_000
_OTHER_DESCRIPTORS: Final = 512  # files, peers, what the interpreter itself has open
_SWITCH_INTERVAL_S: Final = 0.0005
_GC_YOUNG_MAX: Final = 50_000


@dataclass(frozen=True)
class Settings:
    """What the runtime, as opposed to the core, is told. Port 0 means any free port."""

    data_dir: Path
    raft_host: str
    raft_port: int
    raft_advertise_host: str
    client_host: str
    client_port: int
    log_level: str = "info"
    log_file: Path | None = None
    disable_io_uring: bool = False
    warnings: tuple[str, ...] = ()  # said in the log once it is open


def run_node(config: NodeConfig, settings: Settings) -> int:
    """Run a node until it stops; return the process's exit code. Call it on the main thread.

    ``config.advertise_address`` and ``client_address`` are filled in from the sockets that were bound.

    Raises:
        StartError: data directory, port or log file cannot be had.
    """
    with (
        LogWriter(config.node_id, settings.log_level, settings.log_file) as log,
        contextlib.ExitStack() as stack,
    ):
        return _run(config, settings, log, stack)


def _run(config: NodeConfig, settings: Settings, log: LogWriter, stack: contextlib.ExitStack) -> int:
    directory = DataDirectory(settings.data_dir, config.node_id)
    stack.callback(directory.close)
    peer_socket = listen(settings.raft_host, settings.raft_port, "raft port")
    stack.callback(peer_socket.close)
    client_socket = listen(settings.client_host, settings.client_port, "client port")
    stack.callback(client_socket.close)
    config = msgspec.structs.replace(
        config,
        advertise_address=format_address(settings.raft_advertise_host, peer_socket.getsockname()[1]),
        client_address=_client_address(settings, client_socket),
    )
    _tune_process()
    clock = SystemClock()
    selector = stack.enter_context(selectors.DefaultSelector())
    signals = Signals(log.reopen)
    stack.callback(signals.close)
    driver, storage_choice = open_storage(directory.path, settings.disable_io_uring)
    stack.callback(driver.close)
    storage = TimedStorage(driver, clock)
    disk_watch = DiskWatch(directory.path, clock)
    stack.callback(disk_watch.close)
    config = msgspec.structs.replace(
        config,
        python=sys.version.split()[0],
        storage_driver=storage_choice.name,
        storage_reason=storage_choice.reason,
    )
    peers = PeerTransport(config.node_id, selector, peer_socket, clock, log)
    stack.callback(peers.close)
    clients = ClientServer(
        selector,
        client_socket,
        clock,
        log,
        connections_max=_raise_descriptor_limit(),
        reply_timeout_ns=config.rpc_timeout_ns + SECOND,
    )
    stack.callback(clients.close)
    selector.register(signals.fileno(), READ, signals)
    selector.register(storage.fileno(), READ, storage)
    _announce(config, settings, directory, str(storage_choice), log)
    files, wall_ns = directory.files(), clock.wall_ns()
    node = Node(config, random.Random(int.from_bytes(os.urandom(16))), clock.now_ns())
    gc.freeze()  # what start-up built lives as long as the process
    gauges = Gauges(storage, disk_watch, clients, peers, clock)
    reactor = Reactor(node, selector, Dispatcher(storage, peers, clients, log), (peers, clients, gauges), clock)
    return reactor.run(Started(files, wall_ns, boot_id()))


def _client_address(settings: Settings, client_socket: socket.socket) -> str:
    """Where clients reach this node: the host peers use where it listens on every interface."""
    host = settings.client_host
    if host in ("", "0.0.0.0", "::"):
        host = settings.raft_advertise_host
    return format_address(host, client_socket.getsockname()[1])


def _announce(config: NodeConfig, settings: Settings, directory: DataDirectory, storage: str, log: LogWriter) -> None:
    """The first lines of a log."""
    log.log("info", f"walrus-node {config.version}, process {os.getpid()}, Python {sys.version.split()[0]}")
    log.log("info", f"raft on {settings.raft_host}, told to peers as {config.advertise_address}")
    log.log("info", f"clients on {settings.client_host}, reached at {config.client_address}")
    log.log("info", f"data directory: {directory.path}")
    log.log("info", f"storage driver: {storage}")
    if config.join:
        log.log("info", f"joining through {', '.join(config.join)}")
    for warning in settings.warnings:
        log.log("warn", warning)


def _tune_process() -> None:
    """Interpreter settings for one loop with helper threads.

    A storage thread that comes back from a sync waits for the interpreter lock until the loop blocks or the
    switch interval passes; the default of 5 ms would be longer than the sync itself. The core makes no
    reference cycles per request, so the cyclic collector need look only rarely. A name server that does not
    answer (a network cut off) must cost a dial about a second instead of ten.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.set_threshold(_GC_YOUNG_MAX, 20, 100)
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")


def _raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; return how many clients fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _CLIENTS_MAX + _OTHER_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return _CLIENTS_MAX
    return max(1, min(_CLIENTS_MAX, soft - _OTHER_DESCRIPTORS))
