"""Log matching: logs that hold an entry with the same index and term are the same up to it (Ongaro's dissertation,
figure 3.2).

Checked entry by entry: each (index, term) has one content and one predecessor term, over all nodes and all time; the
rest is induction.
"""

from walrus.core.peer import Entry
from walrus.sim.host import Host
from walrus.sim.probe import RaftView
from walrus.sim.world import Violation


class LogMatching:
    """All entries that ever were durable somewhere."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}  # (index, term) -> entry, term before

    def entry(self, index: int, term: int) -> Entry | None:
        """The entry of an index and a term, if it ever was durable somewhere."""
        found = self._entries.get((index, term))
        return found[0] if found is not None else None

    def changed(self, host: Host, raft: RaftView, terms: list[int], committed: list[tuple[int, int]]) -> None:
        """The durable log of a node changed; ``terms`` were its terms by index, and become what they are now.

        What a log holds no more was committed: there it must be what was seen to be ``committed``.
        """
        base = raft.log.snapshot_index
        if base >= len(committed) or raft.log.term(base) != committed[base][0]:
            raise Violation(
                f"log matching: node {host.node_id} has a snapshot in place of the entries up to {base} of term "
                f"{raft.log.term(base)}, which were not committed"
            )
        if base >= len(terms) or terms[base] != committed[base][0]:
            terms[:] = [term for term, _ in committed[: base + 1]]
        common = min(raft.persisted_index, len(terms) - 1)
        while common > base and raft.log.term(common) != terms[common]:
            common -= 1
        del terms[common + 1 :]
        for index in range(max(common, base) + 1, raft.persisted_index + 1):
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
