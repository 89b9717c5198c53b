"""Kinds of messages that fare badly: what is rare is seldom hit by a fault that takes any message, and what is common
hides it.
"""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.faults.fault import Fault
from walrus.sim.message_kinds import TAGS
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_LOSE: Final = "lose"
_REPEAT: Final = "repeat"
_LATE: Final = "late"


class UnluckyKinds(Fault):
    """For a stretch of time many messages of a few kinds are lost, or come twice, or late: between all nodes, or to and
    from one.

    It bites where meanwhile or soon after a leader is elected, a segment recovered, or a node loses its lease or leaves
    a request unanswered.
    """

    name = "unlucky-kinds"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        kinds = sorted(TAGS)
        self.kinds = tuple(dict.fromkeys(rng.choice(kinds) for _ in range(rng.choice((1, 2, 4, 8)))))
        self.manner = rng.choice((_LOSE, _LOSE, _REPEAT, _LATE))
        self.per_million = rng.choice((300_000, 700_000, 1_000_000))
        self.lasts_ns = rng.choice((50, 500, 1500)) * MS
        self.late_most_ns = rng.choice((2, 40, 500)) * MS
        self.pause_ns = rng.choice((50, 200, 800)) * MS
        self._node = 0  # the one that they come from or go to; 0: any

    def start(self) -> None:
        """The first stretch comes a little later."""
        super().start()
        self.world.after(self.rng.randrange(self.pause_ns), self._begin)

    def stop(self) -> None:
        """No more."""
        super().stop()
        self._end()

    def _begin(self, _: object) -> None:
        if not self.active:
            return
        nodes = [host.node_id for host in self.cluster.hosts]
        self._node = self.rng.choice(nodes) if self.rng.chance(500_000) else 0
        for kind in self.kinds:
            self.cluster.network.kind_filters[TAGS[kind]] = self._filter
        self.on_trial((self._node,) if self._node else tuple(nodes), self.lasts_ns)
        self.world.after(self.rng.randrange(self.lasts_ns // 2, self.lasts_ns), self._pause)

    def _pause(self, _: object) -> None:
        self._end()
        self.world.after(self.rng.randrange(self.pause_ns), self._begin)

    def _end(self) -> None:
        for kind in self.kinds:
            self.cluster.network.kind_filters.pop(TAGS[kind], None)

    def _filter(self, sender: int, to: int, extras: list[int]) -> list[int]:
        if not extras or self._node not in (0, sender, to) or not self.rng.chance(self.per_million):
            return extras
        self.fired()
        if self.manner == _LOSE:
            return []
        late_ns = self.rng.randrange(10 * US, self.late_most_ns)
        if self.manner == _REPEAT:
            return [*extras, extras[0] + late_ns]
        return [extra + late_ns for extra in extras]
