"""What a node says of a copy is true of its disk when the words leave (design 4.2 to 4.4, 4.8).

An acknowledgement tells no more records than are durable, and the catalogue durably notes the copy, under the version
that the acknowledgement names. A fence answer tells exactly the records that are durable, and the fence is. Who says
that it holds a sealed segment durably has all its records, under that version of the set.
"""

from typing import TYPE_CHECKING

from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, AppendAck, FenceReply, Holding
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import DurableCopies
from walrus.sim.checkers.opened import opened
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class CopyAnswers:
    """Listens to the messages of three kinds."""

    def __init__(self, cluster: "Cluster", copies: DurableCopies, segments: CommittedSegments) -> None:
        self._copies = copies
        self._segments = segments
        for kind in (AppendAck, FenceReply, Holding):
            cluster.network.when_sent(kind.__name__, self.said)

    def said(self, sender: int, to: int, data: bytes) -> None:
        """A message leaves."""
        envelope, message = opened(data)
        member = (sender, envelope.sender_storage)
        if isinstance(message, AppendAck):
            if message.status == ACCEPTED:
                self._acknowledged((sender, envelope.sender_storage), message)
        elif isinstance(message, FenceReply):
            if message.status in (ACCEPTED, UNTRUSTED):
                self._fenced(member, message)
        elif isinstance(message, Holding):
            self._holds(member, message)

    def _acknowledged(self, member: tuple[int, int], ack: AppendAck) -> None:
        key = (ack.topic, ack.segment)
        copy = self._copies.copy(member, key)
        what = f"node {member[0]} acknowledges {ack.length} records of {ack.topic}:{ack.segment}"
        if copy.synced < ack.length - ack.unsynced:
            raise Violation(f"copies: {what}, {ack.unsynced} of them unsynced, and has synced {copy.synced}")
        if copy.records < ack.length:
            raise Violation(f"copies: {what}, and durably holds {copy.records}")
        if ack.length and not copy.held:
            raise Violation(f"copies: {what}, and its catalogue does not note the copy")
        if ack.length and copy.version < ack.version:
            raise Violation(
                f"copies: {what} under version {ack.version} of the set, and its catalogue notes {copy.version}"
            )

    def _fenced(self, member: tuple[int, int], reply: FenceReply) -> None:
        key = (reply.topic, reply.segment)
        copy = self._copies.copy(member, key)
        what = f"node {member[0]} says that {reply.topic}:{reply.segment} is fenced at {reply.epoch}"
        if copy.fence < reply.epoch:
            raise Violation(f"fences: {what}, and its catalogue notes {copy.fence}")
        if reply.status == ACCEPTED and copy.synced < reply.length:
            raise Violation(f"fences: {what} and holds {reply.length} records, and it has synced {copy.synced}")
        if reply.status == UNTRUSTED or copy.records == reply.length:
            return
        refilled = self._segments.count(key) >= 0  # the fence comes late: the segment is SEALED
        if copy.records > reply.length and self._copies.was_hurt(member, key) and (refilled or not copy.held):
            return  # it was lost, and before SEALED nobody had been told of it
        raise Violation(f"fences: {what} and holds {reply.length} records, and it durably holds {copy.records}")

    def _holds(self, member: tuple[int, int], message: Holding) -> None:
        key = (message.topic, message.segment)
        copy = self._copies.copy(member, key)
        count = self._segments.count(key)
        what = f"node {member[0]} says that it holds {message.topic}:{message.segment} for set {message.version}"
        if copy.synced < count:
            raise Violation(f"copies: {what}, and durably has {copy.synced} of {count} records")
        if count > 0 and not (copy.held and copy.version >= message.version):
            raise Violation(f"copies: {what}, and its catalogue notes version {copy.version}")
