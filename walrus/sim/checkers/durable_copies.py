"""The books of all copies: what the processes on each disk have made durable of each segment, and noted of it.

Kept from the changes as the disks carry them out, so they say at any moment what a power failure now would leave; of
what was written without a sync it may leave less, and then they go by what is left. What other faults do to a disk
(rot, lost files, a lost disk) does not reach them: they say what a member, (node, storage id), held by what it did
itself. Changes of the files must be such that this is told by their bytes: a copy is dense, and is only ever appended
to (design 4.2); where that is broken, it is seen here.
"""

import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from walrus.core.actions import Change, Delete, Rename, Truncate, Write
from walrus.core.peer import DECODE_ERRORS, Member
from walrus.core.segment.replica import REFILL_SUFFIX, Key, segment_key
from walrus.core.storage.blocks import FILE_HEADER_BYTES, BlockInfo, block_at
from walrus.core.storage.catalogue import (
    CATALOGUE_NEW_PATH,
    CATALOGUE_PATH,
    Complete,
    Dropped,
    Durable,
    Fenced,
    Held,
    Incomplete,
    Record,
    Whole,
    decode_record,
)
from walrus.core.storage.recordlog import HEADER_BYTES, RECORD_HEADER_BYTES, record_at
from walrus.sim import probe
from walrus.sim.damage import records_on
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

_NODE_AND_STORAGE: Final = struct.Struct("<12xIQ")  # in the header of a catalogue


class Copy:
    """One member's copy of a segment. ``ends`` has, for each block, the byte behind it and the records up to there.

    ``synced``: so many of the records are on the disk for certain; ``acknowledgeable``: as many as were here before
    losses of power: what a copy said before one was true, though it counts no more.
    """

    __slots__ = ("acknowledgeable", "complete", "ends", "fence", "held", "mark", "synced", "version")

    def __init__(self) -> None:
        self.ends: list[tuple[int, int]] = []
        self.fence = 0  # nothing below this epoch, says the catalogue
        self.held = False  # the catalogue notes the copy
        self.version = 0  # of the replica set under which it was taken on, says the catalogue
        self.complete = False
        self.synced = 0
        self.acknowledgeable = 0
        self.mark = 0  # so many of its records are durable, says the catalogue

    def note(self, record: Record) -> None:
        """The catalogue says this of the copy, which is no giving up."""
        match record:
            case Held():
                self.held, self.version = True, max(self.version, record.version)
            case Fenced():
                self.fence = max(self.fence, record.epoch)
            case Durable():
                self.mark = record.length
            case Complete():
                self.complete, self.mark = True, record.count
            case Incomplete():
                self.complete, self.mark = False, 0
            case Whole():
                self.held, self.version, self.fence = record.held, record.version, record.epoch
                self.complete, self.mark = record.complete, record.length

    @property
    def records(self) -> int:
        """So many records are durable, as the segment's mode has it, from the first one on."""
        return self.ends[-1][1] if self.ends else 0

    @property
    def size_bytes(self) -> int:
        """Of the file, up to its last block."""
        return self.ends[-1][0] if self.ends else 0


class Reader:
    """Hears of what becomes of copies; each checker of them takes what it needs."""

    def block_added(self, member: Member, key: Key, data: bytes, block: BlockInfo) -> None:
        """``block`` of ``data`` is durable now, behind all that was there."""

    def grown(self, member: Member, key: Key, copy: Copy, before: int) -> None:
        """A copy that had ``before`` records has more."""

    def shrunk(self, member: Member, key: Key, copy: Copy, before: int) -> None:
        """A copy that had ``before`` records has fewer, or none, and is not given up."""

    def given_up(self, member: Member, key: Key, copy: Copy) -> None:
        """A copy is about to be dropped: the catalogue says so, or it says nothing and the file goes."""

    def noted(self, member: Member, key: Key, copy: Copy) -> None:
        """The catalogue has another record about the copy."""


_NO_COPY: Final = Copy()


