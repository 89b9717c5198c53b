"""A clean shutdown, bounded in time: segments go to other nodes, cursors are committed exactly, leadership moves."""

from collections.abc import Callable
from typing import Final

from walrus.core.clients import ClientSessions
from walrus.core.config import MS, NodeConfig
from walrus.core.cursors import Cursors
from walrus.core.farewell import Farewells
from walrus.core.lease import Lease
from walrus.core.raft.output import LEADER
from walrus.core.raft.raft import Raft
from walrus.core.segment.writers import Writers

ALONE_NS: Final = 500 * MS
SYNCING_NS: Final = 400 * MS


class Leaving:
    """``done`` once everything is handed over (``complete``) and synced, or at the deadline."""

    def __init__(
        self, config: NodeConfig, raft: Raft, lease: Lease, farewells: Farewells, writers: Writers, cursors: Cursors,
        sessions: ClientSessions, requests_waiting: Callable[[], int], at_rest: Callable[[], bool],
    ) -> None:  # fmt: skip
        """``at_rest`` has every copy synced, and tells whether that is done."""
        self._at_rest = at_rest
        self._timeout_ns = config.shutdown_timeout_ns
        self._raft = raft
        self._lease = lease
        self._farewells = farewells
        self._writers = writers
        self._cursors = cursors
        self._sessions = sessions
        self._requests_waiting = requests_waiting
        self._deadline_ns = -1
        self._until_ns = -1  # of the last stage
        self._transferring = False
        self.done = False
        self.complete = False

    @property
    def begun(self) -> bool:
        return self._deadline_ns >= 0

    def begin(self, now_ns: int) -> None:
        if self.begun:
            return
        self._deadline_ns = now_ns + self._timeout_ns
        self._writers.leaving = bool(self._farewells.others())

    def tick(self, now_ns: int) -> None:
        if not self.begun or self.done:
            return
        if self._until_ns >= 0:
            self.done = self._at_rest() or now_ns >= self._until_ns
            return
        waited_ns = now_ns - (self._deadline_ns - self._timeout_ns)
        if now_ns >= self._deadline_ns or (waited_ns >= ALONE_NS and not self._lease.valid(now_ns)):
            self._rest(now_ns)  # out of time, or no quorum is left to hand anything over to
        elif self._handed_over():
            if not self._writers.leaving or self._raft.role is not LEADER:
                self.complete = not self._transferring or self._raft.leader != 0
                if self.complete:
                    self._rest(now_ns)
            elif not self._transferring:
                self._transferring = self._raft.transfer_leadership(now_ns)

    def _rest(self, now_ns: int) -> None:
        """Nothing is left but to sync the copies of topics that acknowledge without: a while, for they may be many."""
        self._until_ns = now_ns + SYNCING_NS
        self.done = self._at_rest()

    def _handed_over(self) -> bool:
        if self._transferring:
            return True
        if not self._farewells.ask():
            return False
        if not self._writers.leaving:
            self._sessions.stop_reading()
            self._cursors.commit()
            return not self._requests_waiting() and self._cursors.all_committed
        if self._writers.count:
            return False
        self._sessions.stop_reading()
        return not self._requests_waiting()
