"""The shared GET cursor of each topic, kept by the writer of its open segment.

A record counts as delivered once its reply was handed to the client; until then (a GET that another node forwarded)
it is outstanding, and handed out again if it could not be delivered. The committed cursor never passes an outstanding
record, so after a crash at most the last commit interval is delivered again, and nothing is skipped. A seal carries the
cursor along exactly.
"""

from collections import deque
from typing import Final

from sortedcontainers import SortedDict, SortedList

from walrus.core.config import MS, NodeConfig
from walrus.core.fetcher import FOUND, NOTHING, Fetched, Fetcher
from walrus.core.lease import Lease
from walrus.core.metadata.commands import CommitCursors, CursorCommit, Writer, encode
from walrus.core.metadata.state import Metadata
from walrus.core.proposals import Proposals
from walrus.core.requests import Pending
from walrus.core.segment.messages import DONE, EMPTY, MOVED

SETTLE_NS: Final = 200 * MS  # a handover waits so long for outstanding deliveries, then counts them as not delivered


class OwnedCursor:
    """Invariant: ``position`` is below or at every record not known to be delivered."""

    def __init__(self, segment: int, generation: int, offset: int) -> None:
        self.segment = segment
        self.generation = generation
        self.next = offset  # first record never handed out
        self.committed = offset
        self.outstanding = SortedDict()  # offset -> (when to hand it out again, (node, rid) of who got it)
        self.again = SortedList()  # offsets to hand out again
        self.queue: deque[Pending] = deque()
        self.handed: dict[tuple[int, int], int] = {}  # (node, rid) of a forwarded GET -> the record it got
        self.frozen_ns = -1

    def forget(self, offset: int) -> bool:
        """The record is outstanding no more; False if it was not."""
        found = self.outstanding.pop(offset, None)
        if found is not None:
            self.handed.pop(found[1], None)
        return found is not None

    @property
    def position(self) -> int:
        """What may be committed: the first record that may not have been delivered."""
        lowest = self.next
        if self.outstanding:
            lowest = min(lowest, self.outstanding.peekitem(0)[0])
        if self.again:
            lowest = min(lowest, self.again[0])
        return lowest


Positions = list[tuple[str, OwnedCursor, int]]
"""(topic, its cursor, where that was) at one moment."""

Result = tuple[Pending, int, int, bytes, int]
"""(who asked, DONE/EMPTY/MOVED, absolute offset, payload, segment of the owner)."""


