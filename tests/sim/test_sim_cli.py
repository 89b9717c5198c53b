"""``walrus-sim``: what it prints, how it exits, and that wrong usage gets a plain sentence."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fake_nodes import LogNode

from walrus.cli.sim import main
from walrus.core import wire
from walrus.sim import campaign, runner
from walrus.sim.faults import KINDS

QUICK = ["--duration-ms", "300", "--faults", "drop,delay"]  # all that the small nodes can bear


@pytest.fixture
def log_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "real_node", LogNode)


@pytest.fixture
def broken_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(LogNode):
        def _serve(self, request: wire.Request, to: object) -> None:
            assert request.verb != wire.PUT, "this node has no PUT"
            super()._serve(request, to)

    monkeypatch.setattr(runner, "real_node", Broken)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.usefixtures("log_nodes")
def test_a_clean_run_tells_its_story_verdict_and_hash_and_exits_0() -> None:
    result = run("--seed", "3", "--nodes", "3", *QUICK)
    assert result.exit_code == 0, result.output
    assert "node 1 starts for the first time" in result.stdout
    assert "verdict: clean\ntrace hash: " in result.stdout
    assert run("--seed", "3", "--nodes", "3", *QUICK).stdout == result.stdout


@pytest.mark.usefixtures("broken_nodes")
def test_a_violation_prints_the_command_that_repeats_it_and_exits_1() -> None:
    result = run("--seed", "3", *QUICK)
    assert result.exit_code == 1
    assert "this node has no PUT" in result.stdout
    assert result.stdout.endswith(
        "Repeat it with: walrus-sim --seed 3 --nodes 3 --duration-ms 300 --faults drop,delay\n"
    )


@pytest.mark.usefixtures("log_nodes")
def test_the_trace_file_holds_every_event_and_action(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    assert run("--seed", "3", *QUICK, "--trace", str(path)).exit_code == 0
    lines = path.read_text().splitlines()
    assert any(" n1 <- Started(" in line for line in lines)
    assert any(" n1 -> Write(" in line for line in lines)


@pytest.mark.usefixtures("log_nodes")
def test_a_campaign_sums_up_its_seeds() -> None:
    result = run("--seeds", "1..9", "--jobs", "1", *QUICK)
    assert result.exit_code == 0, result.output
    assert "9 of 9 seeds, 0 with a violation" in result.stdout
    assert "9/9 seeds" in result.stderr


@pytest.mark.usefixtures("broken_nodes")
def test_a_campaign_lists_its_failures_first_with_their_commands() -> None:
    result = run("--seeds", "4..5", "--jobs", "1", *QUICK)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("seed 4: exception in a node: AssertionError: this node has no PUT")
    assert lines[1] == "    walrus-sim --seed 4 --nodes 3 --duration-ms 300 --faults drop,delay"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_campaign_prints_what_it_has(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    # Non-interactive shells start background processes, and so their tests, with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    terminated = signal.getsignal(signal.SIGTERM)

    def interrupted(task: object) -> campaign.Summary:
        if parts:
            signal.raise_signal(number)
        parts.append(1)
        return campaign.Summary(seeds=8, steps=100, busy_s=1.0)

    monkeypatch.setattr(campaign, "run_chunk", interrupted)
    try:
        result = run("--seeds", "1..100", "--jobs", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "8 of 100 seeds, 0 with a violation" in result.stdout
    assert result.stdout.endswith("Interrupted.\n")
    assert signal.getsignal(signal.SIGTERM) == terminated


@pytest.mark.usefixtures("broken_nodes")
def test_a_campaign_as_json_has_failures_and_counts() -> None:
    result = run("campaign", "4..5", "--jobs", "1", "--format", "json", *QUICK)
    assert result.exit_code == 1
    summary = json.loads(result.stdout)
    assert next(iter(summary)) == "failures"
    assert [failure["seed"] for failure in summary["failures"]] == [4, 5]
    assert summary["failures"][0]["command"] == "walrus-sim --seed 4 --nodes 3 --duration-ms 300 --faults drop,delay"
    assert summary["seeds"] == 2
    assert summary["finished"] is True


def test_a_fault_that_never_changes_an_outcome_fails_a_campaign(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"on: crash": 50, "fault: crash": 70, "bit: crash": 3, "on: drop": 50, "fault: drop": 900}
    monkeypatch.setattr(campaign, "run_chunk", lambda task: campaign.Summary(seeds=8, steps=1, labels=labels))
    result = run("campaign", "1..8", "--jobs", "1")
    assert result.exit_code == 1
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.startswith(("crash", "drop"))}
    assert rows["crash"].split() == ["crash", "50", "70", "3"]
    assert rows["drop"].endswith("<- never, in so many runs")


@pytest.mark.usefixtures("log_nodes")
def test_one_run_as_json_has_verdict_hash_and_story() -> None:
    result = run("run", "--seed", "3", "--format", "json", *QUICK)
    assert result.exit_code == 0, result.output
    plain = json.loads(result.stdout)
    assert plain["verdict"] == "clean"
    assert len(plain["trace_hash"]) == 32
    assert any("node 1 starts" in text for _, text in plain["story"])


def test_the_faults_are_listed_with_a_sentence_each() -> None:
    result = run("faults")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [kind.name for kind in KINDS]
    assert all(line.split(maxsplit=1)[1].endswith(".") for line in lines)


@pytest.mark.usefixtures("broken_nodes")
def test_shrink_writes_a_scenario_that_replays_and_its_picture(tmp_path: Path) -> None:
    result = run("shrink", "4", "--output", str(tmp_path), "--runs", "60", *QUICK)
    assert result.exit_code == 1, result.output
    path = tmp_path / "scenario-4.json"
    assert f"Repeat it with: walrus-sim replay {path}" in result.stdout
    assert "<html" in (tmp_path / "scenario-4.html").read_text().lower()
    again = run("replay", str(path))
    assert again.exit_code == 0, again.output
    assert "this node has no PUT (as expected)" in again.stdout


@pytest.mark.usefixtures("broken_nodes")
def test_a_scenario_that_ends_otherwise_than_expected_exits_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("shrink", "4", "--output", str(tmp_path), "--runs", "60", *QUICK)
    monkeypatch.setattr(runner, "real_node", LogNode)
    result = run("replay", "--quiet", str(tmp_path / "scenario-4.json"))
    assert result.exit_code == 1
    assert "scenario-4.json: clean (expected: exception in a node" in result.stdout


@pytest.mark.usefixtures("log_nodes")
def test_a_clean_seed_cannot_be_shrunk() -> None:
    result = run("shrink", "3", *QUICK)
    assert (result.exit_code, result.stdout) == (0, "seed 3 is clean: nothing to shrink\n")


@pytest.mark.usefixtures("log_nodes")
def test_show_writes_one_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run("show", "3", "-o", str(page), *QUICK)
    assert result.exit_code == 0, result.output
    assert "<html" in page.read_text().lower()


@pytest.mark.usefixtures("log_nodes")
def test_two_nodes_run_with_a_warning() -> None:
    result = run("--seed", "1", "--nodes", "2", *QUICK)
    assert result.exit_code == 0
    assert "Warning: a cluster of 2 nodes stops when either fails" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nodes", "0"], "0 is not between 1 and 50"),
        (["--nodes", "51"], "51 is not between 1 and 50"),
        (["--nodes", "many"], "'many' is not a valid integer"),
        (["--seed", "abc"], "'abc' is not a whole number from 0 to 18446744073709551615"),
        (["--seed", "-1"], "'-1' is not a whole number"),
        (["--seed", "18446744073709551616"], "is not a whole number"),
        (["--seeds", "5"], "'5' is not a range such as 1..1000"),
        (["--seeds", "9..3"], "'9..3' is empty: 3 is less than 9"),
        (["--seeds", "1..99999999999999999999"], "'99999999999999999999' is not a whole number"),
        (["--seeds", "1..2", "--seed", "1"], "--seeds cannot be combined with --seed"),
        (["--duration-ms", "0"], "0 is not between 1 and 3600000"),
        (["--faults", "gremlins"], "'gremlins' is no fault kind; there are: none, crash, "),
        (["--jobs", "0"], "0 is not between 1 and 1024"),
        (["campaign", "5"], "'5' is not a range such as 1..1000"),
        (["campaign", "1..3", "--nodes", "51"], "51 is not between 1 and 50"),
        (["--nodes", "5", "campaign", "1..3"], "--nodes 5 is for a run: write it behind 'campaign'"),
        (["run", "--format", "xml"], "'xml' is not one of 'text', 'json'"),
        (["shrink", "-4"], "No such option"),
        (["shrink", "3", "--runs", "0"], "0 is not between 1 and 1000000"),
        (["show", "there-is-none.json"], "cannot read there-is-none.json: No such file or directory"),
        (["replay", __file__], "not a whole scenario file"),
        (["replay"], "Missing argument 'FILE...'"),
        (["dance"], "No such command 'dance'"),
    ],
)
def test_wrong_usage_gets_a_plain_sentence_and_exit_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
