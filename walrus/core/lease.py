"""Leases bound staleness; fences give safety.

The holder's side counts from when it *sent* the acknowledgement that the leader says it received; the leader counts
from when it *received* it, plus a margin for drift: the holder always gives up first. A leader confirms an
acknowledgement only while a quorum has answered it within one lease (``Raft.quorum_contact``), and no voter elects
another leader within that time, so a new leader, which waits out one full lease before it expires anybody's, never
overlaps with the old one's grants. A confirmation is for the process that answered: one that comes after a restart may
be of an answer that both lives gave, to a heartbeat that came twice, and the leader counts from the first.

What is proposed because a lease has lapsed may be committed later, when the holder is heard again. So the leader
confirms nothing to a node before that has applied the newest entry in the leader's log that may take a segment from it
(``Progress.lease_index``): the SEALING that this leader proposed, and in a new term what the log holds at its start.
Nor does a leader hold a lease itself before it has applied an entry of its term.
"""

from typing import Final

from walrus.core.config import NodeConfig
from walrus.core.raft.output import LEADER
from walrus.core.raft.raft import Raft

KEEP_SENT: Final = 256


class Lease:
    """This node's own lease: may it admit PUTs and serve reads of open segments?"""

    def __init__(self, config: NodeConfig, raft: Raft) -> None:
        self._lease_ns = config.lease_ns
        self._raft = raft
        self._sent_ns: dict[tuple[int, int], int] = {}  # (term, heartbeat number) -> when its answer was sent
        self._until_ns = -1
        self.losses = 0
        self._held = False

    def valid(self, now_ns: int) -> bool:
        return now_ns < self.until_ns(now_ns)

    def until_ns(self, now_ns: int) -> int:
        """When the lease ends as far as is known now; in the past if there is none."""
        raft = self._raft
        if raft.role is LEADER and raft.log.term(raft.applied_index) == raft.term:
            return max(self._until_ns, raft.quorum_contact(now_ns) + self._lease_ns)
        return self._until_ns

    def note(self, now_ns: int) -> bool:
        """Whether the lease that was held at the last call is gone; that is counted."""
        held = self.valid(now_ns)
        lost = self._held and not held
        self.losses += lost
        self._held = held
        return lost

    def heartbeat(self, term: int, seq: int, confirmed_seq: int, now_ns: int) -> None:
        """The leader's heartbeat ``seq`` was answered now; it has our answer to ``confirmed_seq``."""
        self._sent_ns.setdefault((term, seq), now_ns)
        sent = self._sent_ns.get((term, confirmed_seq))
        if sent is not None:
            self._until_ns = max(self._until_ns, sent + self._lease_ns)
        while len(self._sent_ns) > KEEP_SENT:
            del self._sent_ns[next(iter(self._sent_ns))]


class LeaseTable:
    """The Raft leader's side: until when each node may still believe that it holds a lease."""

    def __init__(self, config: NodeConfig) -> None:
        self._hold_ns = config.lease_ns + config.lease_margin_ns
        self._expires_ns: dict[int, int] = {}
        self._nobody_before_ns = 0

    def elected(self, now_ns: int) -> None:
        """A new leader knows nothing of its predecessor's grants: wait out one full lease."""
        self._expires_ns.clear()
        self._nobody_before_ns = now_ns + self._hold_ns

    def answered(self, node: int, now_ns: int) -> None:
        self._expires_ns[node] = now_ns + self._hold_ns

    def stalled(self, gap_ns: int, now_ns: int) -> None:
        """This process stood still: answers may wait unread in its sockets, so suspect nobody for that time."""
        self._nobody_before_ns = max(self._nobody_before_ns, now_ns + min(gap_ns, self._hold_ns))

    def lapsed(self, node: int, now_ns: int) -> bool:
        """The node cannot hold a lease any more."""
        return now_ns >= max(self._expires_ns.get(node, 0), self._nobody_before_ns)

    def answering(self, node: int, now_ns: int) -> bool:
        """The node has answered within one lease (a new leader's grace does not count)."""
        return now_ns < self._expires_ns.get(node, 0)
