"""Commands that Raft commits. Each names the state it expects, and is refused where that is not so."""

from typing import Annotated, Final

import msgspec

from walrus.core.metadata.settings import DEFAULTS, TopicSettings
from walrus.core.peer import Member, Natural, TopicName

Writer = tuple[int, int, int]
"""(node id, storage id, incarnation): one process lifetime on one disk; the only one to write a segment."""

OPEN: Final = 0
SEALING: Final = 1
SEALED: Final = 2
STATE_NAMES: Final = ("OPEN", "SEALING", "SEALED")

ACTIVE: Final = 0
DRAINING: Final = 1  # gets nothing new; what it has moves to others
LEAVING: Final = 2  # the same, and it is removed once it has nothing
LOST: Final = 3  # to be removed at once: its disk is gone, or given up
NODE_STATE_NAMES: Final = ("active", "draining", "leaving", "lost")


class Command(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all metadata commands."""


class RegisterNode(Command, frozen=True, array_like=True, tag="node"):
    """A process lifetime began. Expects that this (node, storage) is not known with a later incarnation."""

    node: int
    storage: int
    incarnation: int
    address: str
    client_address: str


class CreateTopic(Command, frozen=True, array_like=True, tag="topic"):
    """Expects that the topic does not exist, and that its first segment gets the number ``born`` (0: whichever).

    That is 1, or where an earlier topic of this name was deleted the one after its last: segments of one name never
    share a number, so nothing that is left of the old topic can be taken for the new one's, this command included.
    """

    topic: TopicName
    writer: Writer
    members: tuple[Member, ...]
    settings: TopicSettings = DEFAULTS
    born: Natural = 0


class BeginSealing(Command, frozen=True, array_like=True, tag="sealing"):
    """``OPEN(e)`` or ``SEALING(e)`` to ``SEALING(e + 1)``; expects ``state`` and ``epoch`` e.

    Freezes the replica set.
    """

    topic: TopicName
    segment: int
    state: int
    epoch: int
    recoverer: int  # node id of the Raft leader that will recover
    term: int  # its term


class Seal(Command, frozen=True, array_like=True, tag="seal"):
    """``OPEN(e)`` or ``SEALING(e)`` to ``SEALED(count)`` with replica set ``members``, and opens the next segment.

    Expects ``state`` and ``epoch``. ``cursor``: (generation, absolute offset) of a clean handover, or None.
    """

    topic: TopicName
    segment: int
    state: int
    epoch: int
    count: int
    members: tuple[Member, ...]
    next_writer: Writer
    next_members: tuple[Member, ...]
    cursor: tuple[int, int] | None
    size_bytes: Natural = 0  # of the segment's file up to ``count``; 0: not known, or empty
    sealed_ms: Natural = 0  # wall clock of the proposer, milliseconds since 1970; 0: not known
    power_cut: bool = False  # ``count`` is what copies had left after a loss of power: acknowledged records may be gone


class ChangeSet(Command, frozen=True, array_like=True, tag="set"):
    """Replace the replica set; expects ``state`` (OPEN or SEALED), ``epoch`` and set version; yields version + 1."""

    topic: TopicName
    segment: int
    state: int
    epoch: int
    version: int
    members: tuple[Member, ...]


class CursorCommit(msgspec.Struct, frozen=True, array_like=True):
    """One topic's shared GET cursor. Expects the generation, and ``segment`` open: its writer owns the cursor."""

    topic: TopicName
    segment: int
    generation: int
    offset: int  # absolute in the topic: the next record to deliver


class CommitCursors(Command, frozen=True, array_like=True, tag="cursors"):
    """Forward moves of several cursors, proposed by the node that owns them."""

    writer: Writer
    cursors: tuple[CursorCommit, ...]


class SetNodeState(Command, frozen=True, array_like=True, tag="nodestate"):
    """Expects that the node is known with this disk. ``state``: ACTIVE, DRAINING, LEAVING or LOST."""

    node: int
    storage: int
    state: Annotated[int, msgspec.Meta(ge=ACTIVE, le=LOST)]


class ConfigureTopic(Command, frozen=True, array_like=True, tag="config"):
    """Change those settings of a topic that are not None; yields version + 1 of its settings.

    Expects the topic whose first segment ever was ``born``, and that version of its settings.
    """

    topic: TopicName
    born: Natural
    version: Natural
    retention_ms: Natural | None = None
    retention_bytes: Natural | None = None
    retention_records: Natural | None = None
    durability: Natural | None = None


class RemoveTopic(Command, frozen=True, array_like=True, tag="remove"):
    """Delete a topic with all its segments. Expects the topic whose first segment ever was ``born``."""

    topic: TopicName
    born: Natural


class TrimTopic(Command, frozen=True, array_like=True, tag="trim"):
    """Delete the segments from ``first`` to before ``keep``, by retention.

    Expects ``first`` to be the topic's first segment, and its settings to let all of them go at ``wall_ms``, the
    proposer's wall clock: a limit that was raised meanwhile keeps them.
    """

    topic: TopicName
    first: Natural
    keep: Natural
    wall_ms: Natural


AnyCommand = (
    RegisterNode
    | CreateTopic
    | BeginSealing
    | Seal
    | ChangeSet
    | CommitCursors
    | SetNodeState
    | ConfigureTopic
    | RemoveTopic
    | TrimTopic
)

encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(AnyCommand)


def decode(data: bytes) -> AnyCommand:
    command: AnyCommand = _decoder.decode(data)
    return command
