"""Node-to-node messages and their envelope.

A message on the wire is an envelope (``<BBQIQIQ``: protocol version of the sender, lowest version that may read it,
cluster id, sender node, sender storage id, recipient node, recipient storage id; zero where not yet known) followed by
one msgpack-encoded tagged struct. The length prefix around it belongs to the transport.

Versions: nodes of version n and n + 1 run side by side while a cluster is upgraded or downgraded node by node.
The envelope stays as it is for ever. A newer version may add fields at the end of a message (with a default, for those
that come from older nodes) and kinds of messages: older nodes ignore the fields and drop the messages. What an
older node must not take for what it knows says so with the second byte, and is refused.
"""

import struct
from typing import Annotated, Final, get_args

import msgspec

Member = tuple[int, int]
"""(node id, storage id): a node with the disk it had; a node that lost its disk is another member."""

TopicName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]{1,200}\Z")]
"""A topic name, checked when a message is decoded: it becomes part of a file name."""

Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""Every number in a message: ids, terms, indexes, offsets, epochs."""

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no message of ours, whatever they are."""

PROTOCOL_VERSION: Final = 1
READABLE_FROM: Final = 1  # the lowest version that may read what this one sends
OLDEST_READABLE: Final = 1  # the lowest version whose messages this one reads
_ENVELOPE: Final = struct.Struct("<BBQIQIQ")
_MEMBERS: Final = struct.Struct("<xxQIQIQ")  # the envelope without its versions
ENVELOPE_BYTES: Final = _ENVELOPE.size


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of all peer messages."""


# --- Raft (Ongaro's dissertation; message names as in its figures) ---


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One log entry. ``kind`` is one of the ENTRY_ constants."""

    index: Natural
    term: Natural
    kind: Natural
    data: bytes


ENTRY_NORMAL: Final = 0  # data: a metadata command
ENTRY_NOOP: Final = 1  # a new leader's first entry
ENTRY_CONFIG: Final = 2  # data: walrus.core.raft.membership.Membership


class RequestVote(Message, frozen=True, array_like=True, tag="rv", gc=False):
    term: Natural  # of the candidate; for a pre-vote the term it would campaign in
    last_index: Natural
    last_term: Natural
    pre: bool
    transfer: bool  # the old leader asked for this election: ignore leader stickiness


class VoteReply(Message, frozen=True, array_like=True, tag="vr", gc=False):
    term: Natural
    granted: bool
    pre: bool


class AppendEntries(Message, frozen=True, array_like=True, tag="ae", gc=False):
    term: Natural
    prev_index: Natural
    prev_term: Natural
    entries: list[Entry]
    commit: Natural


class AppendReply(Message, frozen=True, array_like=True, tag="ar", gc=False):
    term: Natural
    success: bool
    match_index: Natural  # success: last index known to match and durable; else 0
    reject_prev: Natural  # failure: the prev_index that was refused
    conflict_term: Natural  # failure: term of the entry at reject_prev, 0 if the log is shorter
    conflict_index: Natural  # failure: first index of that term, or last index + 1


class InstallSnapshot(Message, frozen=True, array_like=True, tag="is", gc=False):
    """A piece of a metadata snapshot, for a follower that lacks entries which the leader's log holds no more.

    ``index``, ``last_term`` and ``checksum`` (CRC-32 of all ``total`` bytes) name the snapshot, whoever sends it.
    Without ``data`` it only asks how far the follower is.
    """

    term: Natural
    index: Natural  # of the last entry that the snapshot includes
    last_term: Natural  # term of that entry
    checksum: Natural
    total: Natural
    offset: Natural  # where ``data`` belongs
    data: bytes


class SnapshotReply(Message, frozen=True, array_like=True, tag="ir", gc=False):
    """``received``: bytes from the start that the follower has of this snapshot, so the transfer goes on there.

    ``installed``: its log, durable, includes all that the snapshot does.
    """

    term: Natural
    index: Natural
    checksum: Natural
    received: Natural
    installed: bool


