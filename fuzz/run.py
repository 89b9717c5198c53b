"""Feeds mutated corpus files to the targets for a while: ``python -m fuzz.run --seconds 600 [--target journal]``.

The seed is printed first; the same seed, targets and corpus give the same inputs. An input that fails is written
to ``fuzz/failures`` and its traceback ends the run; put it into ``fuzz/corpus/<target>`` to have it replayed.
"""

import argparse
import hashlib
import random
import time
from pathlib import Path
from typing import Final

from fuzz.samples import CORPUS
from fuzz.targets import TARGETS

FAILURES: Final = CORPUS.parent / "failures"
INPUT_BYTES_MAX: Final = 16 * 1024
EDGES: Final = (
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    bytes(4),
    bytes(64),
    b"WREC",
    b"WBLK",
    b"\x91" * 64,
)


def seeds_of(target: str) -> list[bytes]:
    """The corpus of one target, in the order of the file names."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """One to four edits: flipped bits, bytes set, cut, repeated, moved in from ``other`` or from EDGES."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(result) + 1)
        end = min(len(result), at + rng.choice((1, 2, 4, 8, 64, 512)))
        match rng.randrange(7):
            case 0 if at < len(result):
                result[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(result):
                result[at] = rng.randrange(256)
            case 2:
                del result[at:]
            case 3:
                del result[at:end]
            case 4:
                result[at:at] = result[at:end]
            case 5:
                edge = rng.choice(EDGES)
                result[at : at + rng.choice((0, len(edge)))] = edge
            case _:
                start = rng.randrange(len(other) + 1)
                result[at:end] = other[start : start + rng.choice((1, 8, 64, 512))]
    return bytes(result[:INPUT_BYTES_MAX])


def try_one(target: str, data: bytes) -> None:
    """Run the target; keep an input that it does not survive."""
    survived = False
    try:
        TARGETS[target](data)
        survived = True
    finally:
        if not survived:
            path = keep(target, data)
            print(f"{target} failed on {len(data)} bytes, kept as {path}")


def keep(target: str, data: bytes) -> Path:
    folder = FAILURES / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()[:16]
    path.write_bytes(data)
    return path


def run(targets: list[str], seed: int, seconds: float) -> int:
    """Mutate until the time is over; returns how many inputs were tried."""
    rng = random.Random(seed)
    corpus = {target: seeds_of(target) for target in targets}
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        target = targets[tried % len(targets)]
        inputs = corpus[target]
        try_one(target, mutate(rng, rng.choice(inputs), rng.choice(inputs)))
        tried += 1
    return tried


def main() -> None:
    parser = argparse.ArgumentParser(description="Feed mutated corpus files to the fuzz targets.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to run (default 60)")
    parser.add_argument("--target", choices=sorted(TARGETS), help="only this target (default: all in turn)")
    parser.add_argument("--seed", type=int, help="repeat the run with this seed (default: a new one)")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    tried = run([options.target] if options.target else list(TARGETS), seed, options.seconds)
    print(f"{tried} inputs, none failed")


if __name__ == "__main__":
    main()
