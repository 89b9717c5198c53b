"""Two of three disks are lost for good, and an operator makes the third one go on: a run in two worlds.

The first world is a run under faults like any other, and ends with every process dead. Of its disks one is left, and
:mod:`walrus.core.survivor` is applied to it. The second world begins on that disk, with empty ones beside it. In some
runs one of the others comes back with its old disk after all, and the survivor crashes while it starts.

What is judged: the cluster becomes well and takes writes; each acknowledged record that the survivor's disk held,
soundly and from its segment's start on, is read, once and in order; nothing is read that nobody wrote. What excuses any
other record is computed from the bytes of that disk by the simulator's own parser, not from what was decided.
"""

from collections import Counter
from typing import Final, TextIO

import msgspec
from msgspec.structs import replace

from walrus.core.metadata.durability import ALWAYS
from walrus.core.node import Node
from walrus.core.storage.blocks import block_at, payloads_of
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH, decode_file
from walrus.core.survivor import NothingToRecover, Survival, survive
from walrus.sim.audit import Auditor
from walrus.sim.checkers import node_checkers
from walrus.sim.checkers.clean_stops import CleanStops
from walrus.sim.checkers.cursor_bounds import CursorBounds
from walrus.sim.checkers.departures import Departures
from walrus.sim.checkers.leases import Leases
from walrus.sim.checkers.meters import Meters
from walrus.sim.checkers.raft_logs import RaftLogs
from walrus.sim.checkers.records import check_records
from walrus.sim.checkers.replica_prefixes import ReplicaPrefixes
from walrus.sim.checkers.replicated_state import ReplicatedState
from walrus.sim.checkers.sealed_counts import SealedCounts
from walrus.sim.cluster import Checker, Cluster
from walrus.sim.damage import blocks_of, is_segment, segment_of
from walrus.sim.history import DONE, UNKNOWN, History
from walrus.sim.host import NodeFactory
from walrus.sim.options import Options
from walrus.sim.result import Result
from walrus.sim.rng import Rng
from walrus.sim.runner import Finding, Swarm
from walrus.sim.setup import NodeSetup, Setup, draw_setup
from walrus.sim.trace import Trace
from walrus.sim.world import MS, SECOND, WALL_START_NS, World

_SECOND_WORLD: Final = 1 << 40  # apart from every seed that anybody gives
_OLD_COMES_BACK_PER_MILLION: Final = 300_000
_CUT_OFF_PER_MILLION: Final = 500_000
_CRASHES_MOST: Final = 3
_BELIEVES_AFTER_NS: Final = 10 * SECOND  # a node that finds no leader stops in the end, and joins anew
BY: Final = "the simulator"

Files = dict[str, bytes]


class First(msgspec.Struct):
    """What the first world leaves: the disks of its nodes, and what clients were told.

    ``may_return``: nodes whose disk is sound, and which are no majority by themselves. One that is serves on, and is
    another cluster, which nobody stops.
    """

    disks: dict[int, Files]
    may_return: list[int]
    history: History
    ended_ns: int


def run_survival(seed: int, options: Options, factory: NodeFactory = Node, text: TextIO | None = None) -> Result:
    """Run one seed of two worlds."""
    trace = Trace(text)
    worlds = [World(seed, trace, options.max_steps), World(seed + _SECOND_WORLD, trace, options.max_steps)]
    finding = Finding()
    with finding:
        first = _first_world(worlds[0], options, factory)
        survivor = _survivor(worlds[1], first)
        if survivor:
            _second_world(worlds[1], options, factory, first, survivor)
    worlds[1].note(f"verdict: {finding.text.splitlines()[0] if finding.text else 'clean'}")
    return Result(
        seed=seed,
        violation=finding.text,
        trace_hash=trace.hexdigest(),
        steps=sum(world.steps for world in worlds),
        simulated_ns=sum(world.now_ns for world in worlds),
        labels=dict(sorted(trace.labels.items())),
        story=list(trace.story),
    )


def _plain(setup: Setup) -> Setup:
    """Nothing goes but by the loss of disks."""
    return replace(setup, retention="", churned=0, broken=(), drained=False, founder_asks=False, durability=ALWAYS)


def _first_world(world: World, options: Options, factory: NodeFactory) -> First:
    """Run a cluster under faults until all its processes end at once."""
    setup = _plain(draw_setup(world.rng.stream("setup"), options))
    cluster, history = Cluster(world, setup, factory), History()
    cluster.checkers.extend(node_checkers(cluster, history))
    cluster.start()
    load = Swarm(cluster, history, options)
    load.start()
    world.run_until(setup.faults_ns)
    load.start_faults()
    world.run_until(setup.heal_ns)
    for host in cluster.hosts:
        if host.up:
            host.crash()
    world.note("every process has ended")
    disks = {host.node_id: {path: bytes(data) for path, data in host.disk.files.items()} for host in cluster.hosts}
    sound = [
        host.node_id for host in cluster.hosts if not host.disk.damage.hurt and host.node_id in cluster.last_voters
    ]
    may_return = [node for node in sound if cluster.last_voters[node] != (node,)]
    return First(disks, may_return, history, world.now_ns)


def _survivor(world: World, first: First) -> int:
    """A node whose disk is made to go on alone, or 0 where none is fit for that."""
    rng = world.rng.stream("survivor")
    nodes = sorted(first.disks)
    rng.shuffle(nodes)
    for node in nodes:
        try:
            survival = _recover(node, first.disks[node], rng)
        except (RecoveryError, NothingToRecover) as refusal:
            world.note(f"node {node} is no survivor: {refusal}")
            continue
        world.note(f"node {node} survives: {survival.recovery}")
        world.labels["survived"] += 1
        world.labels["survived with segments that its log did not know"] += any(f.taken_in for f in survival.fates)
        world.labels["survived with sealed records lost"] += any(f.lost for f in survival.fates)
        world.labels["survived with damaged copies"] += bool(survival.salvages)
        return node
    world.labels["nobody could survive"] += 1
    return 0


