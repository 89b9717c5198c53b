"""Clocks that drift and jump: what nodes see of it, and when leases may no longer be relied on."""

import pytest
from fake_nodes import EchoNode
from small_clusters import small_cluster

from walrus.core.config import MS, SECOND, Deadline
from walrus.core.events import PeerDisconnected, TimerFired
from walrus.sim.clock import Clock, within_margin
from walrus.sim.cluster import Cluster
from walrus.sim.deeds import AnyDeed, Drift, Jump, SetCalendar
from walrus.sim.faults.clock_drift import ClockDrift
from walrus.sim.faults.clock_jump import ClockJump
from walrus.sim.trace import Trace
from walrus.sim.world import WALL_START_NS, World

LEASE_NS, MARGIN_NS = 400 * MS, 50 * MS


def clock_and_world() -> tuple[Clock, World]:
    world = World(1, Trace(), 100)
    return Clock(world, 5 * SECOND), world


def test_a_fast_clock_gains_and_a_slow_one_loses() -> None:
    clock, world = clock_and_world()
    clock.set_rate(100_000)
    world.run_until(1 * SECOND)
    assert clock.now_ns() == 6 * SECOND + 100 * MS
    clock.set_rate(-500_000)
    world.run_until(2 * SECOND)
    assert clock.now_ns() == 6 * SECOND + 600 * MS


@pytest.mark.parametrize("rate_ppm", [-200_000, -1, 0, 1, 30_000, 1_500_000])
def test_the_moment_at_which_a_clock_shows_a_time_is_the_first_one(rate_ppm: int) -> None:
    clock, world = clock_and_world()
    clock.set_rate(rate_ppm)
    at_ns = clock.world_ns_at(6 * SECOND + 7)
    world.run_until(at_ns - 1)
    assert clock.now_ns() < 6 * SECOND + 7
    world.run_until(at_ns)
    assert clock.now_ns() >= 6 * SECOND + 7


def test_a_jump_brings_a_deadline_forward() -> None:
    cluster = small_cluster(1)
    host = cluster.host(1)
    echo = host.node
    assert isinstance(echo, EchoNode)
    echo.deadline = Deadline(host.now_ns() + 500 * MS, "test")
    host.deliver(PeerDisconnected(9))
    cluster.world.run_until(cluster.world.now_ns + 1 * MS)
    cluster.do(Jump(1, 499 * MS))
    cluster.world.run_until(cluster.world.now_ns + 2 * MS)
    assert len(echo.seen(TimerFired)) == 1


def test_a_calendar_may_be_centuries_off_but_never_before_1970() -> None:
    clock, _ = clock_and_world()
    clock.wall_offset_ns = -10 * WALL_START_NS
    assert clock.wall_ns() == 0
    clock.wall_offset_ns = 3 * WALL_START_NS
    assert clock.wall_ns() == 4 * WALL_START_NS


def margin_holds(*deeds: AnyDeed, pause_ns: int = 0) -> bool:
    cluster = small_cluster(3)
    for deed in deeds:
        cluster.do(deed)
        cluster.world.run_until(cluster.world.now_ns + pause_ns)
    return cluster.clocks_within_margin


@pytest.mark.parametrize(
    ("deeds", "holds"),
    [
        ([Drift(1, 30_000), Drift(2, -30_000)], True),
        ([Drift(1, 40_000), Drift(2, -40_000)], False),
        ([Drift(1, 60_000)], True),
        ([Drift(1, 70_000)], False),
        ([Drift(1, -58_000)], True),
        ([Drift(1, -60_000)], False),
        ([Drift(1, 40_000), Drift(1, 0), Drift(2, -40_000)], False),
        ([Jump(1, 50 * MS)], True),
        ([Jump(1, 51 * MS)], False),
        ([Jump(1, 30 * MS), Jump(2, 30 * MS)], False),
        ([Drift(1, 40_000), Jump(2, 30 * MS)], False),
        ([SetCalendar(1, 10**18)], True),
    ],
)
def test_a_run_knows_whether_its_clocks_kept_within_the_margin_of_leases(deeds: list[AnyDeed], holds: bool) -> None:
    assert margin_holds(*deeds) is holds


def test_a_jump_counts_only_for_as_long_as_a_lease_may_last() -> None:
    assert margin_holds(Jump(1, 40 * MS), Jump(2, 40 * MS), pause_ns=1 * SECOND)


def test_a_margin_that_held_no_more_never_holds_again() -> None:
    assert not margin_holds(Drift(1, 900_000), Drift(1, 0), pause_ns=5 * SECOND)


def test_the_margin_is_what_the_worst_chain_of_leader_holder_and_successor_needs() -> None:
    """Play the chain with fast and slow clocks: who expires the lease must not come before who holds it gives up."""
    for slow_ppm, fast_ppm in ((-30_000, 30_000), (0, 62_000), (-58_000, 0), (-31_000, 31_000), (0, 63_000)):
        slow, fast = 1 + slow_ppm / 1e6, 1 + fast_ppm / 1e6
        voters_forget = LEASE_NS / fast
        leader_confirms_until = LEASE_NS / slow
        holder_gives_up = leader_confirms_until + LEASE_NS / slow
        successor_expires = voters_forget + (LEASE_NS + MARGIN_NS) / fast
        clock, _ = clock_and_world()
        clock.set_rate(slow_ppm)
        clock.set_rate(fast_ppm)
        assert within_margin([clock], LEASE_NS, MARGIN_NS) == (holder_gives_up <= successor_expires)


def test_most_seeds_keep_within_the_margin_and_some_do_not() -> None:
    for kind in (ClockDrift, ClockJump):
        beyond = sum(not kept_within(kind, seed) for seed in range(60))
        assert 3 <= beyond <= 30, kind.name


def kept_within(kind: type[ClockDrift] | type[ClockJump], seed: int) -> bool:
    cluster: Cluster = small_cluster(3)
    fault = kind(cluster, World(seed, Trace(), 1).rng.stream("test"))
    fault.start()
    cluster.world.run_until(cluster.world.now_ns + 8 * SECOND)
    return cluster.clocks_within_margin
