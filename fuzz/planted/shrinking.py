"""Makes small what showed a bug: how few deeds are left, and what that took.

What is left is a scenario in which the bug breaks a property; the file says that it ends clean, as it does without the
bug.
"""

import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
from msgspec.structs import replace

from fuzz.planted.catalogue import BUGS
from fuzz.planted.measure import Finding
from walrus.sim.options import Options
from walrus.sim.recorder import Recorder
from walrus.sim.runner import run_seed
from walrus.sim.scenario import Scenario, encode
from walrus.sim.shrink import CannotShrink, Shrinker

RUNS_MAX: Final = 300
SECONDS_MAX: Final = 60.0
CLEAN: Final = "clean"


class Small(msgspec.Struct, frozen=True):
    """What became of the first seed that showed a bug. ``seconds``: of wall time; ``failed``: why nothing did."""

    name: str
    seed: int
    deeds_before: int
    deeds: int
    nodes: int
    runs: int
    seconds: float
    exhausted: bool
    failed: str = ""


def shrink_all(findings: Sequence[Finding], folder: Path, jobs: int, told: Callable[[Small], None]) -> list[Small]:
    """Shrink the first sighting of each bug in ``jobs`` processes, and write the scenarios into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [finding for finding in findings if finding.sightings and not finding.bug.lost_majority]  # two worlds
    with ProcessPoolExecutor(jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        tasks = {}
        for finding in shown:
            seed = finding.sightings[0].seed
            tasks[pool.submit(_shrink, finding.bug.name, seed, finding.plan.options(seed, finding.bug))] = finding.bug
        results = []
        for task in as_completed(tasks):
            small, scenario = task.result()
            results.append(small)
            if scenario is not None:
                (folder / f"{small.name}.json").write_text(encode(scenario), encoding="utf-8")
            told(small)
    order = {finding.bug.name: place for place, finding in enumerate(shown)}
    return sorted(results, key=lambda small: order[small.name])


def _shrink(name: str, seed: int, options: Options) -> tuple[Small, Scenario | None]:
    """In a process of its own."""
    bug = next(bug for bug in BUGS if bug.name == name)
    start = time.monotonic()
    recorder = Recorder()
    with bug.planted():
        result = run_seed(seed, options, watch=recorder.watch)
        whole = recorder.scenario(seed, f"{bug.says} Found as: {result.property_broken}", result.property_broken)
        try:
            shrinker = Shrinker(whole, None, RUNS_MAX, lambda: time.monotonic() - start < SECONDS_MAX)
        except CannotShrink as error:
            return Small(name, seed, len(whole.steps), len(whole.steps), options.nodes, 1, 0.0, False, str(error)), None
        shrinker.run()
    small = shrinker.scenario
    found = Small(
        name=name,
        seed=seed,
        deeds_before=len(whole.steps),
        deeds=len(small.steps),
        nodes=small.setup.nodes,
        runs=shrinker.runs,
        seconds=time.monotonic() - start,
        exhausted=shrinker.exhausted,
    )
    return found, replace(small, expect=CLEAN)


def line(small: Small) -> str:
    """One bug on one line."""
    if small.failed:
        return f"{small.name:28} seed {small.seed}: {small.failed}"
    text = (
        f"{small.name:28} {small.deeds_before:5} deeds to {small.deeds:3} on {small.nodes} nodes "
        f"in {small.runs:3} runs and {small.seconds:4.1f} s"
    )
    return text + ("; the budget ended it" if small.exhausted else "")


def figure(smalls: Sequence[Small]) -> str:
    """The medians over all bugs that could be shrunk."""
    shrunk = [small for small in smalls if not small.failed]
    if not shrunk:
        return "shrinking: nothing was shrunk"
    deeds, runs, seconds = (
        median(values) for values in ([s.deeds for s in shrunk], [s.runs for s in shrunk], [s.seconds for s in shrunk])
    )
    return (
        f"shrinking: median {deeds:.0f} deeds, {runs:.0f} runs, {seconds:.1f} s over {len(shrunk)} of {len(smalls)} "
        f"bugs; {sum(s.exhausted for s in shrunk)} ended by the budget of {RUNS_MAX} runs and {SECONDS_MAX:.0f} s"
    )
