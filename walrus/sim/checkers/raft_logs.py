"""Raft's properties over terms and logs (Ongaro's dissertation, figure 3.2).

*Election safety*: at most one leader in a term.
*Log matching*: logs that hold an entry with the same index and term are the same up to it. Checked entry by
entry: each (index, term) has one content and one predecessor term, over all nodes and all time; the rest is
induction.
*Leader completeness*: an entry committed in a term is in the log of every leader of a higher term.
*State machine safety*: no two nodes commit different entries at one index.

An entry counts once it is durable somewhere: a leader that needs no vote but its own may forget
what it never wrote, term included, and nobody has heard of it. Only what changed since the node's
last turn is looked at, so the cost is one comparison per new entry.
"""

from walrus.core.peer import Entry
from walrus.core.raft.output import Role
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class _Seen:
    """What was last seen of one process."""

    __slots__ = ("commit", "leads_term", "life", "terms")

    def __init__(self, life: int) -> None:
        self.life = life
        self.terms = [0]  # of the durable entries, by index; [0] stands before the log
        self.commit = 0
        self.leads_term = -1


class RaftLogs:
    """Watches every node's term, role, log and commit index."""

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}  # term -> node
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> entry, term before
        self._committed: list[tuple[int, int]] = [(0, 0)]  # by index: its term, a term it was committed by
        self._seen: dict[int, _Seen] = {}

    def after_turn(self, host: Host) -> None:
        """Compare a node with all that was seen before."""
        raft = probe.raft(host)
        if raft is None:
            return
        seen = self._seen.get(host.node_id)
        if seen is None or seen.life != host.life:
            seen = self._seen[host.node_id] = _Seen(host.life)
        durable = raft.persisted_index
        if durable != len(seen.terms) - 1 or raft.log.term(durable) != seen.terms[durable]:
            self._log_changed(host, raft, seen)
        if raft.commit_index != seen.commit:
            self._commit_changed(host, raft, seen)
        if raft.role is Role.LEADER and seen.leads_term != raft.term:
            seen.leads_term = raft.term
            self._elected(host, raft)

    def on_crash(self, host: Host) -> None:
        """Nothing: what is in memory was compared after the last turn."""

    def _elected(self, host: Host, raft: RaftView) -> None:
        other = self.leaders.setdefault(raft.term, host.node_id)
        if other != host.node_id:
            raise Violation(f"election safety: nodes {other} and {host.node_id} both lead in term {raft.term}")
        host.note(f"leads in term {raft.term}", "Raft leader elected")
        for index in range(len(self._committed) - 1, 0, -1):
            term, seen_in = self._committed[index]
            if seen_in < raft.term:
                if index > raft.log.last_index or raft.log.term(index) != term:
                    raise Violation(
                        f"leader completeness: node {host.node_id} leads in term {raft.term} without entry "
                        f"{index} of term {term}, committed in term {seen_in} or before"
                    )
                return  # log matching answers for the entries before it

    def _log_changed(self, host: Host, raft: RaftView, seen: _Seen) -> None:
        terms = seen.terms
        common = min(raft.persisted_index, len(terms) - 1)
        while raft.log.term(common) != terms[common]:
            common -= 1
        del terms[common + 1 :]
        for index in range(common + 1, raft.persisted_index + 1):
            entry = raft.log.entry(index)
            before = terms[-1]
            known = self._entries.setdefault((index, entry.term), (entry, before))
            if known != (entry, before):
                raise Violation(
                    f"log matching: node {host.node_id} holds {entry} after term {before}, "
                    f"elsewhere {known[0]} after term {known[1]}"
                )
            if entry.index != index or entry.term < before or entry.term > raft.term:
                raise Violation(
                    f"log matching: node {host.node_id} in term {raft.term} holds {entry} at index {index} "
                    f"after term {before}"
                )
            terms.append(entry.term)
        if raft.log.term(seen.commit) != self._committed[seen.commit][0]:
            raise Violation(f"log matching: node {host.node_id} dropped entry {seen.commit}, committed")

    def _commit_changed(self, host: Host, raft: RaftView, seen: _Seen) -> None:
        commit = raft.commit_index
        if commit < seen.commit or commit > raft.log.last_index:
            raise Violation(
                f"state machine safety: commit index of node {host.node_id} went from {seen.commit} "
                f"to {commit}, its log ends at {raft.log.last_index}"
            )
        committed = self._committed
        for index in range(seen.commit + 1, commit + 1):
            term = raft.log.term(index)
            assert term is not None
            if index == len(committed):
                committed.append((term, raft.term))
            elif committed[index][0] != term:
                raise Violation(
                    f"state machine safety: node {host.node_id} commits term {term} at index {index}, "
                    f"another node committed term {committed[index][0]} there"
                )
        seen.commit = commit
