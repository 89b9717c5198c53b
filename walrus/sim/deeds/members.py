"""Who belongs to the cluster: what operators ask for, and disks that are exchanged."""

from typing import TYPE_CHECKING, ClassVar

from walrus.sim.deeds.clients import Request
from walrus.sim.deeds.deed import Deed

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class Operate(Deed, frozen=True, tag="operate"):
    """Ask node ``via`` for DRAIN, UNDRAIN or REMOVE of ``node``. Nobody reads the answer.

    A node that is told that it was removed gets an empty disk and joins anew.
    """

    node: int
    via: int
    action: str
    kind: ClassVar[str] = "process"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing where the one that is asked is down."""
        host = cluster.host(self.via)
        if not host.up or host.paused:
            return
        if self.action == "REMOVE":
            cluster.may_be_removed[self.node] = cluster.leaving[self.node] = True
        cluster.operator.ask(host, [Request("NODE", self.action, "", self.node)])

    @property
    def nodes(self) -> tuple[int, ...]:
        """Whom it is about, and who is asked."""
        return (self.node, self.via)

    def __str__(self) -> str:
        return f"an operator asks node {self.via}: NODE {self.action} {self.node}"


class NewDisk(Deed, frozen=True, tag="new disk"):
    """Kill a node and put an empty disk in the place of its own; whoever starts it next joins with its old number."""

    node: int
    kind: ClassVar[str] = "disk"

    def apply(self, cluster: "Cluster") -> None:
        """Nothing for one that is down: only a process knows whose disk it was."""
        host = cluster.host(self.node)
        if host.up and self.node not in cluster.broken:
            cluster.may_be_removed[self.node] = True
            cluster.renew_disk(host)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The one."""
        return (self.node,)

    @property
    def begins(self) -> str:
        """Being down."""
        return f"node {self.node} is down"

    def __str__(self) -> str:
        return f"node {self.node} gets an empty disk"
