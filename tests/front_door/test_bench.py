"""``walrus-bench``: its arithmetic, and a short run against real nodes."""

import json
from pathlib import Path

import pytest
from local_ports import free_ports

from walrus.cli import bench
from walrus.cli.probe import wait_until
from walrus.cli.processes import LocalCluster


def test_a_percentile_is_the_smallest_value_that_covers_its_share() -> None:
    """Nearest rank: no value is made up between two that were measured."""
    values = list(range(1, 101))
    assert [bench.percentile(values, percent) for percent in (0, 1, 50, 99, 100)] == [1, 1, 50, 99, 100]
    assert bench.percentile([7], 99) == 7


def test_rows_are_connections_times_requests_in_flight() -> None:
    """The shapes of load as the flag takes them."""
    assert bench.parse_rows("1x1,16x1,1x512") == [(1, 1), (16, 1), (1, 512)]


@pytest.mark.parametrize("text", ["", "16", "x1", "0x1", "1x0", "1x-1", "1x1,"])
def test_a_row_that_is_none_is_named(text: str) -> None:
    """The complaint shows what a row looks like."""
    with pytest.raises(ValueError, match="CONNECTIONSxIN_FLIGHT"):
        bench.parse_rows(text)


def test_every_put_that_it_counts_is_a_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Segments of 100 records make the leader change under it; it follows, and nothing is refused."""
    port = free_ports(6)
    cluster = LocalCluster(
        tmp_path / "data",
        client_port=port,
        raft_port=port + 3,
        environment={"WALRUS_MAX_SEGMENT_ENTRIES": "100"},
    )
    try:
        cluster.start()
        assert wait_until(cluster.why_not_formed, timeout_s=30.0) == ""
        addresses = [text for node in (1, 2, 3) for text in ("--addr", cluster.client_address(node))]
        shape = ["--rows", "2x1,1x8", "--seconds", "0.7", "--warm-up", "0.1", "--payload", "64", "--json"]
        assert bench.main([*addresses, *shape, "--follow-leader"]) == 0
    finally:
        cluster.stop()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["connections"], row["in_flight"]) for row in rows] == [(2, 1), (1, 8)]
    assert all(row["puts_per_second"] > 0 and row["p50_ms"] <= row["p99_ms"] <= row["max_ms"] for row in rows)
