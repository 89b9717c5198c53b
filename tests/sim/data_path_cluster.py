"""A cluster as far as the checkers of the data path know one: disks that tell what changes, messages, commands."""

from collections.abc import Callable
from types import SimpleNamespace

from walrus.core.actions import Change, Write
from walrus.core.codec import encode_message
from walrus.core.metadata.commands import (
    OPEN,
    SEALING,
    BeginSealing,
    ChangeSet,
    CreateTopic,
    Seal,
    encode,
)
from walrus.core.peer import ENTRY_NORMAL, Entry, Envelope, Message
from walrus.core.raft.output import Role
from walrus.core.segment.messages import (
    ACCEPTED,
    AppendAck,
    FenceReply,
)
from walrus.core.segment.writer import WRITING
from walrus.core.storage import blocks
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH, Fenced, Held
from walrus.core.storage.catalogue import encode_record as note
from walrus.core.storage.recordlog import encode_header, encode_record
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.data_path import DataPath

PATH = "user_data/t:1.wal"
HEADER = bytes(blocks.FILE_HEADER_BYTES)
ONE, TWO, THREE, FOUR = ((node, node * 10) for node in (1, 2, 3, 4))
KEY = ("t", 1)


def block(base: int, mark: str = "") -> bytes:
    """Of one record."""
    return blocks.encode_block(base, 0, 0, 0, [f"{mark}{base}".encode()])


def end_of(records: int) -> int:
    """Of the file of a copy with so many records."""
    return blocks.FILE_HEADER_BYTES + records * len(block(0))


class FakeNode:
    """A process as far as the checkers look into it: one leads Raft with ``log``, or writes segments."""

    def __init__(self) -> None:
        self.metadata = SimpleNamespace()
        self.log: list[Entry] = []
        self.raft = SimpleNamespace(role=Role.FOLLOWER, term=1, log=self)
        self.snapshot_index = 0
        self.running = SimpleNamespace(
            writers=SimpleNamespace(_writers={}, get=lambda key: self.running.writers._writers.get(key)),
            recoveries=SimpleNamespace(_running={}),
            puts=SimpleNamespace(_routes={}, _forwarded={}),
        )

    @property
    def last_index(self) -> int:
        return len(self.log)

    def term(self, index: int) -> int:
        return self.log[index - 1].term if index else 0

    def entry(self, index: int) -> Entry:
        return self.log[index - 1]


class FakeCluster:
    """Four nodes with disks and a network that only tells the checkers; topic t:1 on the first three, written by 1."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Callable[[int, int, bytes], None]]] = {}
        self.arrivals: dict[str, list[Callable[[int, int, bytes], None]]] = {}
        self.network = SimpleNamespace(
            when_sent=lambda kind, listener: self.listeners.setdefault(kind, []).append(listener),
            when_received=lambda kind, listener: self.arrivals.setdefault(kind, []).append(listener),
        )
        self.hosts = [self._host(node) for node in (1, 2, 3, 4)]
        self.segments = CommittedSegments()
        self.path = DataPath(self, self.segments)
        self._index = 0
        self.commit(CreateTopic("t", (1, 10, 1), (ONE, TWO, THREE)))
        for host in self.hosts:
            host.node.metadata = self.segments._state
            self._ends = dict.fromkeys((1, 2, 3, 4), 0)
            self.change(
                host.node_id,
                Write(CATALOGUE_PATH, 0, encode_header(CATALOGUE_MAGIC, host.node_id, host.node_id * 10), 1),
            )

    def _host(self, node: int) -> SimpleNamespace:
        host = SimpleNamespace(node_id=node, life=1, node=FakeNode(), changed=[], power_cut=[])
        host.disk = SimpleNamespace(
            damage=SimpleNamespace(hurt={}), when_changed=host.changed.append, when_cut=host.power_cut.append
        )
        return host

    def host(self, node: int) -> SimpleNamespace:
        return self.hosts[node - 1]

    def commit(self, command: object) -> None:
        self._index += 1
        self.segments.committed(Entry(self._index, 1, ENTRY_NORMAL, encode(command)))

    def change(self, node: int, change: Change) -> None:
        for listener in self.host(node).changed:
            listener(change)

    def note(self, node: int, *records: object) -> None:
        self.change(node, Write(CATALOGUE_PATH, 64, b"".join(encode_record(note(record), 0) for record in records), 1))

    def hold(self, node: int, records: int, *, noted: bool = True) -> None:
        """The copy of a node has so many blocks, of one record each."""
        self.change(node, Write(PATH, 0, HEADER + b"".join(map(block, range(records))), 1))
        if noted:
            self.note(node, Held(*KEY, 1))

    def send(self, node: int, message: Message, to: int = 1) -> None:
        data = encode_message(Envelope(1, node, node * 10, to, to * 10), message)
        for listener in self.listeners[type(message).__name__]:
            listener(node, to, data)

    def arrive(self, node: int, message: Message, to: int = 1) -> None:
        """A message of another node arrives, which it sent before."""
        data = encode_message(Envelope(1, node, node * 10, to, to * 10), message)
        for listener in self.arrivals[type(message).__name__]:
            listener(node, to, data)

    def write(self, node: int, acked: int, length: int = 0, state: int = WRITING) -> SimpleNamespace:
        """A node is the writer of t:1, and has acknowledged so much."""
        writer = SimpleNamespace(acked=acked, length=length or acked, state=state, unsent=[], in_flight=[], targets={})
        self.host(node).node.running.writers._writers[KEY] = writer
        self.path.after_turn(self.host(node))
        return writer

    def seal_at(self, epoch: int = 1) -> None:
        """Node 2 recovers."""
        self.commit(BeginSealing(*KEY, OPEN if epoch == 1 else SEALING, epoch - 1, 2, 1))

    def fenced(self, node: int, length: int, epoch: int = 1) -> None:
        self.note(node, Fenced(*KEY, epoch))
        self.send(node, FenceReply(*KEY, epoch, ACCEPTED, length), 2)


def ack(length: int, epoch: int = 0, version: int = 1) -> AppendAck:
    return AppendAck(*KEY, epoch, ACCEPTED, length, 0, version)


def sealed(count: int, members: tuple = (ONE, TWO, THREE), state: int = SEALING, epoch: int = 1) -> Seal:
    return Seal(*KEY, state, epoch, count, members, (2, 20, 1), (ONE, TWO, THREE), None)


def changed_to(*members: tuple[int, int], state: int = OPEN, version: int = 1) -> ChangeSet:
    return ChangeSet(*KEY, state, 0, version, members)
