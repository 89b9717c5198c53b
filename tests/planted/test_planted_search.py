"""The search for a bug, and the command that runs it, on bugs and runs made up for the purpose."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fuzz.planted import cli, measure, shrinking
from fuzz.planted.bug import Bug, Edit
from fuzz.planted.catalogue import BUGS
from fuzz.planted.measure import Finding, Plan, Sighting, run_chunk
from walrus.core.lease import Lease
from walrus.sim.options import Options
from walrus.sim.result import Result as RunResult
from walrus.sim.runner import run_scenario
from walrus.sim.scenario import decode

ENDLESS = next(bug for bug in BUGS if bug.name == "endless-lease")
SOUND = Lease.valid.__code__


def outcome(seed: int, violation: str = "") -> RunResult:
    return RunResult(seed=seed, violation=violation, trace_hash="", steps=1, simulated_ns=1, labels={})


def sightings(*seeds: int, sound: tuple[int, ...] = ()) -> list[Sighting]:
    return [Sighting(seed, "leases", "leases: two", seed in sound) for seed in seeds]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int, bool]]]:
    """Runs fail at seeds divisible by 3 where the bug is planted, and at 9 in any case. (seed, nodes, planted)."""
    seen: list[tuple[int, int, bool]] = []

    def run(seed: int, options: Options) -> RunResult:
        planted = Lease.valid.__code__ is not SOUND
        seen.append((seed, options.nodes, planted))
        fails = seed == 9 or (planted and seed % 3 == 0)
        return outcome(seed, f"leases: node {seed} and another" if fails else "")

    monkeypatch.setattr(measure, "run_seed", run)
    yield seen
    assert Lease.valid.__code__ is SOUND


def test_a_chunk_runs_its_seeds_with_the_bug_and_the_failing_ones_once_more_without(
    runs: list[tuple[int, int, bool]],
) -> None:
    found = run_chunk("endless-lease", range(2, 10), Plan(nodes=(3, 5)))
    assert [(sighting.seed, sighting.broken, sighting.sound) for sighting in found] == [
        (3, "leases", False),
        (6, "leases", False),
        (9, "leases", True),
    ]
    assert runs == [(seed, 5 if seed % 2 else 3, True) for seed in range(2, 10)] + [
        (3, 5, False),
        (6, 3, False),
        (9, 5, False),
    ]


def test_seeds_are_counted_up_to_the_last_sighting_that_was_asked_for() -> None:
    finding = Finding(ENDLESS, Plan(seeds=100, enough=2))
    finding.take(range(1, 5), sightings(2))
    assert not finding.done
    finding.take(range(5, 9), sightings(6, 7))
    assert (finding.seeds, [s.seed for s in finding.sightings], finding.at_last, finding.done) == (
        6,
        [2, 6],
        True,
        True,
    )


def test_a_search_without_enough_sightings_ends_with_its_seeds() -> None:
    finding = Finding(ENDLESS, Plan(seeds=6, enough=2))
    finding.take(range(1, 5), sightings(2))
    finding.take(range(5, 9), [])
    assert (finding.seeds, finding.done, finding.at_last, finding.chance) == (6, True, False, 1 / 6)


def test_a_seed_that_fails_without_the_bug_as_well_is_noise() -> None:
    finding = Finding(ENDLESS, Plan(seeds=6, enough=2))
    finding.take(range(1, 5), sightings(2, 3, sound=(2,)))
    assert ([s.seed for s in finding.sightings], [s.seed for s in finding.noise]) == ([3], [2])


def test_an_exception_in_a_node_is_told_from_a_broken_property() -> None:
    assert Sighting(1, "exception in a node: AssertionError: x", "").crashed
    assert not Sighting(1, "leases", "").crashed


def in_seeds_order(jobs: int) -> Finding:
    """A small real search."""
    bug = next(bug for bug in BUGS if bug.name == "commit-goes-back")
    [finding], finished = measure.measure([bug], Plan(nodes=(3,), seeds=8, enough=2), jobs, lambda _: None)
    assert finished
    return finding


def test_what_is_found_does_not_depend_on_the_number_of_processes() -> None:
    alone, many = in_seeds_order(1), in_seeds_order(3)
    assert alone.sightings
    assert (alone.seeds, alone.sightings) == (many.seeds, many.sightings)


def test_an_interrupted_search_tells_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(pool: object, searches: list[measure._Search], jobs: int, progress: object) -> None:
        searches[0].came_back(range(1, 5), sightings(2))
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "_run", interrupt)
    [finding], finished = measure.measure([ENDLESS], Plan(seeds=50, enough=2), 1, lambda _: None)
    assert (finished, finding.seeds, len(finding.sightings)) == (False, 4, 1)


def test_chunks_that_come_back_out_of_order_are_counted_in_order() -> None:
    search = measure._Search(Finding(ENDLESS, Plan(seeds=12, enough=5)))
    search.came_back(range(5, 9), sightings(6))
    assert search.finding.seeds == 0
    search.came_back(range(1, 5), sightings(1))
    assert (search.finding.seeds, [s.seed for s in search.finding.sightings]) == (8, [1, 6])


# --- the command ---

Command = Callable[..., Result]


WAITING = Bug("slow-light", 8, "Light is too slow.", "physics", False, waits_for="faster light")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs it with searches that find endless leases at every other seed, and nothing else."""

    def found(bugs: list[Bug], plan: Plan, jobs: int, progress: measure.Progress) -> tuple[list[Finding], bool]:
        findings = [Finding(bug, plan) for bug in bugs]
        for finding in findings:
            seeds = range(1, plan.seeds + 1)
            finding.take(seeds, sightings(*seeds[::2]) if finding.bug is ENDLESS else [])
            progress(finding)
        return findings, jobs != 7

    monkeypatch.setattr(cli, "measure", found)
    monkeypatch.setattr(cli, "BUGS", (*BUGS, WAITING))
    return lambda *arguments: CliRunner().invoke(cli.main, list(arguments))


