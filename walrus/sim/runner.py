"""One run: build the cluster, let faults happen under load, heal, wait until all is well, and judge."""

import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, TextIO

from walrus.core.node import Node
from walrus.sim.audit import Auditor
from walrus.sim.checkers import (
    check_deletions,
    check_history,
    lost_records,
    node_checkers,
    removed_from_all,
    removed_records,
)
from walrus.sim.cluster import Cluster
from walrus.sim.faults import swarm
from walrus.sim.healing import break_for_good, newest_metadata
from walrus.sim.history import DONE, EMPTY_REPLY, FAILED, History
from walrus.sim.host import NodeFactory
from walrus.sim.options import Options
from walrus.sim.result import EXCEPTION, Result
from walrus.sim.rng import Rng
from walrus.sim.scenario import Scenario, Script
from walrus.sim.setup import Setup, draw_setup
from walrus.sim.trace import Trace
from walrus.sim.workload import Workload
from walrus.sim.world import MS, Violation, World

real_node: NodeFactory = Node
"""The shipped node."""


_LONGER_AT_MOST_NS: Final = 10_000 * MS  # faults go on for the sake of more steps

Watch = Callable[[Cluster, History], None]


class Finding:
    """Keeps whatever a block raises: in here an exception of any kind is a result, not an error of the
    program.
    """

    def __init__(self) -> None:
        self.text = ""

    def __enter__(self) -> "Finding":
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
            self.text = f"{EXCEPTION}: {type(error).__name__}: {error}\n{''.join(lines)}"
        return True


class Load(Protocol):
    """What happens to a cluster until it is left in peace: drawn from a seed, or read from a scenario."""

    def start(self) -> None:
        """Clients begin."""

    def start_faults(self) -> None:
        """Faults begin."""

    def stop_faults(self) -> None:
        """Faults end; what does not heal breaks now."""

    def stop(self) -> None:
        """Clients ask no more."""

    def leave(self) -> None:
        """Clients close their connections."""


class Swarm:
    """The faults and clients of a seed."""

    def __init__(self, cluster: Cluster, history: History, options: Options) -> None:
        self._cluster = cluster
        self._faults = swarm(cluster, options.faults)
        self._workload = Workload(cluster, history, options.clients)

    def start(self) -> None:
        """Clients begin."""
        cluster = self._cluster
        names = ", ".join(fault.name for fault in self._faults) or "none"
        size = cluster.setup.max_segment_entries
        cluster.world.note(f"{cluster.setup.nodes} nodes, segments of {size} records, faults: {names}")
        self._workload.start()

    def start_faults(self) -> None:
        """All at once; each strikes in its own time."""
        for fault in self._faults:
            fault.start()

    def stop_faults(self) -> None:
        """Some nodes may stay broken."""
        for fault in self._faults:
            fault.stop()
        break_for_good(self._cluster, self._cluster.world.rng.stream("broken for good"))

    def stop(self) -> None:
        """The workload's end."""
        self._workload.stop()

    def leave(self) -> None:
        """The workload's connections."""
        self._workload.leave()


def command(seed: int, options: Options) -> str:
    """The one command that repeats a run."""
    return f"walrus-sim --seed {seed} {options.arguments()}"


def run_seed(
    seed: int,
    options: Options,
    factory: NodeFactory | None = None,
    text: TextIO | None = None,
    watch: Watch | None = None,
) -> Result:
    """Run one seed. ``factory`` makes the nodes (default: the real one); ``text`` takes the whole trace; ``watch`` is
    given the cluster and its history before anything happens.
    """
    if options.lost_majority:
        from walrus.sim.survival import run_survival  # it begins with what is here

        assert watch is None, "a run in two worlds is no list of deeds"
        return run_survival(seed, options, factory or real_node, text)
    setup = draw_setup(Rng(seed).stream("setup"), options)
    return _judge(seed, setup, lambda cluster, history: Swarm(cluster, history, options), factory, text, watch)


def run_scenario(
    scenario: Scenario, factory: NodeFactory | None = None, text: TextIO | None = None, watch: Watch | None = None
) -> Result:
    """Run what a scenario says instead of what a seed draws."""
    begin: Callable[[Cluster, History], Load] = lambda cluster, history: Script(cluster, history, scenario)  # noqa: E731
    return _judge(scenario.seed, scenario.setup, begin, factory, text, watch)


def _judge(
    seed: int,
    setup: Setup,
    begin: "Callable[[Cluster, History], Load]",
    factory: NodeFactory | None,
    text: TextIO | None,
    watch: Watch | None,
) -> Result:
    trace = Trace(text)
    world = World(seed, trace, setup.max_steps)
    finding = Finding()
    with finding:
        cluster, history = Cluster(world, setup, factory or real_node), History()
        cluster.checkers.extend(node_checkers(cluster, history))
        if watch is not None:
            watch(cluster, history)
        _run(cluster, history, begin(cluster, history))
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


