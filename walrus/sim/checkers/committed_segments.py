"""What is committed of every segment: its replica sets by version, the set that its SEALING froze, its count.

Replays the committed entries as soon as any node knows them to be committed, which is never later than a node acts on
them.
"""

from walrus.core.metadata.commands import SEALED, SEALING, decode
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.peer import ENTRY_NORMAL, Entry, Member
from walrus.core.segment.replica import Key

Sets = list[tuple[int, tuple[Member, ...]]]
"""(version, members), ascending."""


class CommittedSegments:
    """``frozen``: the replica set at which the newest SEALING of a segment applied."""

    def __init__(self) -> None:
        self.frozen: dict[Key, tuple[Member, ...]] = {}
        self._state = Metadata()
        self._sets: dict[Key, Sets] = {}

    def committed(self, entry: Entry) -> None:
        """The next entry of the log is committed."""
        if entry.kind != ENTRY_NORMAL:
            return
        self._state.apply(decode(entry.data))
        for change in self._state.drain():
            if change.segment:
                self._changed((change.topic, change.segment))

    def _changed(self, key: Key) -> None:
        segment = self.segment(key)
        if segment is None:
            return
        sets = self._sets.setdefault(key, [])
        if not sets or sets[-1][0] != segment.version:
            sets.append((segment.version, segment.members))
        if segment.state == SEALING:
            self.frozen[key] = segment.members

    def segment(self, key: Key) -> Segment | None:
        """As it is committed; None where it is gone, or not there yet."""
        topic = self._state.topics.get(key[0])
        return topic.segment(key[1]) if topic is not None else None

    def count(self, key: Key) -> int:
        """Of a segment that is SEALED; -1 for any other."""
        segment = self.segment(key)
        return segment.count if segment is not None and segment.state == SEALED else -1

    def is_gone(self, key: Key) -> bool:
        """It was there and is no more."""
        return self._state.is_gone(*key)

    def left_out_since(self, member: Member, key: Key, version: int) -> bool:
        """Whether a replica set of this version or a later one does not name a member."""
        return any(of >= version and member not in members for of, members in self._sets.get(key, ()))
