"""Fault kinds, one module for each, and the swarm that picks some of them for a seed."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed_crash import AimedCrash
from walrus.sim.faults.client_reset import ClientReset
from walrus.sim.faults.crash_restart import CrashRestart
from walrus.sim.faults.fault import Fault
from walrus.sim.faults.isolation import Isolation
from walrus.sim.faults.messages import Delay, Drop, Duplicate
from walrus.sim.faults.partition import OneWayPartition, Partition
from walrus.sim.faults.pause import Pause
from walrus.sim.faults.power_loss import PowerLoss
from walrus.sim.faults.shutdown import Shutdown
from walrus.sim.faults.slow_disk import SlowDisk
from walrus.sim.faults.torn_write import TornWrite

KINDS: tuple[type[Fault], ...] = (
    CrashRestart,
    Partition,
    OneWayPartition,
    Drop,
    Delay,
    Duplicate,
    ClientReset,
    SlowDisk,
    AimedCrash,
    PowerLoss,
    Shutdown,
    Pause,
    TornWrite,
    Isolation,
)


def swarm(cluster: Cluster) -> list[Fault]:
    """The faults of this run: each kind with probability one half, or those that the options name.

    Leaving whole kinds out finds more (Groce et al., "Swarm Testing", 2012): some faults hide what others
    would show.
    """
    chosen = cluster.options.faults
    faults: list[Fault] = []
    for kind in KINDS:
        rng = cluster.world.rng.stream(f"fault {kind.name}")
        heads = rng.chance(500_000)
        if heads if chosen is None else kind.name in chosen:
            faults.append(kind(cluster, rng))
    return faults