class DurableCopies:
    """One for a cluster. Copies are kept by member and segment, those of lost disks too."""

    def __init__(self, cluster: "Cluster") -> None:
        self.readers: list[Reader] = []
        self.storage: dict[int, int] = {}  # node -> the disk it has, as its catalogue says
        self._cluster = cluster
        self._copies: dict[Member, dict[Key, Copy]] = {}
        self._catalogues: dict[int, Write] = {}  # node -> a new one, that is not yet in the place of the other
        self._refills: dict[tuple[Member, Key], Copy] = {}  # files that will take the place of damaged ones
        for host in cluster.hosts:
            host.disk.when_changed(partial(self.changed, host.node_id))
            host.disk.when_cut(partial(self.power_cut, host.node_id))

    def copy(self, member: Member, key: Key) -> Copy:
        """A member's copy; an empty one where it has none."""
        return self._copies.get(member, {}).get(key, _NO_COPY)

    def holders(self, members: tuple[Member, ...], key: Key, records: int, *, synced: bool = False) -> list[Member]:
        """Those that durably hold so many records, or did when their disk was lost; ``synced``: whatever the mode."""
        copies = [(member, self.copy(member, key)) for member in members]
        return [member for member, copy in copies if (copy.synced if synced else copy.acknowledgeable) >= records]

    def was_hurt(self, member: Member, key: Key) -> bool:
        """Whether faults have damaged this copy: the process may have found out, at any time."""
        return f"user_data/{key[0]}:{key[1]}.wal" in self._cluster.host(member[0]).disk.damage.hurt

    # --- changes ---

    def changed(self, node: int, change: Change) -> None:
        """A disk carried out a change that a process asked for. Of a node in a cluster of its own no books are kept."""
        if probe.is_beside(self._cluster.host(node)):
            return
        if change.path in (CATALOGUE_PATH, CATALOGUE_NEW_PATH):
            self._catalogue_changed(node, change)
            return
        key = segment_key(change.path.removesuffix(REFILL_SUFFIX))
        if key is None:
            return
        member = (node, self.storage.get(node, 0))
        copy = self._copies.setdefault(member, {}).setdefault(key, Copy())
        if change.path.endswith(REFILL_SUFFIX):
            self._refill_changed(member, key, copy, change)
        elif isinstance(change, Write):
            self._written(member, key, copy, change)
        elif isinstance(change, Truncate):
            self._cut(member, key, copy, change.size)
        elif isinstance(change, Delete):
            self._give_up(member, key, copy)
            copy.ends.clear()
            copy.synced = copy.acknowledgeable = 0

    def power_cut(self, node: int, path: str, left: bytes) -> None:
        """A machine lost power, and with it some of what was written to a file without a sync."""
        key = segment_key(path)
        copy = self._copies.get((node, self.storage.get(node, 0)), {}).get(key) if key is not None else None
        if copy is not None:
            records = records_on(left)
            while copy.ends and copy.ends[-1][1] > records:
                copy.ends.pop()
            copy.synced = copy.records

    def _catalogue_changed(self, node: int, change: Change) -> None:
        if isinstance(change, Write):
            if change.path == CATALOGUE_PATH:
                self._noted(node, change)
            else:
                self._catalogues[node] = change
        elif isinstance(change, Rename):
            self._noted(node, self._catalogues.pop(node))

    def _refill_changed(self, member: Member, key: Key, copy: Copy, change: Change) -> None:
        """What takes the place of a damaged file counts from when it does."""
        refill = self._refills.setdefault((member, key), Copy())
        if isinstance(change, Write):
            self._written(member, key, refill, change)
        elif isinstance(change, Rename):
            before, copy.ends = copy.records, self._refills.pop((member, key)).ends
            copy.synced = copy.acknowledgeable = copy.records
            if copy.records < before:
                for reader in self.readers:
                    reader.shrunk(member, key, copy, before)
        else:
            del self._refills[member, key]

    def _written(self, member: Member, key: Key, copy: Copy, write: Write) -> None:
        if write.offset < copy.size_bytes:
            self._cut(member, key, copy, write.offset)
        position = 0 if copy.ends or write.offset else FILE_HEADER_BYTES
        if write.offset != copy.size_bytes:
            raise Violation(
                f"copies are dense: node {member[0]} writes to byte {write.offset} of its copy of {key[0]}:{key[1]}, "
                f"whose sound blocks end at byte {copy.size_bytes}"
            )
        before = records = copy.records
        while (block := block_at(write.data, position, verify=False)) is not None:
            if block.base != records or not block.count:
                raise Violation(
                    f"copies are dense: node {member[0]} writes a block with base {block.base} and {block.count} "
                    f"records to its copy of {key[0]}:{key[1]}, which has {records}"
                )
            position += block.size
            records += block.count
            copy.ends.append((write.offset + position, records))
            for reader in self.readers:
                reader.block_added(member, key, write.data, block)
        copy.acknowledgeable = max(copy.acknowledgeable, records)
        if write.sync:
            copy.synced = records
        if records > before:
            for reader in self.readers:
                reader.grown(member, key, copy, before)

    def _cut(self, member: Member, key: Key, copy: Copy, size_bytes: int) -> None:
        before = copy.records
        while copy.ends and copy.ends[-1][0] > size_bytes:
            copy.ends.pop()
        copy.synced = copy.records
        if copy.records < before:
            copy.acknowledgeable = copy.records
            for reader in self.readers:
                reader.shrunk(member, key, copy, before)

    def _give_up(self, member: Member, key: Key, copy: Copy) -> None:
        for reader in self.readers:
            reader.given_up(member, key, copy)
        copy.held = copy.complete = False
        copy.version = copy.mark = 0

    def _noted(self, node: int, write: Write) -> None:
        position = 0
        if not write.offset:
            if len(write.data) < HEADER_BYTES:
                return  # torn: the catalogue will be made anew
            self.storage[node] = _NODE_AND_STORAGE.unpack_from(write.data)[1]
            position = HEADER_BYTES
        member = (node, self.storage[node])
        while (found := record_at(write.data, position)) is not None:
            start = position + RECORD_HEADER_BYTES
            position = start + found[0]
            try:
                record = decode_record(write.data[start:position])
            except DECODE_ERRORS as error:
                raise Violation(f"copies: node {node} notes what it cannot read again: {error}") from error
            key = (record.topic, record.segment)
            copy = self._copies.setdefault(member, {}).setdefault(key, Copy())
            if isinstance(record, Dropped):
                self._give_up(member, key, copy)
            copy.note(record)
            if isinstance(record, Durable) and 0 < copy.synced < copy.mark:  # none: its file was removed meanwhile
                raise Violation(
                    f"copies: the catalogue of node {node} says that {copy.mark} records of {key[0]}:{key[1]} are "
                    f"durable, and {copy.synced} are"
                )
            for reader in self.readers:
                reader.noted(member, key, copy)
