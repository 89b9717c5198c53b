"""From ``Started`` to a running node: recover the journal and the catalogue, cut torn tails, note the new lifetime.

Everything is durable before the node says a word to anyone: its storage id, its incarnation.
"""

import msgspec

from walrus.core.actions import Read, Truncate
from walrus.core.outbox import Outbox
from walrus.core.rng import Generator
from walrus.core.storage.appender import Tokens
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH, CatalogueState, recover_catalogue
from walrus.core.storage.journal import (
    JOURNAL_MAGIC,
    JOURNAL_PATH,
    Boot,
    JournalState,
    encode_record,
    recover_journal,
)
from walrus.core.storage.recordlog import RecordLog, RecoveryError


class Ready(msgspec.Struct, frozen=True):
    """What a node starts from. ``journal`` and ``copies`` are None on a fresh disk."""

    storage: int
    incarnation: int
    journal: JournalState | None
    copies: CatalogueState | None
    journal_log: RecordLog
    catalogue_log: RecordLog


class Startup:
    """Feed it the completions of the actions it asks for, until ``ready`` is set."""

    def __init__(self, out: Outbox, tokens: Tokens, rng: Generator, files: dict[str, int]) -> None:
        """Raises RecoveryError, also from the other methods, where the data directory cannot be used."""
        self._out = out
        self._tokens = tokens
        self._rng = rng
        self._files = files
        self._reading = ""  # path of the file being read
        self._waiting = 0  # token of the one step in flight
        self._journal: JournalState | None = None
        self._copies: CatalogueState | None = None
        self._logs: list[RecordLog] = []
        self._storage = 0
        self.ready: Ready | None = None
        if JOURNAL_PATH in files:
            self._read(JOURNAL_PATH)
        else:
            self._journal_done()

    def _read(self, path: str) -> None:
        self._reading = path
        self._waiting = self._tokens.take()
        self._out.add(Read(path, 0, self._files[path], self._waiting))

    def read_completed(self, token: int, data: bytes) -> None:
        assert token == self._waiting
        if self._reading == JOURNAL_PATH:
            self._journal = found = recover_journal(data)
            if found is not None and found.node != self._out.node_id:
                raise RecoveryError(
                    f"{JOURNAL_PATH} belongs to node {found.node}, not to node {self._out.node_id}; "
                    "give each node its own data directory"
                )
            self._cut_or(found.end if found else 0, found is None or found.dirty_tail)
        else:
            self._copies = copies = recover_catalogue(data, self._out.node_id, self._storage)
            self._cut_or(copies.end if copies else 0, copies is None or copies.dirty_tail)

    def _cut_or(self, end: int, dirty: bool) -> None:
        """Cut a torn tail first; what lies beyond the end must never be read as a continuation."""
        if dirty:
            self._waiting = self._tokens.take()
            self._out.add(Truncate(self._reading, end, self._waiting))
        else:
            self._step()

    def write_completed(self, token: int) -> None:
        assert token == self._waiting
        self._step()

    def _step(self) -> None:
        if self._reading == JOURNAL_PATH and not self._logs:
            self._journal_done()
        elif len(self._logs) == 1 and self._logs[0].appender.flying_token:
            self._logs[0].appender.completed(self._waiting)
            self._journal_written()
        else:
            self._catalogue_done()

    def _journal_done(self) -> None:
        """The journal is known: note this lifetime in it, and make that durable."""
        found = self._journal
        if found is None:
            if any(path.startswith("user_data/") for path in self._files):
                raise RecoveryError(
                    f"{JOURNAL_PATH} is missing or empty, but user_data holds files: restore it, or move the data "
                    "directory away and let this node join anew"
                )
            self._storage = self._rng.getrandbits(63) | 1
            log = RecordLog.create(JOURNAL_PATH, JOURNAL_MAGIC, self._out.node_id, self._storage, self._tokens)
        else:
            self._storage = found.storage
            log = RecordLog(JOURNAL_PATH, self._tokens, found.end)
        self._logs.append(log)
        self._waiting = log.append(encode_record(Boot(self._incarnation)))
        write = log.appender.flush()
        assert write is not None
        self._out.add(write)

    @property
    def _incarnation(self) -> int:
        return (self._journal.incarnation if self._journal else 0) + 1

    def _journal_written(self) -> None:
        if CATALOGUE_PATH in self._files:
            self._read(CATALOGUE_PATH)
        else:
            self._catalogue_done()

    def _catalogue_done(self) -> None:
        if self._copies is None:
            args = (CATALOGUE_PATH, CATALOGUE_MAGIC, self._out.node_id, self._storage, self._tokens)
            catalogue = RecordLog.create(*args)
        else:
            catalogue = RecordLog(CATALOGUE_PATH, self._tokens, self._copies.end)
        self.ready = Ready(self._storage, self._incarnation, self._journal, self._copies, self._logs[0], catalogue)
