"""Node-to-node messages of the data path."""

from typing import Annotated, Final

from msgspec import Meta

from walrus.core.metadata.durability import ALWAYS
from walrus.core.peer import Message, Natural, TopicName

# Answers to Append and Fence.
ACCEPTED: Final = 0  # ``length`` records are durable here
GAP: Final = 1  # ``length`` records are here; the batch starts beyond them
FENCED: Final = 2  # a higher epoch was promised (``fence_epoch``)
CLOSED: Final = 3  # the segment is SEALED
UNTRUSTED: Final = 4  # the copy was lost, is corrupt or lost its end with the power: counts in no quorum
MISMATCH: Final = 5  # other bytes are stored at that offset: must never happen
NO_ROOM: Final = 6  # the disk is full; ``length`` records are durable here

# Modes of ReadBlocks.
READ_CLIENT: Final = 0  # acknowledged or counted records only
READ_RECOVERY: Final = 1  # everything durable, from a copy fenced at ``epoch``
READ_OWN: Final = 2  # a writer's own copy, for those that lag; never asked of another node

# Answers to ReadBlocks.
READ_OK: Final = 0
READ_END: Final = 1  # open segment: nothing acknowledged at or after the offset
READ_ELSEWHERE: Final = 2  # not here, not the writer any more, or no lease: look again

# Answers to forwarded requests.
DONE: Final = 0
MOVED: Final = 1  # not admitted, nothing was sent to any replica: route it again
UNKNOWN: Final = 2  # neither yes nor no is known
EMPTY: Final = 3
REFUSED: Final = 4  # not admitted in time; routing it again could let it overtake what came after it
NO_SPACE: Final = 5  # not admitted: a full disk


class Append(Message, frozen=True, array_like=True, tag="sa", gc=False):
    """Batches for one copy: whole blocks, the first of which starts at record ``base``. Empty: a probe."""

    topic: TopicName
    segment: Natural
    epoch: Natural
    version: Natural  # of the replica set under which the copy is admitted
    base: Natural
    data: bytes
    durability: Natural = ALWAYS  # of the segment; ALWAYS at its end: sync what is here, and take no more without


class AppendAck(Message, frozen=True, array_like=True, tag="sk", gc=False):
    """Only ACCEPTED counts towards a quorum; ``length`` of a refusal is a hint where to go on."""

    topic: TopicName
    segment: Natural
    epoch: Natural
    status: Natural
    length: Natural
    fence_epoch: Natural
    version: Natural  # of the replica set under which the copy is held: an older stay does not count for a newer one
    unsynced: Natural = 0  # so many of ``length`` would not outlive a loss of power
    power_cut: bool = False  # UNTRUSTED only until it has been filled up again


class Fence(Message, frozen=True, array_like=True, tag="sf", gc=False):
    """Admit and acknowledge nothing below ``epoch`` from now on; answer with the length once that is durable."""

    topic: TopicName
    segment: Natural
    epoch: Natural


class FenceReply(Message, frozen=True, array_like=True, tag="sr", gc=False):
    topic: TopicName
    segment: Natural
    epoch: Natural  # the fence that is durable here
    status: Natural  # ACCEPTED, FENCED (a higher one holds), UNTRUSTED
    length: Natural
    size_bytes: Natural = 0  # of the file up to ``length``; 0: nothing, or from a node that does not say
    power_cut: bool = False  # UNTRUSTED because ``length`` records are left, and perhaps more were acknowledged


class Repair(Message, frozen=True, array_like=True, tag="sp", gc=False):
    """Copy the missing suffix up to record ``tail`` from node ``source``, then answer with FenceReply."""

    topic: TopicName
    segment: Natural
    epoch: Natural
    tail: Natural
    source: Natural


class Hold(Message, frozen=True, array_like=True, tag="ho", gc=False):
    """Hold all ``count`` records of a SEALED segment, as a member of set ``version`` to be, then say Holding."""

    topic: TopicName
    segment: Natural
    count: Natural
    version: Natural


class Holding(Message, frozen=True, array_like=True, tag="hg", gc=False):
    topic: TopicName
    segment: Natural
    version: Natural


class ReadBlocks(Message, frozen=True, array_like=True, tag="rb", gc=False):
    rid: Natural
    topic: TopicName
    segment: Natural
    offset: Natural
    mode: Natural
    epoch: Natural
    max_bytes: Natural


class ReadBlocksReply(Message, frozen=True, array_like=True, tag="rd", gc=False):
    """READ_OK: ``data`` holds whole blocks, the first of which contains the offset asked for."""

    rid: Natural
    status: Natural
    data: bytes


class ForwardPuts(Message, frozen=True, array_like=True, tag="fp", gc=False):
    """PUTs for the segment's writer, in order. ``rid`` names the first, the others count on from it.

    ``rid`` rises with every message of a node, so the writer can tell a repeated or overtaken one.
    """

    rid: Natural
    topic: TopicName
    segment: Natural
    payloads: list[bytes]


MAX_PUTS_DONE: Final = 1 << 20


class PutsDone(Message, frozen=True, array_like=True, tag="fd", gc=False):
    """``count`` forwarded PUTs from ``rid`` on ended with ``status`` (DONE, MOVED, UNKNOWN, REFUSED, NO_SPACE)."""

    rid: Natural
    count: Annotated[int, Meta(ge=0, le=MAX_PUTS_DONE)]
    status: Natural
    node: Natural = 0  # NO_SPACE: whose disk is full


class ForwardGet(Message, frozen=True, array_like=True, tag="fg", gc=False):
    """A GET for the owner of the topic's cursor."""

    rid: Natural
    topic: TopicName
    segment: Natural


class GetDone(Message, frozen=True, array_like=True, tag="gd", gc=False):
    """``status`` DONE (then ``payload`` of absolute ``offset``), EMPTY or MOVED."""

    rid: Natural
    status: Natural
    topic: TopicName
    segment: Natural  # whose writer owns the cursor
    offset: Natural
    payload: bytes


class GetDelivered(Message, frozen=True, array_like=True, tag="gc", gc=False):
    """The reply of this GET was handed to its client; with ``delivered`` false, it could not be."""

    topic: TopicName
    segment: Natural
    offset: Natural
    delivered: bool


SegmentMessage = (
    Append
    | AppendAck
    | Fence
    | FenceReply
    | Repair
    | Hold
    | Holding
    | ReadBlocks
    | ReadBlocksReply
    | ForwardPuts
    | PutsDone
    | ForwardGet
    | GetDone
    | GetDelivered
)
