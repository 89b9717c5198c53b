"""What stands in for Raft in the segment scopes: one log that all nodes share, applied by each at its own pace.

Raft's own properties are explored by :mod:`fuzz.explore.raft_world`. Here a proposal is a message to the log (node
:data:`LOG`): it may be committed at any later time, in any order with others, or never, whoever leads by then. That is
more than Raft allows, so what holds here holds with Raft. Leases tell whatever the explorer says: nothing that it finds
relies on a clock.
"""

from collections.abc import Iterable
from typing import Final

from walrus.core.actions import Write
from walrus.core.config import Deadline, NodeConfig
from walrus.core.group import Group
from walrus.core.liveness import Liveness
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.peer import ENTRY_CONFIG, Entry, Member
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import RaftOutput, Role
from walrus.core.rng import Generator
from walrus.core.startup import Ready
from walrus.core.storage.appender import Tokens
from walrus.core.storage.journal import Cluster, encode_record

LOG: Final = 99
"""The node number that proposals are addressed to."""

CLUSTER: Final = 7
_NEVER_NS: Final = 1 << 62
_TAKEN: Final = 1 << 30  # what ``propose`` returns: some index, which nobody compares with another


class _Log:
    """The part of the Raft log that a recoverer asks for."""

    def __init__(self, raft: "SharedLogRaft") -> None:
        self._raft = raft

    def term(self, index: int) -> int:
        """The term of the leader once it has applied all that was committed before it led."""
        return self._raft.term if index >= self._raft.led_from else 0


class SharedLogRaft:
    """Raft as the parts of a node see it. ``proposed`` is drained by the explorer."""

    def __init__(self, node_id: int) -> None:
        self.node_id = node_id
        self.role = Role.FOLLOWER
        self.leader = LOG
        self.term = 0
        self.led_from = 0  # index of the last entry that was committed before this node led
        self.commit_index = 0
        self.applied_index = 0
        self.membership = self.committed_membership = Membership()
        self.storage_of: dict[int, int] = {}
        self.live_nodes: tuple[int, ...] = ()
        self.alarm = Deadline(_NEVER_NS, "election")  # no timer of its own
        self.log = _Log(self)
        self.dirty = False
        self.offered: list[Entry] = []
        self.proposed: list[bytes] = []

    @property
    def is_voter(self) -> bool:
        """Every node of a scope is a member for as long as it runs."""
        return True

    def propose(self, data: bytes, now_ns: int) -> int:
        """Send a command to the log."""
        self.proposed.append(data)
        return _TAKEN

    def withhold_lease(self, node: int, index: int) -> None:
        """Leases never end here, whatever is proposed."""

    def lead(self, term: int, index: int) -> None:
        """Become the leader of ``term``, when ``index`` entries are committed."""
        self.role = Role.LEADER
        self.term = term
        self.led_from = index

    def offer(self, entries: Iterable[Entry]) -> None:
        """These entries are next to apply. One of a newer term tells a leader that it leads no more."""
        self.offered.extend(entries)
        self.dirty = True
        if self.offered[-1].term > self.term:
            self.role = Role.FOLLOWER

    def deadline(self) -> Deadline:
        """It never comes."""
        return self.alarm

    def stalled(self, gap_ns: int) -> None:
        """Time stands still here."""

    def quorum_contact(self, now_ns: int) -> int:
        """Only leases ask, and they are told."""
        return now_ns


class SharedLogGroup(Group):
    """A node's part in the group: who is who as in the real one, but nothing to journal, to send or to vote on."""

    def __init__(
        self, out: Outbox, tokens: Tokens, config: NodeConfig, rng: Generator, ready: Ready, now_ns: int
    ) -> None:
        self._out = out
        self._config = config
        self.recovered = None
        self._rng = rng
        self._journal = ready.journal_log
        self._is_fresh = not (ready.journal and ready.journal.cluster)
        self.cluster = out.cluster = CLUSTER
        self.raft = SharedLogRaft(config.node_id)  # type: ignore[assignment]
        self._strangers: dict[tuple[int, int], None] = {}
        self.removed = self.abandoned = False
        self.former = ()
        self._asked = (0, 0)

    def _is_removed(self, member: Member) -> bool:
        """Nobody leaves."""
        return False

    def joined(self) -> Write | None:
        """On a fresh disk: note durably to which cluster it belongs."""
        if not self._is_fresh:
            return None
        self._is_fresh = False
        self._journal.append(encode_record(Cluster(CLUSTER)))
        return self._journal.appender.flush()

    def journaled(self, token: int) -> None:
        """The note is durable."""
        self._journal.appender.completed(token)

    def tick(self, leases: "ToldLeases", liveness: Liveness, now_ns: int) -> None:
        """Every node hears who is live."""
        liveness.told(leases.live, now_ns)

    def drain(self, lease: "AlwaysLease", leases: "ToldLeases", now_ns: int) -> RaftOutput:
        """The entries that the explorer offered."""
        raft: SharedLogRaft = self.raft
        entries, raft.offered, raft.dirty = raft.offered, [], False
        for entry in entries:
            raft.applied_index = raft.commit_index = entry.index
            if entry.kind == ENTRY_CONFIG:
                raft.membership = raft.committed_membership = Membership.decode(entry.data)
                raft.storage_of = {m.node: m.storage for m in raft.membership.members}
                self._out.storage_of = dict(raft.storage_of)
        return RaftOutput(committed=entries)

    @property
    def has_durable_snapshot(self) -> bool:
        """A scope is too short for snapshots."""
        return False

    def take_snapshot(self, metadata: Metadata, now_ns: int) -> None:
        """Never."""

    def flush(self) -> None:
        """Nothing more is journaled."""

    def write_completed(self, token: int) -> bool:
        """No write is this part's."""
        return False


class AlwaysLease:
    """A lease that never ends: only fences may keep a writer from what it must not do."""

    def __init__(self, config: NodeConfig, raft: SharedLogRaft) -> None:
        self._raft = raft

    def valid(self, now_ns: int) -> bool:
        """As far as this node knows."""
        return True

    def note(self, now_ns: int) -> bool:
        """It is never lost."""
        return False


class ToldLeases:
    """The leader's table of leases: who is not told to be live has lapsed, rightly or not."""

    def __init__(self, config: NodeConfig) -> None:
        self.live: tuple[int, ...] = ()

    def lapsed(self, node: int, now_ns: int) -> bool:
        """The node is believed to hold no lease any more."""
        return node not in self.live

    def answering(self, node: int, now_ns: int) -> bool:
        """The node is believed to run."""
        return node in self.live

    def stalled(self, gap_ns: int, now_ns: int) -> None:
        """Time stands still here."""
