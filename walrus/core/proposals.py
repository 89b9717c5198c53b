"""Gets metadata commands committed: from any node, through whoever leads, until the outcome is known.

A time-out is not an outcome: the same command is sent again (every command names the state it expects,
so a repetition is refused, not applied twice).
"""

from typing import Final

import msgspec

from walrus.core.config import MS
from walrus.core.lease import LeaseTable
from walrus.core.metadata.commands import ConfigureTopic, RemoveTopic, decode
from walrus.core.outbox import Outbox
from walrus.core.peer import DECODE_ERRORS, Propose, ProposeReply
from walrus.core.raft.output import LEADER
from walrus.core.raft.raft import Raft

RESEND_AFTER_NS: Final = 200 * MS
SETTLED: Final = (ConfigureTopic, RemoveTopic)
"""Commands that are answered only when no node can serve any more as if they had not been applied."""


class _Pending(msgspec.Struct):
    command: bytes
    sent_ns: int
    sent_to: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What became of a submitted command: applied at ``index``, or refused there with a reason."""

    rid: int
    index: int
    applied: bool
    reason: str


class Proposals:
    """The asking side (``submit``, ``outcomes``) and the leader's side (``requested``, ``committed``)."""

    def __init__(self, out: Outbox, raft: Raft) -> None:
        self._out = out
        self._raft = raft
        self._pending: dict[int, _Pending] = {}
        self._unsent: list[int] = []
        self._askers: dict[int, tuple[int, int, int, bool]] = {}  # log index -> (term, node, rid, known to all first)
        self._settling: list[tuple[int, int, int, ProposeReply]] = []  # (log index, term, node, answer)
        self.outcomes: list[Outcome] = []

    def submit(self, command: bytes) -> int:
        """Have a command committed; its :class:`Outcome` comes with the returned number. Sent at the next ``flush``."""
        rid = self._out.rid()
        self._pending[rid] = _Pending(command, -RESEND_AFTER_NS)
        self._unsent.append(rid)
        return rid

    def withdraw(self, rid: int) -> None:
        """The asker has learnt the outcome otherwise."""
        self._pending.pop(rid, None)

    @property
    def waiting(self) -> int:
        return len(self._pending)

    def flush(self, now_ns: int) -> None:
        """Send what was submitted since the last flush."""
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            for rid in unsent:
                if rid in self._pending:
                    self._send(rid, self._pending[rid], now_ns)

    def tick(self, now_ns: int) -> None:
        for rid, pending in self._pending.items():
            if now_ns - pending.sent_ns >= RESEND_AFTER_NS or pending.sent_to != self._raft.leader:
                self._send(rid, pending, now_ns)

    def _send(self, rid: int, pending: _Pending, now_ns: int) -> None:
        if self._raft.leader:
            pending.sent_ns, pending.sent_to = now_ns, self._raft.leader
            self._out.send(self._raft.leader, Propose(rid, pending.command))

    def requested(self, sender: int, message: Propose, now_ns: int) -> None:
        """A node (perhaps this one) wants a command committed; only a leader can.

        What cannot be read is refused here: once committed, no node could ever apply it.
        """
        try:
            command = decode(message.command)
        except DECODE_ERRORS as error:
            self._out.log("error", f"node {sender} proposed a command that cannot be read, refused: {error}")
            return
        index = self._raft.propose(message.command, now_ns)
        if index:
            self._askers[index] = (self._raft.term, sender, message.rid, isinstance(command, SETTLED))

    def committed(self, index: int, term: int, reason: str) -> None:
        """The entry at ``index`` was applied here; tell who asked for it."""
        asker = self._askers.pop(index, None)
        if asker is not None and asker[0] == term:
            reply = ProposeReply(asker[2], index, not reason, reason)
            if asker[3]:
                self._settling.append((index, term, asker[1], reply))
            else:
                self._out.send(asker[1], reply)

    def settle(self, leases: LeaseTable, now_ns: int) -> None:
        """Answer what every node has applied that may hold a lease; one without a lease gets none before it has.

        Not even a refusal is told before: it may be the repetition of what was applied under another leader.
        """
        if not self._settling:
            return
        raft, settling = self._raft, self._settling
        self._settling = []
        for index, term, node, reply in settling:
            if raft.term != term or raft.role is not LEADER:
                continue  # whoever asked asks the next leader
            behind = [other for other, progress in raft.progress.items() if progress.commit_index < index]
            if all(leases.lapsed(other, now_ns) for other in behind):
                for other in behind:
                    raft.withhold_lease(other, index)
                self._out.send(node, reply)
            else:
                self._settling.append((index, term, node, reply))

    def skipped(self, upto_index: int) -> None:
        """What became of the entries up to an index this node will not learn: those who asked for them ask again."""
        for index in [index for index in self._askers if index <= upto_index]:
            del self._askers[index]

    def answered(self, message: ProposeReply) -> None:
        if self._pending.pop(message.rid, None) is not None:
            self.outcomes.append(Outcome(message.rid, message.index, message.applied, message.reason))

    def drain(self) -> list[Outcome]:
        outcomes, self.outcomes = self.outcomes, []
        return outcomes
