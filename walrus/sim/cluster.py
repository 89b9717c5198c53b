"""The simulated cluster: hosts on one network, what is done to them, and who watches them."""

from typing import Final, Protocol

from msgspec.structs import replace

from walrus.sim import probe
from walrus.sim.client import Link
from walrus.sim.deeds import AnyDeed
from walrus.sim.deeds.disks import heal_disk
from walrus.sim.deeds.processes import DEAD, Crash, StartNode
from walrus.sim.foundings import Foundings
from walrus.sim.history import History
from walrus.sim.host import Host, NodeFactory
from walrus.sim.moments import Moments
from walrus.sim.network import Network
from walrus.sim.powercuts import PowerCuts
from walrus.sim.setup import Setup, address
from walrus.sim.streams import Streams
from walrus.sim.world import MS, Violation, World

_OPERATOR: Final = -1  # number of the link that operators use
_TAKEN_IN_NS: Final = 20 * MS


class Checker(Protocol):
    """Watches one property of the nodes. Raises :class:`walrus.sim.world.Violation`."""

    def after_turn(self, host: Host) -> None:
        """A node finished a turn; nothing of any other node has changed since the last call."""

    def on_crash(self, host: Host) -> None:
        """A node is about to lose its memory, or the run is at its end (called for every node)."""


class Cluster:
    """The nodes of a setup, none of them started. ``broken`` says which are broken for good, and how.

    ``deeds`` collects what was done and when, where it is a list. ``clocks_within_margin``: no clock has ever been
    further off than leases allow for.
    """

    def __init__(self, world: World, setup: Setup, factory: NodeFactory) -> None:
        self.world = world
        self.setup = setup
        self.checkers: list[Checker] = []
        self.deeds: list[tuple[int, AnyDeed]] | None = None
        self.broken: dict[int, str] = {}
        self.last_voters: dict[int, tuple[int, ...]] = {}  # of processes that ended
        self.clients: dict[int, Link] = {}
        self.may_be_removed: dict[int, bool] = {}  # nodes that somebody asked to remove, or whose disk was exchanged
        self.leaving: dict[int, bool] = {}  # those that may be removed at any time, unless they were already
        self.lost_members: dict[tuple[int, int], bool] = {}  # (node, storage id) of disks that are gone
        self.healed_ns = -1  # when all that is to heal has healed
        self.tearing = False  # crashes may leave parts of writes
        self.clocks_within_margin = not setup.hasty
        self.power_cuts = PowerCuts()
        self.network = Network(world, world.rng.stream("network"), setup.network_delay_ns)
        self.streams = Streams(world, world.rng.stream("streams"))
        self.moments = Moments(self.network, self.streams)
        self.foundings = Foundings(self)
        self.hosts = [
            Host(
                world, setup.config(n), factory, self.network, self.streams, setup.disk_latency_ns[n - 1],
                self._after_turn, self._before_end,
            )
            for n in range(1, setup.nodes + 1)
        ]  # fmt: skip
        for host in self.hosts:
            self.network.add(host, address(host.node_id))
            host.when_stranded = self._stranded
        self.operator = Link(_OPERATOR, world, self.streams, History())
        self._last_number = 0

    def host(self, node_id: int) -> Host:
        """The host of node ``node_id``."""
        return self.hosts[node_id - 1]

    @property
    def core(self) -> list[Host]:
        """The hosts that are not broken for good."""
        return [host for host in self.hosts if host.node_id not in self.broken]

    def setup_as_it_was(self) -> Setup:
        """The setup, with the end of the faults as it came."""
        healed_ns = self.healed_ns if self.healed_ns >= 0 else max(self.setup.heal_ns, self.world.now_ns)
        return replace(self.setup, heal_ns=healed_ns, least_steps=0)

    def start(self) -> None:
        """Start each node for the first time in its time."""
        for host in self.hosts:
            self.world.at(self.setup.node_setups[host.node_id - 1].starts_ns, self._start_first, host)

    def do(self, deed: AnyDeed) -> None:
        """Do something to the cluster, and note it."""
        if self.deeds is not None:
            self.deeds.append((self.world.now_ns, deed))
        if deed.kind != "client":
            self.world.note(str(deed))
        deed.apply(self)

    def number(self) -> int:
        """A new number for a cut or a clog."""
        self._last_number += 1
        return self._last_number

    def crash(self, host: Host, why: str, keep_per_million: int = 500_000, *, power: bool = False) -> None:
        """Kill a node's process, or its machine; each write in flight is kept with a probability in millionths."""
        self.do(Crash(host.node_id, why, keep_per_million, self.tearing, power))

    def restart(self, host: Host) -> None:
        """Start a node's process again, if it does not run."""
        if not host.up:
            self.do(StartNode(host.node_id))

    def renew_disk(self, host: Host) -> None:
        """End a process, and put an empty disk in the place of its own."""
        storage = probe.storage(host)
        self.leaving.pop(host.node_id, None)
        host.crash(keep_per_million=0)
        self.lost_members[host.node_id, storage] = True
        host.disk.exchange()
        host.dead = False
        host.injured = ""
        self.foundings.exchanged(host)
        if not host.config.initial_peers:  # whoever is empty asks the others, node 1 too
            others = tuple(address(other.node_id) for other in self.hosts if other is not host)
            host.config = replace(host.config, join=others)

    def _stranded(self, host: Host) -> None:
        """A process stops because it is no member any more, or founded a cluster beside the one there is: an operator
        takes it in anew.
        """
        if host.beside:
            self.world.labels["stopped beside"] += 1
        elif host.node_id not in self.may_be_removed:
            raise Violation(f"membership: node {host.node_id} was told that it is removed, and nobody asked for that")
        else:
            self.world.labels["removed node told"] += 1
        self.renew_disk(host)
        self.world.after(_TAKEN_IN_NS, self._take_in, host)

    def _take_in(self, host: Host) -> None:
        if not host.up and host.node_id not in self.broken:
            host.start()

    def heal(self) -> None:
        """Mend everything but what is broken for good."""
        self.healed_ns = self.world.now_ns
        self.tearing = False
        self.network.heal()
        for host in self.hosts:
            heal_disk(self, host)
        for host in self.core:
            host.disk.latency_ns = self.setup.disk_latency_ns[host.node_id - 1]
            host.clock.set_rate(0)
            host.clock_changed()
            if host.paused:
                host.go_on()
            if host.dead:
                self.broken[host.node_id] = DEAD
            elif not host.up:
                host.start()

    def finish(self) -> None:
        """Let the checkers see every node a last time."""
        for host in self.hosts:
            self._before_end(host)

    def _start_first(self, host: Host) -> None:
        if not host.life and not host.dead and host.node_id not in self.broken:
            host.start()
            host.note("starts for the first time")

    def _before_end(self, host: Host) -> None:
        if host.beside:
            return
        view = probe.raft(host)
        if view is not None:
            self.last_voters[host.node_id] = view.membership.voters
        for checker in self.checkers:
            checker.on_crash(host)

    def _after_turn(self, host: Host) -> None:
        self.foundings.after_turn(host)
        if host.beside:
            return
        self.moments.after_turn(host)
        for checker in self.checkers:
            checker.after_turn(host)
