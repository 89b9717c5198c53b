"""The Raft log in memory: entries, and where each term begins.

Invariants: indexes are dense from ``first_index``; terms never fall from one entry to the next;
``last_index`` and ``last_term`` describe the last entry, or the snapshot where no entry follows it.
"""

from bisect import bisect_right

from walrus.core.peer import Entry


class RaftLog:
    """Entries ``first_index .. last_index``; what a snapshot covers (1 .. ``snapshot_index``) is not held."""

    __slots__ = (
        "_entries",
        "_run_firsts",
        "_run_terms",
        "last_index",
        "last_term",
        "snapshot_index",
        "snapshot_term",
    )

    def __init__(self, entries: list[Entry], snapshot_index: int = 0, snapshot_term: int = 0) -> None:
        """Take the recovered ``entries``, the first of them at ``snapshot_index + 1``.

        Raises ValueError for a gap or a falling term: such a list is no log.
        """
        self.snapshot_index = snapshot_index
        self.snapshot_term = snapshot_term
        self.last_index = snapshot_index
        self.last_term = snapshot_term
        self._entries: list[Entry] = []
        # Runs of equal terms: conflict hints need "first index of this term" without walking the log.
        self._run_terms: list[int] = []
        self._run_firsts: list[int] = []
        for entry in entries:
            self.append(entry)

    @property
    def first_index(self) -> int:
        """Index of the first entry held, or of the next one to come."""
        return self.snapshot_index + 1

    def append(self, entry: Entry) -> None:
        """Add the next entry. Raises ValueError where it does not follow the last one."""
        if entry.index != self.last_index + 1:
            raise ValueError(f"log entry {entry.index} cannot follow {self.last_index}: expected the next index")
        if entry.term != self.last_term or not self._run_terms:
            if entry.term < self.last_term:
                raise ValueError(
                    f"log entry {entry.index} has term {entry.term}, below term {self.last_term} before it"
                )
            self._run_terms.append(entry.term)
            self._run_firsts.append(entry.index)
        self._entries.append(entry)
        self.last_index = entry.index
        self.last_term = entry.term

    def truncate(self, from_index: int) -> None:
        """Drop the entries from ``from_index`` on."""
        assert self.first_index <= from_index <= self.last_index + 1, f"no entry {from_index} to cut at"
        del self._entries[from_index - self.first_index :]
        while self._run_firsts and self._run_firsts[-1] >= from_index:
            self._run_firsts.pop()
            self._run_terms.pop()
        self.last_index = from_index - 1
        self.last_term = self._run_terms[-1] if self._run_terms else self.snapshot_term

    def compact(self, index: int) -> None:
        """Drop the entries up to ``index``, of which a snapshot tells."""
        assert self.snapshot_index <= index <= self.last_index, f"no entry {index} to compact to"
        term = self.term(index)
        assert term is not None
        del self._entries[: index - self.snapshot_index]
        self.snapshot_index, self.snapshot_term = index, term
        kept = bisect_right(self._run_firsts, index + 1) - 1  # the run that the first entry held is in
        if index == self.last_index:
            self._run_firsts, self._run_terms = [], []
        else:
            del self._run_firsts[:kept], self._run_terms[:kept]
            self._run_firsts[0] = index + 1

    def begin_anew(self, index: int, term: int) -> None:
        """Hold nothing: the next entry follows the one at ``index`` of ``term``, which a snapshot ends with."""
        self._entries, self._run_firsts, self._run_terms = [], [], []
        self.snapshot_index = self.last_index = index
        self.snapshot_term = self.last_term = term

    def term(self, index: int) -> int | None:
        """Return the term at ``index``; the snapshot's last index has one too; None where it is not known."""
        if self.snapshot_index < index <= self.last_index:
            return self._entries[index - self.snapshot_index - 1].term
        return self.snapshot_term if index == self.snapshot_index else None

    def entry(self, index: int) -> Entry:
        """Return the entry at ``index``. Raises IndexError where none is held."""
        if not self.first_index <= index <= self.last_index:
            raise IndexError(f"no log entry {index}: the log holds {self.first_index} to {self.last_index}")
        return self._entries[index - self.first_index]

    def slice(self, low: int, high: int) -> list[Entry]:
        """Return the entries ``low`` to ``high``, both included; all of them must be held."""
        assert self.first_index <= low, f"entry {low} is not held any more"
        assert high <= self.last_index, f"entry {high} is not held yet"
        return self._entries[low - self.first_index : high - self.snapshot_index]

    def batch(self, low: int, entries_max: int, bytes_max: int) -> list[Entry]:
        """Return entries from ``low`` on for one message: at most ``entries_max`` and ``bytes_max`` of data,
        but at least one where there is one."""
        start = low - self.first_index
        batch = self._entries[start : start + entries_max]
        size_bytes = 0
        for count, entry in enumerate(batch):
            size_bytes += len(entry.data)
            if size_bytes > bytes_max and count > 0:
                return batch[:count]
        return batch

    def index_before(self, last: int, entries_max: int, bytes_max: int) -> int:
        """Return the index behind which at most ``entries_max`` held entries, with at most ``bytes_max`` of data, lead
        up to ``last``."""
        index, size_bytes = last, 0
        while index > max(self.snapshot_index, last - entries_max):
            size_bytes += len(self._entries[index - self.first_index].data)
            if size_bytes > bytes_max:
                break
            index -= 1
        return index

    def term_start(self, index: int) -> int:
        """Return the first held index that has the same term as the entry at ``index``; an index not held is alone."""
        if index < self.first_index:
            return index
        return self._run_firsts[bisect_right(self._run_firsts, index) - 1]

    def term_end(self, term: int) -> int:
        """Return the last held index whose term is ``term``, or 0 where there is none."""
        run = bisect_right(self._run_terms, term)
        if run == 0 or self._run_terms[run - 1] != term:
            return 0
        return self._run_firsts[run] - 1 if run < len(self._run_firsts) else self.last_index

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Tell whether a log that ends so has all that this one can have committed (dissertation 3.6.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def check(self) -> None:
        """Assert the invariants on the fields; walks the whole log, for tests."""
        assert self.last_index == self.snapshot_index + len(self._entries), "last_index"
        assert self._run_terms == sorted(set(self._run_terms)), "terms rise from run to run"
        term = self.snapshot_term
        for position, entry in enumerate(self._entries):
            assert entry.index == self.first_index + position, f"index at position {position}"
            assert entry.term >= term, f"term at index {entry.index}"
            term = entry.term
            assert self._run_terms[bisect_right(self._run_firsts, entry.index) - 1] == term, "runs"
        assert self.last_term == term, "last_term"
