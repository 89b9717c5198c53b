"""The one writer of an open segment: builds batches, feeds the copies, acknowledges what a quorum holds.

::

    WRITING --full, a copy lost, or told to roll--> DRAINING --nothing pending--> PROPOSED --SEALED applied--> (gone)
    any of them --a higher epoch is seen--> STOPPED

Only PUTs that no copy was ever sent (``unsent``) move on to the next leader; those that were sent and are not
acknowledged when the writer stops are *unknown*. After proposing the seal nothing is pending or acknowledged.
While a change of the replica set is under way (from before it is first proposed until its outcome is known)
acknowledgements and reads need a quorum of the old set and one of the new.
"""

from collections import deque
from typing import Final

import msgspec

from walrus.core.metadata.commands import OPEN, BeginSealing, ChangeSet, Seal, Writer
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.state import NodeInfo, Segment, quorums
from walrus.core.outbox import Outbox
from walrus.core.peer import Member
from walrus.core.requests import Pending
from walrus.core.segment.messages import (
    ACCEPTED,
    CLOSED,
    DONE,
    FENCED,
    GAP,
    MOVED,
    NO_ROOM,
    NO_SPACE,
    REFUSED,
    UNKNOWN,
    UNTRUSTED,
    Append,
    AppendAck,
)
from walrus.core.segment.replica import Key
from walrus.core.segment.targets import MAX_UNACKED_BYTES, PROBE_AFTER_NS, Target, held_by_quorum
from walrus.core.storage.blocks import BLOCK_HEADER_BYTES, FILE_HEADER_BYTES, encode_block, split_blocks

WRITING: Final = 0
DRAINING: Final = 1
PROPOSED: Final = 2
STOPPED: Final = 3

MAX_BLOCK_BYTES: Final = 1 << 20  # a single record may be larger
MAX_BLOCKS_IN_FLIGHT: Final = 2


class Limits(msgspec.Struct, frozen=True):
    """When a segment is full."""

    entries: int
    size_bytes: int


