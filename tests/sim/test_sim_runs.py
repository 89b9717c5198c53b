"""Whole runs, mostly with small nodes instead of the shipped one: right ones pass, each planted bug is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_nodes import LogNode

from walrus.core import wire
from walrus.sim import faults
from walrus.sim.faults import KINDS
from walrus.sim.faults.disk_fault import DiskFault
from walrus.sim.faults.membership import MembershipChurn
from walrus.sim.faults.unlucky_kinds import UnluckyKinds
from walrus.sim.options import Options
from walrus.sim.result import Result
from walrus.sim.runner import command, real_node, run_seed
from walrus.sim.world import MS

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SCRIPT = """
from fake_nodes import LogNode
from walrus.sim.options import Options
from walrus.sim.runner import run_seed
print([run_seed(seed, Options(), factory).trace_hash for factory in (LogNode, None) for seed in (1, 2, 3)])
"""


@pytest.fixture
def sound_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only faults that a single copy can survive."""
    monkeypatch.setattr(faults, "KINDS", tuple(kind for kind in KINDS if not issubclass(kind, DiskFault)))


@pytest.mark.usefixtures("sound_disks")
@pytest.mark.parametrize("seed", range(12))
def test_a_right_node_passes_under_every_mixture_of_faults(seed: int) -> None:
    result = run_seed(seed, Options(nodes=1 + seed % 5), LogNode)
    assert result.violation == ""
    assert result.verdict == "clean"
    assert result.labels["PUT done"] > 2


@pytest.mark.parametrize(("nodes", "seed"), [(1, 1), (2, 1), *((3, n) for n in range(1, 9)), (5, 1), (5, 2)])
def test_the_shipped_node_passes_under_every_mixture_of_faults(nodes: int, seed: int) -> None:
    result = run_seed(seed, Options(nodes=nodes))
    assert result.violation == ""
    assert result.labels["PUT done"] > 0


def find(text: str, kind: type[LogNode], options: Options | None = None) -> Result:
    """The first run with a violation that says ``text``; other properties may break before it."""
    for seed in range(40):
        result = run_seed(seed, options or Options(), kind)
        if text in result.violation:
            return result
    pytest.fail(f"40 seeds did not find the planted bug: {text}")


@pytest.mark.usefixtures("sound_disks")
def test_acknowledging_before_the_write_is_durable_is_found() -> None:
    class Hasty(LogNode):
        acknowledge_early = True

    find("acknowledged record lost", Hasty, Options(faults=("crash",)))


@pytest.mark.usefixtures("sound_disks")
def test_taking_a_repeated_request_twice_is_found() -> None:
    class Forgetful(LogNode):
        forget_requests = True

    find("record doubled", Forgetful)


@pytest.mark.usefixtures("sound_disks")
def test_a_get_that_skips_records_is_found() -> None:
    class Skipping(LogNode):
        skip_in_get = True

    find("GET skipped records", Skipping)


def test_records_forgotten_at_a_restart_are_found() -> None:
    class Amnesiac(LogNode):
        forget_after = 5

    find("acknowledged record lost", Amnesiac, Options(faults=("crash",)))


@pytest.mark.usefixtures("sound_disks")
def test_an_exception_in_a_node_is_a_violation_with_its_traceback() -> None:
    class Broken(LogNode):
        def _serve(self, request: wire.Request, to: object) -> None:
            assert request.verb != wire.GET, "this node has no GET"
            super()._serve(request, to)

    result = find("this node has no GET", Broken)
    assert result.verdict == "violation"
    assert "Traceback" in result.violation


@pytest.mark.usefixtures("sound_disks")
def test_a_node_that_never_answers_is_a_liveness_violation() -> None:
    class Mute(LogNode):
        def _answer(self, to: object, body: bytes) -> None:
            pass

    find("takes no PUT after the faults", Mute)


def test_a_node_that_always_wants_to_be_woken_is_a_liveness_violation() -> None:
    class Spinning(LogNode):
        def next_deadline(self):  # type: ignore[no-untyped-def]
            self.heartbeat_ns = 0
            return super().next_deadline()

    find("something spins", Spinning, Options(max_steps=20_000))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_fault_fires_and_heals(kind: type) -> None:
    options = Options(faults=(kind.name,), fault_ns=2_500 * MS)
    factory = real_node if issubclass(kind, DiskFault | MembershipChurn | UnluckyKinds) else LogNode
    results = [run_seed(seed, options, factory) for seed in range(8)]
    assert [result.violation for result in results] == [""] * 8
    assert sum(result.labels.get(f"fault: {kind.name}", 0) for result in results) > 0
    others = {label for result in results for label in result.labels if label.startswith("fault: ")}
    others = {label for label in others if not label.startswith(f"fault: {kind.name}")}
    assert others == set()


def test_a_run_without_faults_has_none() -> None:
    result = run_seed(5, Options(faults=()), LogNode)
    assert not any(label.startswith("fault: ") for label in result.labels)
    assert not any(label.startswith(("bit: ", "on: ", "undecided: ")) for label in result.labels)
    assert result.labels["PUT done"] > 20


def test_half_of_the_fault_kinds_are_on_in_a_seed() -> None:
    counts = []
    for seed in range(12):
        first = run_seed(seed, Options(fault_ns=1 * MS), LogNode).story[0][1]
        counts.append(sum(kind.name in first.split("faults: ")[1].split(", ") for kind in KINDS))
    assert 0.35 < sum(counts) / len(counts) / len(KINDS) < 0.65
    assert len(set(counts)) > 2


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    first, again, other = (run_seed(seed, Options(), LogNode) for seed in (1, 1, 2))
    assert first == again
    assert first.trace_hash != other.trace_hash


def hashes(python: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    ran = subprocess.run([python, "-c", SCRIPT], env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_hash_randomisation_changes_no_run() -> None:
    assert hashes(sys.executable, "1") == hashes(sys.executable, "2") == hashes(sys.executable, "0")


def other_pythons() -> list[str]:
    """Those that scripts/other_pythons.sh made, or else what is on the path."""
    made = os.environ.get("OTHER_PYTHONS")
    return made.split(":") if made else [f"python3.{minor}" for minor in (11, 12, 13, 14)]


@pytest.mark.parametrize("name", other_pythons())
def test_another_python_version_changes_no_run(name: str) -> None:
    python = shutil.which(name)
    if python is None:
        pytest.skip(f"{name} is not installed")
    needs = subprocess.run(
        [python, "-c", "import msgspec, sortedcontainers"], capture_output=True, text=True, check=False
    )
    if needs.returncode:
        pytest.skip(f"{python} does not run or lacks a package: {needs.stderr.strip().splitlines()[0]}")
    assert hashes(python, "7") == hashes(sys.executable, "7")


def test_the_command_repeats_the_run_with_its_options() -> None:
    assert command(7, Options()) == "walrus-sim --seed 7 --nodes 3"
    options = Options(nodes=5, fault_ns=900 * MS, clients=1, topics=4, max_steps=99, faults=("drop", "crash"))
    assert command(7, options) == (
        "walrus-sim --seed 7 --nodes 5 --duration-ms 900 --clients 1 --topics 4 --steps 99 --faults drop,crash"
    )
