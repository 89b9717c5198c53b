"""Late messages: those of one kind are held back until something has happened, before which they were sent.

What a node says of itself, or asks of another one, is true or sensible when it is sent. Whether it is told from what is
so when it comes shows only where something comes between: a batch that reaches its copy after a fence, an
acknowledgement that reaches its writer after a change of the replica set.
"""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.deeds.network import Clog, Unclog
from walrus.sim.faults.aimed import AT_ONCE_NS, Restarts, node_that_matters
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.message_kinds import TAGS
from walrus.sim.moments import KINDS, Strike
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_OF_RECORDS: Final = ("Append", "Append", "Append", "AppendAck", "ForwardPuts", "PutsDone", "Fence", "FenceReply")
_OF_SEGMENTS: Final = ("Fence", "FenceReply", "FenceReply", "SEALING", "SEALED", "replica set")

_COMES_WITHIN_NS: Final = 300 * MS


class LateMessages(PeriodicFault):
    """Waits for a message of a kind, and holds back those that follow it on its link, or that its sender sends to
    anybody, until a moment comes. Often the sender is gone meanwhile. A seed keeps to two kinds and two moments.

    It bites where something was held back when the moment came.
    """

    name = "late-messages"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(10 * MS, 100 * MS))
        self.kinds = (rng.choice(_OF_RECORDS), rng.choice((*_OF_RECORDS, *sorted(TAGS))))
        self.moments = (rng.choice(_OF_SEGMENTS), rng.choice((*_OF_SEGMENTS, *KINDS)))
        self.patience_ns = rng.choice((100, 600, 1500)) * MS
        self.later_ns = rng.choice((1, 500 * US, 10 * MS))
        self.gone_per_million = rng.choice((0, 500_000, 900_000))
        self.gathers_most_ns = rng.choice((1, 20, 100)) * MS
        self.restarts = Restarts(cluster, rng, rng.choice((20, 1000)) * MS)
        self._scene = 0  # counts the strikes; what belongs to an earlier one is void
        self._number = 0  # of the clog
        self._waiting = 0

    def strike(self) -> None:
        """Wait for a message, unless one is waited for, or held back."""
        if self._waiting or self._number:
            return
        self._scene += 1
        kind, scene = self.rng.choice(self.kinds), self._scene
        self._wait_for(
            kind, lambda sender, to: self.world.after(AT_ONCE_NS, self._hold_back, (scene, kind, sender, to))
        )
        self.world.after(_COMES_WITHIN_NS, self._comes_not, (scene, kind))

    def stop(self) -> None:
        """Wait no more; what is held back, the cluster lets go."""
        super().stop()
        self._forget()

    def _wait_for(self, moment: str, then: Strike) -> None:
        def struck(sender: int, to: int) -> None:
            self._waiting = 0
            then(sender, to)

        self._waiting = self.cluster.moments.wait_for(moment, struck)

    def _comes_not(self, item: tuple[int, str]) -> None:
        """Hold back what comes later, of a node that matters."""
        scene, kind = item
        if self.active and scene == self._scene and self._waiting and not self._number:
            self._forget()
            sender = node_that_matters(self.cluster, self.rng)
            others = [host.node_id for host in self.cluster.hosts if host.node_id != sender]
            if others:
                self._hold_back((scene, kind, sender, self.rng.choice(others)))

    def _hold_back(self, item: tuple[int, str, int, int]) -> None:
        scene, kind, sender, to = item
        if not self.active or scene != self._scene or sender == to:
            return
        others = [host.node_id for host in self.cluster.hosts if host.node_id != sender]
        everywhere = self.rng.chance(300_000)
        pairs = tuple((sender, other) for other in others if everywhere or other == to)
        self._number = self.cluster.number()
        self.fired()
        self.cluster.do(Clog(self._number, pairs, kind))
        self.world.after(self.patience_ns, self._give_up, scene)
        if self.rng.chance(self.gone_per_million):
            self.world.after(self.rng.randrange(self.gathers_most_ns), self._take_away, (scene, sender))
        moment, number = self.rng.choice(self.moments), self._number
        self._wait_for(
            moment,
            lambda a, b: self.world.after(AT_ONCE_NS + self.rng.randrange(self.later_ns), self._let_go, (number, True)),
        )

    def _take_away(self, item: tuple[int, int]) -> None:
        scene, sender = item
        host = self.cluster.host(sender)
        if self.active and scene == self._scene and self._number and host.up:
            self.kill([host], self.name)
            self.restarts.later(host)

    def _give_up(self, scene: int) -> None:
        if self.active and self._scene == scene and self._waiting:
            self._forget()
            self._let_go((self._number, False))

    def _let_go(self, item: tuple[int, bool]) -> None:
        number, late = item
        if not self.active or not number or number != self._number:
            return
        if late and self.cluster.network.holds_back(number):
            self.bit()
        self._number = 0
        self.cluster.do(Unclog(number))

    def _forget(self) -> None:
        if self._waiting:
            self.cluster.moments.forget(self._waiting)
            self._waiting = 0
