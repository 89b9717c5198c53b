"""What a run is made of before anything happens to it: drawn from the seed, or read from a scenario file."""

import msgspec

from walrus.core.config import NodeConfig
from walrus.core.metadata.durability import ALWAYS, NEVER, durability_text
from walrus.sim.deeds.processes import MANNERS
from walrus.sim.options import Options
from walrus.sim.rng import Rng
from walrus.sim.world import MS, SECOND, US

_DRAIN_PER_MILLION = 120_000  # runs that wait until no delivery can be pending: mostly idle, but long
_CORE_PER_MILLION = 350_000  # runs after whose faults only a quorum heals
_LEAST_QUORUM_NODES = 3
_SHRINKING_PER_MILLION = 400_000  # runs with retention, and as many with topics that come and go
_HASTY_PER_MILLION = 250_000
_LEAST_PATIENCE_PERCENT = 16  # hardly more than one heartbeat and its answer take where nothing is slow
_FOUNDER_ASKS_PER_MILLION = 300_000
_WEAK_PER_MILLION = 400_000  # runs with topics that acknowledge before they have synced
_SLOW_NETWORK_NS = 10 * MS
_RESERVE_BYTES = 1000  # small enough to be used up
_REWRITE_BYTES_MOST = 4000
_ROOM_CHECK_NS = 100 * MS
_ROOM_NEEDED_BYTES = 2000
_REPAIR_BYTES_PER_S = 4 << 20  # a question at a time, nearly: each is taken for 1 MiB until it is answered
_SCRUB_BYTES_PER_S = 1 << 20
_SCRUB_INTERVAL_NS = 500 * MS
_DEFAULT = NodeConfig(node_id=1, advertise_address="")


