"""Many seeds on all cores: hands out chunks of seeds, adds up what comes back."""

import gc
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType

import msgspec

from walrus.sim.options import Options
from walrus.sim.runner import run_seed

_CHUNK_SEEDS = 8
_PROVE_EVERY = 20  # every so many seeds one is run twice, to prove that it is the same run


class Failure(msgspec.Struct, frozen=True):
    """A seed whose run broke a property."""

    seed: int
    violation: str
    trace_hash: str


class Summary(msgspec.Struct):
    """The sum over some seeds; wall and processor time in seconds."""

    seeds: int = 0
    steps: int = 0
    simulated_ns: int = 0
    busy_s: float = 0.0
    wall_s: float = 0.0
    labels: dict[str, int] = {}
    failures: list[Failure] = []

    def add(self, other: "Summary") -> None:
        """Add what another part of the campaign found."""
        self.seeds += other.seeds
        self.steps += other.steps
        self.simulated_ns += other.simulated_ns
        self.busy_s += other.busy_s
        self.labels = dict(Counter(self.labels) + Counter(other.labels))
        self.failures = sorted([*self.failures, *other.failures], key=lambda failure: failure.seed)


def run_chunk(task: tuple[range, Options]) -> Summary:
    """Run some seeds one after the other in this process."""
    seeds, options = task
    summary = Summary()
    labels: Counter[str] = Counter()
    start = time.process_time()
    gc.disable()  # a run is short: collecting once after it is cheaper than many times while it grows
    gc.freeze()  # nor is there any need to look through the program itself each time
    for seed in seeds:
        result = run_seed(seed, options)
        summary.seeds += 1
        summary.steps += result.steps
        summary.simulated_ns += result.simulated_ns
        labels.update(result.labels)
        violation = result.violation
        if not violation and seed % _PROVE_EVERY == 0:
            again = run_seed(seed, options).trace_hash
            if again != result.trace_hash:
                violation = f"determinism: trace hash {result.trace_hash}, the second time {again}"
        if violation:
            summary.failures.append(Failure(seed, violation, result.trace_hash))
        gc.collect()
    gc.unfreeze()
    gc.enable()
    summary.busy_s = time.process_time() - start
    summary.labels = dict(labels)
    return summary


def run_campaign(
    seeds: range, options: Options, jobs: int, progress: Callable[[Summary, Summary], None]
) -> tuple[Summary, bool]:
    """Run ``seeds`` in ``jobs`` processes; True if all of them were run, False if SIGINT or SIGTERM came.

    ``progress`` is called with the sum so far and the newest part. Call it in the main thread.
    """
    total = Summary()
    start = time.monotonic()
    tasks = [(seeds[first : first + _CHUNK_SEEDS], options) for first in range(0, len(seeds), _CHUNK_SEEDS)]
    finished = True
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for part in _run_all(tasks, jobs):
            total.add(part)
            total.wall_s = time.monotonic() - start
            progress(total, part)
    except KeyboardInterrupt:
        finished = False
    finally:
        signal.signal(signal.SIGTERM, before)
    total.wall_s = time.monotonic() - start
    return total, finished


def _run_all(tasks: list[tuple[range, Options]], jobs: int) -> Iterator[Summary]:
    if jobs == 1:
        yield from map(run_chunk, tasks)
        return
    with multiprocessing.Pool(jobs, initializer=_leave_interrupts_to_the_parent) as pool:
        yield from pool.imap_unordered(run_chunk, tasks)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # how the parent ends this process
