"""The copies on node 2's disk. The test plays writers and recoverers, and says when a write is durable."""

from segment_fixtures import KEY, TOPIC, Wire, block, member, metadata_with

from walrus.core.actions import Change, Read, Rename, Truncate, Write
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Message
from walrus.core.segment.messages import Append, Fence
from walrus.core.segment.replica import Replica
from walrus.core.segment.store import ReplicaStore
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import FILE_HEADER_BYTES
from walrus.core.storage.catalogue import (
    CATALOGUE_MAGIC,
    CATALOGUE_PATH,
    CATALOGUE_VERSION,
    CatalogueState,
    recover_catalogue,
)
from walrus.core.storage.recordlog import RecordLog

PATH = "user_data/logs:1.wal"


def bytes_of(length: int) -> int:
    """Size of the file of a copy that holds so many batches of one record of one byte each."""
    return FILE_HEADER_BYTES + length * len(block(0, b"x")) if length else 0


class Copies:
    """Node 2's store. ``files`` is what is durable; requests wait in ``disk`` until ``complete``."""

    def __init__(
        self,
        metadata: Metadata | None = None,
        files: dict[str, bytearray] | None = None,
        mark_interval_ns: int = 0,
        rewrite_bytes: int = 1 << 20,
    ) -> None:
        self.now_ns = 0
        self.mark_interval_ns = mark_interval_ns
        self.rewrite_bytes = rewrite_bytes
        self.metadata = metadata or metadata_with(1, 2, 3)
        self.files = files if files is not None else {}
        self.boot_id = "first boot"
        self.start()

    def start(self) -> None:
        """Begin a process lifetime with the files that are there; what was under way is lost."""
        self.wire = Wire(2)
        self.disk = self.wire.disk
        tokens = Tokens()
        known: CatalogueState | None = None
        if CATALOGUE_PATH in self.files:
            known = recover_catalogue(bytes(self.files[CATALOGUE_PATH]), *member(2))
            assert known is not None
            log = RecordLog(CATALOGUE_PATH, tokens, known.end)
        else:
            log = RecordLog.create(CATALOGUE_PATH, CATALOGUE_MAGIC, *member(2), tokens, version=CATALOGUE_VERSION)
        sizes = {path: len(data) for path, data in self.files.items()}
        self.store = ReplicaStore(
            self.wire.out,
            tokens,
            self.metadata,
            log,
            known,
            sizes,
            self.mark_interval_ns,
            self.rewrite_bytes,
            self.boot_id,
        )

    @property
    def replica(self) -> Replica:
        """The copy of logs:1."""
        return self.store.get(KEY)

    def append(
        self, base: int, data: bytes, *, sender: int = 1, epoch: int = 0, version: int = 1, durability: int = 0
    ) -> None:
        """A batch arrives, and the turn ends."""
        self.store.append(sender, Append(TOPIC, 1, epoch, version, base, data, durability))
        self.store.flush()

    def fence(self, epoch: int, *, sender: int = 3) -> None:
        """A fence arrives, and the turn ends."""
        self.store.fence(sender, Fence(TOPIC, 1, epoch))
        self.store.flush()

    def said(self) -> list[tuple[int, Message]]:
        """(to, message) since the last call."""
        return self.wire.sent()

    def waiting(self) -> list[str]:
        """What the disk was asked for and has not done, in order: ``Write user_data/...``."""
        self.requests()
        return [f"{type(action).__name__} {action.path}" for action in self.disk]

    def requests(self) -> None:
        """Take what the store asks of the disk; messages stay for ``said``."""
        actions = self.wire.out.actions
        self.disk += [action for action in actions if isinstance(action, Change | Read)]
        self.wire.out.actions = [action for action in actions if not isinstance(action, Change | Read)]

    def complete(self, path: str) -> None:
        """The oldest request for ``path`` succeeds, and the turn ends."""
        self.requests()
        found = next(action for action in self.disk if action.path == path)
        self.disk.remove(found)
        if isinstance(found, Read):
            data = bytes(self.files[path][found.offset : found.offset + found.length])
            assert self.store.read_completed(found.token, data)
        else:
            if isinstance(found, Write):
                content = self.files.setdefault(path, bytearray())
                content.extend(bytes(max(0, found.offset - len(content))))
                content[found.offset : found.offset + len(found.data)] = found.data
            elif isinstance(found, Truncate):
                del self.files[path][found.size :]
            elif isinstance(found, Rename):
                self.files[found.to] = self.files.pop(path)
            else:
                self.files.pop(path, None)
            assert self.store.write_completed(found.token)
        self.store.flush()

    def mark(self) -> None:
        """Time goes by, until it is noted up to where copies are durable."""
        self.now_ns += 1 << 40
        self.store.notes.tick(self.now_ns)
        self.settle()

    def settle(self) -> None:
        """The disk does all it is asked for."""
        self.store.flush()
        self.requests()
        while self.disk:
            self.complete(self.disk[0].path)
            self.requests()

    def syncs(self) -> list[bool]:
        """Of the copy's writes that wait for the disk, whether each has its sync."""
        self.requests()
        return [action.sync for action in self.disk if isinstance(action, Write) and action.path == PATH]

    def filled(self, *payloads: bytes) -> "Copies":
        """Take ``payloads`` from the writer, one batch each, durably and acknowledged."""
        from_base = self.replica.length
        for base, payload in enumerate(payloads, start=from_base):
            self.append(base, one(base, payload))
            self.settle()
        self.said()
        return self


def one(base: int, payload: bytes) -> bytes:
    """A batch of one record, as the writer at epoch 0 makes it."""
    return block(base, payload)
