"""State machine safety: no two nodes commit, or apply, different entries at one index; what is committed stays
(Ongaro's dissertation, figure 3.2). And nodes that applied the same are in the same state.
"""

import msgspec

from walrus.core.metadata.state import Metadata
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class StateMachineSafety:
    """``committed``: by index, the entry's term and a term that it was known to be committed in."""

    def __init__(self) -> None:
        self.committed: list[tuple[int, int]] = [(0, 0)]
        self._states: dict[int, bytes] = {}  # applied index -> encoded state, of nodes that ended a life at it

    def log_changed(self, host: Host, raft: RaftView, commit: int) -> None:
        """The log of a node changed that had committed up to ``commit``."""
        if commit >= raft.log.snapshot_index and raft.log.term(commit) != self.committed[commit][0]:
            raise Violation(f"state machine safety: node {host.node_id} dropped entry {commit}, committed")

    def commit_changed(self, host: Host, raft: RaftView, before: int) -> None:
        """The commit index of a node moved."""
        commit = raft.commit_index
        if commit < before or commit > raft.log.last_index:
            raise Violation(
                f"state machine safety: commit index of node {host.node_id} went from {before} "
                f"to {commit}, its log ends at {raft.log.last_index}"
            )
        committed = self.committed
        for index in range(before + 1, commit + 1):
            if index < raft.log.snapshot_index and index < len(committed):
                continue  # a snapshot brought it here
            term = raft.log.term(index)
            if term is None:
                raise Violation(
                    f"state machine safety: node {host.node_id} has a snapshot up to {raft.log.snapshot_index}, and "
                    f"entry {index} was never committed"
                )
            if index == len(committed):
                committed.append((term, raft.term))
            elif committed[index][0] != term:
                raise Violation(
                    f"state machine safety: node {host.node_id} commits term {term} at index {index}, "
                    f"another node committed term {committed[index][0]} there"
                )

    def ended(self, host: Host, applied: int, state: Metadata) -> None:
        """A node ends with this state."""
        encoded = msgspec.msgpack.encode((state.topics, state.nodes, state.deleted))
        if self._states.setdefault(applied, encoded) != encoded:
            raise Violation(
                f"state machine safety: node {host.node_id} and another node applied everything up to index "
                f"{applied} and differ"
            )
