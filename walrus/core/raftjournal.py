"""Raft's journal while a node runs: appends with group commit, and now and then the whole file anew, without what a
snapshot covers.

A new file is written beside the old one, with everything that Raft knows at that moment, be it durable or not, and
takes its place once it is durable. What is appended meanwhile waits for that. So at every moment the name leads to a
whole journal: the old one, to which nothing is appended any more, or the new one.
"""

from collections.abc import Callable

from walrus.core.actions import Action, Rename, Write
from walrus.core.peer import RaftMessage
from walrus.core.storage.appender import Tokens
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_NEW_PATH, JOURNAL_PATH
from walrus.core.storage.recordlog import RecordLog, encode_whole

Send = Callable[[int, RaftMessage, int], None]
"""To whom, what, and the token of the write that it has to wait for (0: none)."""


class RaftJournal:
    """``rewrite_due`` is set by the parent: the next thing written is a new file. ``rewrite_needed``: nothing can be
    appended to the old one, for it would not follow what that holds. On a ``full`` disk other new files wait.

    Invariant: of appending, writing a new file and renaming it at most one is under way.
    """

    def __init__(self, log: RecordLog, tokens: Tokens, node: int, storage: int, made_bytes: int, send: Send) -> None:
        self._log = log
        self._send = send
        self._tokens = tokens
        self._node = node
        self._storage = storage
        self._writing = 0  # token of the write of a new file
        self._renaming = 0
        self._new_bytes = 0
        self._held: list[tuple[int, RaftMessage]] = []  # wait for records that are in no write yet
        self._held_for_new: list[tuple[int, RaftMessage]] = []  # wait for the new file, which is not renamed yet
        self._mark: tuple[int, int] | None = None  # (index, term) of the last entry appended and not in a write
        self._flying_mark: tuple[int, int] | None = None
        self._aside: tuple[list[bytes], int] = ([], 0)  # what the old file lacks, while a new one is being written
        self.rewrite_due = False
        self.rewrite_needed = False
        self._must_finish = False  # the new file under way is needed
        self.full = False
        self._made_bytes = made_bytes  # size of the file when it was last begun anew

    @property
    def grown_bytes(self) -> int:
        """By how much the file has grown since it was begun anew; what is under way does not count."""
        return self._log.appender.durable_end - self._made_bytes

    def append(self, payload: bytes, mark: tuple[int, int] | None = None) -> None:
        """Queue a record; ``mark``: it is this entry."""
        self._log.append(payload)
        self._mark = mark or self._mark

    def send_when_durable(self, to: int, message: RaftMessage) -> None:
        """Send once all that was appended so far is durable."""
        appender = self._log.appender
        if appender.has_waiting or self._rewrites_next:
            self._held.append((to, message))
        elif self._writing:
            self._held_for_new.append((to, message))
        else:
            self._send(to, message, self._renaming or appender.flying_token)

    def flush(self, whole: Callable[[], list[bytes]]) -> Action | None:
        """The next write, if one is due and none is under way; ``whole`` gives the records of a new file."""
        appender = self._log.appender
        if self._writing or self._renaming or appender.flying_token:
            return None
        if self._rewrites_next:
            return self._rewrite(whole())
        write = appender.flush()
        if write is not None:
            self._flying_mark, self._mark = self._mark, None
        if self._held:
            held, self._held = self._held, []
            for to, message in held:
                self._send(to, message, write.token if write is not None else 0)
        return write

    @property
    def _rewrites_next(self) -> bool:
        return self.rewrite_due and (self.rewrite_needed or not self.full)

    def _rewrite(self, payloads: list[bytes]) -> Write:
        self._must_finish, self.rewrite_due, self.rewrite_needed = self.rewrite_needed, False, False
        data = encode_whole(JOURNAL_MAGIC, self._node, self._storage, payloads)
        self._new_bytes = len(data)
        self._aside = self._log.appender.set_aside()
        self._log.appender.begin_anew(0)  # of the new file nothing is known durable until it has its name
        self._flying_mark, self._mark = self._mark, None
        self._held_for_new, self._held = self._held, []
        self._writing = self._tokens.take()
        return Write(JOURNAL_NEW_PATH, 0, data, self._writing, self._log.appender.ahead)

    def give_up_rewrite(self, token: int) -> bool:
        """There is no room for a new file: go on with the old one. False if it must wait for room."""
        if token != self._writing or self._must_finish:
            return False
        self._writing = 0
        self.rewrite_due = True
        self._log.appender.bring_back(self._aside)
        self._mark = self._mark or self._flying_mark
        self._flying_mark = None
        self._held, self._held_for_new = self._held_for_new + self._held, []
        return True

    def is_ours(self, token: int) -> bool:
        """Whether one of the writes here has this token."""
        return token in (self._writing, self._renaming, self._log.appender.flying_token)

    def completed(self, token: int) -> tuple[Action | None, tuple[int, int] | None]:
        """A write of ours is durable: what to do next, and (index, term) of the last entry that is durable by it."""
        if token == self._writing:
            self._writing, self._renaming = 0, self._tokens.take()
            held, self._held_for_new = self._held_for_new, []
            rename = Rename(JOURNAL_NEW_PATH, JOURNAL_PATH, self._renaming)
            for to, message in held:
                self._send(to, message, self._renaming)
            return rename, None
        if token == self._renaming:
            self._renaming = 0
            self._log.appender.begin_anew(self._new_bytes)
            self._made_bytes = self._new_bytes
        else:
            self._log.appender.completed(token)
        mark, self._flying_mark = self._flying_mark, None
        return None, mark