class SegmentWriter:
    """Invariant: ``acked <= length``; ``in_flight`` holds the origins of records ``acked`` to ``length``, in order.

    What is acknowledged is durable as the segment's mode has it; where it ends it is synced.
    """

    def __init__(self, out: Outbox, topic: str, segment: Segment, limits: Limits) -> None:
        self._out = out
        self.key: Key = (topic, segment.number)
        self.writer: Writer = segment.writer
        self.epoch = segment.epoch
        self.members = segment.members
        self.version = segment.version
        self.changing: tuple[Member, ...] | None = None  # the wanted set, while it catches up or is proposed
        self.joint = False  # the change may have been proposed: both quorums are needed
        self.lost: tuple[Member, ...] = ()  # whose copy is lost: it cannot be filled again before SEALED
        self.power_cut: tuple[Member, ...] = ()  # those of them whose copy a recoverer can fill up
        self.durability = segment.durability
        self._limits = limits
        self.state = WRITING
        self.length = 0  # records put into batches
        self.acked = 0
        self._size = FILE_HEADER_BYTES
        self.unsent: deque[Pending] = deque()
        self.in_flight: deque[tuple[int, list[Pending]]] = deque()  # (record behind the batch, who waits)
        self._asked_to_sync = False
        self.results: list[tuple[int, list[Pending]]] = []  # (what became of it, see messages, and who waited)
        self.targets: dict[int, Target] = {member[0]: Target(member, segment.version) for member in segment.members}

    # --- requests ---

    def put(self, pending: Pending) -> None:
        self.unsent.append(pending)

    @property
    def readable(self) -> bool:
        """Reads of acknowledged records may be served (given a lease)."""
        return self.state != STOPPED

    @property
    def full(self) -> bool:
        return self.length >= self._limits.entries or self._size >= self._limits.size_bytes

    def flush(self, now_ns: int, wall_ns: int, *, lease: bool) -> None:
        """Put what waits into batches and send them; without a lease nothing is admitted."""
        while self.unsent and lease and self.state == WRITING and len(self.in_flight) < MAX_BLOCKS_IN_FLIGHT:
            self._send_block(now_ns, wall_ns)
            if self.full:
                self.state = DRAINING

    @property
    def full_node(self) -> int:
        """A member without room, where so few have any that nothing more could be acknowledged; else 0."""
        for members in (self.members, self.changing if self.joint else None):
            full = [node for node, _ in members or () if node in self.targets and self.targets[node].no_room]
            if members and len(members) - len(full) < quorums(len(members))[0]:
                return full[0]
        return 0

    def refuse(self, full_node: int) -> None:
        """Take nothing of what was never sent, because the disk of that node is full."""
        if self.unsent and self.state == WRITING:
            for pending in self.unsent:
                pending.full_node = full_node
            self.results.append((NO_SPACE, list(self.unsent)))
            self.unsent.clear()

    def _send_block(self, now_ns: int, wall_ns: int) -> None:
        unsent = self.unsent
        room = self._limits.entries - self.length
        room_bytes = min(MAX_BLOCK_BYTES, self._limits.size_bytes - self._size)
        origins: list[Pending] = []
        payloads: list[bytes] = []
        size = BLOCK_HEADER_BYTES
        while unsent and len(payloads) < room and (not payloads or size < room_bytes):
            pending = unsent.popleft()
            origins.append(pending)
            payloads.append(pending.payload)
            size += 4 + len(pending.payload)
        base = self.length
        data = encode_block(base, self.epoch, wall_ns, self.acked, payloads)
        self.length += len(payloads)
        self._size += len(data)
        self.in_flight.append((self.length, origins))
        own = self.targets[self.writer[0]]
        for target in self.targets.values():
            # The own copy gets everything at once: it is what lagging copies are fed from, and cannot miss a message.
            if target is own or (
                target.next == base and not target.probing and target.unacked_bytes < MAX_UNACKED_BYTES
            ):
                self._append(target, base, data, self.length, now_ns)

    def _append(self, target: Target, base: int, data: bytes, upto: int, now_ns: int) -> None:
        target.sent(upto, len(data), now_ns)
        self._send(target, base, data)

    def _send(self, target: Target, base: int, data: bytes) -> None:
        version = self.version if target.member in self.members else self.version + 1
        durability = self.durability if self.state == WRITING else ALWAYS
        self._out.send(target.member[0], Append(*self.key, self.epoch, version, base, data, durability))

    # --- answers of the copies ---

    def acknowledged(self, sender: Member, message: AppendAck, now_ns: int) -> None:
        target = self.targets.get(sender[0])
        if target is None or target.member != sender or message.epoch != self.epoch or self.state == STOPPED:
            return
        if message.status in (FENCED, CLOSED):
            self.stop()
        elif message.status == UNTRUSTED:
            self._lose(sender)
            if message.power_cut and sender not in self.power_cut:
                self.power_cut = (*self.power_cut, sender)
        elif message.status == NO_ROOM:  # left behind; a probe will tell when it can be caught up
            target.no_room = target.probing = True
            target.rewind(message.length)
        elif message.status in (ACCEPTED, GAP) and message.version >= target.version:
            target.no_room = False
            news = message.status == ACCEPTED and target.accepted(message.length, now_ns)
            if message.status == ACCEPTED:
                target.synced = max(target.synced, message.length - message.unsynced)
            if message.status == GAP or target.probing:
                target.probing = False
                target.rewind(message.length)
            if news:
                self._advance()

    def _lose(self, member: Member) -> None:
        """Its copy is lost: hand over, for only copies of SEALED segments are filled again."""
        if member not in self.lost:
            self.lost = (*self.lost, member)
        self.roll()

    def _advance(self) -> None:
        """Acknowledge, in order, what a quorum (of both sets during a change) holds durably."""
        match = {target.member: target.match for target in self.targets.values()}
        held = held_by_quorum(self.members, quorums(len(self.members))[0], match)
        if self.joint and self.changing is not None:
            held = min(held, held_by_quorum(self.changing, quorums(len(self.changing))[0], match))
        if held <= self.acked:
            return
        self.acked = held
        while self.in_flight and self.in_flight[0][0] <= held:
            self.results.append((DONE, self.in_flight.popleft()[1]))

    def stop(self) -> None:
        """A higher epoch was seen: acknowledge nothing more; what was sent is unknown."""
        if self.state == STOPPED:
            return
        self.state = STOPPED
        while self.in_flight:
            self.results.append((UNKNOWN, self.in_flight.popleft()[1]))

    def sealed(self) -> None:
        """SEALED was applied: what was never sent goes to the next leader."""
        assert self.state != PROPOSED or not self.in_flight
        self.stop()
        if self.unsent:
            self.results.append((MOVED, list(self.unsent)))
            self.unsent.clear()

    def _expire(self, now_ns: int) -> None:
        """Those who waited too long get an answer: what was sent is unknown, what was not is refused."""
        while self.unsent and self.unsent[0].deadline_ns <= now_ns:
            self.results.append((REFUSED, [self.unsent.popleft()]))
        for number, (upto, origins) in enumerate(self.in_flight):
            if not origins or origins[0].deadline_ns > now_ns:
                break
            self.results.append((UNKNOWN, origins))
            self.in_flight[number] = (upto, [])

    # --- catching up lagging copies ---

    def tick(self, now_ns: int) -> None:
        """Answer who waited too long; probe copies that make no progress."""
        self._expire(now_ns)
        if self.state == STOPPED:
            return
        for target in self.targets.values():
            silent_ns = now_ns - target.progress_ns
            behind = target.match < self.length or target.no_room
            unsynced = self.state == DRAINING and target.synced < self.length
            if (behind or unsynced) and silent_ns >= PROBE_AFTER_NS and target.member[0] != self.writer[0]:
                target.progress_ns = now_ns
                target.probing = True
                self._send(target, target.match, b"")

    def lagging(self) -> list[Target]:
        """Copies that wait for records which are no longer on their way: read them from the own copy."""
        if self.state == STOPPED:
            return []
        own = self.targets[self.writer[0]].match
        return [
            target
            for target in self.targets.values()
            if target.next < own
            and not (target.fetching or target.probing)
            and target.unacked_bytes < MAX_UNACKED_BYTES
        ]

    def caught(self, node: int, data: bytes, now_ns: int) -> None:
        """Blocks read from the own copy for ``node``; empty when the read failed (tried again later)."""
        target = self.targets.get(node)
        if target is None or self.state == STOPPED:
            return
        target.fetching = False
        blocks = split_blocks(data) if data else None
        if blocks and blocks[0].base == target.next:
            self._append(target, target.next, data, blocks[-1].base + blocks[-1].count, now_ns)

    # --- handing over: the seal, and changes of the replica set ---

    def roll(self) -> None:
        """Admit nothing more; seal once nothing is pending."""
        if self.state == WRITING:
            self.state = DRAINING

    def ask_to_sync(self, now_ns: int) -> None:
        """At the end of a segment whose copies acknowledge without a sync: have them synced, all alike."""
        if self.state == DRAINING and self.durability != ALWAYS and not self._asked_to_sync:
            self._asked_to_sync = True
            for target in self.targets.values():
                target.progress_ns = now_ns
                self._send(target, target.match, b"")

    @property
    def needs_recovery(self) -> bool:
        """Losses of power have left too few copies for a quorum, and only a recoverer can fill them up."""
        left = [member for member in self.members if member not in self.power_cut]
        few = len(left) < quorums(len(self.members))[0]
        return few and bool(self.power_cut) and self.state == DRAINING and self.changing is None

    def propose_recovery(self) -> BeginSealing:
        """The command that makes the Raft leader seal this segment. From now on nothing is acknowledged or shown, since
        this node keeps its lease.
        """
        assert self.needs_recovery
        self.stop()
        return BeginSealing(*self.key, OPEN, self.epoch, 0, 0)

    @property
    def ready_to_seal(self) -> bool:
        """Nothing is pending, a quorum has synced everything, and no set change may be on its way."""
        if self.state != DRAINING or self.in_flight:
            return False
        synced = {target.member: target.synced for target in self.targets.values()}
        if held_by_quorum(self.members, quorums(len(self.members))[0], synced) < self.length:
            return False
        if self.changing is not None and not self.joint:
            self._abandon_change()
        return self.changing is None

    @property
    def may_change(self) -> bool:
        """The replica set may be improved: while there is more to write, or what was written finds no quorum."""
        return not self.joint and (self.state == WRITING or (self.state == DRAINING and bool(self.in_flight)))

    def propose_seal(
        self, successor: NodeInfo, members: tuple[Member, ...], cursor: tuple[int, int] | None, wall_ms: int
    ) -> Seal:
        """The command that seals this segment at its length; from now on nothing is acknowledged."""
        assert self.ready_to_seal
        assert self.acked == self.length
        self.state = PROPOSED
        return Seal(
            *self.key, OPEN, self.epoch, self.length, self.members, successor.writer, members, cursor,
            self._size if self.length else 0, wall_ms,
        )  # fmt: skip

    def begin_change(self, members: tuple[Member, ...]) -> None:
        """Start to feed the members of a wanted set, instead of one that was not proposed yet."""
        assert not self.joint
        if self.changing is not None:
            self._abandon_change()
        self.changing = members
        for member in members:
            known = self.targets.get(member[0])
            if known is None or known.member != member:
                self.targets[member[0]] = Target(member, self.version + 1)

    def propose_change(self) -> ChangeSet | None:
        """The command, once a quorum of the wanted set durably holds everything acknowledged."""
        if self.changing is None or not self.may_change:
            return None
        match = {target.member: target.match for target in self.targets.values()}
        if held_by_quorum(self.changing, quorums(len(self.changing))[0], match) < self.acked:
            return None
        self.joint = True
        return ChangeSet(*self.key, OPEN, self.epoch, self.version, self.changing)

    def change_applied(self, segment: Segment) -> None:
        """The metadata shows a new version of the replica set."""
        assert segment.members == self.changing, "only the writer changes the set of an open segment"
        self.members = segment.members
        self.version = segment.version
        self._abandon_change()
        self._advance()

    def _abandon_change(self) -> None:
        self.changing = None
        self.joint = False
        for node in [node for node, target in self.targets.items() if target.member not in self.members]:
            del self.targets[node]
        for member in self.members:
            if member[0] not in self.targets:
                self.targets[member[0]] = Target(member, self.version)
