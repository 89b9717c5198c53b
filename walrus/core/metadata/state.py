"""The metadata machine: applies committed commands, the same on every node.

``apply`` returns "" for a command that took effect, else why it was refused; what changed is drained by the
node as :class:`Change` values. Invariants: segments of a topic are numbered without a gap, and what is removed is
removed from the front; no two segments of one name, topics of that name that were deleted included, ever have the same
number; all but the last are SEALED; a SEALED count never changes; an epoch never falls; ``bases[i]`` is the sum of the
counts before, those of removed segments included.
"""

from bisect import bisect_right

import msgspec

from walrus.core.metadata.commands import (
    ACTIVE,
    OPEN,
    SEALED,
    SEALING,
    STATE_NAMES,
    AnyCommand,
    BeginSealing,
    ChangeSet,
    CommitCursors,
    ConfigureTopic,
    CreateTopic,
    RegisterNode,
    RemoveTopic,
    Seal,
    SetNodeState,
    TrimTopic,
    Writer,
)
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.overrides import UnsafeRecovery
from walrus.core.metadata.settings import DEFAULTS, TopicSettings
from walrus.core.peer import Member


class NodeInfo(msgspec.Struct, frozen=True):
    """A node as it last announced itself, and what the operator wants of it (ACTIVE, DRAINING, ...)."""

    node: int
    storage: int
    incarnation: int
    address: str
    client_address: str
    state: int = ACTIVE

    @property
    def member(self) -> Member:
        return (self.node, self.storage)

    @property
    def writer(self) -> Writer:
        return (self.node, self.storage, self.incarnation)


class Segment(msgspec.Struct):
    """One segment. ``count`` is set once SEALED; ``base`` is the absolute offset of its first record."""

    number: int
    writer: Writer
    members: tuple[Member, ...]
    base: int
    version: int = 1
    epoch: int = 0
    state: int = OPEN
    count: int = 0
    recoverer: int = 0
    recoverer_term: int = 0
    size_bytes: int = 0
    sealed_ms: int = 0
    durability: int = ALWAYS  # see walrus.core.metadata.durability
    power_cut: bool = False  # see Seal


class Topic(msgspec.Struct):
    """A chain of segments and the shared GET cursor (absolute offset of the next record to deliver).

    ``born``, the number of its first segment ever, tells topics of one name from each other.
    """

    name: str
    segments: list[Segment]
    bases: list[int]
    cursor: int = 0
    cursor_generation: int = 1
    born: int = 1
    settings: TopicSettings = DEFAULTS
    settings_version: int = 0

    @property
    def first(self) -> Segment:
        return self.segments[0]

    @property
    def last(self) -> Segment:
        return self.segments[-1]

    def segment(self, number: int) -> Segment | None:
        place = number - self.segments[0].number
        return self.segments[place] if 0 <= place < len(self.segments) else None

    def locate(self, offset: int) -> Segment:
        """The segment that holds, or will hold, the record with this absolute offset; the first one if it is gone."""
        return self.segments[max(0, bisect_right(self.bases, offset) - 1)]

    def removable(self, wall_ms: int) -> int:
        """Number of the first segment that the settings keep at this wall clock: those before it may go."""
        settings, sealed = self.settings, self.segments[:-1]
        if settings.retains_all:
            return self.first.number
        records = sum(segment.count for segment in sealed)
        size_bytes = sum(segment.size_bytes for segment in sealed)
        for segment in sealed:
            records -= segment.count
            size_bytes -= segment.size_bytes
            aged = settings.retention_ms and segment.sealed_ms and segment.sealed_ms + settings.retention_ms <= wall_ms
            spare_bytes = settings.retention_bytes and size_bytes >= settings.retention_bytes
            if not (aged or spare_bytes or (settings.retention_records and records >= settings.retention_records)):
                return segment.number
        return self.last.number


class Change(msgspec.Struct, frozen=True):
    """What a command changed: a segment (also: a new topic's first one), or a node (topic empty).

    ``below``: the topic's segments below this number are gone; ``deleted``: with the topic that they were of.
    """

    topic: str
    segment: int
    node: int = 0
    below: int = 0
    deleted: bool = False


