"""``walrus-node``: one node of a cluster.

Exit codes: 0 after a clean shutdown (SIGTERM, SIGINT), 1 when it cannot start or had to stop, 2 for an
impossible flag or environment variable.
"""

import os
from pathlib import Path

import click

from walrus import __version__
from walrus.cli.settings import Flags, SettingError, disables_io_uring, read_settings
from walrus.io.errors import StartError
from walrus.io.runtime import run_node
from walrus.io.storage_choice import choose

_PORT = click.IntRange(0, 65_535)
_NODE_ID = click.IntRange(1, 2**32 - 2)
_ENVIRONMENT = """
\b
Environment (defaults in brackets):
  WALRUS_LOG, RUST_LOG         log level: debug, info, warn, error [info]
  WALRUS_MAX_SEGMENT_ENTRIES   records before a segment rolls over [1000000]
  WALRUS_MAX_SEGMENT_BYTES     bytes before a segment rolls over [1073741824]
  WALRUS_MONITOR_CHECK_MS      interval of the rollover monitor [10000]
  WALRUS_RPC_TIMEOUT_MS        how long a request may wait for a leader [5000]
  WALRUS_MAX_FRAME_BYTES       largest request of a client [16777216]
  WALRUS_DURABILITY            of topics made through this node that are given none: always,
                               interval:<ms> or never [always]
  WALRUS_DISABLE_IO_URING      anything but 0: write through mmap, not io_uring
  WALRUS_HEARTBEAT_MS          interval of a leader's heartbeats [40]
  WALRUS_LEASE_MS              how long a heartbeat's answer keeps a lease [400]
  WALRUS_ELECTION_TIMEOUT_MS   shortest silence before an election [400]
"""


def _show_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """Say which version this is, and which storage driver a node would use here and why."""
    if asked:
        click.echo(f"walrus-node, version {__version__}")
        click.echo(f"storage driver: {choose(disables_io_uring(os.environ))}")
        context.exit()


@click.command(epilog=_ENVIRONMENT, context_settings={"show_default": True})
@click.option("--node-id", type=_NODE_ID, default=1, help="Unique number of this node.")
@click.option("--data-dir", type=click.Path(path_type=Path), default="./data", help="Root directory for storage.")
@click.option("--raft-port", type=_PORT, default=6000, help="Port for other nodes.")
@click.option("--raft-host", default="127.0.0.1", help="Address to listen on for other nodes.")
@click.option("--raft-advertise-host", help="Host that other nodes are told.  [default: --raft-host]")
@click.option("--client-port", "--port", type=_PORT, default=8080, help="Port for clients.")
@click.option("--client-host", default="127.0.0.1", help="Address to listen on for clients.")
@click.option("--join", multiple=True, metavar="HOST:PORT", help="Raft address of an existing node; repeatable.")
@click.option(
    "--initial-peer",
    multiple=True,
    metavar="HOST:PORT",
    help="Raft address of a peer; repeatable. Node 1 asks it before it starts a cluster.",
)
@click.option("--log-file", type=click.Path(path_type=Path), help="Log file, reopened on SIGHUP.  [default: stdout]")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Version, storage driver.",
)
def main(
    node_id: int,
    data_dir: Path,
    raft_port: int,
    raft_host: str,
    raft_advertise_host: str | None,
    client_port: int,
    client_host: str,
    join: tuple[str, ...],
    initial_peer: tuple[str, ...],
    log_file: Path | None,
) -> None:
    """Run one node of a Walrus cluster until SIGTERM or Ctrl-C.

    A fresh node 1 without --join starts a new cluster with the topic "logs", unless an --initial-peer belongs to one
    already; other nodes --join one.
    """
    flags = Flags(
        node_id=node_id,
        data_dir=data_dir,
        raft_port=raft_port,
        raft_host=raft_host,
        raft_advertise_host=raft_advertise_host,
        client_port=client_port,
        client_host=client_host,
        join=join,
        initial_peers=initial_peer,
        log_file=log_file,
    )
    try:
        config, settings = read_settings(flags, os.environ)
    except SettingError as error:
        raise click.UsageError(str(error)) from error
    try:
        exit_code = run_node(config, settings)
    except StartError as error:
        click.echo(f"walrus-node: {error}", err=True)
        exit_code = 1
    raise SystemExit(exit_code)
