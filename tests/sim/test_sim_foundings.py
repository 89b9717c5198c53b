"""Node 1 comes back with an empty disk while its peers can or cannot be heard: there is one cluster in the end."""

from collections import Counter

import pytest
from small_clusters import new_cluster

from walrus.core.founding import Founding
from walrus.core.joining import Joining
from walrus.sim.checkers import node_checkers
from walrus.sim.cluster import Cluster
from walrus.sim.convergence import unsettled
from walrus.sim.deeds.members import NewDisk
from walrus.sim.deeds.network import Cut, Mend
from walrus.sim.history import History
from walrus.sim.rng import Rng
from walrus.sim.runner import real_node
from walrus.sim.world import MS, SECOND, Violation

PATIENCE_NS = 1 * SECOND


def formed(seed: int) -> Cluster:
    """Three nodes, of which node 1 asked the others before it founded their cluster."""
    cluster = new_cluster(
        3, real_node, seed, founder_asks=True, found_after_ns=PATIENCE_NS, replace_after_ns=1 * SECOND
    )
    cluster.checkers.extend(node_checkers(cluster, History()))
    settle(cluster)
    return cluster


def settle(cluster: Cluster) -> None:
    """Run until the cluster is well."""
    give_up_ns = cluster.world.now_ns + 30 * SECOND
    while why := unsettled(cluster, {}):
        assert cluster.world.now_ns < give_up_ns, why
        cluster.world.run_until(cluster.world.now_ns + 20 * MS)


def cut_off(cluster: Cluster, directions: tuple[int, int]) -> int:
    """Cut node 1 off from the others, or they from it."""
    number = cluster.number()
    pairs = [(1, other) for other in (2, 3)] * directions[0] + [(other, 1) for other in (2, 3)] * directions[1]
    cluster.do(Cut(number, tuple(pairs), "node 1 cannot hear its peers"))
    return number


def founded_anew(seed: int) -> Counter[str]:
    """Node 1 loses its disk and its peers for a time that is random; returns what was counted."""
    rng = Rng(seed).stream("founded anew")
    cluster = formed(seed)
    cluster.do(NewDisk(1))
    number = cut_off(cluster, rng.choice(((1, 1), (1, 0), (0, 1))))
    cluster.world.run_until(cluster.world.now_ns + rng.randrange(500) * MS)
    cluster.restart(cluster.host(1))
    cluster.world.run_until(cluster.world.now_ns + rng.randrange(2 * PATIENCE_NS))
    if rng.chance(300_000):
        cluster.crash(cluster.host(1), "again")
        cluster.world.run_until(cluster.world.now_ns + rng.randrange(100) * MS)
        cluster.restart(cluster.host(1))
        cluster.world.run_until(cluster.world.now_ns + rng.randrange(2 * PATIENCE_NS))
    cluster.do(Mend(number))
    settle(cluster)
    cluster.finish()
    return cluster.world.labels


@pytest.mark.parametrize("seed", range(1, 9))
def test_one_that_could_not_hear_its_peers_may_found_a_cluster_and_gives_it_up(seed: int) -> None:
    labels = founded_anew(seed)
    assert labels["founded beside"] == labels["stopped beside"]


def test_some_of_them_found_a_cluster_and_some_do_not() -> None:
    counts = [founded_anew(seed)["founded beside"] for seed in range(1, 9)]
    assert 0 in counts
    assert 1 in counts


def test_one_that_founds_a_cluster_although_it_was_told_of_one_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = formed(1)
    monkeypatch.setattr(Founding, "answered", lambda founding, sender, message: None)
    monkeypatch.setattr(Joining, "answered", lambda joining, message, now_ns: 0)
    cluster.do(NewDisk(1))
    cluster.restart(cluster.host(1))
    with pytest.raises(Violation, match="founding: node 1 "):
        cluster.world.run_until(cluster.world.now_ns + 3 * SECOND)
