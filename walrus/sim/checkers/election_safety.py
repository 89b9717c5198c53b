"""Election safety: at most one leader in a term (Ongaro's dissertation, figure 3.2)."""

from walrus.sim.host import Host
from walrus.sim.world import Violation


class ElectionSafety:
    """``leaders``: term to the node that led in it."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}

    def elected(self, host: Host, term: int) -> None:
        """A node leads."""
        other = self.leaders.setdefault(term, host.node_id)
        if other != host.node_id:
            raise Violation(f"election safety: nodes {other} and {host.node_id} both lead in term {term}")
        host.note(f"leads in term {term}", "Raft leader elected")
