"""Linearizable looks at the metadata: wait until this node has applied all that was committed when it asked.

Raft's read-index (Ongaro's dissertation, section 6.4), asked of the leader by any node.
"""

from typing import Final

from walrus.core.config import MS
from walrus.core.outbox import Outbox
from walrus.core.peer import ReadIndex, ReadIndexReply
from walrus.core.raft.raft import Raft

RESEND_AFTER_NS: Final = 200 * MS


class ReadIndexes:
    """``barrier`` returns a ticket; ``passed`` names it once the node is caught up."""

    def __init__(self, out: Outbox, raft: Raft) -> None:
        self._out = out
        self._raft = raft
        self._round: list[int] = []  # tickets that wait for the next request
        self._asked: dict[int, tuple[int, list[int]]] = {}  # rid -> (sent at, tickets)
        self._applying: list[tuple[int, list[int]]] = []  # (index to apply first, tickets)
        self._askers: dict[int, tuple[int, int]] = {}  # raft ticket -> (node, rid)
        self._next_ticket = 1
        self.passed: list[int] = []

    def barrier(self) -> int:
        ticket = self._next_ticket
        self._next_ticket += 1
        self._round.append(ticket)
        return ticket

    @property
    def waiting(self) -> int:
        return len(self._round) + len(self._asked) + len(self._applying)

    def flush(self, now_ns: int) -> None:
        """Ask once for all tickets taken since the last request."""
        if self._round and self._raft.leader:
            rid = self._out.rid()
            self._asked[rid] = (now_ns, self._round)
            self._round = []
            self._out.send(self._raft.leader, ReadIndex(rid))

    def tick(self, now_ns: int) -> None:
        for rid, (sent_ns, tickets) in list(self._asked.items()):
            if now_ns - sent_ns >= RESEND_AFTER_NS:
                del self._asked[rid]
                self._round.extend(tickets)
        self.flush(now_ns)

    def requested(self, sender: int, message: ReadIndex, now_ns: int) -> None:
        ticket = self._next_ticket
        self._next_ticket += 1
        if self._raft.request_read(ticket, now_ns):
            self._askers[ticket] = (sender, message.rid)

    def confirmed(self, ticket: int, index: int) -> None:
        """Raft vouches that ``index`` covered everything committed when the ticket was taken."""
        sender, rid = self._askers.pop(ticket)
        self._out.send(sender, ReadIndexReply(rid, index))

    def failed(self, ticket: int) -> None:
        """Leadership was lost before the round ended; the asker asks again."""
        del self._askers[ticket]

    def answered(self, message: ReadIndexReply) -> None:
        found = self._asked.pop(message.rid, None)
        if found is not None:
            self._applying.append((message.index, found[1]))

    def drain(self, applied_index: int) -> list[int]:
        """Tickets whose barrier has passed."""
        if not self._applying:
            return []
        passed = [ticket for index, tickets in self._applying if index <= applied_index for ticket in tickets]
        self._applying = [(index, tickets) for index, tickets in self._applying if index > applied_index]
        return passed
