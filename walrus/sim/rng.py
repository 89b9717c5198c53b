"""The simulator's own random numbers: SplitMix64 (Steele, Lea, Flood 2014) in integers.

Python does not promise the same draws across versions for everything in :mod:`random`; a seed must mean the
same run everywhere, so nothing here depends on the version. Every user draws from a sub-stream of its own
(:meth:`Rng.stream`), so one more draw in one place shifts nothing elsewhere.
"""

import hashlib
from collections.abc import MutableSequence, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_MASK: Final = (1 << 64) - 1
_GAMMA: Final = 0x9E3779B97F4A7C15
_TO_UNIT: Final = 2.0**-53


class Rng:
    """A generator with the methods of ``random.Random`` that the core and the simulator use."""

    __slots__ = ("_seed", "_state")

    def __init__(self, seed: int) -> None:
        self._seed = seed & _MASK
        self._state = self._seed

    def stream(self, name: str) -> "Rng":
        """An independent generator that depends on this one's seed and ``name`` only, never on draws made."""
        digest = hashlib.blake2b(name.encode(), key=self._seed.to_bytes(8, "little"), digest_size=8).digest()
        return Rng(int.from_bytes(digest, "little"))

    def next64(self) -> int:
        """64 random bits."""
        self._state = z = (self._state + _GAMMA) & _MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def random(self) -> float:
        """A float in [0, 1) with 53 random bits."""
        return (self.next64() >> 11) * _TO_UNIT

    def getrandbits(self, k: int) -> int:
        """``k`` random bits."""
        if k <= 64:
            return self.next64() >> (64 - k)
        data = self.randbytes(-(-k // 8))
        return int.from_bytes(data, "little") >> (-k % 8)

    def randrange(self, start: int, stop: int | None = None) -> int:
        """A whole number from ``start`` (or 0) up to, not including, the end. The bias is below n / 2**64."""
        if stop is None:
            start, stop = 0, start
        if stop <= start:
            raise ValueError(f"empty range for randrange: {start} to {stop}")
        return start + (self.next64() * (stop - start) >> 64)

    def randint(self, a: int, b: int) -> int:
        """A whole number from ``a`` to ``b``, both included."""
        return self.randrange(a, b + 1)

    def uniform(self, a: float, b: float) -> float:
        """A float between ``a`` and ``b``."""
        return a + (b - a) * self.random()

    def chance(self, per_million: int) -> bool:
        """True with a probability given in millionths."""
        return self.next64() * 1_000_000 >> 64 < per_million

    def choice(self, seq: Sequence[T]) -> T:
        """One element of a sequence that is not empty."""
        if not seq:
            raise IndexError("cannot choose from an empty sequence")
        return seq[self.next64() * len(seq) >> 64]

    def shuffle(self, x: MutableSequence[T]) -> None:
        """Put a sequence into random order in place (Fisher and Yates)."""
        for i in range(len(x) - 1, 0, -1):
            j = self.next64() * (i + 1) >> 64
            x[i], x[j] = x[j], x[i]

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """``k`` different elements in random order."""
        if not 0 <= k <= len(population):
            raise ValueError(f"cannot sample {k} of {len(population)} elements")
        pool = list(population)
        self.shuffle(pool)
        return pool[:k]

    def randbytes(self, n: int) -> bytes:
        """``n`` random bytes, from one draw that SHAKE-128 stretches."""
        return hashlib.shake_128(self.next64().to_bytes(8, "little")).digest(n)
