"""What every fault kind shares."""

from walrus.sim.cluster import Cluster
from walrus.sim.rng import Rng


class Fault:
    """One kind of trouble. ``name`` is how reports and ``--faults`` call it.

    A fault draws its rates in its constructor, acts from :meth:`start` until :meth:`heal`, and undoes in
    :meth:`heal` whatever it left broken. Each time it does something it calls :meth:`fired`.
    """

    name = ""

    def __init__(self, cluster: Cluster, rng: Rng) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.rng = rng
        self.active = False

    def start(self) -> None:
        """Begin."""
        self.active = True

    def heal(self) -> None:
        """Stop, and leave nothing broken behind."""
        self.active = False

    def fired(self, label: str = "") -> None:
        """Count one occurrence."""
        self.world.labels[f"fault: {label or self.name}"] += 1
