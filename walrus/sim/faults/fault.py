"""What every fault kind shares."""

from typing import Final

from walrus.sim.cluster import Cluster
from walrus.sim.faults import outcomes
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS

_CRASH_TELLS_NS: Final = 400 * MS


class Fault:
    """One kind of trouble. ``name`` is how reports and ``--faults`` call it.

    A fault draws its rates in its constructor and does its deeds (:mod:`walrus.sim.deeds`) from :meth:`start` until
    :meth:`stop`. Each time it strikes it calls :meth:`fired`, and each time that this changed an outcome, :meth:`bit`;
    its docstring says what counts. What it left broken, the cluster heals.
    """

    name = ""

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.rng = rng
        self.active = False
        self._trials: dict[int, tuple[tuple[int, ...], outcomes.Seen]] = {}
        self._last_trial = 0

    def start(self) -> None:
        """Begin."""
        self.active = True

    def stop(self) -> None:
        """Strike no more. What is on trial is judged now: from here on everything heals."""
        self.active = False
        for number in list(self._trials):
            self._judge(number)
        self._trials.clear()

    def fired(self, label: str = "") -> None:
        """Count one occurrence."""
        self.world.labels[f"fault: {label or self.name}"] += 1

    def bit(self, label: str = "") -> None:
        """Count one occurrence that changed an outcome."""
        self.world.labels[f"bit: {label or self.name}"] += 1

    def kill(self, hosts: list[Host], why: str, keep_per_million: int = 500_000, *, power: bool = False) -> None:
        """Crash nodes, or their machines. It bites if a write in flight is lost or torn, and else by what follows."""
        power = power and not self.cluster.setup.keeps_power
        before = sum(host.disk.lost_in_flight + host.disk.torn_in_flight for host in hosts)
        for host in hosts:
            self.cluster.crash(host, why, keep_per_million, power=power)
        if sum(host.disk.lost_in_flight + host.disk.torn_in_flight for host in hosts) > before:
            self.bit()
        else:
            self.on_trial(tuple(host.node_id for host in hosts), _CRASH_TELLS_NS)

    def on_trial(self, nodes: tuple[int, ...], for_ns: int) -> None:
        """Having struck these nodes, for so long: :meth:`bit` once if an outcome is another meanwhile, or shortly
        after (see :mod:`walrus.sim.faults.outcomes`).
        """
        self._last_trial += 1
        self._trials[self._last_trial] = (nodes, outcomes.seen(self.cluster, nodes))
        self.world.after(for_ns, self._judge, self._last_trial)
        self.world.after(for_ns + outcomes.AFTERMATH_NS, self._acquit, self._last_trial)

    def _judge(self, number: int) -> None:
        trial = self._trials.get(number)
        if trial is not None and outcomes.changed(trial[1], outcomes.seen(self.cluster, trial[0])):
            del self._trials[number]
            self.bit()

    def _acquit(self, number: int) -> None:
        self._judge(number)
        self._trials.pop(number, None)
