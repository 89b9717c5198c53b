"""One copy of a segment on this disk: what is admitted, what is durable, what is synced, which epoch is fenced.

Rules (dense replicas): a batch is admitted at exactly the length; a duplicate is compared, never used to truncate;
nothing below the fenced epoch is admitted or acknowledged from the receipt of the fence on.
"""

import re
from typing import Final

from walrus.core.actions import Write
from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Segment
from walrus.core.segment.messages import ACCEPTED, FENCED, GAP, MISMATCH
from walrus.core.storage.appender import Appender, Tokens
from walrus.core.storage.blocks import FILE_HEADER_BYTES, BlockIndex, BlockInfo
from walrus.core.storage.catalogue import CopyState

UNREAD: Final = 0  # a file from an earlier lifetime, not looked at yet
READING: Final = 1
READY: Final = 2
LOST: Final = 3  # missing or corrupt: "unknown", in no quorum until repaired

Key = tuple[str, int]
"""(topic, segment number)."""

_SEGMENT_PATH: Final = re.compile(r"user_data/([A-Za-z0-9._-]{1,200}):([1-9][0-9]{0,18})\.wal")


REFILL_SUFFIX: Final = ".new"
"""Of the file in which a damaged copy is filled again, before it takes the place of the old one."""


def segment_path(key: Key) -> str:
    return f"user_data/{key[0]}:{key[1]}.wal"


def segment_key(path: str) -> Key | None:
    """The segment whose file has this path; None for any other file."""
    found = _SEGMENT_PATH.fullmatch(path)
    return (found[1], int(found[2])) if found is not None else None


