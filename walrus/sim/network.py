"""The network between nodes: each message takes a random time, and faults decide what else becomes of it.

A fault adds a *filter*: a function from (sender, recipient, extras) to extras, the additional delay of each copy that
will arrive, so an empty list loses the message and a second element doubles it. Without filters a link keeps the order
of its messages; urgent ones have a lane of their own and overtake. A plan does the same for single messages by number.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from walrus.core.events import MessageReceived, PeerDisconnected
from walrus.sim import next_version
from walrus.sim.deeds.network import MessageFate, Pairs
from walrus.sim.message_kinds import SAID_AT, SAID_END, TAG_AT, TAG_END, name_of, tag_of
from walrus.sim.rng import Rng
from walrus.sim.world import MS, World

if TYPE_CHECKING:
    from walrus.sim.host import Host

Filter = Callable[[int, int, list[int]], list[int]]
Said = tuple[int, int, bytes]
"""Sender, recipient, and how the message begins: enough to know it again when it is sent once more."""

Arrival = Callable[[int, bool], None]
"""Told the serial number of a message, and whether one that was sent later on its lane of the link came before it."""

_ON_TIME: Final = [0]
_NEW_KIND_EVERY: Final = 8  # messages of a newer node to one of a kind that older ones do not know


Listener = Callable[[int, int, bytes], None]
"""Told sender, recipient and bytes of a message; a checker, which changes nothing."""


class Watcher(Protocol):
    """Who draws a picture of the messages."""

    def sent(self, sender: int, to: int, data: bytes, extra_ns: list[int]) -> list[int]:
        """A message left; returns a number for each copy."""

    def ended(self, number: int, fate: str) -> None:
        """A copy arrived or was lost."""


class _Link:
    """What is remembered of one direction between two nodes."""

    __slots__ = ("arrived", "clogged", "cut", "last_arrival_ns", "numbers", "rng", "sender", "slower_ns", "to")

    def __init__(self, sender: int, to: int, rng: Rng) -> None:
        self.sender = sender
        self.to = to
        self.rng = rng
        self.last_arrival_ns = [0, 0]  # of the usual and of the urgent lane
        self.numbers: dict[bytes, int] = {}  # messages sent, by tag
        self.cut = 0  # how many cuts it is in
        self.clogged = 0
        self.slower_ns = 0
        self.arrived = [0, 0]  # greatest serial number that came on each lane


_Copy = tuple[_Link, bytes, int, int, bool]
"""Link, data, the watcher's number of this copy, the message's serial number, and whether it is urgent."""


class Network:
    """Carries peer messages between hosts. ``delay_ns`` is (least, most) for one message.

    Faults may ask what became of their victims: :meth:`tell_of_arrival` and ``on_repeat``, which hears of it when what
    a filter lost is sent again. ``fates`` counts the others.
    """

    def __init__(self, world: World, rng: Rng, delay_ns: tuple[int, int]) -> None:
        self.hosts: dict[int, Host] = {}
        self.addresses: dict[str, Host] = {}
        self.filters: list[Filter] = []
        self.filters_by_kind: dict[str, Filter] = {}  # for messages of one kind only, after the others
        self.tap: Callable[[int, int, bytes], None] | None = None  # sees (sender, recipient, bytes) of each message
        self.on_fate: Callable[[MessageFate], None] | None = None  # hears what filters did
        self.watcher: Watcher | None = None
        self.delay_ns = delay_ns
        self.fates: Counter[str] = Counter()
        self.on_repeat: Callable[[], None] | None = None
        self.newer: dict[int, bool] = {}  # nodes that run the next version
        self._world = world
        self._rng = rng
        self._serial = 0  # of the message sent last
        self._arrivals: dict[int, list[Arrival]] = {}  # by serial number: who wants to hear of the message's arrival
        self._links: dict[tuple[int, int], _Link] = {}
        self._cuts: dict[int, list[tuple[int, int]]] = {}
        self._clogs: dict[int, Pairs] = {}
        self._slow: dict[int, tuple[Pairs, int]] = {}
        self._kept: list[_Copy] = []  # what clogged links hold
        self._lost: dict[Said, bool] = {}  # what filters lost, since ``on_repeat`` wants to know
        self._plans: dict[tuple[int, int, bytes, int], list[int]] = {}
        self._departures: dict[bytes, list[Listener]] = {}  # by tag: who wants to hear of messages that leave
        self._listeners: dict[bytes, list[Listener]] = {}  # the same for those that arrive

    def add(self, host: "Host", address: str) -> None:
        """Make ``host`` reachable at ``address`` (``host:port``)."""
        self.hosts[host.node_id] = host
        self.addresses[address] = host

    def when_sent(self, kind: str, listener: Listener) -> None:
        """Tell of each message of this kind that a node sends, before faults decide what becomes of it."""
        self._departures.setdefault(tag_of(kind), []).append(listener)

    def when_received(self, kind: str, listener: Listener) -> None:
        """Tell of each copy of a message of this kind that arrives at a running node, before it handles it."""
        self._listeners.setdefault(tag_of(kind), []).append(listener)

    def is_cut(self, sender: int, to: int) -> bool:
        """Whether messages from ``sender`` to ``to`` are lost."""
        return self._link(sender, to).cut > 0

    def cut(self, number: int, pairs: Pairs) -> None:
        """Lose everything on these links until :meth:`mend`."""
        self._cuts.setdefault(number, []).extend(pairs)
        for pair in pairs:
            self._link(*pair).cut += 1

    def mend(self, number: int, pairs: Pairs = ()) -> None:
        """End a cut on some of its links, or on all."""
        mended = [pair for pair in self._cuts.get(number, ()) if not pairs or pair in pairs]
        for pair in mended:
            self._cuts[number].remove(pair)
            self._link(*pair).cut -= 1
        if number in self._cuts and not self._cuts[number]:
            del self._cuts[number]

    def clog(self, number: int, pairs: Pairs) -> None:
        """Keep what is sent on these links until :meth:`unclog`."""
        self.unclog(number)
        self._clogs[number] = pairs
        for pair in pairs:
            self._link(*pair).clogged += 1

    def unclog(self, number: int) -> None:
        """Let what was kept arrive, in its order."""
        for pair in self._clogs.pop(number, ()):
            self._link(*pair).clogged -= 1
        kept, self._kept = self._kept, []
        for copy in kept:
            link = copy[0]
            if link.clogged:
                self._kept.append(copy)
            else:
                delay = link.rng.randrange(*self.delay_ns) + link.slower_ns
                arrival = max(self._world.now_ns + delay, link.last_arrival_ns[0] + 1)
                link.last_arrival_ns[0] = arrival
                self._world.at(arrival, self._arrive, copy)

    def slow_down(self, number: int, pairs: Pairs, extra_ns: int) -> None:
        """Everything on these links takes longer by so much until :meth:`speed_up`."""
        self.speed_up(number)
        self._slow[number] = (pairs, extra_ns)
        for pair in pairs:
            self._link(*pair).slower_ns += extra_ns

    def speed_up(self, number: int) -> None:
        """Links have their usual speed again."""
        pairs, extra_ns = self._slow.pop(number, ((), 0))
        for pair in pairs:
            self._link(*pair).slower_ns -= extra_ns

    def tell_of_arrival(self, tell: "Arrival") -> None:
        """For a filter: each copy of the message that it looks at, arriving at a running node, is told of."""
        self._arrivals.setdefault(self._serial, []).append(tell)

    def plan(self, fate: MessageFate) -> None:
        """Decide now what will become of a message that is still to be sent."""
        self._plans[fate.sender, fate.to, tag_of(fate.message), fate.number] = list(fate.extra_ns)

    def heal(self) -> None:
        """End every cut, clog and slowness but the cuts of nodes that are broken for good; plan nothing more."""
        for number in list(self._cuts):
            if number > 0:
                self.mend(number)
        for number in list(self._clogs):
            self.unclog(number)
        for number in list(self._slow):
            self.speed_up(number)
        self.filters.clear()
        self.filters_by_kind.clear()
        self._plans.clear()
        self._arrivals.clear()
        self.on_repeat = None
        self._lost.clear()

    def send(self, sender: int, to: int, data: bytes, urgent: bool) -> None:
        """Take a message from node ``sender`` to node ``to``."""
        if self.tap is not None:
            self.tap(sender, to, data)
        for listener in self._departures.get(data[TAG_AT:TAG_END], ()):
            listener(sender, to, data)
        link = self._links.get((sender, to)) or self._link(sender, to)
        if self.newer and sender in self.newer and next_version.can_rewrite(data):
            data = next_version.rewrite(data)
            if (self._serial + 1) % _NEW_KIND_EVERY == 0:
                self._carry(link, next_version.new_kind(data), urgent)
        self._carry(link, data, urgent)

    def _carry(self, link: _Link, data: bytes, urgent: bool) -> None:
        self._serial = serial = self._serial + 1
        tag = data[TAG_AT:TAG_END]
        number = link.numbers.get(tag, 0) + 1
        link.numbers[tag] = number
        extras = _ON_TIME
        if (
            self.on_repeat is not None
            and self._lost
            and self._lost.pop((link.sender, link.to, data[SAID_AT:SAID_END]), False)
        ):
            self.on_repeat()
        if link.cut:
            self.fates["cut"] += 1
            if self.watcher is not None:
                self.watcher.ended(self.watcher.sent(link.sender, link.to, data, _ON_TIME)[0], "cut")
            return
        if self.filters or self.filters_by_kind or self._plans:
            extras = self._fate(link, tag, number, data)
        copies = self.watcher.sent(link.sender, link.to, data, extras) if self.watcher is not None else None
        least, most = self.delay_ns
        delay = link.rng.randrange(least, most + 1) + link.slower_ns
        now = self._world.now_ns
        for position, extra in enumerate(extras):
            arrival = now + delay + extra
            if not extra:
                arrival = max(arrival, link.last_arrival_ns[urgent] + 1)
                link.last_arrival_ns[urgent] = arrival
            copy = copies[position] if copies is not None else 0
            if link.clogged:
                self._kept.append((link, data, copy, serial, urgent))
            else:
                self._world.at(arrival, self._arrive, (link, data, copy, serial, urgent))

    def sent_by_kind(self) -> dict[str, int]:
        """How many messages of each kind were sent."""
        counts: Counter[str] = Counter()
        for link in self._links.values():
            for tag, number in link.numbers.items():
                counts[name_of(tag)] += number
        return counts

    def connection_lost(self, node: int) -> None:
        """Node ``node`` crashed: those that can be reached hear of it, one by one."""
        for other in self.hosts.values():
            if other.node_id != node and other.up:
                self._world.after(self._rng.randrange(1 * MS), self._tell_lost, (other, other.life, node))

    def disconnect(self, node: int, other: int) -> None:
        """The connection between two nodes breaks; both hear of it. What is on its way still arrives."""
        for host, peer in ((self.hosts[node], other), (self.hosts[other], node)):
            host.deliver(PeerDisconnected(peer))

    def _link(self, sender: int, to: int) -> _Link:
        link = self._links.get((sender, to))
        if link is None:
            link = self._links[sender, to] = _Link(sender, to, self._rng.stream(f"{sender} -> {to}"))
        return link

    def _tell_lost(self, item: "tuple[Host, int, int]") -> None:
        host, life, node = item
        if host.life == life and not self.is_cut(node, host.node_id):
            host.deliver(PeerDisconnected(node))

    def _fate(self, link: _Link, tag: bytes, number: int, data: bytes) -> list[int]:
        sender, to = link.sender, link.to
        planned = self._plans.get((sender, to, tag, number))
        if planned is not None:
            return planned
        extras = _ON_TIME
        for transform in self.filters:
            extras = transform(sender, to, extras)
        if self.filters_by_kind and (of_kind := self.filters_by_kind.get(name_of(tag))) is not None:
            extras = of_kind(sender, to, extras)
        if extras is not _ON_TIME:
            if not extras and self.on_repeat is not None:
                self._lost[sender, to, data[SAID_AT:SAID_END]] = True
            if self.on_fate is not None:
                self.on_fate(MessageFate(sender, to, name_of(tag), number, tuple(extras)))
        return extras

    def _arrive(self, copy: _Copy) -> None:
        link, data, number, serial, urgent = copy
        host = self.hosts[link.to]
        if not host.up:
            fate = "recipient down"
        elif link.cut:
            fate = "cut"
        else:
            fate = "arrived"
            if serial in self._arrivals:
                for tell in self._arrivals[serial]:
                    tell(serial, serial < link.arrived[urgent])
            if serial > link.arrived[urgent]:
                link.arrived[urgent] = serial
            if self.newer and link.sender in self.newer and link.to not in self.newer:
                self.fates["read by an older node"] += 1
            host.heard_from[link.sender] = True
            for listener in self._listeners.get(data[TAG_AT:TAG_END], ()):
                listener(link.sender, link.to, data)
            host.deliver(MessageReceived(data))
        self.fates[fate] += 1
        if self.watcher is not None:
            self.watcher.ended(number, fate)
