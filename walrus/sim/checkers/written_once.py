"""Every record is written to one place, whatever became of its PUT, and that place is the same on every copy.

One writer makes the blocks of a segment, so two copies never differ at one offset (design 4.1, 4.2). A PUT that was
once sent to any copy is not tried again elsewhere (design 4.5): no payload ever stands at two offsets, a writer gives
no PUT back as never sent, or refuses it, whose record is on a disk, and none is written after that. Looked at when a
block becomes durable, wherever that is, counted or not. Clients send no payload twice, but for empty ones.
"""

from typing import TYPE_CHECKING, Final

from walrus.core.codec import decode_message
from walrus.core.peer import Member
from walrus.core.segment.messages import MOVED, NO_SPACE, REFUSED, ForwardPuts, PutsDone
from walrus.core.segment.replica import Key
from walrus.core.storage.blocks import BlockInfo, payloads_of
from walrus.sim import probe
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import DurableCopies, Reader
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

Place = tuple[int, int]
"""(segment number, offset in the segment)."""

_NOT_WRITTEN: Final = {MOVED: "gives back as never sent", REFUSED: "refuses", NO_SPACE: "refuses for want of room"}


class WrittenOnce(Reader):
    """Reads the books of copies, and listens to writers that answer for PUTs that other nodes forwarded to them."""

    def __init__(self, cluster: "Cluster", copies: DurableCopies, segments: CommittedSegments) -> None:
        self._cluster = cluster
        self._segments = segments
        self._forwarded: dict[tuple[int, int], tuple[str, int, bytes]] = {}  # (node, rid) -> topic, segment, payload
        self._given_back: dict[tuple[str, bytes], tuple[int, str]] = {}  # -> of which segment's writer, and how
        cluster.network.when_sent("ForwardPuts", self.forwarded)
        cluster.network.when_sent("PutsDone", self.answered)
        self._blocks: dict[tuple[Key, int], tuple[int, int]] = {}  # by offset of the first record: count, checksum
        self._places: dict[tuple[str, bytes], Place] = {}
        copies.readers.append(self)

    def block_added(self, member: Member, key: Key, data: bytes, block: BlockInfo) -> None:
        """A block is durable on one more disk."""
        found = (block.count, block.crc)
        known = self._blocks.setdefault((key, block.base), found)
        if known != found:
            raise Violation(
                f"replicas are prefixes: node {member[0]} writes another block to offset {block.base} of "
                f"{key[0]}:{key[1]} than there is on another disk"
            )
        if known is not found:
            return  # its payloads were seen when the first copy had it
        for offset, payload in enumerate(payloads_of(data, block), block.base):
            segment, how = self._given_back.get((key[0], payload), (0, ""))
            if segment == key[1] or (segment and how != _NOT_WRITTEN[MOVED]):
                raise Violation(
                    f"records are written once: node {member[0]} writes {payload[:40]!r} to {key[0]}:{key[1]} offset "
                    f"{offset}, of which the writer of segment {segment} has said that it {how}"
                )
            place = (key[1], offset)
            if payload and self._places.setdefault((key[0], payload), place) != place:
                raise Violation(
                    f"records are written once: node {member[0]} writes {payload[:40]!r} to {key[0]}:{key[1]} offset "
                    f"{offset}, and it was written to segment and offset {self._places[key[0], payload]}"
                )

    def forwarded(self, sender: int, to: int, data: bytes) -> None:
        """A node hands PUTs to a writer."""
        decoded = decode_message(data)
        if decoded is not None and isinstance(decoded[1], ForwardPuts):
            puts = decoded[1]
            for number, payload in enumerate(puts.payloads):
                if payload:
                    self._forwarded[sender, puts.rid + number] = (puts.topic, puts.segment, payload)

    def answered(self, sender: int, to: int, data: bytes) -> None:
        """A writer says what became of some.

        A later process on its node may give back what it knows nothing of, long after the writer has answered; should
        anybody believe it, the record is written twice.
        """
        decoded = decode_message(data)
        if decoded is None or not isinstance(decoded[1], PutsDone) or decoded[1].status not in _NOT_WRITTEN:
            return
        done = decoded[1]
        how = _NOT_WRITTEN[done.status]
        for rid in range(done.rid, done.rid + done.count):
            topic, segment, payload = self._forwarded.get((to, rid), ("", 0, b""))
            found = self._segments.segment((topic, segment))
            if not payload or found is None or not probe.wrote(self._cluster.host(sender), found):
                continue
            if (topic, payload) in self._places:
                raise Violation(
                    f"records are written once: node {sender} {how} {payload[:40]!r}, which was written to {topic}, "
                    f"segment and offset {self._places[topic, payload]}"
                )
            self._given_back[topic, payload] = (segment, how)
