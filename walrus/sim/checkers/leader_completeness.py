"""Leader completeness: an entry committed in a term is in the log of every leader of a higher term (Ongaro's
dissertation, figure 3.2).
"""

from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


def check_leader(host: Host, raft: RaftView, committed: list[tuple[int, int]]) -> None:
    """A node was elected; ``committed`` is (term, a term it was committed in) by index."""
    for index in range(len(committed) - 1, 0, -1):
        term, seen_in = committed[index]
        if seen_in < raft.term:
            if index < raft.log.snapshot_index:
                return  # the snapshot includes it
            if index > raft.log.last_index or raft.log.term(index) != term:
                raise Violation(
                    f"leader completeness: node {host.node_id} leads in term {raft.term} without entry "
                    f"{index} of term {term}, committed in term {seen_in} or before"
                )
            return  # log matching answers for the entries before it
