"""Every record is written to one place, whatever became of its PUT, and that place is the same on every copy.

One writer makes the blocks of a segment, so two copies never differ at one offset (design 4.1, 4.2); and a PUT that was
once sent to any copy is not tried again elsewhere (design 4.5), so no payload ever stands at two offsets. Looked at
when a block becomes durable, wherever that is, counted or not. Clients send no payload twice, but for empty ones.
"""

from walrus.core.peer import Member
from walrus.core.segment.replica import Key
from walrus.core.storage.blocks import BlockInfo, payloads_of
from walrus.sim.checkers.durable_copies import DurableCopies, Reader
from walrus.sim.world import Violation

Place = tuple[int, int]
"""(segment number, offset in the segment)."""


class WrittenOnce(Reader):
    """Reads the books of copies."""

    def __init__(self, copies: DurableCopies) -> None:
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
            place = (key[1], offset)
            if payload and self._places.setdefault((key[0], payload), place) != place:
                raise Violation(
                    f"records are written once: node {member[0]} writes {payload[:40]!r} to {key[0]}:{key[1]} offset "
                    f"{offset}, and it was written to segment and offset {self._places[key[0], payload]}"
                )
