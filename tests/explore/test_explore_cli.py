"""``python -m fuzz.explore``: what it says, and how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fuzz.explore import cli
from fuzz.explore.scopes import SCOPES
from fuzz.explore.search import Outcome


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments)


def test_the_list_names_every_scope_and_runs_none() -> None:
    listed = run("--list")
    assert listed.exit_code == 0
    assert [scope.name for scope in SCOPES if scope.name not in listed.output] == []
    found = json.loads(run("--list", "--small", "--format", "json").output)
    assert [entry["name"] for entry in found] == [scope.name for scope in SCOPES if scope.small]


def test_a_scope_that_holds_ends_with_0() -> None:
    ended = run("rollover-failover", "raft-crash")
    assert ended.exit_code == 0
    assert ended.output.count(": complete") == 2


def test_a_scope_that_is_cut_says_so() -> None:
    ended = run("write", "--max-states", "20")
    assert ended.exit_code == 0
    assert ": cut at " in ended.output


def test_a_planted_bug_ends_with_1_and_tells_how_it_came_to_be() -> None:
    ended = run("write", "--bug", "copy-not-durable")
    assert ended.exit_code == 1
    assert "VIOLATED: segment 1: 1 records count as stored ([a]), but only 0 of nodes" in ended.output
    assert "1. the client puts 'a' into segment 1 at node 1" in ended.output


def test_the_table_of_bugs_is_written(tmp_path: Path) -> None:
    file = tmp_path / "RESULTS.md"
    ended = run("rollover-failover", "--bugs", "--table", str(file), "--format", "json")
    assert ended.exit_code == 0
    found = json.loads(ended.output)
    assert [(bug["bug"], bug["caught"]) for bug in found["bugs"]] == [("rollover-unconditional", True)]
    assert "| 5 rollover | rollover-unconditional | rollover-failover |" in file.read_text()
    assert "| rollover-failover | 2 (2 in the set) |" in file.read_text()


def test_a_bug_that_is_not_caught_ends_with_1() -> None:
    ended = run("rollover-failover", "--bugs", "--max-states", "1")
    assert ended.exit_code == 1
    assert "NOT CAUGHT" in ended.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "'nowhere' is no scope; --list shows them"),
        (["--max-states", "0"], "--max-states 0 is not between 1 and"),
        (["--bug", "none"], "'none' is no planted bug"),
        (["--table", "/nowhere/at/all"], "cannot write /nowhere/at/all: No such file or directory"),
    ],
)
def test_bad_arguments_end_with_2_and_say_what_would_be_right(arguments: list[str], complaint: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert complaint in " ".join(ended.output.replace("│", " ").split())


def test_an_interrupted_run_tells_what_it_has_and_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def explore(scope: object, *_: object, **__: object) -> Outcome:
        if done:
            raise KeyboardInterrupt
        done.append(scope)
        return Outcome("write", 1, 0, 0, 0.0, 1, True)

    done: list[object] = []
    monkeypatch.setattr(cli, "explore", explore)
    ended = run()
    assert ended.exit_code == 130
    assert ended.output.count(": complete") == 1
    assert "Interrupted." in ended.output
