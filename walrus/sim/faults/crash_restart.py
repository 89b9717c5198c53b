"""Crash and restart: a process is killed, writes in flight are lost or kept each on their own, and it comes back; in
some seeds it is often its machine that loses power, and then so it is with all that was not synced.
"""

from walrus.sim.cluster import Cluster
from walrus.sim.faults.aimed import AT_ONCE_NS
from walrus.sim.faults.periodic import PeriodicFault
from walrus.sim.host import Host
from walrus.sim.moments import BEHIND
from walrus.sim.rng import Rng
from walrus.sim.world import MS, US

_LOOKS = 40
_PATIENCE_NS = 500 * MS


class CrashRestart(PeriodicFault):
    """Kills one node, a majority or all of them, and starts each again after a random time; in some seeds mostly
    writers that have acknowledged more than all copies hold.

    It bites where a write in flight is lost, or soon after a leader is elected, a segment recovered, or a request of
    the node stays unanswered.
    """

    name = "crash"

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        super().__init__(cluster, rng, rng.randrange(150 * MS, 1200 * MS))
        self.down_most_ns = rng.choice((20, 300, 1500)) * MS
        self.all_per_million = rng.choice((0, 100_000))
        self.writers_per_million = rng.choice((0, 600_000))
        self.power_per_million = rng.stream("power").choice((0, 0, 300_000, 1_000_000))
        self._waiting = 0

    def strike(self) -> None:
        """Kill."""
        running = [host for host in self.cluster.hosts if host.up]
        if not running:
            return
        if not self._waiting and self.rng.chance(self.writers_per_million):
            self._waiting = self.cluster.moments.wait_for(BEHIND, self._behind)
            self.world.after(_PATIENCE_NS, self._give_up, self._waiting)
            return
        count = 1
        if self.rng.chance(self.all_per_million):
            count = len(running)
            self.fired("crash of all")
        elif self.rng.chance(150_000):
            count = self.rng.randrange(1, len(running) + 1)
        for host in self.rng.sample(running, count):
            self._await_write((host, host.life, _LOOKS if self.rng.chance(500_000) else 0))

    def stop(self) -> None:
        """Wait for nothing more."""
        super().stop()
        self.cluster.moments.forget(self._waiting)

    def _behind(self, writer: int, _laggard: int) -> None:
        """A writer has acknowledged what a copy lacks: to lose the writer now leaves fewer that know."""
        self._waiting = 0
        host = self.cluster.host(writer)
        self.world.after(AT_ONCE_NS + self.rng.randrange(1 * MS), self._await_write, (host, host.life, 0))

    def _give_up(self, number: int) -> None:
        if self._waiting == number:
            self.cluster.moments.forget(number)
            self._waiting = 0

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
        power = self.rng.stream(f"power {host.node_id} {host.life}").chance(self.power_per_million)
        self.kill([host], "fault", power=power)
        self.world.after(self.rng.randrange(1 * MS, self.down_most_ns), self._restart, (host, life))

    def _restart(self, item: tuple[Host, int]) -> None:
        host, life = item
        if self.active and host.life == life:
            self.cluster.restart(host)
