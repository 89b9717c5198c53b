"""``user_data/replicas.log``: which segment copies this disk has taken on, and the fences it has promised.

A copy is noted here before its first batch is acknowledged, so a segment file that is missing although it
is noted was lost ("unknown"), while one that was never noted never held anything (length 0).
"""

from typing import Final

import msgspec

from walrus.core.peer import DECODE_ERRORS
from walrus.core.storage.recordlog import RecoveryError, recover

CATALOGUE_PATH: Final = "user_data/replicas.log"
CATALOGUE_MAGIC: Final = b"WALREPL\n"


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


class Complete(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """All ``count`` records of a SEALED segment are durable here: no scan is needed at the next start."""

    topic: str
    segment: int
    count: int


class Incomplete(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """The copy was found lost or damaged and is about to be emptied, to be filled again from its peers."""

    topic: str
    segment: int


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """The copy was given up; its file may go."""

    topic: str
    segment: int


decode_record: Final = msgspec.msgpack.Decoder(Held | Fenced | Complete | Incomplete | Dropped).decode
encode_record: Final = msgspec.msgpack.Encoder().encode


class CopyState(msgspec.Struct):
    """What the catalogue says of one segment's copy."""

    held: bool = False
    version: int = 0
    fence_epoch: int = 0
    complete: bool = False


class CatalogueState(msgspec.Struct, frozen=True):
    copies: dict[tuple[str, int], CopyState]
    end: int
    dirty_tail: bool


def recover_catalogue(data: bytes, node: int, storage: int) -> CatalogueState | None:
    """Replay the catalogue; None if it never became durable. Raises RecoveryError."""
    found = recover(CATALOGUE_PATH, CATALOGUE_MAGIC, data)
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
        copy = copies.setdefault((record.topic, record.segment), CopyState())
        if isinstance(record, Held):
            copy.held = True
            copy.version = max(copy.version, record.version)
        elif isinstance(record, Fenced):
            copy.fence_epoch = max(copy.fence_epoch, record.epoch)
        elif isinstance(record, Complete):
            copy.complete = True
        elif isinstance(record, Incomplete):
            copy.complete = False
        else:
            copy.held = copy.complete = False
            copy.version = 0
    return CatalogueState(copies, found.end, found.dirty_tail)
