"""A plot gives the same short play again and again, and leaves the stage as it was."""

from small_clusters import small_cluster

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Clog, Cut
from walrus.sim.deeds.processes import Crash, Pause
from walrus.sim.faults.plot import Plot
from walrus.sim.trace import Trace
from walrus.sim.world import MS, SECOND, World


def played(seed: int) -> tuple[Cluster, Plot]:
    """Four seconds of the plot of a seed, in a cluster whose moments never come."""
    cluster = small_cluster(3)
    cluster.deeds = []
    plot = Plot(cluster, World(seed, Trace(), 1).rng.stream("test"))
    plot.start()
    cluster.world.run_until(cluster.world.now_ns + 4 * SECOND)
    return cluster, plot


def test_plots_differ_in_their_deeds_and_use_every_kind() -> None:
    kinds = dict.fromkeys((Crash, Pause, Cut, Clog), 0)
    for seed in range(40):
        cluster, _ = played(seed)
        for _, deed in cluster.deeds or ():
            if type(deed) in kinds:
                kinds[type(deed)] += 1
    assert all(kinds.values()), kinds


def test_a_plot_is_given_more_than_once() -> None:
    assert max(played(seed)[0].world.labels["fault: plot"] for seed in range(5)) > 1


def test_everything_heals_when_a_plot_is_broken_off() -> None:
    for seed in range(40):
        cluster, plot = played(seed)
        plot.stop()
        cluster.heal()
        cluster.world.run_until(cluster.world.now_ns + 100 * MS)
        assert all(host.up and not host.paused for host in cluster.hosts)
        links = [(a.node_id, b.node_id) for a in cluster.hosts for b in cluster.hosts if a is not b]
        assert not any(cluster.network.is_cut(a, b) for a, b in links)
