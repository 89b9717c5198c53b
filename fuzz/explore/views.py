"""What the explorer, its network and its invariants see of a machine: computed once per machine, by reading only."""

from functools import cache
from typing import Any, NamedTuple

from walrus.core.actions import Write
from walrus.core.peer import Member
from walrus.core.raft.output import Role
from walrus.core.running import Running
from walrus.core.segment.messages import READ_CLIENT, READ_OK, ReadBlocks
from walrus.core.segment.replica import READY, segment_path
from walrus.core.segment.writer import SegmentWriter
from walrus.core.storage.blocks import FILE_HEADER_BYTES, block_at, payloads_of
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH, CATALOGUE_VERSION, recover_catalogue
from walrus.core.storage.recordlog import recover

TOPIC = "logs"

Payloads = tuple[bytes, ...]


class Writing(NamedTuple):
    """A segment that a node takes itself for the writer of."""

    segment: int
    state: int
    length: int
    acked: Payloads


class Face(NamedTuple):
    """What the invariants look at."""

    member: Member
    up: bool
    incarnation: int  # of the lifetime that runs; 0: none does
    writing: tuple[Writing, ...]
    durable: tuple[tuple[int, Payloads], ...]  # (segment, records in the file), as a restart would find them
    lost: tuple[int, ...]  # segments whose file is noted in the catalogue but missing
    shown: tuple[tuple[int, int], ...]  # (segment, records that a client may read here)

    def holds(self, segment: int) -> Payloads:
        """The records of a segment on this disk."""
        return next((payloads for number, payloads in self.durable if number == segment), ())


class View(NamedTuple):
    """What decides which events there are for a machine, and which messages to it are worth delivering."""

    face: Face
    applied: int  # entries of the shared log
    writes: tuple[str, ...]  # paths with a write in flight
    leads: int  # the term in which it leads Raft as far as it knows; 0: it does not
    begun: tuple[Any, ...]  # what is under way, of all that a tick may begin
    rids: frozenset[int]  # the node's request numbers that it still knows
    asked: tuple[tuple[int, int], ...]  # (node, its request number) of what waits here for a copy to open
    segments: tuple[tuple[int, int], ...]  # (state, epoch) of the segments, by number, as far as it has applied
    recovering: tuple[tuple[int, int], ...]  # (segment, epoch) of the recoveries that it runs
    fences: tuple[tuple[int, int], ...]  # (segment, epoch) of the durable ones


def view_of(machine: Any, rids: frozenset[int]) -> View:
    """What is to be seen of a :class:`fuzz.explore.machine.Machine`."""
    files = machine.files
    durable = tuple((number, records(files[path])) for path, number in _segment_files(files))
    noted = _noted(files.get(CATALOGUE_PATH, b""))
    lost = tuple(number for number in noted if segment_path((TOPIC, number)) not in files)
    member = (machine.node_id, machine.storage)
    if machine.node is None:
        face = Face(member, False, 0, (), durable, lost, ())
        return View(face, 0, (), 0, (), frozenset(), (), (), (), ())
    running = machine.running
    raft = running.raft
    writing = running.writers._writers.items()
    writers = tuple(Writing(key[1], w.state, w.length, _acknowledged(machine, w)) for key, w in writing)
    face = Face(member, True, running.me[2], writers, durable, lost, _shown(running))
    asked = sorted((who, message.rid) for found in running.reader._waiting.values() for who, message in found)
    topic = running.metadata.topics.get(TOPIC)
    copies = running.store.replicas.items()
    return View(
        face, raft.applied_index, tuple(sorted(machine.flying)), raft.term if raft.role is Role.LEADER else 0,
        _begun(running), rids, tuple(asked),
        tuple((found.state, found.epoch) for found in topic.segments) if topic else (),
        tuple((key[1], found.epoch) for key, found in running.recoveries._running.items()),
        tuple((key[1], copy.fence_durable) for key, copy in copies),
    )  # fmt: skip


def _acknowledged(machine: Any, writer: SegmentWriter) -> Payloads:
    """The records that a writer has acknowledged: they are in its own copy, perhaps not written yet."""
    replica = machine.running.store.replicas.get(writer.key)
    if not writer.acked or replica is None:
        return ()
    path = segment_path(writer.key)
    data = machine.files.get(path, b"")
    flying = machine.flying.get(path)
    if isinstance(flying, Write):
        data = data[: flying.offset] + flying.data
    if replica.appender is not None:
        data += b"".join(replica.appender._parts)
    return records(data)[: writer.acked]


def _shown(running: Running) -> tuple[tuple[int, int], ...]:
    found = []
    for key, replica in running.store.replicas.items():
        if replica.state == READY:
            asked = ReadBlocks(0, *key, 0, READ_CLIENT, 0, 1)
            status, limit = running.reader._visible(replica, asked, 0)
            found.append((key[1], limit if status == READ_OK else 0))
    return tuple(sorted(found))


def _begun(running: Running) -> tuple[Any, ...]:
    """Set changes, recoveries, pulls and commits of cursors under way."""
    changing = [(key[1], found.changing) for key, found in running.writers._writers.items() if found.changing]
    recoveries = running.recoveries
    sealing = [(r.segment.number, r.epoch, r.members, r.tail) for r in recoveries._running.values()]
    pulls = [(key[1], pull.epoch) for key, pull in running.repairs._pulls.items()]
    return (
        tuple(changing), tuple(sorted(sealing)), tuple(sorted(recoveries._begun.items())), tuple(sorted(pulls)),
        tuple(sorted((key, change.members) for key, change in running.upkeep._changes.items())),
        bool(running.cursors._committing),
    )  # fmt: skip


@cache
def records(data: bytes) -> Payloads:
    """The records that the sound blocks at the start of a segment file hold."""
    found: list[bytes] = []
    position = FILE_HEADER_BYTES
    while (block := block_at(data, position)) is not None and block.base == len(found):
        found += payloads_of(data, block)
        position += block.size
    return tuple(found)


def _segment_files(files: dict[str, bytes]) -> list[tuple[str, int]]:
    return [(path, int(path[:-4].rpartition(":")[2])) for path in sorted(files) if path.endswith(".wal")]


@cache
def _noted(catalogue: bytes) -> tuple[int, ...]:
    """Segments of which this disk notes that it holds a copy."""
    found = recover(CATALOGUE_PATH, CATALOGUE_MAGIC, catalogue, CATALOGUE_VERSION) if catalogue else None
    state = recover_catalogue(catalogue, found.node, found.storage) if found else None
    return tuple(sorted(key[1] for key, copy in state.copies.items() if copy.held)) if state else ()
