"""The simulator's own random numbers."""

import pytest

from walrus.sim.rng import Rng


def test_the_first_numbers_are_those_of_splitmix64() -> None:
    """Seed 1234567 gives the sequence that the algorithm's authors publish."""
    rng = Rng(1234567)
    assert [rng.next64() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_stream_does_not_depend_on_draws_made_elsewhere() -> None:
    """One more draw in the parent or in another stream shifts nothing."""
    first, second = Rng(7), Rng(7)
    second.next64()
    second.stream("disk").next64()
    assert first.stream("network").next64() == second.stream("network").next64()


def test_streams_with_different_names_differ() -> None:
    rng = Rng(7)
    assert rng.stream("a").next64() != rng.stream("b").next64()


def test_every_draw_is_within_its_bounds() -> None:
    rng = Rng(3)
    for _ in range(2000):
        assert 0 <= rng.random() < 1
        assert 0 <= rng.randrange(7) < 7
        assert 3 <= rng.randint(3, 5) <= 5
        assert 0 <= rng.getrandbits(5) < 32
        assert 0 <= rng.getrandbits(200) < 1 << 200
        assert rng.choice("abc") in "abc"
        assert 1.5 <= rng.uniform(1.5, 2) <= 2


def test_a_range_is_covered_evenly() -> None:
    rng = Rng(5)
    counts = [0] * 10
    for _ in range(10_000):
        counts[rng.randrange(10)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


def test_shuffle_and_sample_keep_the_elements() -> None:
    rng = Rng(9)
    items = list(range(20))
    rng.shuffle(items)
    assert sorted(items) == list(range(20))
    assert items != list(range(20))
    drawn = rng.sample(range(20), 5)
    assert len(set(drawn)) == 5


def test_chance_follows_its_probability() -> None:
    rng = Rng(11)
    assert not any(rng.chance(0) for _ in range(100))
    assert all(rng.chance(1_000_000) for _ in range(100))
    assert 2200 < sum(rng.chance(250_000) for _ in range(10_000)) < 2800


def test_impossible_draws_are_refused() -> None:
    rng = Rng(1)
    with pytest.raises(ValueError, match="empty range for randrange: 5 to 5"):
        rng.randrange(5, 5)
    with pytest.raises(ValueError, match="cannot sample 3 of 2"):
        rng.sample([1, 2], 3)
    with pytest.raises(IndexError):
        rng.choice([])
