"""A cluster that lost its majority for good goes on with what the disk of one survivor holds: an operator's override.

Works on the files of a node that does not run, and decides all that is decided: what comes of it is one new snapshot
file. With its renaming the cluster is another one, of this node alone: it has a new id, so that nothing that an old
member says is ever taken for a message of it, and the old members' disks are on its list of those removed. The node
starts from that snapshot as from one that a leader sent, and campaigns in a term that nobody has voted in.

- All entries of the survivor's log count, also those that were not committed: nobody is left to contradict them. What
  others committed and this log lacks is lost.
- Each segment's set becomes the survivor alone. The last one of a topic stays as it is, and is sealed by the ordinary
  recovery, whose quorums are one now. A count that is greater than what the survivor has becomes what it has.
- Copies of segments that the log knows nothing of (it was behind) are taken in: what the disk holds is there again.
- A damaged copy counts up to the damage; its file is to be cut there.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from walrus.core.actions import Log, Read
from walrus.core.metadata import snapshot
from walrus.core.metadata.commands import ACTIVE, LOST, SEALED, decode
from walrus.core.metadata.overrides import UnsafeRecovery
from walrus.core.metadata.state import Metadata, Segment, Topic
from walrus.core.outbox import Outbox
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.rng import Generator
from walrus.core.segment.replica import Key, segment_key, segment_path
from walrus.core.segment.scan import LOST as LOST_COPY
from walrus.core.segment.scan import SOUND, Scan, Verdict
from walrus.core.startup import Ready, Startup
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import BlockIndex, SegmentHeader, encode_header
from walrus.core.storage.catalogue import CopyState, Whole, encode_catalogue
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.storage.snapshotfile import encode_file

ReadFile = Callable[[str, int, int], bytes]
"""Path, offset, length: the bytes there, fewer at the end of the file."""

SEGMENTS_MADE_UP_MOST: Final = 10_000
"""Between what the log knows of a topic and what is on the disk. More is no cluster's doing."""


class NothingToRecover(Exception):
    """The node can go on by itself."""


