"""Asks nodes, dials their ports, looks at this machine; prints what :mod:`walrus.cli.doctor.findings` makes of it."""

import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from walrus.cli.doctor.findings import OK, WRONG, Answer, Finding, Seen, disk_finding, driver_finding, judge
from walrus.client.address import Address, parse_address
from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient

_TIMEOUT_S_MAX = 5.0

_HELP = """Say what is wrong with a cluster, and what to do about it.

Asks the nodes at --addr (given before "doctor") and all that they know of: addresses and ports, leader and leases,
clocks, versions, disks, storage drivers.

With --listen or --data-dir it looks at this machine before a node starts here; the cluster is then only asked if --addr
was given.

\b
Exit codes:
  0  nothing is wrong; there may be warnings
  1  something is
"""


@click.command(help=_HELP)
@click.option(
    "--listen", metavar="HOST:PORT", multiple=True, help="An address that a node is to listen on here; repeatable."
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="A data directory that a node is to use here.")
@click.option("--quiet", is_flag=True, help="Leave out what is as it should be.")
@click.pass_context
def doctor(ctx: click.Context, listen: tuple[str, ...], data_dir: Path | None, quiet: bool) -> None:
    group = ctx.parent
    assert group is not None
    findings: list[Finding] = []
    for text in listen:
        findings.append(_can_listen(_address(text, ctx)))
    if data_dir is not None:
        findings += _data_directory(data_dir)
    local = bool(listen) or data_dir is not None
    if not local or group.get_parameter_source("addresses") is not ParameterSource.DEFAULT:
        findings += judge(_look(group.params["addresses"], min(group.params["timeout_s"], _TIMEOUT_S_MAX)))
    for finding in findings:
        if finding.level != OK or not quiet:
            click.echo(f"{finding.level:8}{finding.subject:9}{finding.text}")
    wrong = sum(finding.level == WRONG for finding in findings)
    click.echo(f"{wrong} wrong" if wrong else "nothing is wrong")
    raise SystemExit(1 if wrong else 0)


def _address(text: str, ctx: click.Context) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}", ctx) from None


# --- a cluster ---


def _look(addresses: Sequence[str], timeout_s: float) -> Seen:
    """Ask the nodes at ``addresses``, then those that they name and that were not among them."""
    answers = [_ask(address, timeout_s) for address in dict.fromkeys(addresses)]
    heard = {answer.metrics["id"] for answer in answers if answer.metrics is not None}
    named: dict[int, str] = {}
    for answer in answers:
        for node, address in (answer.metrics["client_addresses"] if answer.metrics is not None else {}).items():
            named[int(node)] = address
    asked = {answer.address for answer in answers}
    for node, address in sorted(named.items()):
        if node not in heard and address not in asked:
            answers.append(_ask(address, timeout_s))
    seen = Seen(answers)
    members = [node["membership_config"]["membership"]["nodes"].values() for node in seen.nodes]
    dialled = dict.fromkeys(member["addr"] for each in members for member in each)
    return Seen(answers, {address: _dial(address, timeout_s) for address in dialled})


def _ask(address: str, timeout_s: float) -> Answer:
    problem = _dial(address, timeout_s)
    if problem:
        return Answer(address, problem=problem)
    try:
        with WalrusClient([address], timeout_s) as client:
            asked_s = time.time()
            metrics, answered_s = client.metrics(), time.time()
    except WalrusError as error:
        return Answer(address, problem=f"it accepts connections but does not answer as a Walrus node does: {error}")
    if "build" not in metrics:
        version = metrics.get("version", "unknown")
        return Answer(address, problem=f"its version, {version}, tells too little for this walrus-cli: upgrade it")
    return Answer(address, metrics, asked_s, answered_s)


def _dial(address: str, timeout_s: float) -> str:
    """Why nobody can be reached there, and what to look at; "" if somebody can."""
    try:
        socket.create_connection(parse_address(address), timeout_s).close()
    except socket.gaierror:
        return f"the name in {address} does not resolve on this machine: check the name, /etc/hosts or the DNS"
    except ConnectionRefusedError:
        return "nobody listens there: does the node run, and with this port and a host that this machine reaches?"
    except TimeoutError:
        return f"no answer within {timeout_s:g} s: is a firewall between, or does the machine not run?"
    except (OSError, ValueError) as error:  # ValueError: no address, or a host that no name can be
        return getattr(error, "strerror", None) or str(error)
    return ""


# --- this machine ---


def _can_listen(address: Address) -> Finding:
    # Imported only here: the other commands, which are the same program, do without the runtime.
    from walrus.io.errors import StartError
    from walrus.io.listener import listen

    try:
        listen(address.host, address.port, "port").close()
    except StartError as error:
        return Finding(WRONG, "port", str(error))
    return Finding(OK, "port", f"{address} is free")


def _data_directory(path: Path) -> Iterator[Finding]:
    from walrus.cli.settings import disables_io_uring
    from walrus.io.storage_choice import choose

    there = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if not there.is_dir():
        yield Finding(WRONG, "disk", f"{there} is not a directory: give another --data-dir")
    elif not os.access(there, os.W_OK | os.X_OK):
        yield Finding(WRONG, "disk", f"this user may not write to {there}: change its owner or give another --data-dir")
    else:
        system = os.statvfs(there)
        yield disk_finding(f"the disk of {path}", system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize)
    choice = choose(disables_io_uring(os.environ))
    yield driver_finding("a node here", choice.name, choice.reason)
