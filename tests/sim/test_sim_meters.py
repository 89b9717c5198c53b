"""The checker of METRICS finds nodes that count wrongly."""

import pytest

from walrus.core.meters import Histogram, RequestMeter
from walrus.core.segment.writers import Writers
from walrus.sim.options import Options
from walrus.sim.runner import run_seed

SEEDS = range(1, 6)


def findings() -> str:
    return "\n".join(run_seed(seed, Options(nodes=3)).violation for seed in SEEDS)


def test_nodes_count_what_clients_are_told() -> None:
    assert findings().strip() == ""


def test_requests_that_are_answered_and_not_counted_are_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestMeter, "answered", lambda *_, **__: None)
    assert "meters: clients got" in findings()


def test_a_histogram_whose_sum_goes_below_zero_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Histogram.observe
    monkeypatch.setattr(Histogram, "observe", lambda self, duration_ns, times=1: right(self, -duration_ns - 1, times))
    assert "contradicts itself" in findings()


def test_a_copy_that_is_told_to_be_ahead_of_its_writer_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writers, "lags", lambda self, most: [(-1, key, 1) for key in self._writers])
    assert "replication_lag_max is -1" in findings()


def test_a_sample_that_comes_twice_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writers, "lags", lambda self, most: [(1, key, 1) for key in self._writers] * 2)
    assert "exports a sample twice" in findings()
