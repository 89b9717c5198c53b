"""How often a bug shows: estimates from seeds that showed it, with exact (Clopper-Pearson) bounds.

Each seed shows a bug with the same unknown probability p, independently of the others, so the number of seeds until it
shows is geometric. Two ways to end a measurement count: after a fixed number of seeds, or with the seed that showed
the bug for the k-th time; for the latter the last seed is no free one (Lui, 1995, on inverse sampling; the bounds
follow from the binomial tails all the same).
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

_MISTAKE: Final = 0.05  # both sides together: 95 % bounds
_HALVINGS: Final = 60


def bounds(found: int, seeds: int, *, at_last: bool) -> tuple[float, float]:
    """The least and the greatest p that fit the outcome. ``at_last``: it ended with a seed that showed the bug."""
    if not 0 <= found <= seeds or (at_last and not found):
        raise ValueError(f"{found} of {seeds} seeds is no outcome")
    if not seeds:
        return 0.0, 1.0
    half = _MISTAKE / 2
    low = 0.0 if not found else _solve(lambda p: 1 - _at_most(found - 1, seeds, p) - half)
    if at_last:
        free, hits = seeds - 1, found - 1
        high = 1.0 if hits == free else _solve(lambda p: half - _at_most(hits, free, p))
    else:
        high = 1.0 if found == seeds else _solve(lambda p: half - _at_most(found, seeds, p))
    return low, high


def seeds_for(share: float, p: float) -> float:
    """How many seeds show a bug of probability ``p`` with probability ``share``; infinite for p = 0."""
    if p <= 0:
        return math.inf
    return 1.0 if p >= share else float(math.ceil(math.log1p(-share) / math.log1p(-p) - 1e-9))


def share_within(seeds: int, chances: Sequence[float]) -> float:
    """Of bugs with these probabilities, each tried from any seed on: the share that shows within so many seeds."""
    return sum(1 - (1 - p) ** seeds for p in chances) / len(chances)


def seeds_for_share(share: float, chances: Sequence[float]) -> float:
    """The least number of seeds within which that share shows; infinite where it never does."""
    if sum(p > 0 for p in chances) < share * len(chances):
        return math.inf
    most = 1
    while share_within(most, chances) < share:
        most *= 2
        if most > 1 << 40:
            return math.inf
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        if share_within(middle, chances) < share:
            least = middle
        else:
            most = middle
    return float(most)


def _at_most(hits: int, trials: int, p: float) -> float:
    """The chance of at most so many hits, binomial."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if hits >= trials else 0.0
    log_p, log_q, all_ways = math.log(p), math.log1p(-p), math.lgamma(trials + 1)
    return math.fsum(
        math.exp(all_ways - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_p + (trials - k) * log_q)
        for k in range(hits + 1)
    )


def _solve(rising: Callable[[float], float]) -> float:
    """Where a rising function of p is 0."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
