"""Routes GETs to the owner of the topic's cursor, here or on another node, and serves FETCH."""

import msgspec

from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import MS, NodeConfig
from walrus.core.cursors import Cursors
from walrus.core.fetcher import FAILED, FOUND, Fetched, Fetcher
from walrus.core.metadata.commands import OPEN
from walrus.core.metadata.state import Metadata
from walrus.core.meters import RequestMeter
from walrus.core.outbox import Outbox
from walrus.core.requests import Pending
from walrus.core.segment.messages import DONE, EMPTY, MOVED, ForwardGet, GetDelivered, GetDone
from walrus.core.wire import error, fetched, not_leader, ok_payload

ASK_AGAIN_NS = 500 * MS
TOLD_MAX = 4096  # answers remembered, for those that come twice


class Forwarded(msgspec.Struct):
    """A GET that waits for another node, the owner of the cursor."""

    pending: Pending
    node: int
    segment: int
    sent_ns: int


class Gets:
    """``moved`` GETs wait for the metadata to change or for the next tick."""

    def __init__(
        self, out: Outbox, config: NodeConfig, metadata: Metadata, sessions: ClientSessions,
        cursors: Cursors, fetcher: Fetcher,
    ) -> None:  # fmt: skip
        self._out = out
        self._config = config
        self._metadata = metadata
        self._sessions = sessions
        self._cursors = cursors
        self._fetcher = fetcher
        self.meter = RequestMeter(config.rpc_timeout_ns, "refused")
        self._moved: list[Pending] = []
        self.homeless: list[Pending] = []  # had got no record when their topic was deleted
        self._forwarded: dict[int, Forwarded] = {}  # by rid
        self._told: dict[tuple[int, int], bool] = {}  # (rid, offset) -> whether that record was delivered
        self._fetching: dict[tuple[str, int], list[tuple[Slot, int, int]]] = {}  # -> (who, offset as asked, ticket)

    @property
    def waiting(self) -> int:
        return len(self._moved) + len(self._forwarded) + len(self._fetching)

    # --- GET ---

    def get(self, pending: Pending, now_ns: int) -> None:
        """A client of this node wants the topic's next record; the topic exists, or did when it was asked."""
        topic = self._metadata.topics.get(pending.topic)
        if topic is None:
            self.homeless.append(pending)
            return
        segment = topic.last
        if segment.state != OPEN:
            self._moved.append(pending)
        elif segment.writer[0] == self._out.node_id:
            self._cursors.get(pending, segment.number, now_ns)
        else:
            rid = self._out.rid()
            self._forwarded[rid] = Forwarded(pending, segment.writer[0], segment.number, now_ns)
            self._out.send(segment.writer[0], ForwardGet(rid, pending.topic, segment.number))

    def forwarded(self, sender: int, message: ForwardGet, now_ns: int) -> None:
        deadline = now_ns + self._config.rpc_timeout_ns
        pending = Pending(message.topic, b"", deadline, node=sender, rid=message.rid)
        self._cursors.get(pending, message.segment, now_ns)

    def flush(self, now_ns: int) -> None:
        """Hand out what the cursors here decided."""
        if not self._cursors.results:
            return
        results, self._cursors.results = self._cursors.results, []
        for pending, status, offset, payload, segment in results:
            if pending.slot is None:
                self._out.send(pending.node, GetDone(pending.rid, status, pending.topic, segment, offset, payload))
            elif status == MOVED:
                self._moved.append(pending)
            elif status == EMPTY:
                self.meter.answered((pending,), now_ns, forwarded=False)
                self._sessions.answer(pending.slot, b"EMPTY")
            else:
                self.meter.answered((pending,), now_ns, forwarded=False)
                self._cursors.delivered(pending.topic, segment, offset, delivered=pending.slot.alive)
                self._sessions.answer(pending.slot, ok_payload(payload))

    def answered(self, sender: int, message: GetDone, now_ns: int) -> None:
        """The cursor's owner answered a GET that this node forwarded."""
        found = self._forwarded.pop(message.rid, None)
        slot = found.pending.slot if found else None
        if message.status == DONE:
            told = (message.rid, message.offset)
            # An answer may come twice, and what is said of the second may arrive first: both say the same.
            delivered = slot.alive if slot is not None else self._told.get(told, False)
            self._told[told] = delivered
            if len(self._told) > TOLD_MAX:
                del self._told[next(iter(self._told))]
            self._out.send(sender, GetDelivered(message.topic, message.segment, message.offset, delivered))
        if found is None or slot is None:
            return
        if message.status == MOVED:
            self._moved.append(found.pending)
            return
        self.meter.answered((found.pending,), now_ns, forwarded=True)
        if message.status == EMPTY:
            self._sessions.answer(slot, b"EMPTY")
        else:
            self._sessions.answer(slot, ok_payload(message.payload))

    def changed(self, now_ns: int) -> None:
        """The metadata moved: try again what found no owner."""
        if self._moved:
            moved, self._moved = self._moved, []
            for pending in moved:
                self.get(pending, now_ns)

    def removed(self, topic: str, below: int, earliest: int | None) -> None:
        """The topic's segments below a number are gone, and the records before ``earliest``; None: all of them."""
        for key in [key for key in self._fetching if key[0] == topic and (earliest is None or key[1] < earliest)]:
            for slot, _, _ in self._fetching.pop(key):
                self._sessions.answer(slot, self._removed_records(topic))
        if earliest is None:
            gone = [rid for rid, f in self._forwarded.items() if f.pending.topic == topic and f.segment < below]
            self.homeless += [self._forwarded.pop(rid).pending for rid in gone]
            self.homeless += [pending for pending in self._moved if pending.topic == topic]
            self._moved = [pending for pending in self._moved if pending.topic != topic]

    def _removed_records(self, topic: str) -> bytes:
        found = self._metadata.topics.get(topic)
        rest = f"the earliest is offset 0 of segment {found.first.number}" if found else "the topic was deleted"
        return error(f"no such record of {topic} any more: {rest}")

    def tick(self, now_ns: int) -> None:
        for rid, found in [item for item in self._forwarded.items() if now_ns - item[1].sent_ns >= ASK_AGAIN_NS]:
            self._ask_again(rid, found, now_ns)
        if not self._moved:
            return
        waiting = []
        for pending in self._moved:
            if pending.deadline_ns > now_ns or pending.topic not in self._metadata.topics:
                waiting.append(pending)
            elif pending.slot is not None:
                self.meter.failed["refused"] += 1
                number = self._metadata.topics[pending.topic].last.number
                self._sessions.answer(pending.slot, not_leader(pending.topic, number))
        self._moved = waiting
        self.changed(now_ns)

    def _ask_again(self, rid: int, found: "Forwarded", now_ns: int) -> None:
        """The same number to the same owner gets the same record; a new owner hands out what the old one did not."""
        topic = found.pending.topic
        if found.pending.deadline_ns > now_ns and self._metadata.topics[topic].last.number == found.segment:
            found.sent_ns = now_ns
            self._out.send(found.node, ForwardGet(rid, topic, found.segment))
        else:
            del self._forwarded[rid]
            self._moved.append(found.pending)

    # --- FETCH ---

    def fetch(self, slot: Slot, topic: str, segment_number: int, offset: int, now_ns: int) -> None:
        """Answer with the record ``offset`` behind the start of a segment; runs on into the segments after it."""
        segment = self._metadata.topics[topic].segment(segment_number)
        if segment is None:
            found = self._metadata.topics[topic]
            first, last = found.first.number, found.last.number
            if segment_number < first:
                self._sessions.answer(slot, self._removed_records(topic))
            else:
                text = f"unknown segment {segment_number} of {topic}: it has {first} to {last}"
                self._sessions.answer(slot, error(text))
            return
        absolute = segment.base + offset
        payload = self._fetcher.lookup(topic, absolute)
        if payload is not None:
            self._sessions.answer(slot, fetched(offset + 1, payload))
            return
        self._fetching.setdefault((topic, absolute), []).append((slot, offset, self._fetcher.ticket()))
        self._fetcher.fetch(topic, absolute, now_ns)

    def fetched(self, done: Fetched) -> None:
        """A read ended; answer the FETCHes that wait for it."""
        later = []
        for slot, offset, ticket in self._fetching.pop((done.topic, done.offset), ()):
            if done.status == FOUND:
                self._sessions.answer(slot, fetched(offset + 1, done.payload))
            elif done.status == FAILED:
                number = self._metadata.topics[done.topic].locate(done.offset).number
                self._sessions.answer(slot, not_leader(done.topic, number))
            elif ticket <= done.asked:
                self._sessions.answer(slot, b"EMPTY")
            else:
                later.append((slot, offset, ticket))
        if later:
            self._fetching[done.topic, done.offset] = later
