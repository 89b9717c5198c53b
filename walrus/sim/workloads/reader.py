"""Reader: FETCHes only."""

from walrus.sim.workloads.worker import Worker


class Reader(Worker):
    """Is not held up by requests that hang, and so sees what a node out of date answers."""

    name = "reader"

    def act(self, room: int) -> None:
        """Fetch from all topics."""
        self.client.request([self.fetch(self.rng.choice(self.topics)) for _ in range(self.count(room))])
