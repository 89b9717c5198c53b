"""Crash and restart: a process is killed, unsynced writes are lost or kept each on their own, and it comes
back.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_LOOKS = 40


class CrashRestart(PeriodicFault):
    """Kills one node, a majority or all of them, and starts each again after a random time.

    It bites where a write in flight is lost, or soon after a leader is elected, a segment recovered, or a request of
    the node stays unanswered.
    """

    name = "crash"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(150 * MS, 1200 * MS))
        self.down_most_ns = rng.choice((20, 300, 1500)) * MS
        self.all_per_million = rng.choice((0, 100_000))

    def strike(self) -> None:
        """Kill."""
        running = [host for host in self.cluster.hosts if host.up]
        if not running:
            return
        count = 1
        if self.rng.chance(self.all_per_million):
            count = len(running)
            self.fired("crash of all")
        elif self.rng.chance(150_000):
            count = self.rng.randrange(1, len(running) + 1)
        for host in self.rng.sample(running, count):
            self._await_write((host, host.life, _LOOKS if self.rng.chance(500_000) else 0))

    def _await_write(self, item: tuple[Host, int, int]) -> None:
        """Half of the crashes wait a little for a write in flight, where most is at stake."""
        host, life, looks = item
        if not self.active or host.life != life or not host.up:
            return
        if looks and not host.disk.busy:
            self.world.after(self.rng.randrange(20 * US, 1 * MS), self._await_write, (host, life, looks - 1))
            return
        self.fired()
        if host.disk.busy:
            self.fired("crash with a write in flight")
        self.kill([host], "fault")
        self.world.after(self.rng.randrange(1 * MS, self.down_most_ns), self._restart, (host, life))

    def _restart(self, item: tuple[Host, int]) -> None:
        host, life = item
        if self.active and host.life == life:
            self.cluster.restart(host)