class Metadata:
    """The replicated state of the cluster."""

    def __init__(self) -> None:
        self.nodes: dict[int, NodeInfo] = {}
        self.topics: dict[str, Topic] = {}
        self.unsealed: dict[str, Segment] = {}  # topic -> its last segment, OPEN or SEALING
        self.deleted: dict[str, int] = {}  # name of a topic that is no more -> first number for its next one
        self.recoveries: tuple[UnsafeRecovery, ...] = ()  # come with snapshots only
        self.changes: list[Change] = []

    def apply(self, command: AnyCommand) -> str:
        """Apply a committed command; "" or the reason why it was refused."""
        if isinstance(command, CommitCursors):
            return self._commit_cursors(command)
        if isinstance(command, Seal):
            return self._seal(command)
        if isinstance(command, CreateTopic):
            return self._create_topic(command)
        if isinstance(command, BeginSealing):
            return self._begin_sealing(command)
        if isinstance(command, ChangeSet):
            return self._change_set(command)
        if isinstance(command, SetNodeState):
            return self._set_node_state(command)
        if isinstance(command, TrimTopic):
            return self._trim_topic(command)
        if isinstance(command, RemoveTopic):
            return self._remove_topic(command)
        if isinstance(command, ConfigureTopic):
            return self._configure_topic(command)
        return self._register_node(command)

    def existing(self, topic: str, number: int) -> Segment:
        """A segment that is known to be there."""
        segment = self.topics[topic].segment(number)
        assert segment is not None, f"{topic}:{number} is not there"
        return segment

    def is_gone(self, topic: str, number: int) -> bool:
        """The segment was there and is no more. Once true this stays true, whatever becomes of the name."""
        found = self.topics.get(topic)
        return number < (found.first.number if found is not None else self.deleted.get(topic, 0))

    def drain(self) -> list[Change]:
        changes, self.changes = self.changes, []
        return changes

    def _register_node(self, command: RegisterNode) -> str:
        known = self.nodes.get(command.node)
        if known is not None and known.storage == command.storage and known.incarnation > command.incarnation:
            return f"node {command.node} is already known with incarnation {known.incarnation}"
        state = known.state if known is not None and known.storage == command.storage else ACTIVE
        self.nodes[command.node] = NodeInfo(
            command.node, command.storage, command.incarnation, command.address, command.client_address, state
        )
        self.changes.append(Change("", 0, command.node))
        return ""

    def _set_node_state(self, command: SetNodeState) -> str:
        known = self.nodes.get(command.node)
        if known is None or known.storage != command.storage:
            return f"node {command.node} is not known with storage id {command.storage:016x}"
        if known.state != command.state:
            self.nodes[command.node] = msgspec.structs.replace(known, state=command.state)
            self.changes.append(Change("", 0, command.node))
        return ""

    def _create_topic(self, command: CreateTopic) -> str:
        if command.topic in self.topics:
            return f"topic {command.topic} exists"
        number = self.deleted.get(command.topic, 1)
        if command.born not in (0, number):
            return f"topic {command.topic} would begin with segment {number}, not {command.born}"
        self.deleted.pop(command.topic, None)
        segment = Segment(number, command.writer, command.members, base=0, durability=command.settings.durability)
        topic = Topic(command.topic, [segment], [0], born=number, settings=command.settings)
        self.topics[command.topic] = topic
        self.unsealed[command.topic] = segment
        self.changes.append(Change(command.topic, number))
        return ""

    def _topic_born(self, name: str, born: int) -> Topic | str:
        topic = self.topics.get(name)
        if topic is None or topic.born != born:
            return f"topic {name} that began with segment {born} is no more"
        return topic

    def _configure_topic(self, command: ConfigureTopic) -> str:
        topic = self._topic_born(command.topic, command.born)
        if isinstance(topic, str):
            return topic
        if topic.settings_version != command.version:
            return f"settings of {topic.name} have version {topic.settings_version}, not {command.version}"
        named = {name: getattr(command, name) for name in TopicSettings.__struct_fields__}
        changes = {name: value for name, value in named.items() if value is not None}
        topic.settings = msgspec.structs.replace(topic.settings, **changes)
        topic.settings_version += 1
        if topic.last.state == OPEN and topic.last.durability != topic.settings.durability:
            self.changes.append(Change(topic.name, topic.last.number))  # its writer hands over
        return ""

    def _remove_topic(self, command: RemoveTopic) -> str:
        topic = self._topic_born(command.topic, command.born)
        if isinstance(topic, str):
            return topic
        self.forget_topic(topic.name, topic.last.number + 1)
        return ""

    def forget_topic(self, name: str, next_number: int) -> None:
        """The topic is no more; its next one begins with segment ``next_number``."""
        del self.topics[name]
        del self.unsealed[name]
        self.deleted[name] = next_number
        self.changes.append(Change(name, 0, below=next_number, deleted=True))

    def _trim_topic(self, command: TrimTopic) -> str:
        topic = self.topics.get(command.topic)
        if topic is None or topic.first.number != command.first:
            return f"segment {command.topic}:{command.first} is not the first one"
        if not command.first < command.keep <= topic.removable(command.wall_ms):
            return f"the settings of {command.topic} keep its segments before {command.keep}"
        self.drop_segments(topic, command.keep)
        return ""

    def drop_segments(self, topic: Topic, keep: int) -> None:
        """Remove the segments before ``keep``; a cursor below the earliest record moves to it."""
        count = keep - topic.first.number
        del topic.segments[:count], topic.bases[:count]
        topic.cursor = max(topic.cursor, topic.first.base)
        self.changes.append(Change(topic.name, 0, below=keep))

    def _expect(self, topic: str, number: int, state: int, epoch: int) -> Segment | str:
        found = self.topics.get(topic)
        segment = found.segment(number) if found else None
        if segment is None:
            return f"no segment {topic}:{number}"
        if (segment.state, segment.epoch) != (state, epoch):
            return (
                f"segment {topic}:{number} is {STATE_NAMES[segment.state]} at epoch {segment.epoch}, "
                f"not {STATE_NAMES[state]} at {epoch}"
            )
        return segment

    def _begin_sealing(self, command: BeginSealing) -> str:
        segment = self._expect(command.topic, command.segment, command.state, command.epoch)
        if isinstance(segment, str):
            return segment
        if segment.state == SEALED:
            return f"segment {command.topic}:{command.segment} is SEALED"
        segment.state = SEALING
        segment.epoch += 1
        segment.recoverer = command.recoverer
        segment.recoverer_term = command.term
        self.changes.append(Change(command.topic, command.segment))
        return ""

    def _seal(self, command: Seal) -> str:
        segment = self._expect(command.topic, command.segment, command.state, command.epoch)
        if isinstance(segment, str):
            return segment
        if segment.state == SEALED:
            return f"segment {command.topic}:{command.segment} is SEALED"
        topic = self.topics[command.topic]
        assert segment is topic.last
        segment.state = SEALED
        segment.count = command.count
        segment.size_bytes = command.size_bytes
        segment.sealed_ms = command.sealed_ms
        segment.power_cut = command.power_cut
        if segment.members != command.members:
            segment.members = command.members
            segment.version += 1
        base = segment.base + command.count
        durability = topic.settings.durability
        following = Segment(segment.number + 1, command.next_writer, command.next_members, base, durability=durability)
        topic.segments.append(following)
        topic.bases.append(base)
        self.unsealed[command.topic] = following
        if command.cursor is not None and command.cursor[0] == topic.cursor_generation:
            topic.cursor = max(topic.cursor, command.cursor[1])
        topic.cursor = min(topic.cursor, base)
        self.changes.append(Change(command.topic, segment.number))
        self.changes.append(Change(command.topic, following.number))
        return ""

    def _change_set(self, command: ChangeSet) -> str:
        segment = self._expect(command.topic, command.segment, command.state, command.epoch)
        if isinstance(segment, str):
            return segment
        if segment.state == SEALING:
            return f"segment {command.topic}:{command.segment} is SEALING: its replica set is frozen"
        if segment.version != command.version:
            where = f"{command.topic}:{command.segment}"
            return f"replica set of {where} has version {segment.version}, not {command.version}"
        segment.members = command.members
        segment.version += 1
        self.changes.append(Change(command.topic, command.segment))
        return ""

    def _commit_cursors(self, command: CommitCursors) -> str:
        refused = ""
        for commit in command.cursors:
            topic = self.topics.get(commit.topic)
            last = topic.last if topic else None
            if topic is None or last is None or last.number != commit.segment or last.state != OPEN:
                refused = f"segment {commit.topic}:{commit.segment} is not open"
            elif last.writer != command.writer:
                refused = f"segment {commit.topic}:{commit.segment} has another writer"
            elif commit.generation != topic.cursor_generation:
                refused = f"cursor of {commit.topic} has generation {topic.cursor_generation}, not {commit.generation}"
            elif commit.offset > topic.cursor:
                topic.cursor = commit.offset
        return refused


def quorums(size: int) -> tuple[int, int]:
    """(acknowledgement quorum Q, seal quorum S) of a set of ``size`` members; Q + S > size."""
    acknowledge = size // 2 + 1
    return acknowledge, size - acknowledge + 1
