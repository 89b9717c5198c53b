"""Fault kinds, one module for each, and the swarm that picks some of them for a seed."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed_crash import AimedCrash
from walrus.sim.faults.bit_rot import BitRot
from walrus.sim.faults.client_partition import ClientPartition
from walrus.sim.faults.client_reset import ClientReset
from walrus.sim.faults.clock_drift import ClockDrift
from walrus.sim.faults.clock_jump import ClockJump
from walrus.sim.faults.clogging import Clogging
from walrus.sim.faults.crash_restart import CrashRestart
from walrus.sim.faults.disk_loss import DiskLoss
from walrus.sim.faults.failed_sync import FailedSync
from walrus.sim.faults.fault import Fault
from walrus.sim.faults.few_kinds import FewKinds
from walrus.sim.faults.flapping import Flapping
from walrus.sim.faults.isolation import Isolation
from walrus.sim.faults.late_join import LateJoin
from walrus.sim.faults.membership import MembershipChurn
from walrus.sim.faults.messages import Delay, Drop, Duplicate
from walrus.sim.faults.misdirected_write import MisdirectedWrite
from walrus.sim.faults.mixed_versions import MixedVersions
from walrus.sim.faults.no_space import NoSpace
from walrus.sim.faults.partition import OneWayPartition, Partition
from walrus.sim.faults.pause import Pause
from walrus.sim.faults.plot import Plot
from walrus.sim.faults.power_loss import PowerLoss
from walrus.sim.faults.process_churn import ProcessChurn
from walrus.sim.faults.read_error import ReadError
from walrus.sim.faults.reorder import Reorder
from walrus.sim.faults.shutdown import Shutdown
from walrus.sim.faults.slow_disk import SlowDisk
from walrus.sim.faults.slow_links import SlowLinks
from walrus.sim.faults.torn_write import TornWrite
from walrus.sim.faults.wrong_calendar import WrongCalendar

KINDS: tuple[type[Fault], ...] = (
    CrashRestart,
    Partition,
    OneWayPartition,
    Drop,
    Delay,
    Duplicate,
    FewKinds,
    ClientReset,
    SlowDisk,
    AimedCrash,
    Plot,
    PowerLoss,
    Shutdown,
    Pause,
    TornWrite,
    Isolation,
    Reorder,
    Flapping,
    Clogging,
    SlowLinks,
    ClockDrift,
    ClockJump,
    WrongCalendar,
    LateJoin,
    ProcessChurn,
    ClientPartition,
    MixedVersions,
    BitRot,
    MisdirectedWrite,
    ReadError,
    NoSpace,
    FailedSync,
    DiskLoss,
    MembershipChurn,
)


def swarm(cluster: Cluster, chosen: tuple[str, ...] | None) -> list[Fault]:
    """The faults of this run: each kind with probability one half, or those that are chosen.

    Leaving whole kinds out finds more (Groce et al., "Swarm Testing", 2012): some faults hide what others
    would show.
    """
    faults: list[Fault] = []
    for kind in KINDS:
        rng = cluster.world.rng.stream(f"fault {kind.name}")
        heads = rng.chance(500_000)
        if heads if chosen is None else kind.name in chosen:
            faults.append(kind(cluster, rng))
            cluster.world.labels[f"on: {kind.name}"] += 1
    return faults
