"""Storage through power failures: what was durable, told or promised is there after any number of them.

One node's journal, catalogue and a copy of one segment, in their real files. Rules append, let writes complete, cut
the power at any moment (also while the node starts), and look at what bit rot would lead to.
"""

import random
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from machine_sizes import sized
from power_disk import FATES, PREFIXES, Fate, PowerDisk

from walrus.core.actions import Delete, Read, Send, Truncate, Write
from walrus.core.codec import decode_message
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.peer import ENTRY_NORMAL, Entry
from walrus.core.raft.output import HardState
from walrus.core.segment.messages import ACCEPTED, Append, AppendAck, Fence, FenceReply
from walrus.core.segment.replica import LOST, READY, Replica, segment_path
from walrus.core.segment.store import ReplicaStore
from walrus.core.startup import Ready, Startup
from walrus.core.storage import journal
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import FILE_HEADER_BYTES, encode_block
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_PATH, JournalState
from walrus.core.storage.recordlog import RecoveryError
from walrus.sim.damage import can_be_told

KEY = ("logs", 1)
PATH = segment_path(KEY)
PATHS = (JOURNAL_PATH, CATALOGUE_PATH, PATH)
Record = journal.Cluster | HardState | Entry
State = tuple[int, HardState, list[Entry]]
CLUSTER = 77
SIZES = st.sampled_from((0, 1, 5, 100, 400, 700, 1_500))


class PowerFailed(Exception):
    """The power failed while the node started."""


@dataclass
class Promises:
    """What was durable or told, which binds every later life."""

    journal: int = 0  # so many records are durable
    length: int = 0  # so many of the copy's records are
    told: int = 0  # so many of these somebody was told of
    fence: int = 0  # nothing below this epoch is admitted


def state_of(records: list[Record]) -> State:
    """What a journal of these records says: cluster, hard state, entries."""
    cluster = 0
    hard_state = HardState()
    entries: list[Entry] = []
    for record in records:
        if isinstance(record, Entry):
            del entries[record.index - 1 :]
            entries.append(record)
        elif isinstance(record, HardState):
            hard_state = record
        else:
            cluster = record.cluster
    return cluster, hard_state, entries


def told_by(found: JournalState | None) -> State:
    """The same of what was recovered."""
    return (found.cluster, found.hard_state, found.entries) if found is not None else state_of([])


class Life:
    """One process on the disk. Changes that it asks for wait in ``disk.flying``."""

    def __init__(self, disk: PowerDisk, steps_max: int = 1_000) -> None:
        """Start; raises PowerFailed before step ``steps_max``, RecoveryError where the files cannot be used."""
        self.disk = disk
        self.out = Outbox(1)
        tokens = Tokens()
        sizes = {path: len(data) for path, data in sorted(disk.files.items())}
        startup = Startup(self.out, tokens, random.Random(1), sizes)
        while startup.ready is None:
            (action,) = self.out.drain()
            if isinstance(action, Read):
                startup.read_completed(action.token, self._read(action))
                continue
            assert isinstance(action, Write | Truncate)
            disk.begin(action)
            steps_max -= 1
            if steps_max < 0:
                raise PowerFailed
            disk.complete(action.path)
            startup.write_completed(action.token)
        self.ready: Ready = startup.ready
        self.out.begin_lifetime(self.ready.storage, self.ready.incarnation)
        self.out.cluster = CLUSTER
        sizes = {path: len(data) for path, data in sorted(disk.files.items())}
        self.store = ReplicaStore(self.out, tokens, Metadata(), self.ready.catalogue_log, self.ready.copies, sizes)
        self.said: list[AppendAck | FenceReply] = []

    def open(self) -> None:
        """Open the copy, whatever is on the disk for it."""
        while not self.store.open(self.store.get(KEY)):
            self.turn()
            for path in list(self.disk.flying):
                self.complete(path)

    def turn(self) -> None:
        """A turn ends: writes are asked for, reads complete at once."""
        self.store.flush()
        write = self.ready.journal_log.appender.flush()
        if write is not None:
            self.disk.begin(write)
        for action in self.out.drain():
            if isinstance(action, Read):
                assert self.store.read_completed(action.token, self._read(action))
            elif isinstance(action, Write | Truncate | Delete):
                self.disk.begin(action)
            elif isinstance(action, Send):
                decoded = decode_message(action.data)
                assert decoded is not None
                assert isinstance(decoded[1], AppendAck | FenceReply)
                self.said.append(decoded[1])

    def complete(self, path: str) -> None:
        """The change of ``path`` is durable, and the turn ends."""
        change = self.disk.complete(path)
        if path == JOURNAL_PATH:
            self.ready.journal_log.appender.completed(change.token)
        else:
            assert self.store.write_completed(change.token)
        self.turn()

    def _read(self, action: Read) -> bytes:
        return self.disk.files[action.path][action.offset : action.offset + action.length]


