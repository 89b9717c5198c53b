"""Estimates of how many seeds a bug takes, against known values and against the definition."""

import math
import random

import pytest

from fuzz.planted.bounds import bounds, seeds_for, seeds_for_share, share_within


@pytest.mark.parametrize(
    ("found", "seeds", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (8, 300, 0.0116, 0.0519),
    ],
)
def test_bounds_after_a_fixed_number_of_seeds_are_those_of_clopper_and_pearson(
    found: int, seeds: int, low: float, high: float
) -> None:
    assert bounds(found, seeds, at_last=False) == pytest.approx((low, high), abs=1e-4)


def test_a_search_that_ends_with_a_sighting_has_no_smaller_upper_bound_than_without_its_last_seed() -> None:
    low, high = bounds(3, 40, at_last=True)
    assert low == bounds(3, 40, at_last=False)[0]
    assert high == bounds(2, 39, at_last=False)[1]
    assert low < 3 / 40 < high


def test_bounds_hold_the_true_probability_nineteen_times_of_twenty() -> None:
    """Both ways of ending, simulated; the bounds are exact, so they miss no more often than they say."""
    rng = random.Random(5)
    missed = 0
    for _ in range(600):
        p, found, seeds = 0.07, 0, 0
        while found < 4 and seeds < 60:
            seeds += 1
            found += rng.random() < p
        low, high = bounds(found, seeds, at_last=found == 4)
        missed += not low <= p <= high
    assert missed <= 30


def test_nothing_tried_says_nothing() -> None:
    assert bounds(0, 0, at_last=False) == (0.0, 1.0)


@pytest.mark.parametrize(("found", "seeds", "at_last"), [(2, 1, False), (-1, 5, False), (0, 5, True)])
def test_an_impossible_outcome_is_refused(found: int, seeds: int, at_last: bool) -> None:
    with pytest.raises(ValueError, match="no outcome"):
        bounds(found, seeds, at_last=at_last)


@pytest.mark.parametrize(
    ("share", "p", "seeds"), [(0.95, 0.5, 5), (0.5, 0.5, 1), (0.95, 1.0, 1), (0.95, 0.001, 2995), (0.5, 0.0, math.inf)]
)
def test_the_seeds_for_a_share_are_the_quantile_of_the_geometric_distribution(
    share: float, p: float, seeds: float
) -> None:
    assert seeds_for(share, p) == seeds
    if 1 < seeds < math.inf:
        assert 1 - (1 - p) ** (seeds - 1) < share <= 1 - (1 - p) ** seeds


def test_of_two_bugs_one_that_always_shows_is_half() -> None:
    assert share_within(1, [1.0, 0.0]) == 0.5
    assert seeds_for_share(0.5, [1.0, 0.0]) == 1
    assert seeds_for_share(0.6, [1.0, 0.0]) == math.inf


def test_the_seeds_for_a_share_of_bugs_are_the_least_that_reach_it() -> None:
    chances = [0.9, 0.1, 0.01]
    seeds = int(seeds_for_share(0.8, chances))
    assert share_within(seeds - 1, chances) < 0.8 <= share_within(seeds, chances)
