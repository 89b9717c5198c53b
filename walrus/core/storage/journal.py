"""``raft_meta/entries.log``: Raft's log and hard state, and who this node is, in one append-only record file.

One file, so that a vote and the entries around it cost one sync. Each record is a tagged msgpack array;
an entry whose index is not above the last one replaces everything from that index on. A journal that was cut begins
with what its old records came to, and says behind which index the entries begin: the snapshot has what was before.
"""

from typing import Final

import msgspec

from walrus.core.peer import DECODE_ERRORS, Entry, Natural
from walrus.core.raft.output import HardState
from walrus.core.storage.recordlog import RecoveryError, recover

JOURNAL_PATH: Final = "raft_meta/entries.log"
JOURNAL_NEW_PATH: Final = "raft_meta/entries.log.new"
"""Where a cut journal is written, before it takes the place of the other."""
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


class Base(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """The entries up to ``index`` (of ``term``) are in a snapshot instead; before the first entry, at most once."""

    index: Natural
    term: Natural


decode_record: Final = msgspec.msgpack.Decoder(Cluster | Boot | Hard | Logged | Base).decode
encode_record: Final = msgspec.msgpack.Encoder().encode


class JournalState(msgspec.Struct, frozen=True):
    """What the journal says, after all its records."""

    node: int
    storage: int
    cluster: int  # 0: never joined one
    incarnation: int  # of the last process lifetime; 0: none
    hard_state: HardState
    base: Base  # (0, 0): all entries ever written are here
    entries: list[Entry]
    end: int
    dirty_tail: bool
    made_bytes: int  # see :class:`walrus.core.storage.recordlog.Recovered`


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
    base = Base(0, 0)
    entries: list[Entry] = []
    for number, payload in enumerate(found.payloads):
        try:
            record = decode_record(payload)
        except DECODE_ERRORS as error:
            raise RecoveryError(f"{JOURNAL_PATH}: record {number} cannot be read: {error}") from error
        if isinstance(record, Logged):
            index = record.entry.index
            last = base.index + len(entries)
            if not base.index < index <= last + 1:
                raise RecoveryError(f"{JOURNAL_PATH}: record {number} holds index {index} after {last}")
            del entries[index - base.index - 1 :]
            entries.append(record.entry)
        elif isinstance(record, Hard):
            term, vote = record.term, record.vote
        elif isinstance(record, Boot):
            incarnation = record.incarnation
        elif isinstance(record, Base):
            if entries or base.index:
                raise RecoveryError(f"{JOURNAL_PATH}: record {number} begins the log anew behind {record.index}")
            base = record
        else:
            cluster = record.cluster
    return JournalState(
        found.node,
        found.storage,
        cluster,
        incarnation,
        HardState(term, vote),
        base,
        entries,
        found.end,
        found.dirty_tail,
        found.made_bytes,
    )
