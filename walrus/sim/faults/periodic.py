"""Faults that strike again and again, at random intervals."""

from abc import ABC, abstractmethod
from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.faults.fault import Fault
from walrus.sim.rng import Rng

_RARER: Final = (1, 4, 16)
"""With so many kinds on at once, each keeps quiet in some seeds: otherwise nothing ever gets far between two faults."""


class PeriodicFault(Fault, ABC):
    """Calls :meth:`strike` at intervals around ``mean_ns`` (as given, or rarer), from half of it to one and a half."""

    def __init__(self, cluster: Cluster, rng: Rng, mean_ns: int) -> None:
        super().__init__(cluster, rng)
        self.mean_ns = mean_ns * rng.stream("rarer").choice(_RARER)

    def start(self) -> None:
        """Begin, the first time within one interval."""
        super().start()
        self.world.after(self.rng.randrange(self.mean_ns), self._tick)

    @abstractmethod
    def strike(self) -> None:
        """Do it once."""

    def _again(self) -> None:
        self.world.after(self.mean_ns // 2 + self.rng.randrange(self.mean_ns), self._tick)

    def _tick(self, _: object) -> None:
        if self.active:
            self.strike()
            self._again()
