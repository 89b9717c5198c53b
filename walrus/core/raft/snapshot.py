"""Snapshots in Raft: what a leader sends in place of entries that it holds no more, and a follower's side of it.

What the state machine's bytes mean is none of Raft's business. A transfer is named by the snapshot alone, not by its
sender, so it goes on where it was when another leader has the same one.
"""

import zlib
from typing import Final

import msgspec

from walrus.core.peer import InstallSnapshot
from walrus.core.raft.membership import Membership

TRANSFER_BYTES_MAX: Final = 1 << 30


class RaftSnapshot(msgspec.Struct, frozen=True):
    """A durable snapshot: the state after entry ``index`` of ``term``, the members as of that entry, and its bytes."""

    index: int
    term: int
    membership: Membership
    data: bytes
    checksum: int  # CRC-32 of the bytes


class ReceivedSnapshot(msgspec.Struct, frozen=True):
    """All bytes of a snapshot from a leader, with the right checksum; not looked into, and not durable."""

    index: int
    term: int
    data: bytes


class SnapshotReceiver:
    """Puts the pieces of one snapshot together. Invariant: ``len(buffer) <= total``."""

    __slots__ = ("_name", "_sent_in", "buffer")

    def __init__(self) -> None:
        """Start with nothing."""
        self._name = (0, 0, 0, 0)  # index, its term, checksum and length of the snapshot under way
        self._sent_in = 0  # the leader's term
        self.buffer = bytearray()

    def take(self, message: InstallSnapshot) -> ReceivedSnapshot | None:
        """Take a piece; returns the snapshot with its last one. What does not continue the pieces so far is dropped.

        A leader turns to a newer snapshot, never to an older one: within its term pieces of an older one are late.
        """
        name = (message.index, message.last_term, message.checksum, message.total)
        if name != self._name:
            if message.total > TRANSFER_BYTES_MAX or (message.term == self._sent_in and message.index < self._name[0]):
                return None
            self._name = name
            self.buffer = bytearray()
        self._sent_in = message.term
        fits = message.offset + len(message.data) <= message.total
        if not message.data or message.offset != len(self.buffer) or not fits:
            return None
        self.buffer += message.data
        if len(self.buffer) < message.total:
            return None
        if zlib.crc32(self.buffer) != message.checksum:
            self.buffer = bytearray()  # from the start again
            return None
        return ReceivedSnapshot(message.index, message.last_term, bytes(self.buffer))

    def received(self, message: InstallSnapshot) -> int:
        """How many bytes of the snapshot that ``message`` is about are here."""
        name = (message.index, message.last_term, message.checksum, message.total)
        return len(self.buffer) if name == self._name else 0

    def forget(self, index: int) -> None:
        """Snapshots up to ``index`` are of no use any more."""
        if self._name[0] <= index:
            self._name = (0, 0, 0, 0)
            self.buffer = bytearray()
