"""The metadata machine: applies committed commands, the same on every node.

``apply`` returns "" for a command that took effect, else why it was refused; what changed is drained by the
node as :class:`Change` values. Invariants: segments of a topic are numbered 1, 2, ... without a gap; all but
the last are SEALED; a SEALED count never changes; an epoch never falls; ``bases[i]`` is the sum of the counts before.
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
    CreateTopic,
    RegisterNode,
    Seal,
    SetNodeState,
    Writer,
)
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


class Topic(msgspec.Struct):
    """A chain of segments and the shared GET cursor (absolute offset of the next record to deliver)."""

    name: str
    segments: list[Segment]
    bases: list[int]
    cursor: int = 0
    cursor_generation: int = 1

    @property
    def last(self) -> Segment:
        return self.segments[-1]

    def segment(self, number: int) -> Segment | None:
        return self.segments[number - 1] if 1 <= number <= len(self.segments) else None

    def locate(self, offset: int) -> Segment:
        """The segment that holds, or will hold, the record with this absolute offset."""
        return self.segments[bisect_right(self.bases, offset) - 1]


class Change(msgspec.Struct, frozen=True):
    """What a command changed: a segment (also: a new topic's first one), or a node (topic empty)."""

    topic: str
    segment: int
    node: int = 0


class Metadata:
    """The replicated state of the cluster."""

    def __init__(self) -> None:
        self.nodes: dict[int, NodeInfo] = {}
        self.topics: dict[str, Topic] = {}
        self.unsealed: dict[str, Segment] = {}  # topic -> its last segment, OPEN or SEALING
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
        return self._register_node(command)

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
        segment = Segment(1, command.writer, command.members, base=0)
        self.topics[command.topic] = Topic(command.topic, [segment], [0])
        self.unsealed[command.topic] = segment
        self.changes.append(Change(command.topic, 1))
        return ""

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
        if segment.members != command.members:
            segment.members = command.members
            segment.version += 1
        base = segment.base + command.count
        following = Segment(segment.number + 1, command.next_writer, command.next_members, base)
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
