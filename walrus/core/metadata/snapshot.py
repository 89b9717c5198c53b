"""Snapshots of the replicated state: what replaying the log up to an index gives, as bytes (dissertation, chapter 5).

The body is one msgpack array. The same log gives the same bytes on every node, so the bytes can be sent to any of them;
dictionaries are kept in their order, which the log decided. What can be reckoned (numbers and bases of all segments but
the first) is not stored, so that it cannot contradict the rest.
"""

from typing import Annotated, Final

import msgspec

from walrus.core.metadata.commands import ACTIVE, LOST, OPEN, SEALED
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.overrides import UnsafeRecovery
from walrus.core.metadata.settings import DEFAULTS, TopicSettings
from walrus.core.metadata.state import Change, Metadata, NodeInfo, Segment, Topic
from walrus.core.peer import DECODE_ERRORS, Natural, TopicName
from walrus.core.raft.membership import Membership

_Writer = tuple[Natural, Natural, Natural]
_Members = Annotated[tuple[tuple[Natural, Natural], ...], msgspec.Meta(min_length=1)]
_State = Annotated[int, msgspec.Meta(ge=0, le=SEALED)]


class SnapshotError(ValueError):
    """These bytes are no snapshot; the text says why."""


class NodeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One :class:`walrus.core.metadata.state.NodeInfo`."""

    node: Natural
    storage: Natural
    incarnation: Natural
    address: str
    client_address: str
    state: Annotated[int, msgspec.Meta(ge=ACTIVE, le=LOST)] = ACTIVE


class SegmentRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One segment; its number and base follow from the topic's first ones and the segments before it."""

    writer: _Writer
    members: _Members
    version: Natural
    epoch: Natural
    state: _State
    count: Natural
    recoverer: Natural
    recoverer_term: Natural
    size_bytes: Natural = 0
    sealed_ms: Natural = 0
    durability: Natural = ALWAYS
    power_cut: bool = False


class TopicRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One topic: all its segments, the last of them not SEALED, and its cursor.

    ``first`` and ``base``: number and absolute offset of the first segment that is left; ``born``: number of the first
    one ever.
    """

    name: TopicName
    cursor: Natural
    cursor_generation: Natural
    segments: Annotated[tuple[SegmentRow, ...], msgspec.Meta(min_length=1)]
    born: Natural = 1
    first: Natural = 1
    base: Natural = 0
    settings: TopicSettings = DEFAULTS
    settings_version: Natural = 0


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The state after the entry ``index`` (of ``term``) of the log of ``cluster``, and the members as of that entry.

    ``deleted``: topics that are no more, with the number that the first segment of the next one of that name gets.
    ``recoveries``: the oldest first.
    """

    cluster: Natural
    index: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]
    term: Natural
    membership: Membership
    nodes: tuple[NodeRow, ...]
    topics: tuple[TopicRow, ...]
    deleted: tuple[tuple[TopicName, Natural], ...] = ()
    recoveries: tuple[UnsafeRecovery, ...] = ()

    @property
    def former_clusters(self) -> tuple[int, ...]:
        """The ids that the cluster had before it was made to go on with what one node held."""
        return tuple(recovery.former for recovery in self.recoveries)


encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Snapshot)


def take(metadata: Metadata, cluster: int, index: int, term: int, membership: Membership) -> Snapshot:
    """The snapshot of a state to which all entries up to ``index``, and no others, have been applied."""
    return Snapshot(
        cluster,
        index,
        term,
        membership,
        tuple(
            NodeRow(n.node, n.storage, n.incarnation, n.address, n.client_address, n.state)
            for n in metadata.nodes.values()
        ),
        tuple(map(_topic_row, metadata.topics.values())),
        tuple(metadata.deleted.items()),
        metadata.recoveries,
    )


def _topic_row(topic: Topic) -> TopicRow:
    return TopicRow(
        topic.name,
        topic.cursor,
        topic.cursor_generation,
        tuple(map(_row, topic.segments)),
        topic.born,
        topic.first.number,
        topic.first.base,
        topic.settings,
        topic.settings_version,
    )


def _row(segment: Segment) -> SegmentRow:
    return SegmentRow(
        segment.writer,
        segment.members,
        segment.version,
        segment.epoch,
        segment.state,
        segment.count,
        segment.recoverer,
        segment.recoverer_term,
        segment.size_bytes,
        segment.sealed_ms,
        segment.durability,
        segment.power_cut,
    )