class Replica:
    """Invariants: ``synced_length <= durable_length <= length``; ``fence_durable <= fence_epoch``; acknowledged only if
    ``held``; written without a sync only if ``may_defer``.

    ``durable_length`` is what the mode of the segment asks for, and ``synced_length`` what outlives a loss of power.
    ``deferred``: the catalogue says, or is about to say, that something may be acknowledged without a sync.
    ``doubtful``: it said so, and power has been lost since: what is here counts for nothing before it is filled up.
    """

    __slots__ = (
        "_flying_length",
        "_flying_sync",
        "ack_to",
        "appender",
        "complete",
        "deferred",
        "doubtful",
        "durability",
        "durable_length",
        "fence_durable",
        "fence_epoch",
        "fence_waiters",
        "held",
        "held_token",
        "held_version",
        "home_path",
        "index",
        "key",
        "marked",
        "may_defer",
        "path",
        "state",
        "sync_wanted",
        "synced_length",
        "synced_token",
        "unsynced_boot",
        "version",
    )

    def __init__(self, key: Key, state: int) -> None:
        self.key = key
        self.home_path = segment_path(key)
        self.path = self.home_path  # of the file that ``index`` is about: another one while the copy is refilled
        self.state = state
        self.index = BlockIndex()
        self.appender: Appender | None = None
        self.durable_length = 0
        self.synced_length = 0
        self._flying_length = 0
        self._flying_sync = True
        self.durability: int | None = None  # what its writer asked for; None: nobody did in this lifetime
        self.deferred = False
        self.unsynced_boot: str | None = None  # that the catalogue notes, or is about to; None where not ``deferred``
        self.doubtful = False
        self.may_defer = False  # the catalogue durably notes that writes may be deferred, and nothing to the contrary
        self.sync_wanted = False
        self.synced_token = 0  # of the note that all is synced
        self.fence_epoch = 0
        self.fence_durable = 0
        self.fence_waiters: list[tuple[int, int]] = []  # (node, epoch)
        self.ack_to: dict[int, int] = {}  # node -> epoch of what it appended and waits for
        self.version = 0  # of the latest admission
        self.held = False  # the catalogue durably notes this copy
        self.held_version = 0  # the version the catalogue notes, or is about to
        self.held_token = 0
        self.complete = False
        self.marked = 0  # records that the catalogue notes as durable, or is about to

    def recall(self, noted: CopyState, files: dict[str, int]) -> None:
        """Be as the catalogue noted it in an earlier process lifetime."""
        self.fence_epoch = self.fence_durable = noted.fence_epoch
        self.held = noted.held
        self.version = self.held_version = noted.version
        self.marked = noted.length
        self.unsynced_boot = noted.unsynced
        self.deferred = noted.unsynced is not None
        self.complete = noted.complete and (self.path in files or not noted.held)

    @property
    def length(self) -> int:
        """Records admitted."""
        return self.index.length

    @property
    def durable_bytes(self) -> int:
        """Size of the file up to ``durable_length``."""
        return self.appender.durable_end if self.appender is not None and self.durable_length else 0

    @property
    def refilling(self) -> bool:
        """The damaged file is still there, and a new one is filled beside it."""
        return self.path != self.home_path

    def refill(self, tokens: Tokens) -> None:
        """Begin anew, in a file beside the damaged one, which is worth more to an operator than none until then."""
        self.path = self.home_path + REFILL_SUFFIX
        self.opened(BlockIndex(), tokens)

    def refilled(self) -> None:
        """The new file has taken the place of the damaged one."""
        assert self.appender is not None
        self.path = self.appender.path = self.home_path

    @property
    def strict(self) -> bool:
        """From now on nothing is acknowledged, or told to a recoverer, before it is synced."""
        return not self.durability or self.fence_epoch > 0

    @property
    def unsynced(self) -> int:
        """Records that count as durable here and would not outlive a loss of power."""
        return self.durable_length - self.synced_length

    @property
    def needs_sync(self) -> bool:
        """Something is written, or on its way, that nothing on its way syncs."""
        return bool(self.unsynced) or (
            self.appender is not None and bool(self.appender.flying_token) and not self._flying_sync
        )

    def opened(self, index: BlockIndex, tokens: Tokens) -> None:
        """The file was read (or is known to be empty): go on behind its last sound block."""
        self.state = READY
        self.index = index
        self.durable_length = self._flying_length = index.length
        self.synced_length = 0 if self.deferred and not self.doubtful else index.length
        end = index.end_position if index.length else 0
        self.appender = Appender(self.path, tokens, end)

    def lost(self, index: BlockIndex) -> None:
        """The file is damaged: it counts for nothing. Readers of a SEALED segment may have the blocks before that."""
        self.state = LOST
        self.index = index
        self.durable_length = self._flying_length = self.synced_length = index.length

    def has_all_of(self, segment: Segment | None) -> bool:
        """A copy that was noted as complete may have lost records since; it is then filled again."""
        sealed = segment is not None and segment.state == SEALED and self.length == segment.count
        return sealed and self.state == READY

    def check(self, epoch: int, blocks: list[BlockInfo], base: int) -> int:
        """What admitting these blocks would be: ACCEPTED (wholly or partly new, or a known duplicate) or a refusal."""
        if epoch < self.fence_epoch:
            return FENCED
        if base > self.length:
            return GAP
        index = self.index
        for block in blocks:
            if block.base >= index.length:
                break
            number = index.find(block.base)
            if index.bases[number] != block.base or index.crcs[number] != block.crc:
                return MISMATCH
        return ACCEPTED

    def admit(self, data: bytes, blocks: list[BlockInfo], header: bytes) -> list[tuple[BlockInfo, bytes]]:
        """Append those of the checked ``blocks`` that are new; returns them with their bytes."""
        assert self.appender is not None
        new = []
        for block in blocks:
            if block.base < self.index.length:
                continue
            if not self.index.length:
                self.appender.append(header)
            raw = data[block.position : block.position + block.size] if len(blocks) > 1 else data
            self.appender.append(raw)
            self.index.add(block)
            new.append((block, raw))
        return new

    def flush(self) -> Write | None:
        """The next write, with or without a sync; or the sync alone, where one is wanted."""
        if self.appender is None:
            return None
        write = self.appender.flush(sync=self.sync_wanted or self.strict or not self.may_defer)
        if write is None and self.sync_wanted:
            write = self.appender.sync()
        if write is not None:
            self._flying_length = self.index.length
            self._flying_sync = write.sync
            self.sync_wanted = self.sync_wanted and not write.sync
        return write

    def write_completed(self, token: int) -> None:
        assert self.appender is not None
        self.appender.completed(token)
        self.durable_length = self._flying_length
        if self._flying_sync:
            self.synced_length = self._flying_length

    def give_up(self) -> None:
        """What is in flight or waits found no room: be as if it had never come."""
        assert self.appender is not None
        self.appender.give_up()
        self.index.truncate(self.durable_length)
        self._flying_length = self.durable_length
        self.sync_wanted = self.sync_wanted or bool(self.unsynced)

    def abandon(self) -> bool:
        """The segment is gone: nobody is answered any more. True once nothing is under way for this copy."""
        self.ack_to.clear()
        self.fence_waiters.clear()
        if self.appender is not None:
            self.appender.set_aside()
        return self.state != READING and not self.held_token and (self.appender is None or self.appender.idle)

    @property
    def settled(self) -> bool:
        """All that was admitted is synced and noted, so the length may be told to a recoverer. Of a doubtful copy: all
        that is left.
        """
        return self.at_rest and (not self.deferred or self.doubtful or self.state == LOST)

    @property
    def at_rest(self) -> bool:
        """Nothing is under way for it."""
        if self.state != READY or self.appender is None or not self.appender.idle:
            return self.state == LOST
        return self.held or not self.length

    def cut(self, length: int) -> int:
        """Forget records from ``length`` on (a block border); returns the file size in bytes that remains.

        A copy that had records keeps its header even without any: an empty file that was noted looks like a lost one.
        """
        assert self.appender is not None
        assert self.appender.idle
        has_header = bool(self.index.length)
        self.index.truncate(length)
        self.durable_length = self._flying_length = self.synced_length = self.index.length
        size = self.index.end_position if self.index.length else 0
        self.appender.durable_end = size
        return max(size, FILE_HEADER_BYTES) if has_header else 0
