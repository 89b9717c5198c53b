"""Recently written or read blocks, bounded in bytes; least recently used go first."""

from collections import OrderedDict

from walrus.core.segment.replica import Key


class BlockCache:
    """Raw blocks by (segment, offset of their first record)."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._bytes = 0
        self._blocks: OrderedDict[tuple[Key, int], bytes] = OrderedDict()

    def put(self, key: Key, base: int, raw: bytes) -> None:
        blocks = self._blocks
        old = blocks.pop((key, base), None)
        if old is not None:
            self._bytes -= len(old)
        blocks[key, base] = raw
        self._bytes += len(raw)
        while self._bytes > self._limit and len(blocks) > 1:
            _, evicted = blocks.popitem(last=False)
            self._bytes -= len(evicted)

    def get(self, key: Key, base: int) -> bytes | None:
        raw = self._blocks.get((key, base))
        if raw is not None:
            self._blocks.move_to_end((key, base))
        return raw
