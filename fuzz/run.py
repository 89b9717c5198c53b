"""Feeds mutated corpus files to the targets for a while: ``python -m fuzz.run --seconds 600 [--target journal]``.

Inputs that bring a target to an outcome not seen before are mutated further. The seed is printed first; the same seed
and corpus give each target the same inputs, as many as there is time for. An input that fails is cut down, written to
``fuzz/corpus/<target>/failure-<hash>``, where the tests replay it from then on, and the target rests. Exit status: 0
nothing failed, 1 something did, 2 wrong usage.
"""

import argparse
import hashlib
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from fuzz.mutators import mutate
from fuzz.samples import CORPUS
from fuzz.targets import TARGETS, Target

POOL_MAX: Final = 2_000
TURN_SECONDS: Final = 0.1  # of one target before the next has its turn
SHRINK_TRIES: Final = 3_000


class Caught:
    """Keeps whatever a block raises: here an exception of any kind is a finding, not an error of the program."""

    def __init__(self) -> None:
        self.where = ""  # kind and place: two inputs with the same one fail in the same way
        self.report = ""

    def __enter__(self) -> "Caught":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        last = traceback.extract_tb(trace)[-1]
        self.where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        self.report = "".join(traceback.format_exception(kind, error, trace))
        return True


def failure_of(target: Target, data: bytes) -> Caught | None:
    """How ``target`` fails on ``data``; None if it does not."""
    with Caught() as caught:
        target(data)
    return caught if caught.where else None


class Fuzzing:
    """One target: its inputs, its randomness, what it has come to."""

    def __init__(self, name: str, seed: int, inputs: list[bytes], target: Target) -> None:
        self.name = name
        self.tried = 0
        self.outcomes: dict[str, bytes] = {}  # the first input of each
        self.failure: Caught | None = None
        self.failed_on = b""
        self._target = target
        self._rng = random.Random(f"{seed} {name}")
        self._inputs = list(inputs)
        for data in inputs:
            self._try(data)

    def step(self) -> None:
        """Try one more input."""
        rng, inputs = self._rng, self._inputs
        data = mutate(rng, rng.choice(inputs), rng.choice(inputs))
        if self._try(data) and len(inputs) < POOL_MAX:
            inputs.append(data)

    def _try(self, data: bytes) -> bool:
        """Run the target; returns whether the outcome is a new one."""
        self.tried += 1
        outcome = ""
        with Caught() as caught:
            outcome = self._target(data)
        if caught.where:
            self.failure = caught
            self.failed_on = shrunk(data, lambda part: _fails_alike(self._target, part, caught))
        elif outcome not in self.outcomes:
            self.outcomes[outcome] = data
            return True
        return False


def _fails_alike(target: Target, data: bytes, like: Caught) -> bool:
    found = failure_of(target, data)
    return found is not None and found.where == like.where


def shrunk(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """A part of ``data`` that still fails: pieces are taken out, first large ones, then small ones."""
    tries, size = 0, len(data)
    while size:
        at = 0
        while at < len(data) and tries < SHRINK_TRIES:
            tries += 1
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def inputs_of(name: str) -> list[bytes]:
    """The corpus of one target, in the order of the file names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def run(names: list[str], seed: int, seconds: float, targets: dict[str, Target]) -> list[Fuzzing]:
    """Take turns until the time is over, or all targets have failed, or somebody presses Ctrl-C."""
    end = time.monotonic() + seconds
    all_fuzzings = [Fuzzing(name, seed, inputs_of(name), targets[name]) for name in names]
    try:
        while time.monotonic() < end and (sound := [one for one in all_fuzzings if one.failure is None]):
            for fuzzing in sound:
                turn_end = min(end, time.monotonic() + TURN_SECONDS)
                while fuzzing.failure is None and time.monotonic() < turn_end:
                    fuzzing.step()
    except KeyboardInterrupt:
        print("interrupted; so far:")
    return all_fuzzings


def tell(fuzzings: list[Fuzzing], corpus: Path = CORPUS) -> int:
    """Say what was tried, failures last, and put those into the corpus. Returns the exit status."""
    for one in fuzzings:
        print(f"{one.name:17} {one.tried:9} inputs, {len(one.outcomes):4} outcomes")
    failed = [one for one in fuzzings if one.failure is not None]
    for one in failed:
        assert one.failure is not None
        path = corpus / one.name / f"failure-{hashlib.sha256(one.failed_on).hexdigest()[:12]}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(one.failed_on)
        print(f"\n{one.name} failed on {len(one.failed_on)} bytes: {one.failure.where}\n{one.failure.report}")
        print(f"kept as {path}; repeat with: python -m fuzz.run --repeat {path}")
    if not failed:
        print(f"{sum(one.tried for one in fuzzings)} inputs, none failed")
    return 1 if failed else 0


def _corpus_file(text: str) -> Path:
    path = Path(text)
    if path.parent.name not in TARGETS:
        raise argparse.ArgumentTypeError(f"{path}: its folder is not named after a target (--list tells their names)")
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    return path


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return value


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz.run", description="Feed mutated corpus files to the fuzz targets.")
    parser.add_argument("--seconds", type=_seconds, default=60.0, help="how long to run (default 60)")
    parser.add_argument("--target", choices=TARGETS, metavar="NAME", help="only this target (default: all in turn)")
    parser.add_argument("--seed", type=int, help="repeat the run with this seed (default: a new one)")
    parser.add_argument("--list", action="store_true", help="say which targets there are")
    parser.add_argument("--repeat", type=_corpus_file, metavar="FILE", help="run this corpus file only")
    options = parser.parse_args(arguments)
    if options.list:
        for name, target in TARGETS.items():
            print(f"{name:17} {(target.__doc__ or '').strip().splitlines()[0]}")
        return 0
    if options.repeat is not None:
        print(TARGETS[options.repeat.parent.name](options.repeat.read_bytes()))
        return 0
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    return tell(run([options.target] if options.target else list(TARGETS), seed, options.seconds, TARGETS))


if __name__ == "__main__":
    sys.exit(main())
