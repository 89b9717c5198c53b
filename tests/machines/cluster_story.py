"""A whole simulated cluster to which nothing happens by itself: whoever tells its story does the deeds.

The nodes are whole ones, network, disks and clocks are the simulator's, and so are the checkers, which look after every
turn. A story is a scenario as well: the same deeds at the same times are the same run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from walrus.sim.checkers import node_checkers
from walrus.sim.client import Link
from walrus.sim.cluster import Cluster
from walrus.sim.damage import LOGS, Span, is_segment, tellable
from walrus.sim.deeds import AnyDeed, Ask, Request
from walrus.sim.healing import break_for_good, may_be_damaged, may_lose_copy, may_lose_journal
from walrus.sim.history import History
from walrus.sim.options import Options
from walrus.sim.rng import Rng
from walrus.sim.runner import conclude, real_node
from walrus.sim.scenario import Scenario, Step
from walrus.sim.setup import Setup, draw_setup
from walrus.sim.trace import Trace
from walrus.sim.world import MS, World

TITLE: Final = "a story"
CLIENTS: Final = 3
FORMED_NS: Final = 1_000 * MS
STORY_NS: Final = 4_000 * MS
STEPS_MAX: Final = 400_000
ARRIVES, LOST, TWICE, LATE = "arrives", "lost", "twice", "late"
FATES: Final = (ARRIVES, LOST, TWICE, LATE)
LATE_NS: Final = 60 * MS


def setup_of(nodes: int, seed: int, broken: tuple[str, ...]) -> Setup:
    """What a seed draws, but for who is broken for good, and for the phases."""
    drawn = draw_setup(Rng(seed).stream("setup"), Options(nodes=nodes))
    return msgspec.structs.replace(
        drawn, faults_ns=FORMED_NS, heal_ns=FORMED_NS + STORY_NS, broken=broken, quiet_ns=(), max_steps=STEPS_MAX,
        least_steps=0,
    )  # fmt: skip


@dataclass
class Weather:
    """A filter of the network: what becomes of the messages on some links, one after the other, over and over."""

    pairs: tuple[tuple[int, int], ...]
    fates: Sequence[str]
    passed: int = 0

    def __call__(self, sender: int, to: int, extras: list[int]) -> list[int]:
        if (sender, to) not in self.pairs or not extras:
            return extras
        fate = self.fates[self.passed % len(self.fates)]
        self.passed += 1
        if fate == ARRIVES:
            return extras
        if fate == LOST:
            return []
        return [*extras, extras[0] + LATE_NS] if fate == TWICE else [extra + LATE_NS for extra in extras]


class Story:
    """A cluster from its start until it is judged. It is also the :class:`walrus.sim.runner.Load` of that judgement.

    ``over``: judged, or a property was seen broken.
    """

    def __init__(self, nodes: int, seed: int, broken: tuple[str, ...] = ()) -> None:
        self.seed = seed
        self.setup = setup_of(nodes, seed, broken)
        self.trace = Trace()
        self.world = World(seed, self.trace, self.setup.max_steps)
        self.history = History()
        self.cluster = Cluster(self.world, self.setup, real_node)
        self.cluster.checkers.extend(node_checkers(self.cluster, self.history))
        self.cluster.deeds = self._deeds = []
        self.cluster.network.on_fate = lambda fate: self._deeds.append((self.world.now_ns, fate))
        for client in range(1, CLIENTS + 1):
            self.cluster.clients[client] = Link(client, self.world, self.cluster.streams, self.history)
        self.over = False
        self._payloads = 0
        self.cluster.start()
        self.world.note(TITLE)
        self.pass_time(FORMED_NS)

    # --- what happens ---

    def do(self, deed: AnyDeed) -> None:
        """Do a deed a nanosecond later, so that no two happen at once; nothing once the story's time is up."""
        self.over, was_over = True, self.over  # should this break a property, nothing else is to be looked at
        at_ns = self.world.now_ns + 1
        if at_ns < self.setup.heal_ns and not was_over:
            self.world.at(at_ns, lambda _: self.cluster.do(deed))
            self.world.run_until(at_ns)
        self.over = was_over

    def pass_time(self, duration_ns: int) -> None:
        """Let the world go on for so long, at most until the story's time is up."""
        self.over, was_over = True, self.over
        if not was_over:
            self.world.run_until(min(self.world.now_ns + duration_ns, self.setup.heal_ns))
        self.over = was_over

    def ask(self, client: int, node: int, requests: Sequence[Request]) -> None:
        """A client asks a node, all at once. PUTs get payloads that nobody else puts."""
        asked = []
        for request in requests:
            if request.verb == "PUT":
                self._payloads += 1
                request = msgspec.structs.replace(request, payload=f"{self._payloads}{request.payload}")
            asked.append(request)
        self.do(Ask(client, node, tuple(asked)))

    def judge(self) -> None:
        """The faults end; raises :class:`walrus.sim.world.Violation` where something has not come out right."""
        if not self.over:
            self.pass_time(self.setup.heal_ns)
            self.over = True
            conclude(self.cluster, self.history, self)

    def scenario(self) -> Scenario:
        """The same as a file for ``walrus-sim replay``."""
        steps = tuple(Step(at_ns, deed) for at_ns, deed in self._deeds)
        return Scenario(title=TITLE, expect="clean", seed=self.seed, setup=self.setup, steps=steps)

    # --- whom damage may befall ---

    def copies_that_may_go(self) -> list[tuple[int, str]]:
        """(node, file) of copies without which the cluster goes on."""
        return [
            (host.node_id, path)
            for host in may_be_damaged(self.cluster)
            for path in sorted(host.disk.files)
            if is_segment(path) and not host.disk.damage.on(path) and may_lose_copy(self.cluster, host, path)
        ]

    def logs_that_may_go(self) -> list[tuple[int, str]]:
        """(node, file) of journals and catalogues, with each of which a node goes that can be spared."""
        return [
            (host.node_id, path)
            for host in may_be_damaged(self.cluster)
            if may_lose_journal(self.cluster, host)
            for path in LOGS
            if path in host.disk.files
        ]

    def disks_that_may_go(self) -> list[int]:
        """Nodes without which the cluster goes on."""
        return [host.node_id for host in may_be_damaged(self.cluster) if may_lose_journal(self.cluster, host)]

    def size_bytes(self, node: int, path: str) -> int:
        """How long a file is."""
        return len(self.cluster.host(node).disk.files[path])

    def tellable_pieces(self, node: int, path: str) -> list[Span]:
        """The blocks or records of a file that others follow."""
        return tellable(path, self.cluster.host(node).disk.files)

    # --- the load of the judgement ---

    def start(self) -> None:
        """Clients are there from the start."""

    def start_faults(self) -> None:
        """Whoever tells the story does them."""

    def stop_faults(self) -> None:
        """Some nodes stay broken."""
        break_for_good(self.cluster, self.world.rng.stream("broken for good"))

    def stop(self) -> None:
        """Clients ask nothing by themselves."""

    def leave(self) -> None:
        """Close all connections."""
        for client in self.cluster.clients.values():
            client.leave()