class StorageMachine(RuleBasedStateMachine):
    """``records`` and ``blocks`` are all that was appended and may still be there."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = PowerDisk()
        self.promises = Promises()
        self.records: list[Record] = []
        self.flying_records = 0  # how many will be durable with the write under way
        self.blocks: list[bytes] = []
        self.life = Life(self.disk)
        self.log(journal.Cluster(CLUSTER), journal.encode_record(journal.Cluster(CLUSTER)))
        self.turn()
        self.a_write_completes(0)
        self.life.open()

    @property
    def replica(self) -> Replica:
        """The copy."""
        return self.life.store.get(KEY)

    # --- what the node does ---

    def log(self, record: Record, payload: bytes) -> None:
        self.life.ready.journal_log.append(payload)
        self.records.append(record)

    @rule(back=st.integers(0, 3), sizes=st.lists(SIZES, min_size=1, max_size=4), term_rises=st.booleans())
    def entries_are_logged(self, back: int, sizes: list[int], term_rises: bool) -> None:
        """The first may replace some that were logged before."""
        _, hard_state, entries = state_of(self.records)
        term = hard_state.term + term_rises
        self.log(HardState(term, 1), journal.encode_raft(HardState(term, 1)))
        for index, size in enumerate(sizes, start=max(1, len(entries) + 1 - back)):
            entry = Entry(index, term, ENTRY_NORMAL, bytes([len(self.records) % 256]) * size)
            self.log(entry, journal.encode_raft(entry))
        self.turn()

    @precondition(lambda self: self.replica.state == READY)
    @rule(sizes=st.lists(SIZES, min_size=1, max_size=4), again=st.integers(0, 2))
    def a_batch_arrives(self, sizes: list[int], again: int) -> None:
        """Blocks of one record each, the first of which may be known already."""
        first = max(0, len(self.blocks) - again)
        for size in sizes:
            base = len(self.blocks)
            self.blocks.append(encode_block(base, 0, 0, 0, [bytes([base % 256]) * size]))
        batch = Append(*KEY, self.replica.fence_epoch, 1, first, b"".join(self.blocks[first:]))
        self.life.store.append(2, batch)
        self.turn()

    @precondition(lambda self: self.replica.state == READY and self.replica.fence_epoch > 0)
    @rule()
    def a_batch_of_a_fenced_writer_arrives(self) -> None:
        """It leaves no trace."""
        length = self.replica.length
        stranger = encode_block(length, 0, 0, 0, [b"too late"])
        self.life.store.append(2, Append(*KEY, self.replica.fence_epoch - 1, 1, length, stranger))
        self.turn()
        assert self.replica.length == length

    @rule(epochs=st.integers(1, 2))
    def a_fence_arrives(self, epochs: int) -> None:
        self.life.store.fence(3, Fence(*KEY, self.replica.fence_epoch + epochs))
        self.turn()

    # --- the disk ---

    @precondition(lambda self: self.disk.flying)
    @rule(pick=st.integers(0, 2))
    def a_write_completes(self, pick: int) -> None:
        paths = list(self.disk.flying)
        path = paths[pick % len(paths)]
        if path == JOURNAL_PATH:
            self.promises.journal = self.flying_records
        self.life.complete(path)
        self.flying_records = len(self.records) if path == JOURNAL_PATH else self.flying_records
        self.hear()

    @rule(
        fates=st.tuples(PREFIXES, PREFIXES, PREFIXES),
        boots=st.lists(st.tuples(st.integers(0, 3), PREFIXES), max_size=2),
    )
    def the_power_fails(self, fates: tuple[Fate, ...], boots: list[tuple[int, Fate]]) -> None:
        """Beginnings of writes arrive. It may fail again while the node starts."""
        was_lost = self.replica.state == LOST
        assert not self.disk.power_fails(dict(zip(PATHS, fates, strict=True)))
        self.start(boots)
        assert was_lost == (self.replica.state == LOST)

    @rule(fates=st.tuples(FATES, FATES, FATES))
    def the_power_fails_and_sectors_arrive_in_any_order(self, fates: tuple[Fate, ...]) -> None:
        """A hole before a later block of one write looks like damage: then, and only then, the copy may be given up."""
        was_lost = self.replica.state == LOST
        holes = self.disk.power_fails(dict(zip(PATHS, fates, strict=True)))
        self.start([])
        assert self.replica.state == READY or was_lost or PATH in holes

    @rule(pick=st.integers(0, 2), place=st.integers(0, 999), bit=st.integers(0, 7))
    def a_bit_would_rot(self, pick: int, place: int, bit: int) -> None:
        """On the disk as it is: where rot can be told from a torn tail the node refuses to start and names the file, or
        gives the copy up; elsewhere some of the end is missing. Nothing is there that was never written. The story goes
        on without the rot."""
        path = PATHS[pick]
        rotten = PowerDisk(dict(self.disk.files))
        data = bytearray(rotten.files.get(path, b""))
        if not data:
            return
        position = len(data) * place // 1000
        tells = can_be_told(path, bytes(data), position, position + 1)
        data[position] ^= 1 << bit
        rotten.files[path] = bytes(data)
        try:
            life = Life(rotten)
        except RecoveryError as error:
            reason = str(error)
        else:
            reason = ""
        if reason:
            assert path != PATH
            assert path in reason
            return
        self.surviving(life.ready.journal, at_least=0)
        life.open()
        replica = life.store.get(KEY)
        assert replica.state == LOST or replica.length == self.length_on_disk(rotten)
        assert not tells or (path == PATH and (replica.state == LOST or not replica.held)), "rot taken for a torn tail"

    @precondition(lambda self: self.promises.told and PATH in self.disk.files)
    @rule()
    def the_copys_file_would_be_gone(self) -> None:
        """Once somebody was told of records, a missing file is a lost copy and never an empty one."""
        life = Life(PowerDisk({path: data for path, data in self.disk.files.items() if path != PATH}))
        life.open()
        assert life.store.get(KEY).state == LOST

    # --- what must hold ---

    def turn(self) -> None:
        """The turn ends; what is told binds."""
        if JOURNAL_PATH not in self.disk.flying:
            self.flying_records = len(self.records)
        self.life.turn()
        self.hear()

    def hear(self) -> None:
        """Note what became durable, and what was told of it."""
        if self.replica.state == READY:
            self.promises.length = self.replica.durable_length
        for message in self.life.said:
            if message.status == ACCEPTED:
                assert message.length <= self.promises.length, "records are told that are not durable"
                self.promises.told = max(self.promises.told, message.length)
                if isinstance(message, FenceReply):
                    assert self.replica.state == READY, "a lost copy counts in no quorum"
                    assert message.length == self.replica.length, "what was admitted is not in the length told"
                    self.promises.fence = max(self.promises.fence, message.epoch)
        self.life.said.clear()

    def start(self, boots: list[tuple[int, Fate]]) -> None:
        """Start, at last with power, and compare."""
        incarnation = self.life.ready.incarnation
        for steps, fate in boots:
            try:
                incarnation = Life(self.disk, steps).ready.incarnation
            except PowerFailed:
                self.disk.power_fails(dict.fromkeys(PATHS, fate))
        self.life = Life(self.disk)
        assert self.life.ready.incarnation > incarnation, "two lives with one number"
        self.records = self.surviving(self.life.ready.journal, at_least=self.promises.journal)
        self.promises.journal = self.flying_records = len(self.records)
        self.life.open()
        assert self.replica.fence_epoch >= self.promises.fence, "a promise is forgotten"
        if self.replica.state == READY:
            length = self.replica.length
            assert self.promises.length <= length <= len(self.blocks), "records are lost, or were never written"
            assert length == self.length_on_disk(self.disk)
            del self.blocks[length:]
        self.hear()

    def length_on_disk(self, disk: PowerDisk) -> int:
        """How many of the blocks are in the file, one after the other."""
        data, position = disk.files.get(PATH, b""), FILE_HEADER_BYTES
        for count, block in enumerate(self.blocks):
            if data[position : position + len(block)] != block:
                return count
            position += len(block)
        return len(self.blocks)

    def surviving(self, found: JournalState | None, *, at_least: int) -> list[Record]:
        """The beginning of what was logged from which the recovered state follows."""
        for count in range(len(self.records), at_least - 1, -1):
            if state_of(self.records[:count]) == told_by(found):
                return self.records[:count]
        raise AssertionError(f"no beginning of what was logged, of {at_least} records or more, leads to {found}")


TestStorage = StorageMachine.TestCase
TestStorage.settings = sized(60, 40)