def _run(cluster: Cluster, history: History, load: "Load") -> None:
    world, setup = cluster.world, cluster.setup
    cluster.start()
    load.start()
    world.run_until(setup.faults_ns)
    load.start_faults()
    world.run_until(setup.heal_ns)
    while world.steps < setup.least_steps and world.now_ns < setup.heal_ns + _LONGER_AT_MOST_NS:
        world.run_until(world.now_ns + 20 * MS)
    conclude(cluster, history, load)


def conclude(cluster: Cluster, history: History, load: Load) -> None:
    """The faults end now: heal, wait until all is well, and judge what clients saw. Whoever did the faults and asked
    the requests calls this once.

    Raises :class:`Violation` where something did not come out right.
    """
    world, setup = cluster.world, cluster.setup
    load.stop_faults()
    cluster.heal()
    world.note("faults end")
    world.run_until(world.now_ns + setup.rest_ns)
    load.stop()
    auditor = Auditor(cluster, history, world.rng.stream("auditor"), world.now_ns + setup.converge_ns)
    auditor.settle()
    world.note("the cluster is well")
    _drain(cluster, load)
    scans = {}
    for topic in setup.topic_names:
        if topic not in auditor.excused:
            auditor.prove_writable(topic)
    drained = setup.drained and not auditor.excused
    if drained:
        auditor.drain(setup.topic_names)
        drained = not auditor.excused
    for topic in setup.topic_names:
        scans[topic] = auditor.scan(topic)
    if newest_metadata(cluster.core) is not None:  # not the small nodes of the tests
        scans |= {topic: auditor.scan_if_there(topic) for topic in setup.churned_names}
    auditor.settle(alone=True)
    for topic in [topic for topic in auditor.cut_short if topic not in auditor.excused]:
        scans[topic] = auditor.scan(topic)  # what was out of reach has come back
    for topic, scan in scans.items():
        world.note(f"topic {topic} holds {len(scan)} records" + " in reach" * (topic in auditor.cut_short))
    cluster.finish()
    whole = {topic: scan for topic, scan in scans.items() if topic not in auditor.cut_short}
    history.stale_allowed = not cluster.clocks_within_margin
    _check(cluster, history, auditor, whole, drained)
    _count(cluster, history)


def _check(cluster: Cluster, history: History, auditor: Auditor, scans: dict[str, list[bytes]], drained: bool) -> None:
    """Judge the history: what retention removed stands before what was read, topics that come and go by themselves."""
    removed: dict[str, int] = {}
    churned = cluster.setup.churned_names
    for topic, scan in scans.items():
        if topic in churned:
            trimmed = removed_from_all(cluster, topic)
            if trimmed is not None:
                kept = history.without(topic, lost_records(cluster, topic))
                check_deletions(topic, kept, scan, trimmed, _first_left(cluster, topic))
            continue
        before, base = removed_records(cluster, topic, 1), auditor.earliest[topic][1]
        if before is not None:
            scans[topic], removed[topic] = before[:base] + scan, base
        else:
            cluster.world.labels["not judged: what was removed is not known"] += 1
    for topic, base in removed.items():
        kept = history.without(topic, lost_records(cluster, topic))
        check_history(kept, {topic: scans[topic]}, drained, {topic: base})


def _first_left(cluster: Cluster, topic: str) -> int:
    """Number of the first segment of that name that is not gone, there or still to come."""
    state = newest_metadata(cluster.core)
    if state is None:
        return 0
    found = state.topics.get(topic)
    return found.first.number if found is not None else state.deleted.get(topic, 0)


def _drain(cluster: Cluster, load: "Load") -> None:
    """Let requests under way be answered, or time out and stay unknown, like those to a process that is gone."""
    world = cluster.world
    until = world.now_ns + 3_000 * MS
    while any(client.may_be_answered for client in cluster.clients.values()) and world.now_ns < until:
        world.run_until(world.now_ns + 20 * MS)
    load.leave()


def _count(cluster: Cluster, history: History) -> None:
    world = cluster.world
    for kind, count in cluster.network.sent_by_kind().items():
        world.labels[f"message: {kind}"] += count
    for op in history.operations:
        world.labels[f"{op.verb} {op.outcome}"] += 1
        if op.outcome not in (DONE, EMPTY_REPLY) and op.reply:
            kind = "refused" if op.outcome == FAILED else "undecided"
            world.labels[f"{kind}: {op.reply.decode('ascii', 'replace').split(':')[0][:60]}"] += 1
