"""walrus-cli recover on a directory: what it writes, and that it is the same whenever it is cut off."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from core_node import World
from survivor_files import WHOLE, copy_of, directory

from fuzz.samples import NODE
from walrus.cli import recover as command
from walrus.cli.client import main
from walrus.core.config import SECOND
from walrus.core.storage.catalogue import Durable

DAMAGED = WHOLE[: len(copy_of("logs", 1, blocks=1)) + 60] + b"?" + WHOLE[len(copy_of("logs", 1, blocks=1)) + 61 :]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The directory of a node whose copy of logs:1 is damaged behind its third record."""
    root = tmp_path / f"node_{NODE}"
    for path, data in directory(copy=DAMAGED, notes=(Durable("logs", 1, 6),)).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def started(node: Path) -> World:
    world = World(NODE)
    paths = [path for path in sorted(node.rglob("*")) if path.is_file() and path.name != "lock"]
    world.files = {str(path.relative_to(node)): path.read_bytes() for path in paths}
    return world.start().sleep(2 * SECOND)


def test_it_cuts_a_damaged_copy_keeps_the_file_as_it_was_and_leaves_a_sound_directory(node: Path) -> None:
    done = run("recover", node, "--yes-i-know-that-records-may-be-lost")
    assert done.exit_code == 0, done.output
    assert (
        "logs:1: was sealed with 6 records, 3 are here: 3 are LOST (the copy is damaged: corrupt block" in done.output
    )
    assert (node.with_name("node_1.damaged") / "logs:1.wal").read_bytes() == DAMAGED
    assert (node / "user_data/logs:1.wal").read_bytes() == copy_of("logs", 1, blocks=1)
    inspected = run("inspect", node)
    assert inspected.exit_code == 0, inspected.output
    assert "unsafe recovery was used at entry 9" in inspected.output
    world = started(node)
    assert world.ask(b"FETCH logs 1 2") == [b"OK 3 ccc"]
    assert world.ask(b"PUT logs after") == [b"OK"]
    assert run("recover", node).output.startswith("Nothing to be done")


def test_it_may_be_given_again_after_it_was_cut_off(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(command, "_salvage", broken)
        cut_off = run("recover", node, "--yes-i-know-that-records-may-be-lost")
    assert cut_off.exit_code == 1
    assert "the command may be repeated" in cut_off.output
    assert run("recover", node, "--yes-i-know-that-records-may-be-lost").exit_code == 0
    world = started(node)
    assert world.ask(b"PUT logs after") == [b"OK"]


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_without_a_yes_nothing_is_changed(node: Path, answer: str) -> None:
    before = {path: path.read_bytes() for path in node.rglob("*") if path.is_file()}
    refused = CliRunner().invoke(main, ["recover", str(node)], input=answer)
    assert refused.exit_code == 1
    assert {path: path.read_bytes() for path in node.rglob("*") if path.is_file() and path.name != "lock"} == before


def test_it_wants_a_nodes_directory(tmp_path: Path) -> None:
    refused = run("recover", tmp_path)
    assert refused.exit_code == 1
    assert "expected one such as data/node_1" in refused.output
