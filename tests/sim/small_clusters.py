"""Clusters for the simulator's own tests: everything fixed that a seed would draw."""

import io

from fake_nodes import EchoNode
from msgspec.structs import replace

from walrus.sim.cluster import Cluster
from walrus.sim.host import NodeFactory
from walrus.sim.options import Options
from walrus.sim.rng import Rng
from walrus.sim.setup import Setup, draw_setup
from walrus.sim.trace import Trace
from walrus.sim.world import MS, SECOND, US, World


def plain_setup(nodes: int, **changes: object) -> Setup:
    """All nodes start at once and join node 1; nothing is broken, slow or late."""
    setup = draw_setup(Rng(1).stream("setup"), Options(nodes=nodes, topics=1))
    own = tuple(
        replace(node, starts_ns=0, join=(1,) if number > 1 else (), disk_latency_ns=(50 * US, 1 * MS))
        for number, node in enumerate(setup.node_setups, start=1)
    )
    plain = replace(
        setup,
        node_setups=own,
        network_delay_ns=(50 * US, 400 * US),
        max_segment_entries=10,
        max_segment_bytes=1 << 30,
        drained=False,
        broken=(),
        quiet_ns=(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def new_cluster(nodes: int = 3, factory: NodeFactory = EchoNode, seed: int = 1, **changes: object) -> Cluster:
    """A cluster that is about to start."""
    world = World(seed, Trace(io.StringIO()), 1_000_000)
    cluster = Cluster(world, plain_setup(nodes, **changes), factory)
    cluster.start()
    return cluster


def small_cluster(nodes: int = 3, factory: NodeFactory = EchoNode, seed: int = 1, **changes: object) -> Cluster:
    """A cluster that has run for a second."""
    cluster = new_cluster(nodes, factory, seed, **changes)
    cluster.world.run_until(1 * SECOND)
    return cluster
