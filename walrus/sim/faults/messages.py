"""Faults that befall single messages between nodes: lost, doubled, late and so out of order."""

from abc import ABC, abstractmethod

from walrus.sim.cluster import Cluster
from walrus.sim.faults.fault import Fault
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US


class MessageFault(Fault, ABC):
    """Befalls each message with a probability drawn for the run."""

    rates_per_million: tuple[int, ...] = (1_000, 10_000, 50_000)

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.per_million = rng.choice(self.rates_per_million)

    def start(self) -> None:
        """Begin to filter."""
        super().start()
        self.cluster.network.filters.append(self._filter)

    def heal(self) -> None:
        """Filter no more."""
        super().heal()
        if self._filter in self.cluster.network.filters:
            self.cluster.network.filters.remove(self._filter)

    @abstractmethod
    def befall(self, delays: list[int]) -> list[int]:
        """The delays of the copies of a message that was hit."""

    def _filter(self, sender: int, to: int, delays: list[int]) -> list[int]:
        if delays and self.rng.chance(self.per_million):
            self.fired()
            return self.befall(delays)
        return delays


class Drop(MessageFault):
    """The message is lost."""

    name = "drop"
    rates_per_million = (2_000, 20_000, 150_000)

    def befall(self, delays: list[int]) -> list[int]:
        """No copy."""
        return []


class Duplicate(MessageFault):
    """The message arrives twice, the second time up to half a second later."""

    name = "duplicate"
    rates_per_million = (10_000, 100_000)

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.most_ns = rng.choice((1, 20, 500)) * MS

    def befall(self, delays: list[int]) -> list[int]:
        """One more copy."""
        return [*delays, delays[0] + self.rng.randrange(10 * US, self.most_ns)]


class Delay(MessageFault):
    """The message is late, so that others overtake it."""

    name = "delay"
    rates_per_million = (10_000, 100_000, 300_000)

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.most_ns = rng.choice((2, 30, 400, 1500)) * MS

    def befall(self, delays: list[int]) -> list[int]:
        """All copies later."""
        extra = self.cluster.network.delay_ns[1] + self.rng.randrange(self.most_ns)
        return [delay + extra for delay in delays]