class Copy(msgspec.Struct, frozen=True):
    """What this disk has of a segment: ``records`` that can be read. ``damage``: why its file must be cut, or ""."""

    records: int
    size_bytes: int  # of the file up to their end
    index: BlockIndex
    damage: str
    version: int
    fence_epoch: int


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one segment. ``count`` is what it was SEALED with, None for one that was not sealed."""

    topic: str
    segment: int
    count: int | None
    kept: int
    taken_in: bool  # the log knew nothing of it
    damage: str

    @property
    def lost(self) -> int:
        """Sealed records that are no more."""
        return max(0, (self.count or 0) - self.kept)


class Salvage(msgspec.Struct, frozen=True):
    """A file is to hold its first ``keep_bytes`` only, or where those are none, ``header``."""

    path: str
    keep_bytes: int
    header: bytes


class Survival(msgspec.Struct, frozen=True):
    """All that an unsafe recovery does. ``snapshot_file`` is to be durable first, then ``salvages`` are made, and the
    catalogue that knows of them, if there is one.
    """

    storage: int
    cluster: int
    recovery: UnsafeRecovery
    given_up: tuple[MemberInfo, ...]
    uncertain: int  # entries of the log that nothing proves to have been committed
    fates: tuple[Fate, ...]
    snapshot_file: bytes
    salvages: tuple[Salvage, ...]
    catalogue_file: bytes  # b"": it stays as it is


def survive(node: int, files: dict[str, int], read: ReadFile, rng: Generator, wall_ms: int, by: str) -> Survival:
    """What is to be done to the files of a survivor, sizes by path, so that it goes on alone. Reads every copy.

    Raises RecoveryError where the node itself would not start, NothingToRecover where it needs no others.
    """
    ready = _start(node, files, read, rng)
    start, journal = ready.log, ready.journal
    if journal is None or start is None or not journal.cluster:
        raise RecoveryError(
            f"{JOURNAL_PATH}: this directory never belonged to a cluster: there is nothing to go on with"
        )
    metadata, membership = _state_of(ready)
    me = membership.get(node)
    if me is None or me.storage != ready.storage:
        raise RecoveryError(
            f"node {node} with this directory is no member of its cluster: its log may be old or foreign"
        )
    taking = _Taking(metadata, ready, (node, ready.storage), wall_ms, _Disk(files, read, ready))
    fates = taking.fates()
    others = tuple(member for member in membership.members if member != me)
    if not others and not taking.salvages and not any(fate.lost or fate.taken_in for fate in fates):
        raise NothingToRecover(f"node {node} is the only member, and nothing of it is lost: start it")
    for info in metadata.nodes.values():
        state = ACTIVE if info.member == (node, ready.storage) else LOST
        metadata.nodes[info.node] = msgspec.structs.replace(info, state=state)
    last = start.entries[-1] if start.entries else start.base
    known = start.snapshot.snapshot if start.snapshot is not None else None
    former = known.cluster if known is not None else journal.cluster
    index = last.index + 1
    term = max(start.hard_state.term, last.term) + 1
    lost = tuple(_lost_of(topic, fates) for topic in metadata.topics if any(f.lost for f in fates if f.topic == topic))
    gone = tuple(member.node for member in others)
    recovery = UnsafeRecovery(former, node, index, term, wall_ms, by, gone, lost)
    metadata.recoveries = (*metadata.recoveries, recovery)
    alone = Membership(
        (msgspec.structs.replace(me, voter=True),),
        (*membership.removed, *((member.node, member.storage) for member in others)),
    )
    cluster = rng.getrandbits(63) | 1
    body = snapshot.encode(snapshot.take(metadata, cluster, index, term, alone))
    snapshot.decode(body)  # a start refuses what this refuses
    catalogue = taking.disk.catalogue(taking.cut) if taking.salvages else b""
    uncertain = last.index - (known.index if known is not None else 0)
    return Survival(
        ready.storage, cluster, recovery, others, uncertain, tuple(fates), encode_file(node, ready.storage, body),
        tuple(taking.salvages), catalogue,
    )  # fmt: skip


def _lost_of(topic: str, fates: list[Fate]) -> tuple[str, int, int]:
    losses = [fate.lost for fate in fates if fate.topic == topic and fate.lost]
    return topic, len(losses), sum(losses)


def _start(node: int, files: dict[str, int], read: ReadFile, rng: Generator) -> Ready:
    """What the node would start from: its own start-up runs on what is there, and what it wants to write is dropped."""
    out = Outbox(node)
    startup = Startup(out, Tokens(), rng, files)
    while startup.ready is None:
        for action in out.drain():
            if isinstance(action, Read):
                startup.read_completed(action.token, read(action.path, action.offset, action.length))
            elif not isinstance(action, Log):
                startup.write_completed(action.token)  # type: ignore[attr-defined]
    return startup.ready


def _state_of(ready: Ready) -> tuple[Metadata, Membership]:
    """The metadata and the members after the last entry of the log."""
    start = ready.log
    assert start is not None
    metadata, membership, applied = Metadata(), Membership(), 0
    if start.snapshot is not None:
        content = start.snapshot.snapshot
        snapshot.restore(metadata, content)
        membership, applied = content.membership, content.index
    for entry in start.entries:
        if entry.index > applied and entry.kind == ENTRY_CONFIG:
            membership = Membership.decode(entry.data)
        elif entry.index > applied and entry.kind == ENTRY_NORMAL:
            metadata.apply(decode(entry.data))
    return metadata, membership


class _Disk:
    """The copies on the survivor's disk."""

    def __init__(self, files: dict[str, int], read: ReadFile, ready: Ready) -> None:
        self._files = files
        self._read = read
        self._noted = dict(ready.copies.copies) if ready.copies is not None else {}
        assert ready.journal is not None
        self._owner = (ready.journal.node, ready.storage, ready.journal.cluster)

    def segments(self) -> list[Key]:
        """Those with a copy, or a trace of one: a fence outlives it, and would shut out a later one of that number."""
        held = [key for key, copy in self._noted.items() if copy.held or copy.fence_epoch]
        return sorted({*held, *(key for key in map(segment_key, self._files) if key is not None)})

    def header(self, key: Key) -> SegmentHeader:
        return SegmentHeader(*self._owner, *key)

    def catalogue(self, cut: dict[Key, int]) -> bytes:
        """The catalogue anew: of the copies that are cut only so many records are promised."""
        for key, length in cut.items():
            noted = self._noted.setdefault(key, CopyState())
            noted.held, noted.length, noted.complete = True, length, False
        node, storage, _ = self._owner
        whole = [
            Whole(*key, copy.held, copy.version, copy.fence_epoch, copy.length, copy.complete)
            for key, copy in self._noted.items()
        ]
        return encode_catalogue(node, storage, whole)

    def copy(self, key: Key) -> Copy:
        """Read a copy."""
        noted = self._noted.get(key, CopyState())
        verdict = self._verdict(key, noted)
        index = verdict.index
        damage = verdict.reason if verdict.state == LOST_COPY else ""
        return Copy(index.length, index.end_position, index, damage, noted.version, noted.fence_epoch)

    def _verdict(self, key: Key, noted: CopyState) -> Verdict:
        path = segment_path(key)
        if path not in self._files:
            return Verdict(LOST_COPY, BlockIndex(), "missing") if noted.held else Verdict(SOUND, BlockIndex(), "")
        scan = Scan(self._files[path], self.header(key), held=noted.held, marked=noted.length)
        verdict = None
        while verdict is None:
            verdict = scan.feed(self._read(path, *scan.next_read()))
        return verdict


