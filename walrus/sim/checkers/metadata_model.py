"""What the replicated state must be: the rules for each command, written down a second time.

Source: the design, sections 3, 4.1, 4.4, 4.5, 4.9, 4.10, 4.11 and what ``walrus.core.metadata.commands`` says of each
command. Nothing of the production state is used, so that a rule that is missing there is not missing here as well:

- A command that moves a segment names the segment, its state and its epoch, and is refused where they are others.
- Whoever begins to seal gets an epoch that nobody had before; from then on the replica set is frozen until SEALED.
- What is SEALED stays: its count never changes, and only its replica set moves, by a change that names its version.
- Seal opens the next segment, where this one ends. Only the last segment of a topic is not SEALED.
- Segments of one name never share a number, whichever topics of that name there were.
- The shared cursor is moved by the writer of the open segment only, within its generation, and forward; a seal moves
  it neither back nor beyond the records that there are.
"""

from operator import attrgetter
from typing import Final

import msgspec

from walrus.core.metadata.commands import (
    OPEN,
    SEALED,
    SEALING,
    AnyCommand,
    BeginSealing,
    ChangeSet,
    CommitCursors,
    ConfigureTopic,
    CreateTopic,
    CursorCommit,
    RegisterNode,
    RemoveTopic,
    Seal,
    SetNodeState,
    TrimTopic,
    Writer,
)
from walrus.core.metadata.settings import TopicSettings
from walrus.core.peer import Member

Lifetime = tuple[str, int]
"""(name of a topic, number of its first segment ever)."""


class ModelSegment(msgspec.Struct):
    """A segment as it must be. The fields have the names of those that nodes keep."""

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


class ModelTopic(msgspec.Struct):
    """A topic as it must be: ``segments`` are those that are left, in order."""

    name: str
    born: int
    segments: list[ModelSegment]
    settings: TopicSettings
    settings_version: int = 0
    cursor: int = 0
    cursor_generation: int = 1

    def find(self, number: int) -> ModelSegment | None:
        """The segment with this number, unless it is gone or still to come."""
        place = number - self.segments[0].number
        return self.segments[place] if 0 <= place < len(self.segments) else None


def may_go(topic: ModelTopic, number: int, wall_ms: int) -> bool:
    """Whether the topic's settings let a SEALED segment go at this wall clock, all before it being gone."""
    settings, sealed = topic.settings, topic.segments[:-1]
    segment = topic.find(number)
    assert segment is not None
    rest = [other for other in sealed if other.number > number]
    return (
        0 < settings.retention_ms <= (wall_ms - segment.sealed_ms if segment.sealed_ms else 0)
        or 0 < settings.retention_bytes <= sum(other.size_bytes for other in rest)
        or 0 < settings.retention_records <= sum(other.count for other in rest)
    )


OF_SEGMENT: Final = attrgetter(*ModelSegment.__struct_fields__)
OF_TOPIC: Final = attrgetter("born", "settings", "settings_version", "cursor", "cursor_generation")