class Heartbeat(Message, frozen=True, array_like=True, tag="hb", gc=False):
    """Leader's heartbeat; also grants leases (design section 5)."""

    term: Natural
    seq: Natural  # rises with every round within the term
    commit: Natural  # min(commit index, this follower's match index): needs no log-matching check
    confirmed_seq: Natural
    """Newest seq whose reply the leader has from this node; 0: none, or no lease is to run from it."""
    live: tuple[int, ...]  # nodes whose lease the leader counts as running, ascending
    confirmed_life: Natural = 0
    """Which lifetime of this node sent that reply (its incarnation); 0: not known, the leader or the reply is older."""


class HeartbeatReply(Message, frozen=True, array_like=True, tag="hr", gc=False):
    term: Natural
    seq: Natural
    commit: Natural  # the follower's commit index: all up to it is applied before anything else is answered
    life: Natural = 0  # incarnation of the process that answers


class TimeoutNow(Message, frozen=True, array_like=True, tag="tn", gc=False):
    term: Natural


# --- Joining and metadata service ---


class JoinRequest(Message, frozen=True, array_like=True, tag="jq", gc=False):
    """``only_asks``: which cluster do you belong to, and does it know ``node``?"""

    node: Natural
    storage: Natural
    address: str
    only_asks: bool = False


class JoinReply(Message, frozen=True, array_like=True, tag="jr", gc=False):
    """``error`` empty: the cluster (id ``cluster``) has taken the request; its leader will call.

    ``cluster`` 0: none is known. ``refused``: asking again will not help. ``lists``: to who only asked, that the
    cluster has, or had, a member of that number.
    """

    cluster: Natural
    leader: Natural
    leader_address: str
    error: str
    refused: bool = False
    lists: bool = False


class Removed(Message, frozen=True, array_like=True, tag="rm", gc=False):
    """This node with this disk was removed from the cluster, as is committed: it is to stop.

    ``former``: the cluster had this id, and was made to go on without its majority; 0: nothing of the kind.
    """

    node: Natural
    storage: Natural
    former: Natural = 0


class Propose(Message, frozen=True, array_like=True, tag="pp", gc=False):
    """Ask the Raft leader to commit a metadata command (walrus.core.metadata.commands)."""

    rid: Natural
    command: bytes


class ProposeReply(Message, frozen=True, array_like=True, tag="pr", gc=False):
    """``index`` > 0: the command was applied at that index with result ``applied``/``reason``; 0: not leader."""

    rid: Natural
    index: Natural
    applied: bool
    reason: str


class ReadIndex(Message, frozen=True, array_like=True, tag="rq", gc=False):
    rid: Natural


class Ping(Message, frozen=True, array_like=True, tag="pi", gc=False):
    """Are you there? Answered with ``answer`` set."""

    answer: bool


class Farewell(Message, frozen=True, array_like=True, tag="fw", gc=False):
    """The sender stops: commit your cursors while there is a quorum. Sent back with ``answer`` when that is done."""

    rid: Natural  # one for each stop: an answer to an earlier one may come late
    answer: bool


class ReadIndexReply(Message, frozen=True, array_like=True, tag="ri", gc=False):
    """``index`` 0: not leader."""

    rid: Natural
    index: Natural


RaftMessage = (
    RequestVote
    | VoteReply
    | AppendEntries
    | AppendReply
    | InstallSnapshot
    | SnapshotReply
    | Heartbeat
    | HeartbeatReply
    | TimeoutNow
)
RAFT_MESSAGES = get_args(RaftMessage)


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """Who sent a message to whom, as members of which cluster; zero where not yet known."""

    cluster: int
    sender: int
    sender_storage: int
    recipient: int
    recipient_storage: int


def pack_envelope(envelope: Envelope) -> bytes:
    return _ENVELOPE.pack(
        PROTOCOL_VERSION,
        READABLE_FROM,
        envelope.cluster,
        envelope.sender,
        envelope.sender_storage,
        envelope.recipient,
        envelope.recipient_storage,
    )


def unpack_envelope(data: bytes) -> Envelope | None:
    """The envelope of a peer message; None where it is cut short or not for this protocol version."""
    if len(data) < ENVELOPE_BYTES or data[0] < OLDEST_READABLE or data[1] > PROTOCOL_VERSION:
        return None
    return Envelope(*_MEMBERS.unpack_from(data))
