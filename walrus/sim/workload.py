"""What the clients do while faults happen: each in a manner of its own (:mod:`walrus.sim.workloads`)."""

from walrus.sim.cluster import Cluster
from walrus.sim.history import History
from walrus.sim.workloads import MANNERS, Churner, Mixed, Worker


class Workload:
    """Several clients. The first does a bit of everything; the manners of the others are drawn from half of those that
    there are, another half for each seed. Where topics come and go, two more see to that.
    """

    def __init__(self, cluster: Cluster, history: History, clients: int) -> None:
        rng = cluster.world.rng.stream("workload")
        drawn = [manner for manner in MANNERS if rng.chance(500_000)] or [*MANNERS]
        self.workers: list[Worker] = []
        for number in range(1, clients + 1):
            manner = Mixed if number == 1 else rng.choice(drawn)
            self.workers.append(manner(number, cluster, history, rng.stream(f"client {number}")))
            cluster.world.labels[f"client: {manner.name}"] += 1
        for number in range(clients + 1, clients + 3 if cluster.setup.churned else clients + 1):
            self.workers.append(Churner(number, cluster, history, rng.stream(f"client {number}")))
            cluster.world.labels[f"client: {Churner.name}"] += 1

    def start(self) -> None:
        """Every client begins within the first moments."""
        for worker in self.workers:
            worker.start()

    def stop(self) -> None:
        """No new requests; those under way may still be answered."""
        for worker in self.workers:
            worker.running = False

    def leave(self) -> None:
        """Close all connections."""
        for worker in self.workers:
            worker.client.leave_for_good()
