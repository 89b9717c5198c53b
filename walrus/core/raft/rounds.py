"""Heartbeat rounds of one leader: what a quorum's answer to a round proves (dissertation 6.4, 6.4.1).

Whoever answers a round was still in the leader's term, so nobody else led when the round was sent: reads
asked for before it are linearizable, and followers that have just heard from this leader elect no other for a
while.
"""

from collections import deque
from typing import Final

LONG_AGO_NS: Final = -(1 << 62)


class HeartbeatRounds:
    """Rounds sent, the newest one that a quorum has answered, and the reads that wait for one.

    Invariants: ``quorum_seq <= seq`` and never falls; both queues rise by seq and lie above ``quorum_seq``.
    """

    __slots__ = ("_reading", "_sent", "quorum_contact_ns", "quorum_seq", "seq", "waiting_reads")

    def __init__(self) -> None:
        """Start before the first round."""
        self.seq = 0
        self.quorum_seq = 0
        self.quorum_contact_ns = LONG_AGO_NS
        self.waiting_reads: list[int] = []
        self._sent: deque[tuple[int, int]] = deque()  # (seq, when sent)
        self._reading: deque[tuple[int, int, list[int]]] = deque()  # (seq, read index, tickets)

    @property
    def is_reading(self) -> bool:
        """Whether a round that carries reads is unanswered."""
        return bool(self._reading)

    def start(self, now_ns: int) -> None:
        """Begin the next round, sent at ``now_ns``."""
        self.seq += 1
        self._sent.append((self.seq, now_ns))

    def carry_reads(self, read_index: int) -> None:
        """Let the round just begun confirm all reads that wait, at ``read_index``."""
        if self.waiting_reads:
            self._reading.append((self.seq, read_index, self.waiting_reads))
            self.waiting_reads = []

    def answered(self, quorum_seq: int) -> list[tuple[int, int]]:
        """Note the newest round that a quorum has answered; return the (ticket, index) of reads
        that it confirms."""
        confirmed: list[tuple[int, int]] = []
        if quorum_seq <= self.quorum_seq:
            return confirmed
        assert quorum_seq <= self.seq, f"round {quorum_seq} was answered but never sent"
        self.quorum_seq = quorum_seq
        while self._sent and self._sent[0][0] <= quorum_seq:
            self.quorum_contact_ns = self._sent.popleft()[1]
        while self._reading and self._reading[0][0] <= quorum_seq:
            _, index, tickets = self._reading.popleft()
            confirmed.extend((ticket, index) for ticket in tickets)
        return confirmed

    def give_up_reads(self) -> list[int]:
        """Return the tickets of all reads not confirmed, and forget them."""
        tickets = [ticket for _, _, carried in self._reading for ticket in carried] + self.waiting_reads
        self._reading.clear()
        self.waiting_reads = []
        return tickets
