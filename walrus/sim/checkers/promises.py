"""What a node promises in Raft, its disk remembers (the Raft paper, figure 2: "updated on stable storage before
responding to RPCs").

At the instant at which a message leaves, the bytes that are durable on its sender's disk must say as much:

- a vote, or a candidate's request for one (its own vote): this term and this vote, or a later term;
- whatever a leader says: its term, with its vote for itself, or a later one;
- "I have the entries up to here": these entries, as the leader of that term has them. One that was replaced since was
  there when it was said;
- "I have installed the snapshot": a log that includes it.
"""

from walrus.core.peer import AppendReply, RequestVote, SnapshotReply, VoteReply
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.sim import probe
from walrus.sim.checkers.leader_logs import LeaderLogs
from walrus.sim.checkers.opened import body
from walrus.sim.checkers.stable_storage import StableStorage, recovered
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.world import Violation

_OF_LEADERS = ("Heartbeat", "AppendEntries", "InstallSnapshot", "TimeoutNow")


class Promises:
    """Looks at a disk when a message leaves. A damaged journal proves nothing: its node cannot start on it."""

    def __init__(self, cluster: Cluster, storage: StableStorage, leaders: LeaderLogs) -> None:
        self._cluster = cluster
        self._storage = storage
        self._leaders = leaders
        self._sure: dict[int, tuple[int, int]] = {}  # node -> life and term of a leader that is on its disk
        network = cluster.network
        network.when_sent("VoteReply", self._vote)
        network.when_sent("RequestVote", self._candidacy)
        network.when_sent("AppendReply", self._entries)
        network.when_sent("SnapshotReply", self._snapshot)
        for kind in _OF_LEADERS:
            network.when_sent(kind, self._leading)

    # --- terms and votes ---

    def _vote(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        if isinstance(message, VoteReply) and message.granted and not message.pre:
            self._must_remember(sender, message.term, to, "gave its vote")

    def _candidacy(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        if isinstance(message, RequestVote) and not message.pre:
            self._must_remember(sender, message.term, sender, "asks for votes")

    def _leading(self, sender: int, to: int, data: bytes) -> None:
        host = self._cluster.host(sender)
        raft = probe.raft(host)
        if raft is None or self._sure.get(sender) == (host.life, raft.term):
            return
        term = getattr(body(data), "term", 0)
        self._must_remember(sender, term, sender, "leads")
        if term == raft.term:
            self._sure[sender] = (host.life, term)

    def _must_remember(self, node: int, term: int, vote: int, what: str) -> None:
        host = self._cluster.host(node)
        storage = probe.storage(host)
        if not storage or JOURNAL_PATH in host.disk.damage.hurt:
            return
        journal = self._storage.journal(host, storage)
        if journal is not None and _remembers(journal.hard.term, journal.hard.vote, term, vote):
            return
        start = recovered(host)
        if start is not None and _remembers(start.hard_state.term, start.hard_state.vote, term, vote):
            return
        told = f"term {start.hard_state.term}, vote {start.hard_state.vote}" if start is not None else "nothing"
        raise Violation(f"stable storage: node {node} {what} in term {term} (node {vote}), and its disk says {told}")

    # --- entries ---

    def _entries(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        if not isinstance(message, AppendReply) or not message.success or not message.match_index:
            return
        host = self._cluster.host(sender)
        storage = probe.storage(host)
        journal = self._storage.journal(host, storage) if storage else None
        if not storage or JOURNAL_PATH in host.disk.damage.hurt:
            return
        index = message.match_index
        term = self._leaders.term_at(message.term, index)
        if journal is not None:
            if index <= journal.base.index or (term is not None and (index, term) in journal.held):
                return
            if term is None and index <= journal.last_index:
                return
        self._must_hold(host, index, term, message.term)

    def _snapshot(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        if isinstance(message, SnapshotReply) and message.installed:
            host = self._cluster.host(sender)
            if probe.storage(host) and JOURNAL_PATH not in host.disk.damage.hurt:
                self._must_hold(host, message.index, None, message.term)

    def _must_hold(self, host: Host, index: int, term: int | None, told_in: int) -> None:
        start = recovered(host)
        last, what = 0, "no log"
        if start is not None:
            last = start.base.index + len(start.entries)
            what = f"a log that ends with entry {last}"
            if index <= max(start.base.index, start.snapshot.snapshot.index if start.snapshot is not None else 0):
                return
            if index <= last:
                found = start.entries[index - start.base.index - 1].term
                if term is None or found == term:
                    return
                what = f"entry {index} of term {found} where that leader has term {term}"
        raise Violation(
            f"stable storage: node {host.node_id} tells the leader of term {told_in} that it holds everything up to "
            f"entry {index}, and its disk has {what}"
        )


def _remembers(term: int, vote: int, promised_term: int, promised_vote: int) -> bool:
    return term > promised_term or (term, vote) == (promised_term, promised_vote)