class MetadataModel:
    """``touched``: what commands were about since it was last emptied, and the newest such command:
    (topic, number of a segment, 0 for the topic itself).
    """

    def __init__(self) -> None:
        self.nodes: dict[int, tuple[int, int, int]] = {}  # node -> storage id, incarnation, state
        self.topics: dict[str, ModelTopic] = {}
        self.next_number: dict[str, int] = {}  # name of a topic -> no segment of that name had this number yet
        self.touched: dict[tuple[str, int], AnyCommand] = {}

    def apply(self, command: AnyCommand) -> bool:
        """The next command of the log; whether it took effect. One that moves several cursors may in part."""
        if isinstance(command, CommitCursors):
            moved = [self._commit(command, commit) for commit in command.cursors]
            return all(moved)
        if isinstance(command, RegisterNode):
            return self._register(command)
        if isinstance(command, SetNodeState):
            return self._set_node_state(command)
        self.touched[command.topic, 0] = command
        if isinstance(command, CreateTopic):
            return self._create(command)
        topic = self.topics.get(command.topic)
        if topic is None:
            return False
        if isinstance(command, ConfigureTopic):
            return self._configure(topic, command)
        if isinstance(command, RemoveTopic):
            return self._remove(topic, command)
        if isinstance(command, TrimTopic):
            return self._trim(topic, command)
        return self._move(topic, command)

    # --- nodes ---

    def _register(self, command: RegisterNode) -> bool:
        storage, incarnation, state = self.nodes.get(command.node, (command.storage, 0, 0))
        same_disk = storage == command.storage
        if same_disk and incarnation > command.incarnation:
            return False
        self.nodes[command.node] = (command.storage, command.incarnation, state if same_disk else 0)
        return True

    def _set_node_state(self, command: SetNodeState) -> bool:
        storage, incarnation, _ = self.nodes.get(command.node, (-1, 0, 0))
        if storage != command.storage:
            return False
        self.nodes[command.node] = (storage, incarnation, command.state)
        return True

    # --- topics ---

    def _create(self, command: CreateTopic) -> bool:
        number = self.next_number.get(command.topic, 1)
        if command.topic in self.topics or (command.born and command.born != number):
            return False
        first = ModelSegment(number, command.writer, command.members, 0)
        self.topics[command.topic] = ModelTopic(command.topic, number, [first], command.settings)
        self._opened(command, number)
        return True

    def _opened(self, command: CreateTopic | Seal, number: int) -> None:
        self.next_number[command.topic] = number + 1
        self.touched[command.topic, number] = command

    def _configure(self, topic: ModelTopic, command: ConfigureTopic) -> bool:
        if (topic.born, topic.settings_version) != (command.born, command.version):
            return False
        for name in TopicSettings.__struct_fields__:
            value = getattr(command, name)
            if value is not None:
                topic.settings = msgspec.structs.replace(topic.settings, **{name: value})
        topic.settings_version += 1
        return True

    def _remove(self, topic: ModelTopic, command: RemoveTopic) -> bool:
        if topic.born != command.born:
            return False
        del self.topics[topic.name]
        return True

    def _trim(self, topic: ModelTopic, command: TrimTopic) -> bool:
        first, last = topic.segments[0].number, topic.segments[-1].number
        if command.first != first or not first < command.keep <= last:
            return False
        if not all(may_go(topic, number, command.wall_ms) for number in range(first, command.keep)):
            return False
        del topic.segments[: command.keep - first]
        topic.cursor = max(topic.cursor, topic.segments[0].base)
        return True

    # --- segments ---

    def _move(self, topic: ModelTopic, command: BeginSealing | Seal | ChangeSet) -> bool:
        segment = topic.find(command.segment)
        self.touched[topic.name, command.segment] = command
        if segment is None or (segment.state, segment.epoch) != (command.state, command.epoch):
            return False
        if isinstance(command, ChangeSet):
            if segment.state == SEALING or segment.version != command.version:
                return False
            segment.members, segment.version = command.members, segment.version + 1
            return True
        if segment.state == SEALED:
            return False
        if isinstance(command, BeginSealing):
            segment.state, segment.epoch = SEALING, segment.epoch + 1
            segment.recoverer, segment.recoverer_term = command.recoverer, command.term
            return True
        self._seal(topic, segment, command)
        return True

    def _seal(self, topic: ModelTopic, segment: ModelSegment, command: Seal) -> None:
        segment.state, segment.count = SEALED, command.count
        segment.size_bytes, segment.sealed_ms = command.size_bytes, command.sealed_ms
        segment.version += segment.members != command.members
        segment.members = command.members
        end, number = segment.base + command.count, self.next_number[topic.name]
        topic.segments.append(ModelSegment(number, command.next_writer, command.next_members, end))
        self._opened(command, number)
        generation, offset = command.cursor or (-1, 0)
        if generation == topic.cursor_generation:
            topic.cursor = max(topic.cursor, offset)
        topic.cursor = min(topic.cursor, end)

    # --- cursors ---

    def _commit(self, command: CommitCursors, commit: CursorCommit) -> bool:
        self.touched[commit.topic, 0] = command
        topic = self.topics.get(commit.topic)
        if topic is None or commit.generation != topic.cursor_generation:
            return False
        last = topic.segments[-1]
        if (last.number, last.state, last.writer) != (commit.segment, OPEN, command.writer):
            return False
        topic.cursor = max(topic.cursor, commit.offset)
        return True
