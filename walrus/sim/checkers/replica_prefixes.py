"""Replicas are prefixes of one another: at one (topic, segment, offset) no two disks ever hold different
payloads.

That is at once "one writer per segment". Looked at whenever a node is about to crash and at the end, on the
bytes of its disk as they are then: what is durable in spite of the crash is what counts. A copy may be cut
at its end and may never have a hole.
"""

import zlib

from walrus.core.storage import blocks
from walrus.sim.host import Host
from walrus.sim.world import Violation

_PREFIX = "user_data/"
_SUFFIX = ".wal"


class ReplicaPrefixes:
    """Compares segment files of all nodes with the longest copy seen so far."""

    def __init__(self) -> None:
        self.longest: dict[tuple[str, int], list[bytes]] = {}
        self.records_compared = 0
        self._compared: dict[tuple[int, str], int] = {}  # (node, path) -> checksum of the file

    def after_turn(self, host: Host) -> None:
        """Nothing: disks are compared where it matters."""

    def on_crash(self, host: Host) -> None:
        """Compare every segment file of a node that changed since the last time."""
        for path in sorted(host.disk.files):
            if path.startswith(_PREFIX) and path.endswith(_SUFFIX):
                data = bytes(host.disk.files[path])
                checksum = zlib.crc32(data)
                if self._compared.get((host.node_id, path)) != checksum:
                    self._compared[host.node_id, path] = checksum
                    self._compare(host.node_id, path, data)

    def _compare(self, node: int, path: str, data: bytes) -> None:
        topic, _, number = path[len(_PREFIX) : -len(_SUFFIX)].rpartition(":")
        records = records_of(data)
        longest = self.longest.setdefault((topic, int(number)), [])
        self.records_compared += len(records)
        for offset, payload in enumerate(records):
            if offset == len(longest):
                longest.append(payload)
            elif longest[offset] != payload:
                raise Violation(
                    f"replicas are prefixes: {path} of node {node} holds {payload[:40]!r} at offset "
                    f"{offset}, another copy {longest[offset][:40]!r}"
                )


def records_of(data: bytes) -> list[bytes]:
    """The records of a segment file up to its first unsound block."""
    records: list[bytes] = []
    position = blocks.FILE_HEADER_BYTES
    while (block := blocks.block_at(data, position)) is not None:
        if block.base != len(records):
            raise Violation(f"replicas are dense: a block with base {block.base} follows {len(records)} records")
        records.extend(blocks.payloads_of(data, block))
        position += block.size
    return records
