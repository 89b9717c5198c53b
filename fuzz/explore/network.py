"""Messages in flight, by number, and which of them are worth delivering.

A message whose delivery could never again change anything is taken out at once: the state with it and the state without
it behave alike, so half of the states need not be visited. Each rule of :func:`worthless` says why that is so.
"""

from typing import Any, Final, NamedTuple

from fuzz.explore.sharedlog import LOG
from fuzz.explore.views import View
from walrus.core.codec import decode_message, encode_message
from walrus.core.metadata.commands import SEALED
from walrus.core.peer import Envelope
from walrus.core.segment.messages import (
    Append,
    AppendAck,
    FenceReply,
    ForwardGet,
    ForwardPuts,
    GetDelivered,
    ReadBlocksReply,
)
from walrus.core.segment.writer import STOPPED

CLIENT: Final = 90
"""The node number under which the explorer's client forwards its requests."""


class Posted(NamedTuple):
    """A message: to whom, from whom, its bytes (a command if it is to the log), what they say, its request number."""

    to: int
    sender: int
    data: bytes
    says: Any  # None if it is to the log
    rid: int  # 0: none
    again: bool  # a proposal that its node sends again for as long as it knows of no outcome


class Net(NamedTuple):
    """Messages in flight: their numbers, and the greatest request number in those from or to each node."""

    messages: tuple[int, ...]
    floors: dict[int, int]


class Posts:
    """All messages and all sets of messages of an exploration. The network has no order, and keeps no two alike."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self._posted_known: dict[tuple[int, bytes], int] = {}
        self.nets: list[Net] = []
        self._nets_known: dict[tuple[int, ...], int] = {}

    def post(self, to: int, data: bytes, *, again: bool = False) -> int:
        """The number of a message."""
        key = (to, data)
        found = self._posted_known.get(key)
        if found is None:
            found = self._posted_known[key] = len(self.posted)
            says, rid, sender = None, 0, 0
            if to != LOG:
                decoded = decode_message(data)
                assert decoded is not None
                says, sender = decoded[1], decoded[0].sender
                rid = 0 if sender == CLIENT else getattr(says, "rid", 0)
            self.posted.append(Posted(to, sender, data, says, rid, again))
        return found

    def net(self, messages: tuple[int, ...]) -> int:
        """The number of a set of messages, given in ascending order."""
        found = self._nets_known.get(messages)
        if found is None:
            found = self._nets_known[messages] = len(self.nets)
            floors: dict[int, int] = {}
            for number in messages:
                post = self.posted[number]
                for node in (post.to, post.sender):
                    floors[node] = max(floors.get(node, 0), post.rid)
            self.nets.append(Net(messages, floors))
        return found


def from_client(cluster: int, node: int, message: ForwardPuts | ForwardGet | GetDelivered) -> bytes:
    """What the explorer's client says to a node."""
    return encode_message(Envelope(cluster, CLIENT, 0, node, 0), message)


def worthless(post: Posted, to: View, sender: View | None, *, restarts: bool) -> bool:
    """Delivering it to a node in state ``to`` can change nothing, now and for ever. ``restarts``: nodes may crash yet.

    - An acknowledgement concerns the writer that it was sent to: a process lifetime that has given up a segment, or a
      later one, never writes it again.
    - An answer to a fence concerns the recovery that sent it: each epoch is recovered by one leader, once.
    - An answer to a read concerns who still waits under its number. (The number may be given again afterwards, since
      nobody knows it any more.)
    - A batch for a segment that its node knows to be SEALED is refused, and the refusal goes to a writer that has
      given up. Only a node that restarts forgets for a while that the segment was sealed.
    """
    says = post.says
    if isinstance(says, AppendAck):
        return not _writes(to, says.segment)
    if isinstance(says, FenceReply):
        return (says.segment, says.epoch) not in to.recovering
    if isinstance(says, ReadBlocksReply):
        return says.rid not in to.rids
    if isinstance(says, Append):
        known = to.segments[says.segment - 1 : says.segment]
        closed = to.face.up and not restarts and bool(known) and known[0][0] == SEALED
        return closed and sender is not None and not _writes(sender, says.segment)
    return False


def _writes(view: View, segment: int) -> bool:
    return any(found.segment == segment and found.state != STOPPED for found in view.face.writing)