def decode(data: bytes) -> Snapshot:
    """Read a snapshot. Raises SnapshotError for any other bytes."""
    try:
        snapshot = _decoder.decode(data)
    except DECODE_ERRORS as error:
        raise SnapshotError(f"it cannot be read: {error}") from error
    members = [member.node for member in snapshot.membership.members]
    if not members or members != sorted(set(members)):
        raise SnapshotError(f"its members {members} are not in order, each once")
    if len({row.node for row in snapshot.nodes}) != len(snapshot.nodes):
        raise SnapshotError("it names a node twice")
    if len({row.name for row in snapshot.topics}) != len(snapshot.topics):
        raise SnapshotError("it names a topic twice")
    gone = [name for name, _ in snapshot.deleted]
    if len(dict.fromkeys(gone)) != len(gone) or any(row.name in gone for row in snapshot.topics):
        raise SnapshotError("it names a topic twice, as one that was deleted")
    for topic in snapshot.topics:
        if not 1 <= topic.born <= topic.first:
            raise SnapshotError(f"topic {topic.name} has segments from {topic.first} on, and began with {topic.born}")
        open_at = next((place for place, row in enumerate(topic.segments, 1) if row.state != SEALED), 0)
        if open_at != len(topic.segments):
            raise SnapshotError(f"of topic {topic.name} only the last segment may be unsealed, and must be")
    return snapshot


def restore(metadata: Metadata, snapshot: Snapshot) -> None:
    """Bring ``metadata``, which is at an earlier index of the same log, to the snapshot's state.

    In place, since the parts of a node hold on to topics and segments. What differs is among its changes, as if the
    entries in between had been applied one by one: first the topics that are no more, then of each topic what was
    removed and its segments in order, then the nodes.
    """
    metadata.recoveries = snapshot.recoveries
    for name, next_number in snapshot.deleted:
        _restore_deletion(metadata, name, next_number)
    for row in snapshot.topics:
        _restore_topic(metadata, row)
    _reorder(metadata, snapshot)
    for node in snapshot.nodes:
        info = NodeInfo(node.node, node.storage, node.incarnation, node.address, node.client_address, node.state)
        if metadata.nodes.get(info.node) != info:
            metadata.nodes[info.node] = info
            metadata.changes.append(Change("", 0, info.node))


def _restore_deletion(metadata: Metadata, name: str, next_number: int) -> None:
    if name in metadata.topics:
        metadata.forget_topic(name, next_number)
    elif metadata.deleted.get(name) != next_number:
        metadata.deleted[name] = next_number
        metadata.changes.append(Change(name, 0, below=next_number, deleted=True))


def _reorder(metadata: Metadata, snapshot: Snapshot) -> None:
    """The next snapshot of this node must be the same bytes as another's: its order is the log's, not of what came."""
    metadata.deleted = dict(snapshot.deleted)
    metadata.topics = {row.name: metadata.topics[row.name] for row in snapshot.topics}


def _restore_topic(metadata: Metadata, row: TopicRow) -> None:
    topic = metadata.topics.get(row.name)
    if topic is not None and topic.born != row.born:
        metadata.forget_topic(row.name, row.born)
        topic = None
    if topic is None:
        topic = metadata.topics[row.name] = Topic(row.name, [], [], born=row.born)
        metadata.deleted.pop(row.name, None)
        if row.first > 1:
            metadata.changes.append(Change(row.name, 0, below=row.first))
    elif topic.first.number < row.first:
        count = row.first - topic.first.number
        del topic.segments[:count], topic.bases[:count]
        metadata.changes.append(Change(row.name, 0, below=row.first))
    topic.cursor = row.cursor
    topic.cursor_generation = row.cursor_generation
    rolls = topic.settings.durability != row.settings.durability
    topic.settings = row.settings
    topic.settings_version = row.settings_version
    base = row.base
    for place, wanted in enumerate(row.segments):
        number = row.first + place
        if place >= len(topic.segments):
            topic.segments.append(Segment(number, wanted.writer, wanted.members, base))
            topic.bases.append(base)
            _update(topic.segments[-1], wanted)
            metadata.changes.append(Change(row.name, number))
        elif _row(topic.segments[place]) != wanted or (rolls and wanted.state == OPEN):
            _update(topic.segments[place], wanted)
            metadata.changes.append(Change(row.name, number))
        base += wanted.count
    metadata.unsealed[row.name] = topic.last


def _update(segment: Segment, row: SegmentRow) -> None:
    segment.members = row.members
    segment.version = row.version
    segment.epoch = row.epoch
    segment.state = row.state
    segment.count = row.count
    segment.recoverer = row.recoverer
    segment.recoverer_term = row.recoverer_term
    segment.size_bytes = row.size_bytes
    segment.sealed_ms = row.sealed_ms
    segment.durability = row.durability
    segment.power_cut = row.power_cut
