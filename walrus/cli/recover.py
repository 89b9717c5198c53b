"""walrus-cli recover: a cluster that has lost its majority for good goes on with what one node's directory holds."""

import getpass
import os
import random
import re
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from walrus.core.survivor import Fate, Salvage, Survival

_HELP = """Have a cluster that lost its majority FOR GOOD go on with what one node holds. UNSAFE: records may be lost.

DIRECTORY: that of a stopped survivor, such as data/node_1; or a plain copy of one, for a cluster of its own. It becomes
the only member of a cluster with a new id: start the node, then let others join with empty directories. The former
members can never come back: one that is started on its old data is told so and stops.

Never use it while a majority of the nodes can still be started, or their disks found: then there would be two clusters.
If several nodes have survived, inspect them and take the one whose log and copies go farthest.

First it says what it would do and what would be lost, and asks. That it was used, when and by whom, stays in STATE,
METRICS and every node's log. A damaged copy is cut; the file as it was goes to DIRECTORY.damaged.

\b
Exit codes:
  0  done, or nothing to be done
  1  not done: the node runs, its files cannot be used, or the answer was no
"""
_LISTED_MOST: Final = 50
_COPY_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"node_([1-9][0-9]{0,18})")


@click.command(help=_HELP)
@click.argument("directory", metavar="DIRECTORY", type=click.Path(path_type=Path))
@click.option("--yes-i-know-that-records-may-be-lost", "sure", is_flag=True, help="Do not ask.")
def recover(directory: Path, sure: bool) -> None:
    # Imported only here: the other commands, which are the same program, do without all that reads files.
    from walrus.core.storage.recordlog import RecoveryError
    from walrus.core.survivor import NothingToRecover, survive
    from walrus.io.datadir import DataDirectory
    from walrus.io.errors import StartError

    path = directory.resolve()
    named = _NAME.fullmatch(path.name)
    if named is None or not (path / "raft_meta").is_dir():
        raise click.ClickException(f"{directory} is no node's directory: expected one such as data/node_1")
    node = int(named[1])
    try:
        data = DataDirectory(path.parent, node)
    except StartError as error:
        raise click.ClickException(str(error)) from error
    try:
        now_ms = time.time_ns() // 1_000_000
        made = survive(node, data.files(), partial(_read, path), random.SystemRandom(), now_ms, _operator())
        for line in _told(node, made):
            click.echo(line)
        if not sure and not click.confirm("Give up what is lost, for good?"):
            raise click.ClickException("nothing was changed")
        _carry_out(path, made)
    except NothingToRecover as error:
        click.echo(f"Nothing to be done: {error}")
        return
    except RecoveryError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"not finished: {error}; the command may be repeated") from error
    finally:
        data.close()
    click.echo(f"Done. Start node {node}; it leads alone. Others join with empty data directories.")


def _operator() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no name for this user id
        name = f"user {os.getuid()}"
    return f"{name} on {socket.gethostname()}"


def _read(root: Path, path: str, offset: int, length: int) -> bytes:
    with (root / path).open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _told(node: int, made: "Survival") -> list[str]:
    recovery = made.recovery
    fates = [fate for fate in made.fates if fate.lost or fate.damage or fate.taken_in or fate.count is None]
    lines = [
        f"Unsafe recovery of node {node} (storage id {made.storage:016x})",
        f"  cluster {recovery.former:016x} becomes {made.cluster:016x}, of node {node} alone, in term {recovery.term}",
    ]
    for member in made.given_up:
        lines.append(f"  given up for good: node {member.node} ({member.address}, storage id {member.storage:016x})")
    lines += [
        f"  metadata: the {made.uncertain} newest entries of this log may not have been committed, and count now;",
        "    what the others committed and this log lacks (topics, settings, sealed segments, cursors) is lost",
    ]
    for fate in fates[:_LISTED_MOST]:
        lines.append(f"  {fate.topic}:{fate.segment}: {_fate(fate)}")
    if len(fates) > _LISTED_MOST:
        lines.append(f"  ... and {len(fates) - _LISTED_MOST} more segments that are open, lacking or damaged")
    for topic in dict.fromkeys(fate.topic for fate in made.fates):
        own = [fate for fate in made.fates if fate.topic == topic]
        kept, lost = sum(fate.kept for fate in own), sum(fate.lost for fate in own)
        loss = f"{lost} sealed ones are LOST" if lost else "no sealed one is lost"
        lines.append(f"  topic {topic}: {kept} records are here, {loss}")
    return lines


def _fate(fate: "Fate") -> str:
    if fate.taken_in:
        text = f"this log does not know it; its {fate.kept} records here are taken in"
    elif fate.count is None:
        text = f"was not sealed; {fate.kept} records are here, and records that only others had are LOST"
    else:
        text = f"was sealed with {fate.count} records, {fate.kept} are here"
        text += f": {fate.lost} are LOST" if fate.lost else ""
    return text + (f" (the copy is damaged: {fate.damage})" if fate.damage else "")


def _carry_out(path: Path, made: "Survival") -> None:
    """The snapshot first: from its renaming on the old cluster is given up, and the rest may be done again."""
    from walrus.core.storage.catalogue import CATALOGUE_NEW_PATH, CATALOGUE_PATH
    from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH, SNAPSHOT_PATH
    from walrus.io.datadir import sync_directory

    _write(path / SNAPSHOT_NEW_PATH, made.snapshot_file)
    (path / SNAPSHOT_NEW_PATH).rename(path / SNAPSHOT_PATH)
    sync_directory((path / SNAPSHOT_PATH).parent)
    aside = path.with_name(f"{path.name}.damaged")
    for salvage in made.salvages:
        aside.mkdir(exist_ok=True)
        _salvage(path, aside, salvage)
    if made.salvages:
        sync_directory(aside)
        sync_directory(path.parent)
        _write(path / CATALOGUE_NEW_PATH, made.catalogue_file)
        (path / CATALOGUE_NEW_PATH).rename(path / CATALOGUE_PATH)
        sync_directory(path / "user_data")


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _salvage(root: Path, aside: Path, salvage: "Salvage") -> None:
    """Put the sound part in the place of a file, which is kept as it was."""
    path, sound = root / salvage.path, aside / f"{Path(salvage.path).name}.sound"
    if salvage.keep_bytes:
        with path.open("rb") as source, sound.open("wb") as target:
            left = salvage.keep_bytes
            while left and (piece := source.read(min(left, _COPY_BYTES))):
                target.write(piece)
                left -= len(piece)
            target.flush()
            os.fsync(target.fileno())
    else:
        _write(sound, salvage.header)
    if path.exists():  # a second name for the old bytes, of which the renaming then takes the first
        (aside / path.name).unlink(missing_ok=True)
        (aside / path.name).hardlink_to(path)
    sound.rename(path)