def test_a_bug_that_is_found_is_told_with_its_bounds(command: Command) -> None:
    result = command("endless-lease", "--seeds", "10", "--enough", "3")
    assert result.exit_code == 0
    [line] = [line for line in result.stdout.splitlines() if "endless-lease" in line]
    assert "3 in      5 seeds  expected 2 (1 to 7), 95 % within 4; leases (3)" in line


def test_a_bug_that_is_not_found_is_a_hole(command: Command) -> None:
    result = command("endless-lease", "dirty-read", "--seeds", "10")
    assert result.exit_code == 1
    assert "not found, so a hole in faults, workload or checkers: dirty-read" in result.stdout


def test_a_number_names_all_bugs_of_it_and_those_that_wait_are_told(command: Command) -> None:
    result = command("8", "4", "--seeds", "1")
    assert "readded-member" in result.stdout
    assert "slow-light                   waits for faster light" in result.stdout
    assert "silent-learner" in result.stdout
    assert "stale-leader-untold" in result.stdout


def test_the_list_shows_all_bugs_and_runs_none(command: Command) -> None:
    text, data = command("--list"), command("--list", "--format", "json")
    assert (text.exit_code, data.exit_code) == (0, 0)
    assert [entry["name"] for entry in json.loads(data.stdout)] == [bug.name for bug in (*BUGS, WAITING)]
    assert all(bug.name in text.stdout and bug.says in text.stdout for bug in BUGS)


def test_json_tells_everything_that_is_known_of_a_bug(command: Command) -> None:
    result = command("endless-lease", "dirty-read", "8", "--seeds", "4", "--format", "json")
    told = json.loads(result.stdout)
    rows = {row["name"]: row for row in told["bugs"]}
    assert rows["endless-lease"]["found"] == 2
    assert rows["endless-lease"]["expected_seeds"] == 2.0
    assert rows["dirty-read"]["seeds_for_95_percent"] is None
    assert [bug["name"] for bug in told["waiting"]] == ["slow-light"]
    assert told["finished"]


def test_the_table_names_its_circumstances(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    arguments = ["--nodes", "3", "--date", "2026-11-24", "--machine", "a machine", "--table", str(path)]
    command("endless-lease", "dirty-read", "8", "--seeds", "10", *arguments)
    text = path.read_text(encoding="utf-8")
    assert "clusters of 3 nodes in turn; seeds from 1 on, up to 10 or 20 sightings; a machine; 2026-11-24." in text
    assert "| endless-lease | own | ● | 10 | 5 | 2 (1 to 5) | 5 |  |  | leases (5) |" in text
    assert "**not found**" in text
    assert "waits for faster light" in text


def test_a_sighting_is_shrunk_to_a_scenario_that_is_clean_without_the_bug(tmp_path: Path) -> None:
    plan = Plan(nodes=(3,), seeds=20, enough=1)
    bug = next(bug for bug in BUGS if bug.name == "seal-before-drain")
    findings, _ = measure.measure([bug], plan, 1, lambda finding: None)
    [small] = shrinking.shrink_all(findings, tmp_path, 1, lambda small: None)
    assert small.deeds < small.deeds_before
    assert small.runs > 1
    scenario = decode((tmp_path / "seal-before-drain.json").read_text(encoding="utf-8"), "the file")
    assert len(scenario.steps) == small.deeds
    assert scenario.expect == shrinking.CLEAN
    assert run_scenario(scenario).violation == ""
    with bug.planted():
        assert run_scenario(scenario).violation
    assert f"median {small.deeds} deeds" in shrinking.figure([small])


def test_an_interrupt_tells_what_is_known_and_is_no_success(command: Command) -> None:
    result = command("endless-lease", "--jobs", "7")
    assert result.exit_code == 130
    assert "endless-lease" in result.stdout
    assert "Interrupted." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no-such-bug"], "'no-such-bug' is no planted bug"),
        (["23"], "'23' is no planted bug"),
        (["--seeds", "0"], "--seeds 0 is not between 1"),
        (["--seeds", "x"], "not a valid integer"),
        (["--enough", "0"], "--enough 0 is not between"),
        (["--first-seed", "-1"], "--first-seed -1"),
        (["--jobs", "0"], "--jobs 0 is not between"),
        (["--nodes", "3,"], "--nodes '3,' is not a list"),
        (["--nodes", "0"], "--nodes '0' is not a list"),
        (["--nodes", "51"], "--nodes '51' is not a list"),
        (["--format", "xml"], "xml"),
        (["--table", "no/such/folder/t.md"], "cannot write no/such/folder/t.md: No such file"),
    ],
)
def test_bad_input_is_a_plain_sentence_and_status_2(command: Command, arguments: list[str], complaint: str) -> None:
    result = command(*arguments)
    assert (result.exit_code, complaint in result.output) == (2, True)
    assert "Traceback" not in result.output


def test_a_bug_that_does_not_fit_the_core_is_a_plain_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = Bug("stale", 0, "Says.", "here", False, (Edit(Lease.valid, "gone", ""),))
    monkeypatch.setattr(cli, "BUGS", (stale,))
    result = CliRunner().invoke(cli.main, ["stale"])
    assert (result.exit_code, "Lease.valid has changed" in result.output) == (2, True)
