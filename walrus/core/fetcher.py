"""Reads records by absolute offset from whichever copy may serve them, for GET and FETCH alike.

An open segment is read from its writer (which vouches for the end while its lease holds), a sealed one from any
member of its replica set, this node first. What was once shown as acknowledged stays so: windows may be kept.

An answer is a window of records, so of many reads that are asked for at once only the first goes out: the others
wait whether their record comes with it.
"""

from collections import OrderedDict
from typing import Final

import msgspec
from sortedcontainers import SortedList

from walrus.core.config import MS, NodeConfig
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import OPEN, SEALED
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.outbox import Outbox
from walrus.core.segment.messages import READ_CLIENT, READ_END, READ_OK, ReadBlocks, ReadBlocksReply
from walrus.core.storage.blocks import payloads_of, split_blocks

WINDOW_BYTES: Final = 256 << 10
WINDOWS_PER_TOPIC: Final = 4
CACHE_BYTES: Final = 64 << 20
ASK_AGAIN_NS: Final = 500 * MS
REACH: Final = 4096  # records that an answer is expected to bring, before there was one

FOUND: Final = 0
NOTHING: Final = 1  # the end of the topic, on the authority of its writer
FAILED: Final = 2


class Fetch(msgspec.Struct):
    """One read. ``rid`` is 0 while it is not under way. ``asked``: the newest ticket when it was asked."""

    topic: str
    offset: int
    deadline_ns: int
    attempt: int = 0
    rid: int = 0
    asked_ns: int = 0
    base: int = 0  # absolute offset of the segment that was asked
    asked: int = 0
    newest: int = 0  # ticket of who came last


class Fetched(msgspec.Struct, frozen=True):
    topic: str
    offset: int
    status: int  # FOUND, NOTHING, FAILED
    payload: bytes = b""
    asked: int = 0  # NOTHING is the truth for tickets up to this one: later ones came after the question


