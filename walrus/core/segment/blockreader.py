"""Serves ReadBlocks: whole blocks of a copy on this disk, from the cache or the file."""

from walrus.core.actions import Read
from walrus.core.metadata.commands import SEALED
from walrus.core.outbox import Outbox
from walrus.core.segment.messages import (
    READ_CLIENT,
    READ_ELSEWHERE,
    READ_END,
    READ_OK,
    READ_OWN,
    READ_RECOVERY,
    ReadBlocks,
    ReadBlocksReply,
)
from walrus.core.segment.replica import READY, Key, Replica
from walrus.core.segment.store import ReplicaStore
from walrus.core.segment.writer import PROPOSED
from walrus.core.segment.writers import Writers
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import split_blocks


class BlockReader:
    """Answers peers and, through local messages, this node itself."""

    def __init__(self, out: Outbox, tokens: Tokens, store: ReplicaStore, writers: Writers) -> None:
        self._out = out
        self._tokens = tokens
        self._store = store
        self._writers = writers
        self._waiting: dict[Key, list[tuple[int, ReadBlocks]]] = {}  # until the copy is open
        self._reads: dict[int, tuple[int, ReadBlocks]] = {}

    def serve(self, sender: int, message: ReadBlocks, now_ns: int) -> None:
        key = (message.topic, message.segment)
        replica = self._store.replicas.get(key)
        if replica is None:
            self._reply(sender, message.rid, self._without_copy(key, message, now_ns), b"")
            return
        if not self._store.open(replica):
            self._waiting.setdefault(key, []).append((sender, message))
            return
        status, limit = self._visible(replica, message, now_ns)
        if status != READ_OK:
            self._reply(sender, message.rid, status, b"")
            return
        self._fetch(sender, message, replica, limit)

    def opened(self, key: Key, now_ns: int) -> None:
        """The copy's state moved: go on with what waited for it."""
        for sender, message in self._waiting.pop(key, ()):
            self.serve(sender, message, now_ns)

    def _without_copy(self, key: Key, message: ReadBlocks, now_ns: int) -> int:
        writer = self._writers.get(key)
        if writer is not None and message.mode == READ_CLIENT and self._writers.lease_valid(now_ns):
            return READ_END if writer.readable and writer.state != PROPOSED else READ_ELSEWHERE
        return READ_ELSEWHERE

    def _visible(self, replica: Replica, message: ReadBlocks, now_ns: int) -> tuple[int, int]:
        """(status, number of records that may be shown)."""
        offset = message.offset
        if message.mode == READ_OWN:
            return (READ_OK if offset < replica.durable_length else READ_ELSEWHERE), replica.durable_length
        if message.mode == READ_RECOVERY:
            fenced = replica.fence_durable == replica.fence_epoch == message.epoch
            shown = replica.durable_length if fenced and replica.state == READY else 0
            return (READ_OK if offset < shown else READ_ELSEWHERE), shown
        segment = self._store.segment(replica.key)
        if segment is not None and segment.state == SEALED:
            # Of a file that is about to be renamed nothing is read.
            shown = 0 if replica.refilling else min(segment.count, replica.durable_length)
            return (READ_OK if offset < shown else READ_ELSEWHERE), shown
        writer = self._writers.get(replica.key)
        if writer is None or not writer.readable or not self._writers.lease_valid(now_ns):
            return READ_ELSEWHERE, 0
        if offset < writer.acked:
            return READ_OK, writer.acked
        # Once its seal is proposed, records may already be acknowledged in the next segment.
        return (READ_END if writer.state != PROPOSED else READ_ELSEWHERE), writer.acked

    def _fetch(self, sender: int, message: ReadBlocks, replica: Replica, limit: int) -> None:
        index = replica.index
        first = last = index.find(message.offset)
        start = index.position_of(first)
        while index.base_of(last + 1) < limit and index.position_of(last + 2) - start <= message.max_bytes:
            last += 1
        cached = []
        for number in range(first, last + 1):
            raw = self._store.cache.get(replica.key, index.base_of(number))
            if raw is None:
                break
            cached.append(raw)
        if cached:
            self._reply(sender, message.rid, READ_OK, b"".join(cached))
            return
        token = self._tokens.take()
        self._reads[token] = (sender, message)
        self._out.add(Read(replica.path, start, index.position_of(last + 1) - start, token))

    def read_completed(self, token: int, data: bytes) -> bool:
        """Take the bytes read for an asker; False if the token is not one of ours."""
        found = self._reads.pop(token, None)
        if found is None:
            return False
        sender, message = found
        blocks = split_blocks(data)
        if not blocks or not blocks[0].base <= message.offset < blocks[0].base + blocks[0].count:
            where = f"{message.topic}:{message.segment} near record {message.offset}"
            self._out.log("error", f"corrupt data read from the copy of {where}; another copy is asked")
            self._unsound(sender, message, corrupt=True)
            return True
        key = (message.topic, message.segment)
        for block in blocks:
            self._store.cache.put(key, block.base, data[block.position : block.position + block.size])
        self._reply(sender, message.rid, READ_OK, data)
        return True

    def read_failed(self, token: int, error: str) -> bool:
        found = self._reads.pop(token, None)
        if found is None:
            return False
        sender, message = found
        self._out.log("error", f"cannot read the copy of {message.topic}:{message.segment}: {error}")
        self._unsound(sender, message, corrupt=False)
        return True

    def _unsound(self, sender: int, message: ReadBlocks, *, corrupt: bool) -> None:
        self._reply(sender, message.rid, READ_ELSEWHERE, b"")
        replica = self._store.replicas.get((message.topic, message.segment))
        if replica is not None:
            self._store.damaged(replica, corrupt=corrupt)

    def _reply(self, to: int, rid: int, status: int, data: bytes) -> None:
        self._out.send(to, ReadBlocksReply(rid, status, data))
