"""Faults that befall single messages between nodes: lost, doubled, late and so out of order."""

from abc import ABC, abstractmethod

from walrus.sim.cluster import Cluster
from walrus.sim.faults.fault import Fault
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US


class MessageFault(Fault, ABC):
    """Befalls each message with a probability drawn for the run.

    What became of its victims the network tells: a message was sent again, came twice, or was overtaken.
    """

    rates_per_million: tuple[int, ...] = (1_000, 10_000, 50_000)

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.per_million = rng.choice(self.rates_per_million)

    def start(self) -> None:
        """Begin to filter."""
        super().start()
        self.cluster.network.filters.append(self._filter)

    def stop(self) -> None:
        """Filter no more."""
        super().stop()
        if self._filter in self.cluster.network.filters:
            self.cluster.network.filters.remove(self._filter)

    @abstractmethod
    def befall(self, extras: list[int]) -> list[int]:
        """The additional delays of the copies of a message that was hit."""

    def _filter(self, sender: int, to: int, extras: list[int]) -> list[int]:
        if extras and self.rng.chance(self.per_million):
            self.fired()
            return self.befall(extras)
        return extras


class Drop(MessageFault):
    """The message is lost.

    It bites where its sender sends the same again: tag and first fields, such as its place in a log.
    """

    name = "drop"
    rates_per_million = (2_000, 20_000, 150_000)

    def start(self) -> None:
        """Hear of what is sent again."""
        super().start()
        self.cluster.network.on_repeat = self.bit

    def stop(self) -> None:
        """Hear no more."""
        super().stop()
        self.cluster.network.on_repeat = None

    def befall(self, extras: list[int]) -> list[int]:
        """No copy."""
        return []


class Duplicate(MessageFault):
    """The message arrives twice, the second time up to half a second later.

    It bites where both copies reach a running node.
    """

    name = "duplicate"
    rates_per_million = (10_000, 100_000)

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.most_ns = rng.choice((1, 20, 500)) * MS
        self._arrived_once: dict[int, bool] = {}

    def befall(self, extras: list[int]) -> list[int]:
        """One more copy."""
        self.cluster.network.tell_of_arrival(self._arrived)
        return [*extras, extras[0] + self.rng.randrange(10 * US, self.most_ns)]

    def _arrived(self, serial: int, overtaken: bool) -> None:
        if serial in self._arrived_once:
            self.bit()
        self._arrived_once[serial] = True


class Delay(MessageFault):
    """The message is late, so that others overtake it.

    It bites where one that was sent later on the same link arrives before it.
    """

    name = "delay"
    rates_per_million = (10_000, 100_000, 300_000)

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng)
        self.most_ns = rng.choice((2, 30, 400, 1500)) * MS

    def befall(self, extras: list[int]) -> list[int]:
        """All copies later."""
        self.cluster.network.tell_of_arrival(self._arrived)
        late = self.cluster.network.delay_ns[1] + self.rng.randrange(self.most_ns)
        return [extra + late for extra in extras]

    def _arrived(self, serial: int, overtaken: bool) -> None:
        if overtaken:
            self.bit()
