"""Plot: a short play of a few deeds, each at its moment, between the nodes that the first moment concerns.

What breaks protocols is seldom one fault but two or three in a row around one message: a voter dies as it answers, is
back at once, and the other candidate asks. A seed draws one such play and gives it again and again with whoever is on
stage, so that a campaign tries many plays, each often.
"""

from typing import Final

from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Clog, Cut, Mend, Unclog
from walrus.sim.deeds.processes import GoOn, Pause
from walrus.sim.faults.aimed import AT_ONCE_NS, node_that_matters
from walrus.sim.faults.fault import Fault
from walrus.sim.moments import KINDS
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

SENDER, RECIPIENT, LEADER, OTHER = ROLES = ("sender", "recipient", "leader", "other")
_NODE_DEEDS: Final = ("crash", "crash", "crash and back", "crash and back", "pause", "cut off", "cut off but for one")
_LINK_DEEDS: Final = ("cut", "cut one way", "clog")
_DELAYS_NS: Final = (0, 0, 0, 300 * US, 3 * MS, 30 * MS, 300 * MS, 600 * MS)
_PATIENCE_NS: Final = 900 * MS


class Plot(Fault):
    """Waits for its moment, does its deeds, lets them work, clears up, and starts over.

    It bites where from the first deed on a leader is elected, a segment recovered, or one of the nodes loses its lease
    or leaves a request unanswered.
    """

    name = "plot"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.acts = [_Act(rng) for _ in range(rng.choice((1, 2, 2, 3)))]
        self.lasts_ns = rng.choice((50, 500, 900, 1500)) * MS
        self.pause_ns = rng.choice((20, 200, 600)) * MS
        self.keep_per_million = rng.choice((0, 0, 500_000, 1_000_000))
        self._scene = 0  # counts the steps; what belongs to an earlier one is void
        self._waiting = 0
        self._cuts: list[int] = []
        self._clogs: list[int] = []
        self._down: list[tuple[int, int]] = []  # node and life
        self._still: list[tuple[int, int]] = []
        self._cast: dict[str, int] = {}

    def start(self) -> None:
        """Begin."""
        super().start()
        self._open(None)

    def stop(self) -> None:
        """Wait for nothing more; what is done, the cluster heals."""
        super().stop()
        self._forget()

    # --- the play ---

    def _open(self, _: object) -> None:
        if self.active:
            self._cast = {}
            self._next_act(0)

    def _next_act(self, number: int) -> None:
        """Wait for the moment of an act, or for its time."""
        self._scene += 1
        if number == len(self.acts):
            self.world.after(self.lasts_ns, self._close, self._scene)
            return
        act = self.acts[number]
        if number and act.delay_ns >= 0:
            self.world.after(AT_ONCE_NS + act.delay_ns, self._play, (self._scene, number))
            return
        scene = self._scene
        self._waiting = self.cluster.moments.wait_for(act.moment, lambda a, b: self._moment(scene, number, a, b))
        self.world.after(_PATIENCE_NS, self._give_up, (scene, number))

    def _moment(self, scene: int, number: int, sender: int, to: int) -> None:
        self._waiting = 0
        if not self._cast:
            self._assign(sender, to)
        self.world.after(AT_ONCE_NS + self.acts[number].late_ns, self._play, (scene, number))

    def _assign(self, sender: int, to: int) -> None:
        nodes = [host.node_id for host in self.cluster.hosts]
        if to == sender:
            to = self.rng.choice([node for node in nodes if node != sender] or nodes)
        leader = next((host.node_id for host in self.cluster.hosts if probe.leads(host)), sender)
        others = [node for node in nodes if node not in (sender, to)]
        self._cast = {SENDER: sender, RECIPIENT: to, LEADER: leader, OTHER: self.rng.choice(others or nodes)}
        self.on_trial(tuple(dict.fromkeys(self._cast.values())), self.lasts_ns)

    def _give_up(self, item: tuple[int, int]) -> None:
        """The moment did not come: the act is given all the same, the first with nodes that matter."""
        scene, number = item
        if not self.active or scene != self._scene or not self._waiting:
            return
        self._forget()
        if not self._cast:
            self._assign(node_that_matters(self.cluster, self.rng), node_that_matters(self.cluster, self.rng))
        self._play((scene, number))

    def _play(self, item: tuple[int, int]) -> None:
        scene, number = item
        if not self.active or scene != self._scene:
            return
        act = self.acts[number]
        self.fired()
        for deed, who, whom in act.deeds:
            self._do(deed, self._cast[who], self._cast[whom])
        self._next_act(number + 1)

    def _close(self, scene: int) -> None:
        """Everything as it was, some time before the next performance."""
        if not self.active or scene != self._scene:
            return
        for number in self._cuts:
            self.cluster.do(Mend(number))
        for number in self._clogs:
            self.cluster.do(Unclog(number))
        for node, life in self._still:
            host = self.cluster.host(node)
            if host.life == life and host.paused:
                self.cluster.do(GoOn(node))
        for node, life in self._down:
            self._restart((node, life))
        self._cuts, self._clogs, self._still, self._down = [], [], [], []
        self.world.after(self.pause_ns, self._open)

    def _forget(self) -> None:
        if self._waiting:
            self.cluster.moments.forget(self._waiting)
            self._waiting = 0

    # --- deeds ---

    def _do(self, deed: str, node: int, other: int) -> None:
        host = self.cluster.host(node)
        if deed in ("crash", "crash and back"):
            if host.up:
                life = host.life
                self.kill([host], "plot", self.keep_per_million)
                if deed == "crash":
                    self._down.append((node, life))
                else:
                    self.world.after(self.rng.randrange(100 * US, 5 * MS), self._restart, (node, life))
        elif deed == "pause":
            if host.up and not host.paused:
                self._still.append((node, host.life))
                self.cluster.do(Pause(node))
        elif deed == "clog":
            self._clogs.append(self.cluster.number())
            self.cluster.do(Clog(self._clogs[-1], ((node, other),)))
        else:
            self._cut(deed, node, other)

    def _cut(self, deed: str, node: int, other: int) -> None:
        nodes = [host.node_id for host in self.cluster.hosts if host.node_id != node]
        if deed == "cut off":
            far = nodes
        elif deed == "cut off but for one":
            far = [far for far in nodes if far != other]
        else:
            far = [other] if other != node else []
        pairs = [(node, there) for there in far]
        if deed != "cut one way":
            pairs += [(there, node) for there in far]
        if pairs:
            self._cuts.append(self.cluster.number())
            self.cluster.do(Cut(self._cuts[-1], tuple(pairs), f"plot: node {node} {deed} (node {other})"))

    def _restart(self, item: tuple[int, int]) -> None:
        node, life = item
        host = self.cluster.host(node)
        if self.active and host.life == life:
            self.cluster.restart(host)


class _Act:
    """When, and which deeds at whom: drawn once."""

    def __init__(self, rng: Rng) -> None:
        self.moment = rng.choice(KINDS)
        self.delay_ns = rng.choice((-1, *_DELAYS_NS)) if rng.chance(600_000) else -1
        self.late_ns = rng.choice((0, 0, 200 * US, 2 * MS))
        self.deeds: list[tuple[str, str, str]] = []
        for _ in range(rng.choice((1, 1, 2))):
            deed = rng.choice(_NODE_DEEDS if rng.chance(600_000) else _LINK_DEEDS)
            who = rng.choice((SENDER, SENDER, RECIPIENT, RECIPIENT, LEADER, OTHER))
            whom = rng.choice([role for role in ROLES if role != who])
            self.deeds.append((deed, who, whom))
