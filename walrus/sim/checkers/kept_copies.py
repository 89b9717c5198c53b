"""Nothing durable is taken back (design 4.2, 4.4, 4.8, 4.9): a copy never gets shorter, nor goes, but

- down to the count, where the segment is SEALED, or to be filled again, where it was also found damaged;
- where the segment is gone (deleted, or removed by retention);
- never below the length that its catalogue notes as durable: a lower one is noted first;
- where a replica set no longer names the member: never one older than that under which the copy was taken on, and not
  while the member is fenced in a segment that is not SEALED.
"""

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.durability import ALWAYS
from walrus.core.peer import Member
from walrus.core.segment.replica import Key
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import Copy, DurableCopies, Reader
from walrus.sim.world import Violation


class KeptCopies(Reader):
    """Reads the books of copies."""

    def __init__(self, copies: DurableCopies, segments: CommittedSegments) -> None:
        self._copies = copies
        self._segments = segments
        copies.readers.append(self)

    def shrunk(self, member: Member, key: Key, copy: Copy, before: int) -> None:
        """A copy has fewer records."""
        if copy.mark > copy.records:
            raise Violation(
                f"copies are kept: node {member[0]} cuts its copy of {key[0]}:{key[1]} from {before} to {copy.records} "
                f"records, and its catalogue says that {copy.mark} are durable"
            )
        if self._segments.is_gone(key):
            return
        segment = self._segments.segment(key)
        hurt = self._copies.was_hurt(member, key)
        if segment is not None and segment.state == SEALED:
            if copy.records >= segment.count or hurt:
                return
        elif hurt and not copy.held:
            return  # it was lost before anybody was told of it
        raise Violation(
            f"copies are kept: node {member[0]} cuts its copy of {key[0]}:{key[1]} from {before} to {copy.records} "
            f"records; committed is {segment}"
        )

    def given_up(self, member: Member, key: Key, copy: Copy) -> None:
        """A copy is dropped."""
        if self._segments.is_gone(key):
            return
        segment = self._segments.segment(key)
        if not copy.records and segment is not None and segment.durability != ALWAYS:
            return  # nothing was left of it by a loss of power, or nothing was there yet; fences are kept all the same
        why = ""
        if copy.fence and (segment is None or segment.state != SEALED):
            why = f"it is fenced at {copy.fence} and the segment not sealed"
        elif (copy.held or copy.records) and not self._segments.left_out_since(member, key, copy.version):
            why = f"it was taken on under version {copy.version}, and no set since leaves it out"
        if why:
            raise Violation(
                f"copies are kept: node {member[0]} drops its copy of {key[0]}:{key[1]} with {copy.records} records, "
                f"though {why}; committed is {segment}"
            )
