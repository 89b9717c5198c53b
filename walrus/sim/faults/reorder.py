"""Reordering: for a while the messages of some links overtake each other."""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US


class Reorder(PeriodicFault):
    """Shuffles all that is sent on a link, or on all links, within a window of time.

    It bites where a message arrives after one that was sent later.
    """

    name = "reorder"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 800 * MS))
        self.window_ns = rng.choice((300 * US, 3 * MS, 30 * MS, 150 * MS))
        self.lasts_most_ns = rng.choice((30, 300)) * MS
        self.everywhere_per_million = rng.choice((0, 500_000))
        self._until_ns = -1
        self._sender = 0  # 0: everyone
        self._to = 0

    def start(self) -> None:
        """Begin to filter."""
        super().start()
        self.cluster.network.filters.append(self._filter)

    def stop(self) -> None:
        """Filter no more."""
        super().stop()
        if self._filter in self.cluster.network.filters:
            self.cluster.network.filters.remove(self._filter)

    def strike(self) -> None:
        """Choose a link."""
        nodes = [host.node_id for host in self.cluster.hosts]
        self._until_ns = self.world.now_ns + self.rng.randrange(10 * MS, self.lasts_most_ns)
        if len(nodes) < 2 or self.rng.chance(self.everywhere_per_million):
            self._sender = self._to = 0
        else:
            self._sender, self._to = self.rng.sample(nodes, 2)

    def _filter(self, sender: int, to: int, extras: list[int]) -> list[int]:
        if self.world.now_ns >= self._until_ns or (self._sender and (sender, to) != (self._sender, self._to)):
            return extras
        if not extras:
            return extras
        self.fired()
        self.cluster.network.tell_of_arrival(self._arrived)
        return [extra + 1 + self.rng.randrange(self.window_ns) for extra in extras]

    def _arrived(self, serial: int, overtaken: bool) -> None:
        if overtaken:
            self.bit()
