"""Runs seeds with a bug in the core until it has shown often enough, on all cores.

What counts for a bug depends on the seeds only, not on the number of processes: seeds are counted in their order, up to
the one that showed the bug for the last time that was asked for.
"""

import gc
import re
import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Final

import msgspec

from fuzz.planted.bounds import bounds
from fuzz.planted.bug import Bug, changed_code
from fuzz.planted.catalogue import BUGS
from walrus.sim.options import Options
from walrus.sim.result import EXCEPTION
from walrus.sim.runner import run_seed

_CHUNK_SEEDS: Final = 4
_NUMBER: Final = re.compile(r"\d+")
_BY_NAME: Final = {bug.name: bug for bug in BUGS}


class Sighting(msgspec.Struct, frozen=True):
    """A seed whose run went wrong. ``sound``: it goes wrong without the bug as well, and shows nothing."""

    seed: int
    broken: str  # the property, in the first words of the violation; # stands for any number
    text: str
    sound: bool = False

    @property
    def crashed(self) -> bool:
        """An exception in a node, not a property that a checker watches."""
        return self.broken.startswith(EXCEPTION)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``nodes``: cluster sizes, in turn from seed to seed. ``enough``: so many sightings end the search for a bug."""

    nodes: tuple[int, ...] = (3, 5)
    first_seed: int = 1
    seeds: int = 1000
    enough: int = 20

    def options(self, seed: int, bug: Bug) -> Options:
        """What ``seed`` runs with."""
        return Options(nodes=self.nodes[seed % len(self.nodes)], lost_majority=bug.lost_majority)


class Finding(msgspec.Struct):
    """What is known of a bug. ``noise``: seeds that go wrong without it."""

    bug: Bug
    plan: Plan
    seeds: int = 0
    sightings: list[Sighting] = []
    noise: list[Sighting] = []

    @property
    def at_last(self) -> bool:
        """The search ended with a sighting."""
        return len(self.sightings) >= self.plan.enough

    @property
    def done(self) -> bool:
        """Nothing more is to be run."""
        return self.at_last or self.seeds >= self.plan.seeds

    @property
    def chance(self) -> float:
        """The share of the seeds that showed the bug."""
        return len(self.sightings) / self.seeds if self.seeds else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % bounds on the probability that a seed shows it."""
        return bounds(len(self.sightings), self.seeds, at_last=self.at_last)

    @property
    def caught_by(self) -> list[tuple[str, int]]:
        """Which properties were seen broken, the most frequent first."""
        return Counter(sighting.broken for sighting in self.sightings).most_common()

    def take(self, ran: range, sightings: list[Sighting]) -> None:
        """Count a chunk of seeds, the next in order."""
        of_seed = {sighting.seed: sighting for sighting in sightings}
        for seed in ran:
            if self.done:
                return
            self.seeds += 1
            sighting = of_seed.get(seed)
            if sighting is not None:
                (self.noise if sighting.sound else self.sightings).append(sighting)


def run_chunk(name: str, seeds: range, plan: Plan) -> list[Sighting]:
    """Run some seeds with a bug in this process, and those that went wrong once more without it."""
    found = []
    gc.disable()  # a run is short: collecting once after it is cheaper than many times while it grows
    bug = _BY_NAME[name]
    with bug.planted():
        for seed in seeds:
            result = run_seed(seed, plan.options(seed, bug))
            if result.violation:
                found.append(Sighting(seed, _NUMBER.sub("#", result.property_broken), result.violation))
            gc.collect(0)
    found = [
        msgspec.structs.replace(
            sighting, sound=bool(run_seed(sighting.seed, plan.options(sighting.seed, bug)).violation)
        )
        for sighting in found
    ]
    gc.enable()
    gc.collect()
    return found


Progress = Callable[[Finding], None]


class _Search:
    """One bug: which seeds are out, and what came back before its turn."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        plan = finding.plan
        end = plan.first_seed + plan.seeds
        self.chunks = deque(
            range(start, min(start + _CHUNK_SEEDS, end)) for start in range(plan.first_seed, end, _CHUNK_SEEDS)
        )
        self._back: dict[int, tuple[range, list[Sighting]]] = {}
        self._next = plan.first_seed

    def came_back(self, ran: range, sightings: list[Sighting]) -> None:
        """Count what is complete up to here."""
        self._back[ran.start] = (ran, sightings)
        while self._next in self._back:
            chunk, found = self._back.pop(self._next)
            self._next = chunk.stop
            self.finding.take(chunk, found)


def measure(bugs: Sequence[Bug], plan: Plan, jobs: int, progress: Progress) -> tuple[list[Finding], bool]:
    """What is found of each bug, and whether that is all (False: interrupted, and this is what was known by then).

    Raises :class:`fuzz.planted.bug.CannotPlant`, before anything runs, where a bug does not fit the core any more.
    """
    for bug in bugs:
        changed_code(bug)
    findings = [Finding(bug, plan) for bug in bugs]
    searches = [_Search(finding) for finding in findings]
    pool = ProcessPoolExecutor(jobs, initializer=_leave_interrupts_to_the_parent)
    try:
        _run(pool, searches, jobs, progress)
    except KeyboardInterrupt:
        return findings, False
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return findings, True


def _run(pool: ProcessPoolExecutor, searches: list[_Search], jobs: int, progress: Progress) -> None:
    out: dict[Future[list[Sighting]], tuple[_Search, range]] = {}
    while True:
        for search in searches:
            while len(out) < 2 * jobs and search.chunks and not search.finding.done:
                chunk = search.chunks.popleft()
                plan = search.finding.plan
                out[pool.submit(run_chunk, search.finding.bug.name, chunk, plan)] = (search, chunk)
        if not out:
            return
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            search, chunk = out.pop(future)
            if not search.finding.done:
                search.came_back(chunk, future.result())
                progress(search.finding)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
