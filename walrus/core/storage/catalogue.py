"""``user_data/replicas.log``: which segment copies this disk has taken on, and the fences it has promised.

A copy is noted here before its first batch is acknowledged, so a segment file that is missing although it
is noted was lost ("unknown"), while one that was never noted never held anything (length 0). In the same way a copy
whose file is sound for fewer records than are noted as durable was damaged, whatever its end looks like.
"""

from typing import Final

import msgspec

from walrus.core.peer import DECODE_ERRORS
from walrus.core.storage.recordlog import RecoveryError, encode_whole, recover

CATALOGUE_PATH: Final = "user_data/replicas.log"
CATALOGUE_NEW_PATH: Final = "user_data/replicas.log.new"
"""Where a catalogue is written anew, before it takes the place of the other."""
CATALOGUE_MAGIC: Final = b"WALREPL\n"
CATALOGUE_VERSION: Final = 2
"""Of the format. Version 1 has no ``Durable``, ``Unsynced``, ``Synced`` and ``Whole``; it is read, and written anew as
this one.
"""


class Held(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    """This disk holds a copy, taken on under version ``version`` of the replica set."""

    topic: str
    segment: int
    version: int


class Fenced(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """Nothing below ``epoch`` is admitted any more."""

    topic: str
    segment: int
    epoch: int


class Durable(msgspec.Struct, frozen=True, array_like=True, tag="l"):
    """The copy's first ``length`` records are durable. A lower one than before: what lies beyond is about to be cut."""

    topic: str
    segment: int
    length: int


class Complete(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """All ``count`` records of a SEALED segment are durable here: no scan is needed at the next start."""

    topic: str
    segment: int
    count: int


class Incomplete(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """The copy was found lost or damaged, and is to be filled again from its peers: of its file nothing is promised."""

    topic: str
    segment: int


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """The copy was given up; its file may go."""

    topic: str
    segment: int


class Unsynced(msgspec.Struct, frozen=True, array_like=True, tag="u"):
    """From here on the copy acknowledges what is in the memory of the system whose boot id is ``boot`` only."""

    topic: str
    segment: int
    boot: str


class Synced(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """All that the copy has acknowledged is on the disk again: at the end of its segment, or at a clean stop."""

    topic: str
    segment: int


class Whole(msgspec.Struct, frozen=True, array_like=True, tag="w"):
    """All that earlier records said of a copy, where the catalogue was written anew."""

    topic: str
    segment: int
    held: bool
    version: int
    epoch: int
    length: int
    complete: bool
    unsynced: str | None = None


Record = Held | Fenced | Durable | Complete | Incomplete | Dropped | Unsynced | Synced | Whole
decode_record: Final = msgspec.msgpack.Decoder(Record).decode
encode_record: Final = msgspec.msgpack.Encoder().encode


class CopyState(msgspec.Struct):
    """What the catalogue says of one segment's copy. ``length``: so many of its records were durable."""

    held: bool = False
    version: int = 0
    fence_epoch: int = 0
    complete: bool = False
    length: int = 0
    unsynced: str | None = None  # boot id under which it acknowledged without a sync; None: all of it is synced

    def take(self, record: Record) -> None:
        """Be as the record says."""
        if isinstance(record, Complete | Incomplete | Dropped | Synced):
            self.unsynced = None
        match record:
            case Unsynced():
                self.unsynced = record.boot
            case Held():
                self.held = True
                self.version = max(self.version, record.version)
            case Fenced():
                self.fence_epoch = max(self.fence_epoch, record.epoch)
            case Durable():
                self.length = record.length
            case Complete():
                self.complete = True
                self.length = record.count
            case Incomplete():
                self.complete = False
                self.length = 0
            case Dropped():
                self.held = self.complete = False
                self.version = self.length = 0
            case Whole():
                self.held, self.version, self.fence_epoch = record.held, record.version, record.epoch
                self.length, self.complete, self.unsynced = record.length, record.complete, record.unsynced


class CatalogueState(msgspec.Struct, frozen=True):
    """What the catalogue says, after all its records."""

    copies: dict[tuple[str, int], CopyState]
    end: int
    dirty_tail: bool
    made_bytes: int  # see :class:`walrus.core.storage.recordlog.Recovered`
    version: int  # of its format


def recover_catalogue(data: bytes, node: int, storage: int) -> CatalogueState | None:
    """Replay the catalogue; None if it never became durable. Raises RecoveryError."""
    found = recover(CATALOGUE_PATH, CATALOGUE_MAGIC, data, CATALOGUE_VERSION)
    if found is None:
        return None
    if (found.node, found.storage) != (node, storage):
        raise RecoveryError(
            f"{CATALOGUE_PATH}: belongs to node {found.node} with storage id {found.storage:016x}, "
            f"not to node {node} with {storage:016x}; do not mix data directories"
        )
    copies: dict[tuple[str, int], CopyState] = {}
    for number, payload in enumerate(found.payloads):
        try:
            record = decode_record(payload)
        except DECODE_ERRORS as error:
            raise RecoveryError(f"{CATALOGUE_PATH}: record {number} cannot be read: {error}") from error
        copies.setdefault((record.topic, record.segment), CopyState()).take(record)
    return CatalogueState(copies, found.end, found.dirty_tail, found.made_bytes, found.version)


def encode_catalogue(node: int, storage: int, copies: list[Whole]) -> bytes:
    """A whole catalogue that says this of these copies."""
    return encode_whole(CATALOGUE_MAGIC, node, storage, [encode_record(copy) for copy in copies], CATALOGUE_VERSION)
