"""A fence that was answered is kept by that member from then on, across restarts (design 4.4): it acknowledges nothing
of a lower epoch, its own writer's copy included, and its copy grows only as a recoverer of that epoch or a higher one
orders, or as far as SEALED counts.
"""

from typing import TYPE_CHECKING

from walrus.core.peer import Member
from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, AppendAck, FenceReply, Repair
from walrus.core.segment.replica import Key
from walrus.sim import probe
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import Copy, DurableCopies, Reader
from walrus.sim.checkers.opened import opened
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class Fences(Reader):
    """``told``: by segment and epoch, what each member told first when it was fenced. ``left``: what losses of
    power have left, as members told that count for nothing since.
    """

    def __init__(self, cluster: "Cluster", copies: DurableCopies, segments: CommittedSegments) -> None:
        self.told: dict[tuple[Key, int], dict[Member, int]] = {}
        self.left: dict[tuple[Key, int], dict[Member, int]] = {}
        self._cluster = cluster
        self._copies = copies
        self._segments = segments
        self._promised: dict[tuple[Member, Key], int] = {}
        self._ordered: dict[tuple[int, Key], list[tuple[int, int]]] = {}  # node -> (epoch, tail) of each repair
        copies.readers.append(self)
        cluster.network.when_sent("FenceReply", self.answered)
        cluster.network.when_sent("AppendAck", self.acknowledged)
        cluster.network.when_sent("Repair", self.ordered)

    def answered(self, sender: int, to: int, data: bytes) -> None:
        """A fence is answered."""
        decoded = opened(data)
        if not isinstance(decoded[1], FenceReply):
            return
        reply, member = decoded[1], (sender, decoded[0].sender_storage)
        key = (reply.topic, reply.segment)
        if reply.status in (ACCEPTED, UNTRUSTED):
            self._promised[member, key] = max(reply.epoch, self._promised.get((member, key), 0))
        if reply.status == UNTRUSTED and reply.power_cut:
            self.left.setdefault((key, reply.epoch), {})[member] = reply.length
        if reply.status == ACCEPTED:
            self.told.setdefault((key, reply.epoch), {}).setdefault(member, reply.length)

    def ordered(self, sender: int, to: int, data: bytes) -> None:
        """A recoverer has a copy completed."""
        decoded = opened(data)
        if isinstance(decoded[1], Repair):
            order = decoded[1]
            self._ordered.setdefault((to, (order.topic, order.segment)), []).append((order.epoch, order.tail))

    def acknowledged(self, sender: int, to: int, data: bytes) -> None:
        """A batch, or a probe, is acknowledged."""
        decoded = opened(data)
        if not isinstance(decoded[1], AppendAck) or decoded[1].status != ACCEPTED:
            return
        ack = decoded[1]
        promised = self._promised.get(((sender, decoded[0].sender_storage), (ack.topic, ack.segment)), 0)
        if ack.epoch < promised:
            raise Violation(
                f"fences: node {sender} acknowledges {ack.topic}:{ack.segment} to epoch {ack.epoch}, and has answered "
                f"a fence at {promised}"
            )

    def grown(self, member: Member, key: Key, copy: Copy, before: int) -> None:
        """A copy has more records."""
        promised = self._promised.get((member, key))
        if promised is None:
            return
        allowed = [tail for epoch, tail in self._ordered.get((member[0], key), ()) if epoch >= promised]
        allowed += [self._segments.count(key), probe.tail_in_recovery(self._cluster.host(member[0]), key)]
        if copy.records > max(allowed):
            raise Violation(
                f"fences: the copy of {key[0]}:{key[1]} on node {member[0]} grows from {before} to {copy.records} "
                f"records, and it has answered a fence at {promised}"
            )

    def noted(self, member: Member, key: Key, copy: Copy) -> None:
        """A fence on the disk of who asks for it itself counts as answered at what is there then, or more."""
        segment = self._segments.segment(key)
        if copy.fence and segment is not None and segment.epoch == copy.fence and segment.recoverer == member[0]:
            self.told.setdefault((key, copy.fence), {}).setdefault(member, copy.records)
