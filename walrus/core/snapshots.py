"""Makes metadata snapshots durable, one at a time: a new file, a piece per write, then renamed over the old one."""

import zlib
from typing import Final

import msgspec

from walrus.core.actions import Rename, Write
from walrus.core.metadata.snapshot import Snapshot
from walrus.core.outbox import Outbox
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.core.storage.appender import Tokens
from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH, SNAPSHOT_PATH, encode_file

PIECE_BYTES: Final = 1 << 20


class Taken(msgspec.Struct, frozen=True):
    """A snapshot as Raft sees it and as the state machine does; ``sent``: by a leader, to be installed."""

    raft: RaftSnapshot
    state: Snapshot
    sent: bool


def taken(content: Snapshot, data: bytes, *, sent: bool) -> Taken:
    """``content`` and its encoded bytes."""
    return Taken(RaftSnapshot(content.index, content.term, content.membership, data, zlib.crc32(data)), content, sent)


class SnapshotFiles:
    """``durable`` is the snapshot that has just taken the file's name, until the parent fetches it."""

    def __init__(self, out: Outbox, tokens: Tokens) -> None:
        self._out = out
        self._tokens = tokens
        self._token = 0
        self._data = b""
        self._written = 0
        self._writing: Taken | None = None
        self._next: Taken | None = None  # from a leader, while another one is being written
        self.durable: Taken | None = None

    @property
    def busy(self) -> bool:
        """A snapshot is on its way to the disk, or is durable and the parent does not know yet."""
        return self._writing is not None or self.durable is not None

    def write(self, snapshot: Taken) -> None:
        """Make a snapshot durable. One that waits already is forgotten for it."""
        if self.busy:
            self._next = snapshot
            return
        self._writing = snapshot
        self._data = encode_file(self._out.node_id, self._out.storage_id, snapshot.raft.data)
        self._written = 0
        self._go_on()

    def write_completed(self, token: int) -> bool:
        """Take a completed write; False if the token is not ours."""
        if token != self._token:
            return False
        self._token = 0
        if self._written >= 0:
            self._go_on()
        else:
            self.durable, self._writing = self._writing, None
        return True

    def fetch(self) -> Taken | None:
        """The snapshot that has just become durable.

        The next one begins, unless it is older: a new leader may have none as new as the last one had.
        """
        found, self.durable = self.durable, None
        if found is not None and self._next is not None:
            following, self._next = self._next, None
            if following.raft.index > found.raft.index:
                self.write(following)
        return found

    def _go_on(self) -> None:
        self._token = self._tokens.take()
        if self._written < len(self._data):
            piece = self._data[self._written : self._written + PIECE_BYTES]
            self._out.add(Write(SNAPSHOT_NEW_PATH, self._written, piece, self._token))
            self._written += len(piece)
        else:
            self._data, self._written = b"", -1
            self._out.add(Rename(SNAPSHOT_NEW_PATH, SNAPSHOT_PATH, self._token))
