"""What the machine hands to its parent: drained, never called back."""

import enum
from typing import Final

import msgspec

from walrus.core.peer import Entry, Member, RaftMessage
from walrus.core.raft.snapshot import ReceivedSnapshot


class Role(enum.Enum):
    """What a node does at the moment; LEARNER also stands for "in no configuration"."""

    LEARNER = "Learner"
    FOLLOWER = "Follower"
    PRE_CANDIDATE = "PreCandidate"
    CANDIDATE = "Candidate"
    LEADER = "Leader"


LEADER: Final = Role.LEADER
"""For comparisons on hot paths: to look up a member of an enum costs several calls in Python 3.11."""


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must survive a crash besides the log: the current term, and the vote in it (0: none)."""

    term: int = 0
    vote: int = 0


class RaftOutput(msgspec.Struct):
    """All that happened since the last drain. An empty output may be a shared one: do not change it."""

    records: list[HardState | Entry] = []
    """To be written in this order; an entry at or below the last one written replaces the suffix."""
    messages: list[tuple[int, RaftMessage, bool]] = []
    """(to, message, durable). Durable: hold back until all records drained so far are."""
    committed: list[Entry] = []
    """Newly committed entries, in order and without gaps from one drain to the next, of every kind."""
    received: ReceivedSnapshot | None = None
    """A leader's snapshot: to be made durable, then given to ``install``, or to ``refuse`` where it is none."""
    reads: list[tuple[int, int]] = []
    """(ticket, index) of confirmed reads: apply up to the index, then answer."""
    failed_reads: list[int] = []
    """Tickets of reads that this node can no longer confirm: it is not the leader any more."""
    heartbeat_acks: list[tuple[int, int]] = []
    """Leader: (peer, seq) of the replies received, each newer than the peer's last."""
    granted: list[tuple[int, int, int, int]] = []
    """Follower: (leader, term, seq, confirmed_seq) of the heartbeats replied to, each seq once."""
    removed: list[Member] = []
    """Leader: who is no member any more, as is committed now, and is not told by Raft."""
    notes: list[str] = []
    """For the operator's log, such as ``Added learner 2``."""