class NodeSetup(msgspec.Struct, frozen=True, kw_only=True):
    """One node: when it starts, its settings, and how fast its disk is (least, most)."""

    starts_ns: int
    disk_latency_ns: tuple[int, int]
    monitor_interval_ns: int
    rpc_timeout_ns: int
    join: tuple[int, ...]  # nodes it asks to be let in


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes, speeds and phases. Times are simulated nanoseconds from the start.

    From ``faults_ns`` to ``heal_ns`` faults happen, and on until the run has ``least_steps``; clients go on for
    ``rest_ns`` after that. ``broken``: how the nodes that do not heal are broken. ``quiet_ns``: stretches (from, to) in
    which clients ask nothing.
    """

    nodes: int
    topics: int
    node_setups: tuple[NodeSetup, ...]
    network_delay_ns: tuple[int, int]
    max_segment_entries: int
    max_segment_bytes: int
    replace_after_ns: int
    faults_ns: int
    heal_ns: int
    rest_ns: int
    converge_ns: int
    max_steps: int
    drained: bool
    least_steps: int = 0
    quicker: int = 1  # heartbeats, leases and elections are so many times quicker than by default
    beats_per_lease: int = _DEFAULT.lease_ns // _DEFAULT.heartbeat_interval_ns
    calm: int = 1  # clients pause so many times longer: more can happen to the nodes in as many steps
    hasty: bool = False  # leaders wait for a part of a lease only, as if clocks were far off: fences alone keep records
    patience_percent: int = 50  # of a lease: how long hasty leaders wait
    broken: tuple[str, ...] = ()
    quiet_ns: tuple[tuple[int, int], ...] = ()
    snapshot_entries: int = 10_000
    snapshot_bytes: int = 16 << 20
    snapshot_chunk_bytes: int = 256 << 10
    retention: str = ""  # a setting of all topics but the first; "": nothing is ever removed from them
    founder_asks: bool = False  # node 1 knows all others, and is given nothing else to join, with an empty disk too
    found_after_ns: int = _DEFAULT.found_after_ns
    churned: int = 0  # so many topics more, which clients create and delete
    durability: int = ALWAYS  # of topics for which no other is asked
    keeps_power: bool = False  # where machines would lose power, only processes end

    def config(self, node: int) -> NodeConfig:
        """The settings of node ``node``."""
        own = self.node_setups[node - 1]
        asks = node == 1 and self.founder_asks and not own.join
        return NodeConfig(
            node_id=node,
            advertise_address=address(node),
            client_address=f"node{node}:9091",
            join=tuple(address(other) for other in own.join),
            initial_peers=tuple(address(n) for n in range(2, self.nodes + 1)) if asks else (),
            found_after_ns=self.found_after_ns,
            max_segment_entries=self.max_segment_entries,
            max_segment_bytes=self.max_segment_bytes,
            monitor_interval_ns=own.monitor_interval_ns,
            rpc_timeout_ns=own.rpc_timeout_ns,
            replace_after_ns=self.replace_after_ns,
            durability=self.durability,
            max_frame_bytes=1 << 20,
            snapshot_entries=self.snapshot_entries,
            snapshot_bytes=self.snapshot_bytes,
            snapshot_chunk_bytes=self.snapshot_chunk_bytes,
            metadata_reserve_bytes=_RESERVE_BYTES,
            mark_interval_ns=_DEFAULT.mark_interval_ns // self.quicker,
            catalogue_rewrite_bytes=min(self.snapshot_bytes, _REWRITE_BYTES_MOST),
            room_check_ns=_ROOM_CHECK_NS,
            repair_bytes_per_s=_REPAIR_BYTES_PER_S,
            scrub_bytes_per_s=_SCRUB_BYTES_PER_S,
            scrub_interval_ns=_SCRUB_INTERVAL_NS,
            room_needed_bytes=_ROOM_NEEDED_BYTES,
            heartbeat_interval_ns=_DEFAULT.lease_ns // self.quicker // self.beats_per_lease,
            lease_ns=_DEFAULT.lease_ns // self.quicker,
            lease_margin_ns=(self._hasty_margin_ns if self.hasty else _DEFAULT.lease_margin_ns) // self.quicker,
            election_timeout_min_ns=_DEFAULT.election_timeout_min_ns // self.quicker,
            election_timeout_max_ns=_DEFAULT.election_timeout_max_ns // self.quicker,
        )

    @property
    def _hasty_margin_ns(self) -> int:
        return -_DEFAULT.lease_ns * (100 - self.patience_percent) // 100

    @property
    def topic_names(self) -> list[str]:
        """The first is the one that every cluster starts with."""
        return ["logs", *(f"topic-{n}" for n in range(1, self.topics))]

    @property
    def kept_names(self) -> list[str]:
        """Those from which retention removes."""
        return self.topic_names[1:] if self.retention else []

    @property
    def churned_names(self) -> list[str]:
        """Topics that come and go."""
        return [f"churned-{n}" for n in range(1, self.churned + 1)]

    @property
    def disk_latency_ns(self) -> tuple[tuple[int, int], ...]:
        """Of each node, in order."""
        return tuple(own.disk_latency_ns for own in self.node_setups)


def address(node: int) -> str:
    """Where peers reach a node."""
    return f"node{node}:6001"


def draw_setup(rng: Rng, options: Options) -> Setup:
    """The setup of a seed."""
    sizes, speeds, phases = rng.stream("sizes"), rng.stream("speeds"), rng.stream("phases")
    late_per_million = phases.choice((0, 0, 200_000, 500_000))
    faults_ns = phases.randrange(options.start_ns * 2)
    heal_ns = faults_ns + options.least_fault_ns
    broken = _draw_broken(rng.stream("broken for good"), options.nodes)
    founding = rng.stream("founding")
    snapshots, shrinking = rng.stream("snapshots"), rng.stream("topics that shrink")
    haste = rng.stream("hasty")
    hasty = haste.chance(_HASTY_PER_MILLION)
    network_most_ns = speeds.choice((100, 400, 3000, 15_000)) * US
    return Setup(
        nodes=options.nodes,
        topics=options.topics,
        node_setups=tuple(
            _draw_node(rng.stream(f"setup of node {n}"), n, options.nodes, late_per_million) for n in _all(options)
        ),
        network_delay_ns=(50 * US, network_most_ns),
        max_segment_entries=sizes.randrange(3, 31),
        max_segment_bytes=sizes.randrange(560, 3000) if sizes.chance(250_000) else 1 << 30,
        replace_after_ns=sizes.choice((1, 3) if broken else (1, 3, 10)) * SECOND,
        faults_ns=faults_ns,
        heal_ns=heal_ns,
        rest_ns=phases.choice((0, 50, 400)) * MS,
        converge_ns=options.converge_ns,
        max_steps=options.max_steps,
        drained=phases.chance(_DRAIN_PER_MILLION),
        least_steps=options.least_steps,
        quicker=rng.stream("timers").choice((1, 1, 2) if network_most_ns > _SLOW_NETWORK_NS else (1, 2, 2)),
        beats_per_lease=rng.stream("beats").choice((10,) if hasty else (10, 10, 6, 4)),
        calm=rng.stream("calm").choice((1, 3, 6)),
        hasty=hasty,
        patience_percent=50 if network_most_ns > _SLOW_NETWORK_NS else haste.choice((50, _LEAST_PATIENCE_PERCENT)),
        broken=broken,
        quiet_ns=_draw_quiet(rng.stream("quiet"), faults_ns, heal_ns),
        founder_asks=founding.chance(_FOUNDER_ASKS_PER_MILLION),
        found_after_ns=founding.choice((300 * MS, 1 * SECOND, _DEFAULT.found_after_ns)),
        snapshot_entries=snapshots.choice((3, 6, 15, 50)),
        snapshot_bytes=snapshots.choice((2_000, 10_000, 16 << 20)),
        snapshot_chunk_bytes=snapshots.choice((20, 60, 300, 256 << 10)),
        retention=draw_retention(shrinking) if shrinking.chance(_SHRINKING_PER_MILLION) else "",
        churned=shrinking.randrange(1, 3) if shrinking.chance(_SHRINKING_PER_MILLION) else 0,
        durability=(durability := _draw_durability(rng.stream("durability"))),
        keeps_power=durability != ALWAYS and not options.unsynced_power_loss,
    )


def _draw_durability(rng: Rng) -> int:
    return draw_mode(rng) if rng.chance(_WEAK_PER_MILLION) else ALWAYS


def draw_mode(rng: Rng) -> int:
    """How a topic may acknowledge before it has synced: intervals shorter and longer than disks take, and for ever."""
    return rng.choice((1, 20, 200, 2000, NEVER, NEVER))


def draw_setting(rng: Rng, *, weak: bool) -> str:
    """What clients change of a topic; its durability only where the run has topics that are not synced at once."""
    if weak and rng.chance(400_000):
        return f"durability={durability_text(ALWAYS if rng.chance(300_000) else draw_mode(rng))}"
    return draw_retention(rng)


def draw_retention(rng: Rng) -> str:
    """A limit for a topic, mostly one that bites within a run."""
    name = rng.choice(("retention_records", "retention_bytes", "retention_ms"))
    most = {"retention_records": 40, "retention_bytes": 4000, "retention_ms": 3000}[name]
    return f"{name}={0 if rng.chance(100_000) else rng.randrange(1, most)}"


def _all(options: Options) -> range:
    return range(1, options.nodes + 1)


def _draw_node(rng: Rng, node: int, nodes: int, late_per_million: int) -> NodeSetup:
    """Node 1 starts first and makes the cluster; the others join within the first moments, some of them late."""
    others = tuple(other for other in range(1, nodes + 1) if other != node)
    join: tuple[int, ...] = ()
    starts_ns = 0
    if node > 1:
        join = others if rng.chance(500_000) else (1,)
        late = rng.chance(late_per_million)
        starts_ns = rng.randrange(800 * MS, 2000 * MS) if late else rng.randrange(400 * MS)
    return NodeSetup(
        starts_ns=starts_ns,
        disk_latency_ns=(50 * US, rng.choice((200, 1000, 8000, 25_000)) * US),
        monitor_interval_ns=rng.randrange(100, 1000) * MS,
        rpc_timeout_ns=rng.randrange(500, 2000) * MS,
        join=join,
    )


def _draw_broken(rng: Rng, nodes: int) -> tuple[str, ...]:
    """How many nodes do not heal, and how each is broken: fewer than half."""
    if nodes < _LEAST_QUORUM_NODES or not rng.chance(_CORE_PER_MILLION):
        return ()
    return tuple(rng.choice(MANNERS) for _ in range(rng.randrange(1, (nodes - 1) // 2 + 1)))


def _draw_quiet(rng: Rng, from_ns: int, to_ns: int) -> tuple[tuple[int, int], ...]:
    """Some liveness bugs need idleness: a stretch without requests."""
    if not rng.chance(200_000):
        return ()
    start = rng.randrange(from_ns, to_ns)
    return ((start, start + rng.randrange(200 * MS, 1200 * MS)),)
