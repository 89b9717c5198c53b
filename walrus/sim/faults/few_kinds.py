"""Trouble for a few kinds of messages: for a while those come late, or come again, and no others do.

Where every message is hit alike, those that matter seldom arrive in an odd order: there are a thousand others for each
of them. Kinds are drawn from those that were seen, so that a rare one is tried as often as heartbeats are.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_KEPT_PER_MILLION = 600_000
"""A strike goes on with the kinds of the last one: what is lasting shows other things than what is short."""


class FewKinds(PeriodicFault):
    """It bites where a message arrives after one that was sent later on its link, or arrives twice."""

    name = "few-kinds"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.choice((15, 60)) * MS)
        self.lasts_most_ns = rng.choice((50, 300, 1000)) * MS
        self.again_per_million = rng.choice((0, 500_000, 1_000_000))  # the others are late
        self.per_million = rng.choice((200_000, 600_000, 1_000_000))
        self.most_ns = rng.choice((20, 100, 400, 1500)) * MS
        self.many = rng.choice((1, 3, 8))
        self.kinds: list[str] = []
        self._until_ns = -1
        self._arrived_once: dict[int, bool] = {}

    def strike(self) -> None:
        """Choose some kinds."""
        seen = sorted(self.cluster.network.sent_by_kind())
        if not self.kinds or not self.rng.chance(_KEPT_PER_MILLION):
            self._let_go()
            self.kinds = self.rng.sample(seen, min(self.many, len(seen)))
            for kind in self.kinds:
                self.cluster.network.filters_by_kind[kind] = self._filter
        self._until_ns = self.world.now_ns + self.rng.randrange(1 * MS, self.lasts_most_ns)

    def stop(self) -> None:
        """Filter no more."""
        super().stop()
        self._let_go()

    def _let_go(self) -> None:
        for kind in self.kinds:
            self.cluster.network.filters_by_kind.pop(kind, None)

    def _filter(self, sender: int, to: int, extras: list[int]) -> list[int]:
        if not extras or self.world.now_ns >= self._until_ns or not self.rng.chance(self.per_million):
            return extras
        self.fired()
        later = self.cluster.network.delay_ns[1] + self.rng.randrange(10 * US, self.most_ns)
        if self.rng.chance(self.again_per_million):
            self.cluster.network.tell_of_arrival(self._came_again)
            return [*extras, extras[0] + later]
        self.cluster.network.tell_of_arrival(self._came_late)
        return [extra + later for extra in extras]

    def _came_late(self, serial: int, overtaken: bool) -> None:
        if overtaken:
            self.bit()

    def _came_again(self, serial: int, overtaken: bool) -> None:
        if serial in self._arrived_once:
            self.bit()
        self._arrived_once[serial] = True
