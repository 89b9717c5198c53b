"""From ``Started`` to a running node: recover the journal and the catalogue, cut torn tails, note the new lifetime.

Everything is durable before the node says a word to anyone: its storage id, its incarnation, an empty catalogue.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from walrus.core.actions import Delete, Read, Truncate, Write
from walrus.core.outbox import Outbox
from walrus.core.rng import Generator
from walrus.core.segment.replica import REFILL_SUFFIX
from walrus.core.space import ROOM_PATH
from walrus.core.storage.appender import Tokens
from walrus.core.storage.catalogue import (
    CATALOGUE_MAGIC,
    CATALOGUE_NEW_PATH,
    CATALOGUE_PATH,
    CATALOGUE_VERSION,
    CatalogueState,
    recover_catalogue,
)
from walrus.core.storage.journal import (
    JOURNAL_MAGIC,
    JOURNAL_NEW_PATH,
    JOURNAL_PATH,
    Boot,
    JournalState,
    encode_record,
    recover_journal,
)
from walrus.core.storage.metarecovery import REMEDY, LogStart, start_of_log
from walrus.core.storage.recordlog import RecordLog, RecoveryError
from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH, SNAPSHOT_PATH, Damaged, SnapshotFile, decode_file

_UNFINISHED: Final = (JOURNAL_NEW_PATH, SNAPSHOT_NEW_PATH, CATALOGUE_NEW_PATH, ROOM_PATH)
_REFILL: Final = f".wal{REFILL_SUFFIX}"


class Ready(msgspec.Struct, frozen=True):
    """What a node starts from. ``journal``, ``log`` and ``copies`` are None on a fresh disk."""

    storage: int
    incarnation: int
    journal: JournalState | None
    log: LogStart | None
    copies: CatalogueState | None
    journal_log: RecordLog
    catalogue_log: RecordLog


class Startup:
    """Feed it the completions of the actions it asks for, until ``ready`` is set.

    One step is in flight at a time: remove files that were never finished, read the snapshot and the journal, cut its
    torn tail, note this lifetime in it, then the same with the catalogue.
    """

    def __init__(
        self, out: Outbox, tokens: Tokens, rng: Generator, files: dict[str, int], ahead_bytes: int = 0
    ) -> None:
        """``ahead_bytes``: what journal and catalogue are to have reserved.

        Raises RecoveryError, also from the other methods, where the data directory cannot be used.
        """
        self._out = out
        self._ahead_bytes = ahead_bytes
        self._tokens = tokens
        self._rng = rng
        self._files = files
        self._token = 0  # of the one step in flight
        self._then: Callable[[bytes], None] = self._remove_unfinished
        self._snapshot: SnapshotFile | None = None
        self._damage = ""  # why the snapshot file is none
        self._start: LogStart | None = None
        self.ready: Ready | None = None
        self._unfinished = sorted(path for path in files if path in _UNFINISHED or path.endswith(_REFILL))
        self._remove_unfinished(b"")

    def read_completed(self, token: int, data: bytes) -> None:
        assert token == self._token
        self._then(data)

    def write_completed(self, token: int) -> None:
        assert token == self._token
        self._then(b"")

    def _read(self, path: str, then: Callable[[bytes], None]) -> None:
        if path not in self._files:
            then(b"")
            return
        self._token, self._then = self._tokens.take(), then
        self._out.add(Read(path, 0, self._files[path], self._token))

    def _cut(self, path: str, end: int, then: Callable[[bytes], None]) -> None:
        """What lies beyond the end must never be read as its continuation."""
        self._token, self._then = self._tokens.take(), then
        self._out.add(Truncate(path, end, self._token))

    def _sync(self, path: str, end: int, then: Callable[[bytes], None]) -> None:
        """A process that was killed before its sync may have left it in the memory of the operating system only. To be
        done before anything is appended: each record vouches for all before it.
        """
        self._token, self._then = self._tokens.take(), then
        self._out.add(Write(path, end, b"", self._token))

    def _write(self, log: RecordLog, then: Callable[[bytes], None]) -> None:
        write = log.appender.flush()
        assert write is not None
        self._token, self._then = write.token, then
        self._out.add(write)

    @property
    def _has_segments(self) -> bool:
        return any(path.endswith(".wal") for path in self._files)

    # --- the snapshot ---

    def _remove_unfinished(self, _: bytes) -> None:
        """A file that did not get its name before the crash must not show through the next one written there."""
        if self._unfinished:
            self._token, self._then = self._tokens.take(), self._remove_unfinished
            self._out.add(Delete(self._unfinished.pop(), self._token))
        else:
            self._read(SNAPSHOT_PATH, self._snapshot_read)

    def _snapshot_read(self, data: bytes) -> None:
        if SNAPSHOT_PATH in self._files:
            try:
                self._snapshot = decode_file(data)
            except Damaged as error:
                self._damage = str(error)
        self._read(JOURNAL_PATH, self._journal_read)

    # --- the journal ---

    def _journal_read(self, data: bytes) -> None:
        self._journal = found = recover_journal(data) if data else None
        if found is None and SNAPSHOT_PATH in self._files:
            raise RecoveryError(f"{JOURNAL_PATH} is missing or empty, but there is {SNAPSHOT_PATH}: {REMEDY}")
        if found is None and any(path.startswith("user_data/") for path in self._files):
            raise RecoveryError(
                f"{JOURNAL_PATH} is missing or empty, but user_data holds files: restore it, or move the "
                "data directory away and let this node join anew"
            )
        if found is not None and not found.cluster and self._has_segments:
            raise RecoveryError(
                f"{JOURNAL_PATH} knows of no cluster, but there are segment files, so its end was lost: restore it, or "
                "move the data directory away and let this node join anew"
            )
        if found is not None and found.node != self._out.node_id:
            raise RecoveryError(
                f"{JOURNAL_PATH} belongs to node {found.node}, not to node {self._out.node_id}; "
                "give each node its own data directory"
            )
        if found is not None:
            self._start = start_of_log(found, self._snapshot, self._damage)
            if self._damage:
                self._out.log("error", f"{self._damage}; not needed, since {JOURNAL_PATH} is complete")
        if data and (found is None or found.dirty_tail):
            self._cut(JOURNAL_PATH, found.end if found else 0, self._journal_sound)
        elif found is not None:
            self._sync(JOURNAL_PATH, found.end, self._journal_sound)
        else:
            self._journal_sound(b"")

    def _journal_sound(self, _: bytes) -> None:
        found, node = self._journal, self._out.node_id
        if found is None:
            self._storage = self._rng.getrandbits(63) | 1
            args = (JOURNAL_PATH, JOURNAL_MAGIC, node, self._storage, self._tokens, self._ahead_bytes)
            self._log = RecordLog.create(*args)
        else:
            self._storage = found.storage
            self._log = RecordLog(JOURNAL_PATH, self._tokens, found.end, self._ahead_bytes)
        self._incarnation = (found.incarnation if found else 0) + 1
        self._log.append(encode_record(Boot(self._incarnation)))
        self._write(self._log, self._lifetime_noted)

    def _lifetime_noted(self, _: bytes) -> None:
        self._log.appender.completed(self._token)
        self._read(CATALOGUE_PATH, self._catalogue_read)

    # --- the catalogue ---

    def _catalogue_read(self, data: bytes) -> None:
        self._copies = found = recover_catalogue(data, self._out.node_id, self._storage) if data else None
        has_run = self._journal is not None and self._journal.cluster  # a cluster is noted by a running node only
        if found is None and (has_run or self._has_segments):
            raise RecoveryError(
                f"{CATALOGUE_PATH} is missing or empty, but an earlier run wrote: what this node promised is "
                "forgotten; restore user_data, or move the data directory away and let this node join anew"
            )
        if data and (found is None or found.dirty_tail):
            self._cut(CATALOGUE_PATH, found.end if found else 0, self._catalogue_sound)
        elif found is not None:
            self._sync(CATALOGUE_PATH, found.end, self._catalogue_sound)
        else:
            self._catalogue_sound(b"")

    def _catalogue_sound(self, _: bytes) -> None:
        if self._copies is None:
            node = self._out.node_id
            args = (CATALOGUE_PATH, CATALOGUE_MAGIC, node, self._storage, self._tokens, self._ahead_bytes)
            self._catalogue = RecordLog.create(*args, CATALOGUE_VERSION)
            self._write(self._catalogue, self._catalogue_made)
        else:
            self._catalogue = RecordLog(CATALOGUE_PATH, self._tokens, self._copies.end, self._ahead_bytes)
            self._finish()

    def _catalogue_made(self, _: bytes) -> None:
        self._catalogue.appender.completed(self._token)
        self._finish()

    def _finish(self) -> None:
        self.ready = Ready(
            self._storage, self._incarnation, self._journal, self._start, self._copies, self._log, self._catalogue
        )  # fmt: skip
