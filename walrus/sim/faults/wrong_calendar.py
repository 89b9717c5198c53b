"""Wrong calendars: what a node takes for the date is off by seconds or by centuries, and changes."""

from typing import Any, Final

from walrus.core.storage import blocks
from walrus.sim.cluster import Cluster
from walrus.sim.deeds.clocks import SetCalendar
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS, SECOND, WALL_START_NS

_DAY_NS: Final = 86_400 * SECOND
_OFFSETS_NS: Final = (
    (-2 * SECOND, 2 * SECOND),
    (-_DAY_NS, _DAY_NS),
    (-WALL_START_NS, 0),  # as far back as 1970
    (0, 400 * 365 * _DAY_NS),
)
_LOOK_NS: Final = 400 * MS


class WrongCalendar(PeriodicFault):
    """Sets one calendar at a time. No decision may depend on it.

    It bites where a batch of records is stored under the wrong date.
    """

    name = "wrong-calendar"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(100 * MS, 700 * MS))
        self.least_ns, self.most_ns = rng.choice(_OFFSETS_NS)

    def strike(self) -> None:
        """Set one, and see later whether it was used."""
        host = self.rng.choice(self.cluster.hosts)
        self.fired()
        self.cluster.do(SetCalendar(host.node_id, self.rng.randint(self.least_ns, self.most_ns)))
        self.world.after(_LOOK_NS, self._look, (host, host.clock.wall_ns()))

    def _look(self, item: tuple[Host, int]) -> None:
        host, since_ns = item
        if self.active and any(since_ns <= date <= since_ns + _LOOK_NS for date in _last_dates(host)):
            self.bit()


def _last_dates(host: Host) -> list[int]:
    """Of the last batch in each copy on a node."""
    replicas: dict[Any, Any] = getattr(host.node, "replicas", None) or {}
    dates = []
    for replica in replicas.values():
        if replica.index.positions:
            block = blocks.block_at(bytes(host.disk.files.get(replica.path, b"")), replica.index.positions[-1])
            if block is not None:
                dates.append(block.wall_ns)
    return dates
