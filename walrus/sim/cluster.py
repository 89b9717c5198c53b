"""The simulated cluster: hosts on one network, and who watches them."""

from typing import Protocol

from walrus.core.config import NodeConfig
from walrus.sim.host import Host, NodeFactory
from walrus.sim.moments import Moments
from walrus.sim.network import Network
from walrus.sim.options import Options
from walrus.sim.rng import Rng
from walrus.sim.streams import Streams
from walrus.sim.world import MS, SECOND, US, World


class Checker(Protocol):
    """Watches one property of the nodes. Raises :class:`walrus.sim.world.Violation`."""

    def after_turn(self, host: Host) -> None:
        """A node finished a turn; nothing of any other node has changed since the last call."""

    def on_crash(self, host: Host) -> None:
        """A node is about to lose its memory, or the run is at its end (called for every node)."""


class Cluster:
    """``nodes`` hosts: node 1 makes the cluster, the others join it."""

    def __init__(self, world: World, options: Options, factory: NodeFactory) -> None:
        self.world = world
        self.options = options
        self.checkers: list[Checker] = []
        self.network = Network(world, world.rng.stream("network"))
        self.streams = Streams(world, world.rng.stream("streams"))
        self.moments = Moments(self.network, self.streams)
        dice = world.rng.stream("cluster")
        self.max_segment_entries = dice.randrange(3, 31)
        sizes = world.rng.stream("segment bytes")
        self.max_segment_bytes = sizes.randrange(560, 3000) if sizes.chance(250_000) else 1 << 30
        self.hosts = [
            Host(world, self._config(n, dice), factory, self.network, self.streams, self._after_turn, self._before_end)
            for n in range(1, options.nodes + 1)
        ]
        self.network.delay_ns = (50 * US, dice.choice((100, 400, 3000, 15_000)) * US)
        for host in self.hosts:
            host.disk.latency_ns = (50 * US, dice.choice((200, 1000, 8000, 25_000)) * US)
        self._schedule_starts(dice)

    def host(self, node_id: int) -> Host:
        """The host of node ``node_id``."""
        return self.hosts[node_id - 1]

    def crash(self, host: Host, why: str, keep_per_million: int = 500_000) -> None:
        """Kill a node's process; each write in flight is kept with a probability given in millionths."""
        host.crash(keep_per_million)
        self.world.note(f"node {host.node_id} crashes ({why})")

    def restart(self, host: Host) -> None:
        """Start a node's process again, if it does not run."""
        if not host.up:
            host.start()
            self.world.note(f"node {host.node_id} starts (life {host.life})")

    def finish(self) -> None:
        """Let the checkers see every node a last time."""
        for host in self.hosts:
            self._before_end(host)

    def _before_end(self, host: Host) -> None:
        for checker in self.checkers:
            checker.on_crash(host)

    def _after_turn(self, host: Host) -> None:
        self.moments.after_turn(host)
        for checker in self.checkers:
            checker.after_turn(host)

    def _config(self, node_id: int, dice: Rng) -> NodeConfig:
        join = () if node_id == 1 else (_address(1),)
        return NodeConfig(
            node_id=node_id,
            advertise_address=_address(node_id),
            client_address=f"node{node_id}:9091",
            join=join,
            max_segment_entries=self.max_segment_entries,
            max_segment_bytes=self.max_segment_bytes,
            monitor_interval_ns=dice.randrange(100, 1000) * MS,
            rpc_timeout_ns=dice.randrange(500, 2000) * MS,
            replace_after_ns=dice.choice((1, 3, 30)) * SECOND,
            max_frame_bytes=1 << 20,
        )

    def _schedule_starts(self, dice: Rng) -> None:
        """Node 1 first, the others within the first moments, and sometimes some of them late."""
        late_per_million = dice.choice((0, 0, 200_000, 500_000))
        for host in self.hosts:
            if host.node_id == 1:
                delay = 0
            elif dice.chance(late_per_million):
                delay = dice.randrange(800 * MS, 2000 * MS)
            else:
                delay = dice.randrange(400 * MS)
            self.world.after(delay, self.restart, host)


def _address(node_id: int) -> str:
    return f"node{node_id}:6001"
