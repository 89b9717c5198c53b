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
        self._rid = 0  # of this node's own stop
        self._ready: set[int] = set()  # who answered this node
        self._asking: dict[tuple[int, int], Positions] = {}  # who goes and its rid -> what is to be committed before

    def others(self) -> list[int]:
        """The other voters that live, as far as this node knows."""
        me, lost = self._raft.node_id, self._reachability.lost
        voters = self._raft.committed_membership.voters
        return [node for node in voters if node != me and node in self._liveness.live and not lost(node)]

    def ask(self) -> bool:
        """Ask whoever has not answered; True if there is nobody (left)."""
        self._rid = self._rid or self._out.rid()
        missing = [node for node in self.others() if node not in self._ready]
        for node in missing:
            self._out.send(node, Farewell(self._rid, answer=False))
        return not missing

    def heard(self, sender: int, message: Farewell) -> None:
        """Another node goes, or answers this one."""
        key = (sender, message.rid)
        if message.answer:
            if message.rid == self._rid:
                self._ready.add(sender)
        elif key not in self._asking:  # asked again, it waits for no more than before: a read topic has an end too
            self._asking[key] = self._cursors.positions()
            self.tick()

    def tick(self) -> None:
        """Commit on, and answer whom nothing keeps any more."""
        if not self._asking:
            return
        self._cursors.commit()
        for key in [key for key, positions in self._asking.items() if self._cursors.are_committed(positions)]:
            del self._asking[key]
            self._out.send(key[0], Farewell(key[1], answer=True))