def _recover(node: int, files: Files, rng: Rng) -> Survival:
    """What the operator's command does; sometimes it is cut off in between, and given again."""
    survival = _survive(node, files, rng)
    files[SNAPSHOT_PATH] = survival.snapshot_file
    if survival.salvages and rng.chance(_CUT_OFF_PER_MILLION):
        survival = _survive(node, files, rng)
        files[SNAPSHOT_PATH] = survival.snapshot_file
    for salvage in survival.salvages:
        files[salvage.path] = files[salvage.path][: salvage.keep_bytes] if salvage.keep_bytes else salvage.header
    if survival.catalogue_file:
        files[CATALOGUE_PATH] = survival.catalogue_file
    return survival


def _survive(node: int, files: Files, rng: Rng) -> Survival:
    sizes = {path: len(files[path]) for path in sorted(files)}

    def read(path: str, offset: int, length: int) -> bytes:
        return files[path][offset : offset + length]

    return survive(node, sizes, read, rng, WALL_START_NS // MS, BY)


def _second_world(world: World, options: Options, factory: NodeFactory, first: First, survivor: int) -> None:
    rng = world.rng.stream("second world")
    setup = _plain(draw_setup(world.rng.stream("setup"), options))
    own = tuple(_joins(node, number, survivor, rng) for number, node in enumerate(setup.node_setups, 1))
    setup = replace(setup, node_setups=own)
    cluster, history = Cluster(world, setup, factory), History()
    _give_disk(cluster, first, survivor)
    olds = [node for node in first.may_return if node != survivor]
    if olds and rng.chance(_OLD_COMES_BACK_PER_MILLION):
        old = rng.choice(olds)
        world.note(f"node {old} comes back with its old disk")
        _give_disk(cluster, first, old)
        cluster.may_be_removed[old] = True
    else:  # those know no two histories of one log
        cluster.checkers.extend(_checkers(cluster, history, first.disks[survivor]))
    cluster.start()
    for _ in range(rng.randrange(_CRASHES_MOST + 1)):
        world.run_until(world.now_ns + rng.randrange(400) * MS)
        if cluster.host(survivor).up:
            cluster.crash(cluster.host(survivor), "the survivor is interrupted")
            world.run_until(world.now_ns + 10 * MS)
            cluster.restart(cluster.host(survivor))
    cluster.heal()
    scans = _audit(cluster, history, world.now_ns + setup.converge_ns + _BELIEVES_AFTER_NS)
    both = _joined(_excused(first, survivor), first.ended_ns, history)
    for topic, scan in scans.items():
        world.note(f"topic {topic} holds {len(scan)} records")
        check_records(topic, both, scan)


def _checkers(cluster: Cluster, history: History, files: Files) -> list[Checker]:
    """Those that may begin in the middle of a log."""
    leases, cursors, stops, logs = Leases(cluster), CursorBounds(), CleanStops(cluster), RaftLogs()
    logs.begin_with(decode_file(files[SNAPSHOT_PATH]).snapshot)
    state = ReplicatedState(SealedCounts(), leases, cursors, stops, cluster.power_cuts)
    return [Departures(), logs, state, leases, cursors, stops, ReplicaPrefixes(), Meters(cluster, history)]


def _joins(own: NodeSetup, node: int, survivor: int, rng: Rng) -> NodeSetup:
    if node == survivor:
        return replace(own, starts_ns=0, join=())
    return replace(own, starts_ns=rng.randrange(1000) * MS, join=(survivor,))


def _give_disk(cluster: Cluster, first: First, node: int) -> None:
    cluster.host(node).disk.files.update({path: bytearray(data) for path, data in first.disks[node].items()})


def _audit(cluster: Cluster, history: History, give_up_ns: int) -> dict[str, list[bytes]]:
    """Wait until all is well, write to every topic, and read what is there."""
    auditor = Auditor(cluster, history, cluster.world.rng.stream("auditor"), give_up_ns)
    auditor.settle()
    topics = cluster.setup.topic_names
    for topic in topics:
        auditor.prove_writable(topic)
    scans = {topic: auditor.scan(topic) for topic in topics}
    auditor.settle(alone=True)
    cluster.finish()
    return scans


def _joined(before: History, ended_ns: int, after: History) -> History:
    """What clients saw in both worlds, one after the other."""
    both = History()
    both.operations = [*before.operations]
    for op in after.operations:
        done_ns = op.done_ns + ended_ns if op.done_ns >= 0 else op.done_ns
        both.operations.append(replace(op, sent_ns=op.sent_ns + ended_ns, done_ns=done_ns))
    return both


def _excused(first: First, survivor: int) -> History:
    """The history of the first world, in which what the survivor's disk did not hold is of unknown outcome."""
    held = _held(first.disks[survivor])
    for op in first.history.operations:
        if op.verb == "PUT" and op.outcome == DONE:
            held[op.topic, op.payload] -= 1  # only empty records are there more than once
            if held[op.topic, op.payload] < 0:
                op.outcome = UNKNOWN
    return first.history


def _held(files: Files) -> Counter[tuple[str, bytes]]:
    """How often each record of each topic stands soundly on a disk, from the start of its segment on."""
    found: Counter[tuple[str, bytes]] = Counter()
    for path in filter(is_segment, files):
        topic, expected = segment_of(path)[0], 0
        for start, _ in blocks_of(files[path]):
            block = block_at(files[path], start)
            if block is None or block.base != expected:
                break
            found.update((topic, payload) for payload in payloads_of(files[path], block))
            expected += block.count
    return found
