"""Before a node stops it asks the others to commit their cursors: with it the quorum may go that they need for that.

Without this, nodes that are stopped one after the other would forget what was read since the last commit.
"""

from walrus.core.cursors import Cursors, Positions
from walrus.core.liveness import Liveness
from walrus.core.outbox import Outbox
from walrus.core.peer import Farewell
from walrus.core.raft.raft import Raft
from walrus.core.reachability import Reachability


class Farewells:
    """The side that goes (``ask``) and the side that stays."""

    def __init__(
        self, out: Outbox, raft: Raft, liveness: Liveness, reachability: Reachability, cursors: Cursors
    ) -> None:
        self._out = out
        self._raft = raft
        self._liveness = liveness
        self._reachability = reachability
        self._cursors = cursors
        self._ready: set[int] = set()  # who answered this node
        self._asking: dict[int, Positions] = {}  # who goes -> what is to be committed before

    def others(self) -> list[int]:
        """The other voters that live, as far as this node knows."""
        me, lost = self._raft.node_id, self._reachability.lost
        voters = self._raft.committed_membership.voters
        return [node for node in voters if node != me and node in self._liveness.live and not lost(node)]

    def ask(self) -> bool:
        """Ask whoever has not answered; True if there is nobody (left)."""
        missing = [node for node in self.others() if node not in self._ready]
        for node in missing:
            self._out.send(node, Farewell(answer=False))
        return not missing

    def heard(self, sender: int, message: Farewell) -> None:
        """Another node goes, or answers this one."""
        if message.answer:
            self._ready.add(sender)
        elif sender not in self._asking:  # asked again, it waits for no more than before: a read topic has an end too
            self._asking[sender] = self._cursors.positions()
            self.tick()

    def tick(self) -> None:
        """Commit on, and answer whom nothing keeps any more."""
        if not self._asking:
            return
        self._cursors.commit()
        for node in [node for node, positions in self._asking.items() if self._cursors.are_committed(positions)]:
            del self._asking[node]
            self._out.send(node, Farewell(answer=True))