class _Taking:
    """Brings the metadata in line with what the disk has, topic by topic."""

    def __init__(self, metadata: Metadata, ready: Ready, me: tuple[int, int], wall_ms: int, disk: _Disk) -> None:
        self._metadata = metadata
        self._me = me
        self._writer = (*me, ready.incarnation - 1)  # of the last process lifetime: the next one finds it gone
        self._wall_ms = wall_ms
        self.disk = disk
        self.cut: dict[Key, int] = {}  # copy that is cut -> records that are left
        self.salvages: list[Salvage] = []

    def fates(self) -> list[Fate]:
        on_disk: dict[str, list[int]] = {}
        for topic, number in self.disk.segments():
            if not self._metadata.is_gone(topic, number):
                on_disk.setdefault(topic, []).append(number)
        found: list[Fate] = []
        for name in [*self._metadata.topics, *(name for name in on_disk if name not in self._metadata.topics)]:
            found += self._topic(name, on_disk.get(name, []))
        return found

    def _topic(self, name: str, on_disk: list[int]) -> list[Fate]:
        topic = self._metadata.topics.get(name)
        unknown = [number for number in on_disk if topic is None or number > topic.last.number]
        copies = {number: self.disk.copy((name, number)) for number in unknown}
        if topic is None and not any(copy.records for copy in copies.values()):
            if copies:  # the next topic of this name begins behind them
                self._metadata.deleted[name] = max(copies) + 1
            return []
        if topic is None:
            born = self._metadata.deleted.pop(name, 1)
            topic = self._metadata.topics[name] = Topic(name, [], [], born=born)
        at = topic.locate(topic.cursor) if topic.segments else None
        within = topic.cursor - at.base if at is not None else 0
        known = len(topic.segments)
        self._take_in(topic, copies)
        fates = []
        for place, segment in enumerate(topic.segments):
            copy = copies.get(segment.number) or self.disk.copy((name, segment.number))
            fates.append(self._keep(name, segment, copy, is_last=segment is topic.last, taken_in=place >= known))
        self._reckon_bases(topic)
        if at is not None:
            kept = next(fate.kept for fate in fates if fate.segment == at.number)
            cursor = at.base + min(within, kept)
            topic.cursor_generation += cursor != topic.cursor
            topic.cursor = cursor
        self._metadata.unsealed[name] = topic.last
        return fates

    def _take_in(self, topic: Topic, copies: dict[int, Copy]) -> None:
        """Segments that the log does not know, up to the last one with a copy here."""
        if not copies:
            return
        first = topic.last.number + 1 if topic.segments else min(copies)
        if max(copies) - first >= SEGMENTS_MADE_UP_MOST:
            raise RecoveryError(
                f"{segment_path((topic.name, max(copies)))}: the log knows of segments below {first} only, so there "
                "would be too many of which nothing is known; move this file away if it is none of this node's"
            )
        for number in range(first, max(copies) + 1):
            topic.segments.append(Segment(number, self._writer, (self._me,), 0))

    def _keep(self, topic: str, segment: Segment, copy: Copy, *, is_last: bool, taken_in: bool) -> Fate:
        count = segment.count if segment.state == SEALED else None
        kept = copy.records if count is None else min(count, copy.records)
        if copy.damage:
            copy.index.truncate(kept)
            header = encode_header(self.disk.header((topic, segment.number)))
            keep_bytes = copy.index.end_position if kept else 0
            self.cut[topic, segment.number] = kept
            self.salvages.append(Salvage(segment_path((topic, segment.number)), keep_bytes, header))
        if segment.members != (self._me,):
            segment.version += 1
        segment.members = (self._me,)
        segment.version = max(segment.version, copy.version)
        segment.epoch = max(segment.epoch, copy.fence_epoch)
        if not is_last and (count is None or kept < count):
            segment.sealed_ms = segment.sealed_ms or self._wall_ms
            segment.state, segment.count = SEALED, kept
            segment.size_bytes = copy.size_bytes if kept else 0
        return Fate(topic, segment.number, count, kept, taken_in, copy.damage)

    def _reckon_bases(self, topic: Topic) -> None:
        base = topic.segments[0].base
        for segment in topic.segments:
            segment.base = base
            base += segment.count
        topic.bases = [segment.base for segment in topic.segments]
