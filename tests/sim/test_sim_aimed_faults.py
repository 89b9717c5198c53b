"""Faults that wait for a moment: the moments come, and the faults do what they say to the nodes concerned."""

import pytest
from fake_nodes import PATH, EchoNode, LogNode
from small_clusters import new_cluster, small_cluster

from walrus.core.actions import Write
from walrus.core.events import PeerDisconnected, ShutdownRequested
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.processes import STOP_WITHIN_NS
from walrus.sim.faults.aimed_crash import AimedCrash
from walrus.sim.faults.isolation import Isolation
from walrus.sim.faults.pause import Pause
from walrus.sim.faults.power_loss import PowerLoss
from walrus.sim.faults.shutdown import Shutdown
from walrus.sim.faults.torn_write import TornWrite
from walrus.sim.history import History
from walrus.sim.message_kinds import TAGS
from walrus.sim.moments import BEHIND, KINDS
from walrus.sim.options import Options
from walrus.sim.runner import real_node, run_seed
from walrus.sim.trace import Trace
from walrus.sim.workload import Workload
from walrus.sim.world import MS, Violation, World


def cut_links(cluster: Cluster) -> list[tuple[int, int]]:
    nodes = [host.node_id for host in cluster.hosts]
    return [(a, b) for a in nodes for b in nodes if a != b and cluster.network.is_cut(a, b)]


def quiet_cluster(nodes: int = 3) -> Cluster:
    return small_cluster(nodes)


def test_every_kind_of_moment_comes() -> None:
    came: dict[str, tuple[int, int]] = {}
    cluster = new_cluster(3, real_node, seed=4)
    world = cluster.world
    for kind in sorted(set(KINDS)):
        cluster.moments.wait_for(kind, lambda a, b, kind=kind: came.__setitem__(kind, (a, b)))
    Workload(cluster, History(), clients=3).start()
    for node in (1, 2, 3):
        world.run_until(world.now_ns + 1500 * MS)
        cluster.crash(cluster.host(node), "test")
        world.run_until(world.now_ns + 1500 * MS)
        cluster.restart(cluster.host(node))
    world.run_until(world.now_ns + 1500 * MS)
    next(host for host in cluster.hosts if probe.leads(host)).deliver(ShutdownRequested())
    world.run_until(world.now_ns + 500 * MS)
    missing = set(KINDS) - set(came)
    assert missing <= {"Hold", "Holding", "Repair", "Removed"}, "these need a copy that fell behind, or a removal"
    assert all(a == b for kind, (a, b) in came.items() if kind not in (*TAGS, BEHIND))
    assert came[BEHIND] in [(a, b) for a in (1, 2, 3) for b in (1, 2, 3)]


def test_a_forgotten_moment_strikes_nobody_and_nothing_is_watched_any_more() -> None:
    cluster = quiet_cluster()
    numbers = [cluster.moments.wait_for(kind, lambda a, b: pytest.fail("struck")) for kind in sorted(set(KINDS))]
    assert cluster.network.tap is not None
    assert cluster.streams.tap is not None
    assert [cluster.moments.forget(number) for number in numbers] == [True] * len(numbers)
    assert not cluster.moments.forget(numbers[0])
    assert cluster.network.tap is None
    assert cluster.streams.tap is None


def test_an_aimed_crash_kills_only_those_concerned_or_a_majority_with_them_and_heals() -> None:
    sets = set()
    for seed in range(20):
        cluster = quiet_cluster()
        fault = AimedCrash(cluster, World(seed, Trace(), 1).rng.stream("test"))
        fault.active = True
        fault.hit(1, 2)
        sets.add(tuple(host.node_id for host in cluster.hosts if not host.up))
        cluster.heal()
        assert all(host.up for host in cluster.hosts)
    assert sets == {(1,), (2,), (1, 2), (1, 3)}


def test_an_isolated_node_hears_no_peer_or_only_one_until_it_ends() -> None:
    seen = set()
    for seed in range(40):
        cluster = quiet_cluster()
        fault = Isolation(cluster, World(seed, Trace(), 1).rng.stream("test"))
        fault.active = True
        fault.hit(2, 2)
        cut = cut_links(cluster)
        assert cut
        seen.add(len(cut))
        fault.hit(1, 1)
        assert cut_links(cluster) == cut, "one at a time"
        cluster.world.run_until(cluster.world.now_ns + fault.most_ns)
        assert cut_links(cluster) == []
    assert seen == {1, 2, 4}, "all peers or all but one, in both directions or in one"


def test_a_paused_node_does_nothing_and_then_takes_what_waited() -> None:
    cluster = quiet_cluster()
    fault = Pause(cluster, World(1, Trace(), 1).rng.stream("test"))
    fault.active = True
    fault.hit(2, 2)
    host = cluster.host(2)
    assert host.paused
    echo = host.node
    assert isinstance(echo, EchoNode)
    before = len(echo.seen(PeerDisconnected))
    host.deliver(PeerDisconnected(99))
    cluster.heal()
    assert len(echo.seen(PeerDisconnected)) == before
    cluster.world.run_until(cluster.world.now_ns + 50 * MS)
    assert len(echo.seen(PeerDisconnected)) == before + 1
    assert not host.paused


def test_power_loss_takes_everything_down_at_once() -> None:
    cluster = quiet_cluster()
    fault = PowerLoss(cluster, World(1, Trace(), 1).rng.stream("test"))
    fault.least_busy = 0
    fault.active = True
    fault.strike()
    assert [host.up for host in cluster.hosts] == [False] * 3
    cluster.heal()
    assert [host.up for host in cluster.hosts] == [True] * 3


def test_a_node_that_does_not_stop_when_asked_is_a_violation() -> None:
    cluster = quiet_cluster()
    fault = Shutdown(cluster, World(1, Trace(), 1).rng.stream("test"))
    fault.active = True
    fault.strike()
    with pytest.raises(Violation, match=r"clean shutdown: node \d has not stopped 25\d\d ms after"):
        cluster.world.run_until(cluster.world.now_ns + STOP_WITHIN_NS + 100 * MS)


def test_a_torn_write_leaves_a_proper_prefix_of_it() -> None:
    left = set()
    data = bytes(range(256)) * 8
    for seed in range(40):
        cluster = small_cluster(seed=seed)
        fault = TornWrite(cluster, World(seed, Trace(), 1).rng.stream("test"))
        fault.start()
        disk = cluster.host(1).disk
        disk.change(Write(PATH, 100, data, 1))
        cluster.crash(cluster.host(1), "test", keep_per_million=0)
        content = bytes(disk.files.get(PATH, b""))
        assert content == (bytes(100) + data)[: len(content)]
        left.add(len(content))
        fault.stop()
        assert cluster.world.labels["bit: torn-write"] == disk.torn_in_flight
        cluster.heal()
        assert not cluster.tearing
    assert max(left) < 100 + len(data)
    assert {512, 1024, 1536, 2048} <= left, "borders between sectors"
    assert any(size % 512 for size in left), "any byte"


def test_torn_writes_bring_crashes_of_their_own() -> None:
    results = [run_seed(seed, Options(faults=("torn-write",)), LogNode) for seed in range(3)]
    assert any("(torn write)" in text for result in results for _, text in result.story)
