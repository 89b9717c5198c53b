"""What must hold after every event of a Raft world (the paper, figure 3), checked from outside."""

from typing import TYPE_CHECKING

from walrus.core.config import NodeConfig
from walrus.core.peer import ENTRY_CONFIG, AppendEntries, Entry, RaftMessage
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import RaftOutput, Role
from walrus.core.raft.raft import Raft

if TYPE_CHECKING:
    from raft_network import Host


class Checks:
    """Remembers what has been seen in the whole world, and asserts that nothing contradicts it."""

    def __init__(self, hosts: "dict[int, Host]") -> None:
        self._hosts = hosts
        self.leaders: dict[int, int] = {}  # term -> node
        self.committed: list[Entry] = []  # of the whole cluster, in order
        self._known: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> entry, term before it
        self._sent: set[tuple[int, int]] = set()  # entries that have left their first node
        self._applied: dict[int, int] = {}
        self._commit: dict[int, int] = {}
        self._granted: dict[int, tuple[int, int]] = {}
        self._led: dict[int, tuple[int, int]] = {}  # node -> term it led, length of its log then
        self.reads_wanted: dict[int, tuple[int, int]] = {}  # ticket -> node, lowest index that it may return
        self.reads_done: dict[int, int] = {}
        self.transfers_happened = False
        self._membership = Membership()

    def started(self, node: int) -> None:
        """A process began: its volatile state starts over."""
        self._applied[node] = 0
        self._commit[node] = 0
        self._granted[node] = (0, 0)
        self._led.pop(node, None)
        for ticket, (asked, _) in self.reads_wanted.items():
            if asked == node:
                self.reads_done.setdefault(ticket, 0)  # it died with the process

    def crashed(self, node: int) -> None:
        """A process ended: what was neither durable nor sent was never there."""
        entries = self._hosts[node].entries
        for (index, term), (entry, _) in list(self._known.items()):
            if (index, term) not in self._sent and (len(entries) < index or entries[index - 1] != entry):
                del self._known[index, term]

    def sent(self, message: RaftMessage) -> None:
        """A message left its host."""
        if isinstance(message, AppendEntries):
            self._sent.update((entry.index, entry.term) for entry in message.entries)

    def read_requested(self, ticket: int, node: int) -> None:
        """A read began at ``node``: it must see all that is committed by now."""
        self.reads_wanted[ticket] = (node, len(self.committed))

    def drained(self, raft: Raft, out: RaftOutput, now_ns: int) -> None:
        """Check one node after one event."""
        self._log_matching(raft, out)
        self._state_machine_safety(raft, out)
        if raft.role is Role.LEADER:
            self._election_safety(raft, now_ns)
            self._leader_append_only(raft)
            self._matches_are_durable(raft)
        for leader, term, seq, _ in out.granted:
            assert self.leaders[term] == leader, "a lease from nobody's leader"
            assert (term, seq) > self._granted[raft.node_id], "a heartbeat was granted twice"
            self._granted[raft.node_id] = (term, seq)
        for ticket, index in out.reads:
            assert index >= self.reads_wanted[ticket][1], "a stale read"
            assert index <= raft.commit_index, "a read of what is not committed"
            assert ticket not in self.reads_done, "a read was answered twice"
            self.reads_done[ticket] = index
        for ticket in out.failed_reads:
            assert ticket not in self.reads_done, "a read was answered twice"
            self.reads_done[ticket] = 0

    def _log_matching(self, raft: Raft, out: RaftOutput) -> None:
        """(index, term) names one entry and the term before it, so equal entries have equal pasts."""
        before: Entry | None = None
        for record in out.records:
            if not isinstance(record, Entry):
                continue
            if before is not None and before.index == record.index - 1:
                term_before = before.term
            elif record.index - 1 <= raft.log.last_index:
                term_before = raft.log.term(record.index - 1) or 0
            else:  # replaced again within this output
                before = record
                continue
            before = record
            if raft.log.term(record.index) != record.term:
                continue
            seen = self._known.setdefault((record.index, record.term), (record, term_before))
            assert seen == (record, term_before), f"two entries at {record.index} in term {record.term}"

    def _state_machine_safety(self, raft: Raft, out: RaftOutput) -> None:
        node = raft.node_id
        assert raft.commit_index >= self._commit[node], "the commit index fell"
        self._commit[node] = raft.commit_index
        for entry in out.committed:
            assert entry.index == self._applied[node] + 1, "entries were skipped or repeated"
            self._applied[node] = entry.index
            if entry.index <= len(self.committed):
                assert self.committed[entry.index - 1] == entry, f"two commands committed at {entry.index}"
            else:
                self._commits(raft, entry)

    def _commits(self, raft: Raft, entry: Entry) -> None:
        self.committed.append(entry)
        holders = sum(
            len(host.entries) >= entry.index and host.entries[entry.index - 1] == entry for host in self._hosts.values()
        )
        if entry.kind == ENTRY_CONFIG:
            membership = Membership.decode(entry.data)
            changed = set(membership.voters) ^ set(self._membership.voters)
            assert len(changed) <= 1, f"voters {changed} changed at once"
            dropped = [m for m in self._membership.members if membership.get(m.node) is None]
            assert len(dropped) <= 1, f"members {dropped} dropped at once"
            assert membership.removed[len(self._membership.removed) :] == tuple((m.node, m.storage) for m in dropped)
            self._membership = membership
        # Whoever commits first leads, and counts by the newest configuration of its log.
        voters = min(len(self._membership.voters), len(raft.voters))
        assert holders >= voters // 2 + 1, f"entry {entry.index} is durable on no quorum"

    def _election_safety(self, raft: Raft, now_ns: int) -> None:
        if raft.term in self.leaders:
            assert self.leaders[raft.term] == raft.node_id, f"two leaders in term {raft.term}"
            return
        self.leaders[raft.term] = raft.node_id
        # Leader completeness: log matching makes the last committed entry stand for all before it.
        if self.committed:
            last = self.committed[-1]
            assert raft.log.last_index >= last.index, "a leader lacks a committed entry"
            assert raft.log.entry(last.index) == last, "a leader has another entry than the committed one"
        if not self.transfers_happened:
            self._no_other_is_confirmed(raft, now_ns, raft.config)

    def _no_other_is_confirmed(self, raft: Raft, now_ns: int, config: NodeConfig) -> None:
        for host in self._hosts.values():
            other = host.raft
            if other is None or other is raft or other.role is not Role.LEADER:
                continue
            confirmed_until_ns = other.quorum_contact(now_ns) + config.lease_ns
            assert now_ns >= confirmed_until_ns, f"node {other.node_id} was still confirmed by a quorum"

    def _leader_append_only(self, raft: Raft) -> None:
        term, length = self._led.get(raft.node_id, (0, 0))
        assert term != raft.term or raft.log.last_index >= length, "a leader cut its own log"
        self._led[raft.node_id] = (raft.term, raft.log.last_index)

    def _matches_are_durable(self, raft: Raft) -> None:
        for node, progress in raft.progress.items():
            progress.check()
            host = self._hosts[node]
            # A newer term on that disk may have replaced what it once acknowledged in this one.
            if progress.match_index and host.hard_state.term <= raft.term:
                assert len(host.entries) >= progress.match_index, "a match that is not durable"
                term = host.entries[progress.match_index - 1].term
                assert term == raft.log.term(progress.match_index), "a match with another entry"

    def converged(self) -> Membership:
        """Assert that all running members agree, and that all reads have ended; return the membership."""
        rafts = [host.raft for host in self._hosts.values() if host.raft is not None]
        leaders = [raft for raft in rafts if raft.role is Role.LEADER]
        assert len(leaders) == 1, f"{len(leaders)} leaders"
        leader = leaders[0]
        assert leader.commit_index == leader.log.last_index, "not all is committed"
        for raft in rafts:
            raft.log.check()
            if leader.membership.get(raft.node_id) is not None:
                assert raft.commit_index == leader.commit_index, f"node {raft.node_id} lags"
                assert raft.leader == leader.node_id, f"node {raft.node_id} follows {raft.leader}"
                assert raft.is_voter, f"node {raft.node_id} was not promoted"
        assert set(self.reads_wanted) == set(self.reads_done), "a read without an end"
        return leader.membership