class Windows:
    """Decoded records, a few runs per topic, bounded in bytes."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, list[tuple[int, list[bytes], int]]] = OrderedDict()
        self._bytes = 0

    def lookup(self, topic: str, offset: int) -> bytes | None:
        for base, payloads, _ in self._runs.get(topic, ()):
            if base <= offset < base + len(payloads):
                return payloads[offset - base]
        return None

    def add(self, topic: str, base: int, payloads: list[bytes], size_bytes: int) -> None:
        runs = self._runs.setdefault(topic, [])
        self._runs.move_to_end(topic)
        runs.insert(0, (base, payloads, size_bytes))
        self._bytes += size_bytes
        while len(runs) > WINDOWS_PER_TOPIC:
            self._bytes -= runs.pop()[2]
        while self._bytes > CACHE_BYTES and len(self._runs) > 1:
            _, evicted = self._runs.popitem(last=False)
            self._bytes -= sum(size for _, _, size in evicted)

    def drop(self, topic: str) -> None:
        self._bytes -= sum(size for _, _, size in self._runs.pop(topic, ()))


class Reads:
    """Offsets of one topic: of reads ``asked`` and under way, and of those ``waiting``, for whatever reason."""

    def __init__(self) -> None:
        self.asked: SortedList = SortedList()
        self.waiting: SortedList = SortedList()
        self.reach = REACH  # records that the next answer is expected to bring

    def nearest(self, offset: int) -> int | None:
        """The read under way that begins last before ``offset``, if that is within its reach."""
        at = self.asked.bisect_left(offset) - 1
        return self.asked[at] if at >= 0 and offset - self.asked[at] < self.reach else None


class Fetcher:
    """``fetch`` starts a read (once per offset), ``drain`` names those that ended."""

    def __init__(self, out: Outbox, config: NodeConfig, metadata: Metadata, liveness: Liveness) -> None:
        self._out = out
        self._timeout_ns = config.rpc_timeout_ns
        self._metadata = metadata
        self._liveness = liveness
        self._fetches: dict[tuple[str, int], Fetch] = {}
        self._by_rid: dict[int, Fetch] = {}
        self._topics: dict[str, Reads] = {}
        self._windows = Windows()
        self._last_ticket = 0
        self.done: list[Fetched] = []

    def lookup(self, topic: str, offset: int) -> bytes | None:
        """The record, if it was read lately."""
        return self._windows.lookup(topic, offset)

    @property
    def waiting(self) -> int:
        return len(self._fetches)

    def ticket(self) -> int:
        """The moment at which somebody came to read; see :class:`Fetched`."""
        self._last_ticket += 1
        return self._last_ticket

    def fetch(self, topic: str, offset: int, now_ns: int) -> None:
        """Read the record at ``offset``, for all tickets taken so far."""
        key = (topic, offset)
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = self._fetches[key] = Fetch(topic, offset, now_ns + self._timeout_ns)
            self._topics.setdefault(topic, Reads()).waiting.add(offset)
            self._ask_unless_covered(fetch, now_ns)
        fetch.newest = self._last_ticket
        fetch.deadline_ns = now_ns + self._timeout_ns

    def removed(self, topic: str, earliest: int | None) -> None:
        """Of the topic nothing is left before ``earliest``; None: nothing at all, and its offsets may come again."""
        for fetch in [fetch for fetch in self._fetches.values() if fetch.topic == topic]:
            if earliest is None or fetch.offset < earliest:
                self._end(fetch)
        self.done = [
            done for done in self.done if done.topic != topic or (earliest is not None and done.offset >= earliest)
        ]
        if earliest is None:
            self._topics.pop(topic, None)
            self._windows.drop(topic)

    def drain(self) -> list[Fetched]:
        done, self.done = self.done, []
        return done

    def tick(self, now_ns: int) -> None:
        """Ask again, elsewhere where there is an elsewhere; give up at the deadline."""
        for fetch in list(self._fetches.values()):
            if now_ns >= fetch.deadline_ns:
                self._finish(fetch, FAILED)
            elif not fetch.rid:
                self._ask_unless_covered(fetch, now_ns)
            elif now_ns - fetch.asked_ns >= ASK_AGAIN_NS:
                self._ask(fetch, now_ns)

    def _ask_unless_covered(self, fetch: Fetch, now_ns: int) -> None:
        """Ask, but not while another answer is to come from that segment that may well hold this record too."""
        before = self._topics[fetch.topic].nearest(fetch.offset)
        topic = self._metadata.topics.get(fetch.topic)
        if before is not None and topic is not None:
            base = topic.locate(fetch.offset).base
            if base == self._fetches[fetch.topic, before].base:
                return
        self._ask(fetch, now_ns)

    def _ask(self, fetch: Fetch, now_ns: int) -> None:
        self._withdraw(fetch)
        topic = self._metadata.topics.get(fetch.topic)
        if topic is None:
            return
        segment = topic.locate(fetch.offset)
        candidates = self._candidates(segment)
        if not candidates:
            return
        node = candidates[fetch.attempt % len(candidates)]
        fetch.attempt += 1
        fetch.rid = self._out.rid()
        fetch.asked_ns = now_ns
        fetch.asked = self._last_ticket
        fetch.base = segment.base
        self._by_rid[fetch.rid] = fetch
        reads = self._topics[fetch.topic]
        reads.waiting.remove(fetch.offset)
        reads.asked.add(fetch.offset)
        request = ReadBlocks(
            fetch.rid, fetch.topic, segment.number, fetch.offset - segment.base, READ_CLIENT, 0, WINDOW_BYTES
        )
        self._out.send(node, request)

    def _candidates(self, segment: Segment) -> list[int]:
        if segment.state == OPEN:
            return [segment.writer[0]]
        if segment.state != SEALED:
            return []
        members = [m[0] for m in segment.members]
        me, live = self._out.node_id, self._liveness.live
        return sorted(members, key=lambda n: (n != me, n not in live, n))

    def answered(self, message: ReadBlocksReply, now_ns: int) -> bool:
        """Take an answer; False if it is not to a read of ours."""
        fetch = self._by_rid.get(message.rid)
        if fetch is None:
            return False
        self._withdraw(fetch)
        if message.status == READ_END:
            self._nothing(fetch, now_ns)
        elif message.status == READ_OK and self._keep(fetch, message.data):
            self._finish(fetch, FOUND)
            self._go_on(fetch.topic, now_ns)
        else:
            topic = self._metadata.topics[fetch.topic]
            if fetch.attempt < len(self._candidates(topic.locate(fetch.offset))):
                self._ask(fetch, now_ns)
        return True

    def _keep(self, fetch: Fetch, data: bytes) -> bool:
        blocks = split_blocks(data)
        if not blocks:
            self._out.log("error", f"a copy of {fetch.topic} sent corrupt data for record {fetch.offset}; asking again")
            return False
        payloads: list[bytes] = []
        for block in blocks:
            payloads.extend(payloads_of(data, block))
        base = fetch.base + blocks[0].base
        if not base <= fetch.offset < base + len(payloads):
            return False
        self._windows.add(fetch.topic, base, payloads, len(data))
        self._topics[fetch.topic].reach = max(
            base + len(payloads) - fetch.offset, WINDOW_BYTES * len(payloads) // len(data), 1
        )
        return True

    def _nothing(self, ended: Fetch, now_ns: int) -> None:
        """The end of the topic as of the question, for all that lies behind it too; who came later gets another one."""
        for offset in list(self._topics[ended.topic].waiting):
            fetch = self._fetches[ended.topic, offset]
            if offset < ended.offset:
                continue
            fetch.asked = ended.asked
            if fetch.newest <= ended.asked:
                self._finish(fetch, NOTHING)
            else:
                self.done.append(Fetched(fetch.topic, offset, NOTHING, asked=fetch.asked))
        self._go_on(ended.topic, now_ns)

    def _go_on(self, topic: str, now_ns: int) -> None:
        """An answer came: those who waited have got their record, or the first of them asks."""
        for offset in list(self._topics[topic].waiting):
            fetch = self._fetches[topic, offset]
            if self._windows.lookup(topic, offset) is not None:
                self._finish(fetch, FOUND)
            else:
                self._ask_unless_covered(fetch, now_ns)

    def _withdraw(self, fetch: Fetch) -> None:
        """It is not under way any more, if it was."""
        if fetch.rid:
            del self._by_rid[fetch.rid]
            fetch.rid = 0
            reads = self._topics[fetch.topic]
            reads.asked.remove(fetch.offset)
            reads.waiting.add(fetch.offset)

    def _end(self, fetch: Fetch) -> None:
        self._withdraw(fetch)
        self._topics[fetch.topic].waiting.remove(fetch.offset)
        del self._fetches[fetch.topic, fetch.offset]

    def _finish(self, fetch: Fetch, status: int) -> None:
        self._end(fetch)
        payload = self._windows.lookup(fetch.topic, fetch.offset) if status == FOUND else b""
        assert payload is not None
        self.done.append(Fetched(fetch.topic, fetch.offset, status, payload, fetch.asked))
