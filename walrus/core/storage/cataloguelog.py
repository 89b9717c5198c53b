"""The catalogue while a node runs: appends with group commit, and now and then the whole file anew.

As :mod:`walrus.core.raftjournal` does: the new file is written beside the old one, while nothing is under way there,
and takes its place once it is durable. What is appended meanwhile waits for that.
"""

from collections.abc import Callable
from typing import Final

from walrus.core.actions import Action, Rename, Write
from walrus.core.storage.appender import Tokens
from walrus.core.storage.catalogue import (
    CATALOGUE_NEW_PATH,
    CATALOGUE_PATH,
    CATALOGUE_VERSION,
    CatalogueState,
    Record,
    Whole,
    encode_catalogue,
    encode_record,
)
from walrus.core.storage.recordlog import RecordLog

REWRITE_BYTES: Final = 1 << 20


class CatalogueLog:
    """Rewritten once it has grown by ``rewrite_bytes`` and to twice what it was made with: so it is bounded by what it
    has to say, and the cost of that by what was appended. On a ``full`` disk a new file waits.

    Invariant: of appending, writing a new file and renaming it at most one is under way.
    """

    def __init__(
        self, log: RecordLog, tokens: Tokens, node: int, storage: int, known: CatalogueState | None,
        rewrite_bytes: int = REWRITE_BYTES,
    ) -> None:  # fmt: skip
        self._appender = log.appender
        self._log = log
        self._tokens = tokens
        self._node = node
        self._storage = storage
        self._rewrite_bytes = rewrite_bytes
        self._made_bytes = known.made_bytes if known is not None else 0
        self._writing = 0  # token of the write of a new file
        self._renaming = 0
        self._old_end = 0  # of the file that the new one is to replace
        self._new_bytes = 0
        self.is_current = known is None or known.version == CATALOGUE_VERSION  # all kinds of records may be appended
        self._rewrite_due = not self.is_current
        self.full = False

    @property
    def has_waiting(self) -> bool:
        """Something was appended that no write carries yet."""
        return self._appender.has_waiting

    def append(self, record: Record) -> int:
        """Queue a record; returns the token of the write that makes it durable."""
        return self._log.append(encode_record(record))

    def flush(self, whole: Callable[[], list[Whole]]) -> Action | None:
        """The next change of the files, if one is due and none is under way; ``whole`` says what a new file says."""
        if self._writing or self._renaming:
            return None
        if not self._rewrite_due or self.full or not self._appender.idle:
            return self._appender.flush()
        self._rewrite_due = False
        data = encode_catalogue(self._node, self._storage, whole())
        self._old_end, self._new_bytes = self._appender.durable_end, len(data)
        self._appender.begin_anew(0)  # of the new file nothing is known durable until it has its name
        self._writing = self._tokens.take()
        return Write(CATALOGUE_NEW_PATH, 0, data, self._writing, self._appender.ahead)

    def completed(self, token: int) -> tuple[bool, Action | None]:
        """Take a completed change: whether it is ours, and what to do next."""
        if not token or token not in (self._writing, self._renaming, self._appender.flying_token):
            return False, None
        if token == self._writing:
            self._writing, self._renaming = 0, self._tokens.take()
            return True, Rename(CATALOGUE_NEW_PATH, CATALOGUE_PATH, self._renaming)
        if token == self._renaming:
            self._renaming = 0
            self._appender.begin_anew(self._new_bytes)
            self._made_bytes = self._new_bytes
            self.is_current = True
            return True, None
        self._appender.completed(token)
        grown_bytes = self._appender.durable_end - self._made_bytes
        self._rewrite_due = self._rewrite_due or grown_bytes >= max(self._rewrite_bytes, self._made_bytes)
        return True, None

    def give_up_rewrite(self, token: int) -> bool:
        """There is no room for a new file: go on with the old one. False if the change is not ours."""
        if not token or token != self._writing:
            return False
        self._writing = 0
        self._rewrite_due = True
        self._appender.begin_anew(self._old_end)
        return True
