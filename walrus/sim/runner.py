"""One run: build the cluster, let faults happen under load, heal, wait until all is well, and judge."""

import traceback
from types import TracebackType
from typing import TextIO

import msgspec

from walrus.core.node import Node
from walrus.sim.audit import Auditor
from walrus.sim.checkers import check_history, node_checkers
from walrus.sim.cluster import Cluster
from walrus.sim.faults import swarm
from walrus.sim.history import DONE, EMPTY_REPLY, FAILED, History
from walrus.sim.host import NodeFactory
from walrus.sim.options import Options
from walrus.sim.trace import Trace
from walrus.sim.workload import Workload
from walrus.sim.world import MS, Violation, World

real_node: NodeFactory = Node
"""The shipped node."""


_DRAIN_PER_MILLION = 250_000  # runs that wait until no delivery can be pending: mostly idle, but long


class Result(msgspec.Struct, kw_only=True):
    """What became of a seed. ``violation`` is empty for a clean run, otherwise it says what broke."""

    seed: int
    violation: str
    trace_hash: str
    steps: int
    simulated_ns: int
    labels: dict[str, int]
    story: list[tuple[int, str]] = []

    @property
    def verdict(self) -> str:
        """ "clean" or "violation"."""
        return "violation" if self.violation else "clean"


class _Finding:
    """Keeps whatever a block raises: in here an exception of any kind is a result, not an error of the
    program.
    """

    def __init__(self) -> None:
        self.text = ""

    def __enter__(self) -> "_Finding":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if isinstance(error, Violation):
            self.text = str(error)
        else:
            lines = traceback.format_exception(kind, error, trace)
            self.text = f"exception in a node: {type(error).__name__}: {error}\n{''.join(lines)}"
        return True


def command(seed: int, options: Options) -> str:
    """The one command that repeats a run."""
    return f"walrus-sim --seed {seed} {options.arguments()}"


def run_seed(seed: int, options: Options, factory: NodeFactory | None = None, text: TextIO | None = None) -> Result:
    """Run one seed. ``factory`` makes the nodes (default: the real one); ``text`` takes the whole trace."""
    trace = Trace(text)
    world = World(seed, trace, options.max_steps)
    finding = _Finding()
    with finding:
        _run(Cluster(world, options, factory or real_node), History())
    world.note(f"verdict: {finding.text.splitlines()[0] if finding.text else 'clean'}")
    return Result(
        seed=seed,
        violation=finding.text,
        trace_hash=trace.hexdigest(),
        steps=world.steps,
        simulated_ns=world.now_ns,
        labels=dict(sorted(world.labels.items())),
        story=list(trace.story),
    )


def _run(cluster: Cluster, history: History) -> None:
    world, options = cluster.world, cluster.options
    cluster.checkers.extend(node_checkers())
    faults = swarm(cluster)
    workload = Workload(cluster, history)
    dice = world.rng.stream("phases")
    world.note(
        f"{options.nodes} nodes, segments of {cluster.max_segment_entries} records, faults: "
        + (", ".join(fault.name for fault in faults) or "none")
    )
    workload.start()
    world.run_until(dice.randrange(options.start_ns * 2))
    for fault in faults:
        fault.start()
    world.run_until(world.now_ns + options.fault_ns)
    for fault in faults:
        fault.heal()
    world.note("faults end")
    world.run_until(world.now_ns + dice.choice((0, 50, 400)) * MS)
    workload.stop()
    auditor = Auditor(cluster, history, world.rng.stream("auditor"), world.now_ns + options.converge_ns)
    auditor.settle()
    world.note("the cluster is well")
    _drain(cluster, workload)
    scans = {}
    for topic in workload.topics:
        auditor.prove_writable(topic)
    drained = dice.chance(_DRAIN_PER_MILLION)
    if drained:
        auditor.drain(workload.topics)
    for topic in workload.topics:
        scans[topic] = auditor.scan(topic)
        world.note(f"topic {topic} holds {len(scans[topic])} records")
    auditor.settle(alone=True)
    cluster.finish()
    check_history(history, scans, drained)
    _count(world, history)


def _drain(cluster: Cluster, workload: Workload) -> None:
    """Let requests under way be answered, or time out and stay unknown."""
    world = cluster.world
    until = world.now_ns + 3_000 * MS
    while not workload.idle and world.now_ns < until:
        world.run_until(world.now_ns + 20 * MS)
    workload.leave()


def _count(world: World, history: History) -> None:
    for op in history.operations:
        world.labels[f"{op.verb} {op.outcome}"] += 1
        if op.outcome not in (DONE, EMPTY_REPLY) and op.reply:
            kind = "refused" if op.outcome == FAILED else "undecided"
            world.labels[f"{kind}: {op.reply.decode('ascii', 'replace').split(':')[0][:60]}"] += 1