class Cursors:
    """Serves GETs of the topics whose open segment this process writes. ``results`` is drained by the parent."""

    def __init__(
        self,
        config: NodeConfig,
        me: Writer,
        metadata: Metadata,
        lease: Lease,
        fetcher: Fetcher,
        proposals: Proposals,
    ) -> None:
        self._config = config
        self._me = me
        self._metadata = metadata
        self._lease = lease
        self._fetcher = fetcher
        self._proposals = proposals
        self.owned: dict[str, OwnedCursor] = {}
        self._committing = 0  # rid of the one commit in flight
        self._committing_positions: list[tuple[OwnedCursor, int]] = []
        self._next_commit_ns = 0
        self.results: list[Result] = []

    def own(self, topic: str, segment: int) -> None:
        found = self._metadata.topics[topic]
        self.owned[topic] = OwnedCursor(segment, found.cursor_generation, found.cursor)

    def disown(self, topic: str, segment: int) -> None:
        owned = self.owned.get(topic)
        if owned is not None and owned.segment == segment:
            del self.owned[topic]
            self._move_all(owned)

    def _move_all(self, owned: OwnedCursor) -> None:
        while owned.queue:
            self.results.append((owned.queue.popleft(), MOVED, 0, b"", owned.segment))

    # --- serving ---

    def get(self, pending: Pending, segment: int, now_ns: int) -> None:
        """Hand the next record to ``pending``, or say MOVED where this node does not own the cursor (any more)."""
        owned = self.owned.get(pending.topic)
        if owned is None or owned.segment != segment or owned.frozen_ns >= 0:
            self.results.append((pending, MOVED, 0, b"", segment))
            return
        if pending.slot is None and self._is_repeated(owned, pending):
            return
        pending.order = self._fetcher.ticket()
        owned.queue.append(pending)
        self._serve(pending.topic, owned, now_ns)

    def _is_repeated(self, owned: OwnedCursor, pending: Pending) -> bool:
        """A forwarded GET that came again waits already, or gets the record that it got before."""
        offset = owned.handed.get((pending.node, pending.rid))
        if offset is None:
            return any((p.node, p.rid) == (pending.node, pending.rid) for p in owned.queue)
        payload = self._fetcher.lookup(pending.topic, offset)
        if payload is None:
            owned.forget(offset)
            owned.again.add(offset)
            return False
        self.results.append((pending, DONE, offset, payload, owned.segment))
        return True

    def _serve(self, topic: str, owned: OwnedCursor, now_ns: int) -> None:
        if not owned.queue or not self._lease.valid(now_ns):
            return
        while owned.queue:
            offset = owned.again[0] if owned.again else owned.next
            payload = self._fetcher.lookup(topic, offset)
            if payload is None:
                self._fetcher.fetch(topic, offset, now_ns)
                return
            if owned.again:
                owned.again.pop(0)
            else:
                owned.next += 1
            pending = owned.queue.popleft()
            who = (pending.node, pending.rid)
            owned.outstanding[offset] = (now_ns + 2 * self._config.rpc_timeout_ns, who)
            owned.handed[who] = offset
            self.results.append((pending, DONE, offset, payload, owned.segment))

    def fetched(self, done: Fetched, now_ns: int) -> None:
        """A read ended; it may be the one a cursor waits for."""
        owned = self.owned.get(done.topic)
        if owned is None or not owned.queue:
            return
        if done.status == FOUND:
            self._serve(done.topic, owned, now_ns)
        elif done.status == NOTHING and not owned.again and done.offset == owned.next:
            while owned.queue and owned.queue[0].order <= done.asked:
                self.results.append((owned.queue.popleft(), EMPTY, 0, b"", owned.segment))

    def delivered(self, topic: str, segment: int, offset: int, *, delivered: bool) -> None:
        """The reply with this record was handed to its client, or could not be."""
        owned = self.owned.get(topic)
        if owned is None or owned.segment != segment or not owned.forget(offset):
            return
        if not delivered:
            owned.again.add(offset)

    def trimmed(self, topic: str, now_ns: int) -> None:
        """The topic may begin later than it did: go on with the earliest record that is left."""
        owned, found = self.owned.get(topic), self._metadata.topics.get(topic)
        if owned is None or found is None or found.last.number != owned.segment:
            return
        earliest = found.first.base
        for offset in [offset for offset in owned.outstanding if offset < earliest]:
            owned.forget(offset)
        while owned.again and owned.again[0] < earliest:
            owned.again.pop(0)
        owned.next = max(owned.next, earliest)
        owned.committed = max(owned.committed, earliest)
        if owned.frozen_ns < 0:
            self._serve(topic, owned, now_ns)

    # --- committing ---

    def freeze(self, topic: str, now_ns: int) -> bool:
        """Hand out nothing more; True once the position is exact (or waited long enough for)."""
        owned = self.owned[topic]
        if owned.frozen_ns < 0:
            owned.frozen_ns = now_ns
            self._move_all(owned)
        return not owned.outstanding or now_ns - owned.frozen_ns >= SETTLE_NS

    def frozen(self, topic: str) -> tuple[int, int]:
        """(generation, absolute offset) for the seal."""
        owned = self.owned[topic]
        return owned.generation, owned.position

    def tick(self, now_ns: int) -> None:
        """Hand out again what was never confirmed; serve who waited for a lease; commit every interval."""
        for topic, owned in self.owned.items():
            while owned.outstanding and owned.outstanding.peekitem(0)[1][0] <= now_ns:
                offset = owned.outstanding.peekitem(0)[0]
                owned.forget(offset)
                owned.again.add(offset)
            while owned.queue and owned.queue[0].deadline_ns <= now_ns:
                self.results.append((owned.queue.popleft(), MOVED, 0, b"", owned.segment))
            if owned.frozen_ns < 0:
                self._serve(topic, owned, now_ns)
        if now_ns >= self._next_commit_ns:
            self._next_commit_ns = now_ns + self._config.cursor_commit_interval_ns
            self.commit()

    def commit(self) -> None:
        """Propose all positions that moved; one commit in flight at a time."""
        if self._committing:
            return
        commits = []
        for topic, owned in self.owned.items():
            position = owned.position
            if position > owned.committed and owned.frozen_ns < 0:
                commits.append(CursorCommit(topic, owned.segment, owned.generation, position))
                self._committing_positions.append((owned, position))
        if commits:
            self._committing = self._proposals.submit(encode(CommitCursors(self._me, tuple(commits))))

    def committed(self, rid: int) -> bool:
        """The commit with this number was decided; False if it is not ours."""
        if rid != self._committing:
            return False
        self._committing = 0
        for owned, position in self._committing_positions:
            owned.committed = max(owned.committed, position)
        self._committing_positions.clear()
        return True

    def positions(self) -> Positions:
        """What an exact commit made now would hold."""
        return [(topic, owned, owned.position) for topic, owned in self.owned.items()]

    def are_committed(self, positions: Positions) -> bool:
        """Whether nothing of what was so far delivered is missing; the cursor of another node is its own concern."""
        return all(at <= owned.committed or self.owned.get(topic) is not owned for topic, owned, at in positions)

    @property
    def all_committed(self) -> bool:
        return not self._committing and self.are_committed(self.positions())
