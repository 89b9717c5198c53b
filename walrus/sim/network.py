"""The network between nodes: each message takes a random time, and faults decide what else becomes of it.

A fault adds a *filter*: a function from (sender, recipient, delays) to delays, one delay for each copy that
will arrive, so an empty list loses the message and a second element doubles it. Without filters a link
keeps the order of its messages; urgent ones have a lane of their own and overtake. One-way cuts are pairs
in ``cut``.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from walrus.core.events import MessageReceived, PeerDisconnected
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US, World

if TYPE_CHECKING:
    from walrus.sim.host import Host

Filter = Callable[[int, int, list[int]], list[int]]


class Network:
    """Carries peer messages between hosts. ``delay_ns`` is (least, most) for one message."""

    def __init__(self, world: World, rng: Rng) -> None:
        self.hosts: dict[int, Host] = {}
        self.addresses: dict[str, Host] = {}
        self.cut: set[tuple[int, int]] = set()  # membership is asked for, its order never used
        self.filters: list[Filter] = []
        self.tap: Callable[[int, int, bytes], None] | None = None  # sees (sender, recipient, bytes) of each message
        self.delay_ns = (50 * US, 400 * US)
        self.fates: Counter[str] = Counter()
        self._world = world
        self._rng = rng
        self._arrivals: dict[tuple[int, int, bool], int] = {}

    def add(self, host: "Host", address: str) -> None:
        """Make ``host`` reachable at ``address`` (``host:port``)."""
        self.hosts[host.node_id] = host
        self.addresses[address] = host

    def send(self, sender: int, to: int, data: bytes, urgent: bool) -> None:
        """Take a message from node ``sender`` to node ``to``."""
        if self.tap is not None:
            self.tap(sender, to, data)
        if (sender, to) in self.cut:
            self.fates["cut"] += 1
            return
        least, most = self.delay_ns
        delays = [self._rng.randrange(least, most + 1)]
        for transform in self.filters:
            delays = transform(sender, to, delays)
        now = self._world.now_ns
        for position, delay in enumerate(delays):
            arrival = now + delay
            if position == 0 and delay <= most:
                lane = (sender, to, urgent)
                arrival = max(arrival, self._arrivals.get(lane, 0) + 1)
                self._arrivals[lane] = arrival
            self._world.at(arrival, self._arrive, (sender, to, data))

    def connection_lost(self, node: int) -> None:
        """Node ``node`` crashed: those that can be reached hear of it, one by one."""
        for other in self.hosts.values():
            if other.node_id != node and other.up:
                self._world.after(self._rng.randrange(1 * MS), self._tell_lost, (other, other.life, node))

    def _tell_lost(self, item: "tuple[Host, int, int]") -> None:
        host, life, node = item
        if host.life == life and (node, host.node_id) not in self.cut:
            host.deliver(PeerDisconnected(node))

    def _arrive(self, item: tuple[int, int, bytes]) -> None:
        sender, to, data = item
        host = self.hosts[to]
        if not host.up:
            self.fates["recipient down"] += 1
        elif (sender, to) in self.cut:
            self.fates["cut"] += 1
        else:
            self.fates["arrived"] += 1
            host.heard_from[sender] = True
            host.deliver(MessageReceived(data))
