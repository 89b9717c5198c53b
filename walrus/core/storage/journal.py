"""``raft_meta/entries.log``: Raft's log and hard state, and who this node is, in one append-only record file.

One file, so that a vote and the entries around it cost one sync. Each record is a tagged msgpack array;
an entry whose index is not above the last one replaces everything from that index on.
"""

from typing import Final

import msgspec

from walrus.core.peer import DECODE_ERRORS, Entry
from walrus.core.raft.output import HardState
from walrus.core.storage.recordlog import RecoveryError, recover

JOURNAL_PATH: Final = "raft_meta/entries.log"
JOURNAL_MAGIC: Final = b"WALRAFT\n"


class Cluster(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """The cluster this data directory belongs to, from the first contact on."""

    cluster: int


class Boot(msgspec.Struct, frozen=True, array_like=True, tag="b"):
    """A process lifetime began."""

    incarnation: int


class Hard(msgspec.Struct, frozen=True, array_like=True, tag="h"):
    term: int
    vote: int


class Logged(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    entry: Entry


_decode = msgspec.msgpack.Decoder(Cluster | Boot | Hard | Logged).decode
encode_record: Final = msgspec.msgpack.Encoder().encode


class JournalState(msgspec.Struct, frozen=True):
    """What the journal says, after all its records."""

    node: int
    storage: int
    cluster: int  # 0: never joined one
    incarnation: int  # of the last process lifetime; 0: none
    hard_state: HardState
    entries: list[Entry]
    end: int
    dirty_tail: bool


def encode_raft(record: HardState | Entry) -> bytes:
    if isinstance(record, Entry):
        return encode_record(Logged(record))
    return encode_record(Hard(record.term, record.vote))


def recover_journal(data: bytes) -> JournalState | None:
    """Replay a journal; None if it never became durable. Raises RecoveryError naming file and position."""
    found = recover(JOURNAL_PATH, JOURNAL_MAGIC, data)
    if found is None:
        return None
    cluster = incarnation = term = vote = 0
    entries: list[Entry] = []
    for number, payload in enumerate(found.payloads):
        try:
            record = _decode(payload)
        except DECODE_ERRORS as error:
            raise RecoveryError(f"{JOURNAL_PATH}: record {number} cannot be read: {error}") from error
        if isinstance(record, Logged):
            index = record.entry.index
            if not 1 <= index <= len(entries) + 1:
                raise RecoveryError(f"{JOURNAL_PATH}: record {number} holds index {index} after {len(entries)}")
            del entries[index - 1 :]
            entries.append(record.entry)
        elif isinstance(record, Hard):
            term, vote = record.term, record.vote
        elif isinstance(record, Boot):
            incarnation = record.incarnation
        else:
            cluster = record.cluster
    return JournalState(
        found.node,
        found.storage,
        cluster,
        incarnation,
        HardState(term, vote),
        entries,
        found.end,
        found.dirty_tail,
    )
