"""Seals and changes of replica sets are proposed only when they may be committed (design 4.4, 4.5, 4.9).

- A writer proposes to seal at its length, all of it acknowledged and held by Q members; no change of the set is under
  way then, and there is one such proposal at most.
- A writer proposes a change of the set once Q members of the new one durably hold everything acknowledged; the same
  one until its outcome is known.
- A recoverer has copies completed, and proposes a count, only when S members of the set at which its SEALING applied
  have answered a fence of its epoch, and told no more than that; never fewer than were acknowledged; and Q members of
  the set that it names, each durably fenced, hold the count.
- Where losses of power keep S members from that in a segment that is not synced at once, all of them have told what is
  left to them, but for those whose copy is lost, and it is no less than the greatest of that.
- A SEALED segment's set changes once Q members of the new one durably hold the count.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import OPEN, SEALING, AnyCommand, ChangeSet, Seal
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.state import quorums
from walrus.core.peer import Member
from walrus.core.segment.messages import Repair
from walrus.core.segment.replica import Key
from walrus.sim import probe
from walrus.sim.checkers.acknowledged_records import AcknowledgedRecords
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.durable_copies import DurableCopies
from walrus.sim.checkers.fences import Fences
from walrus.sim.checkers.opened import opened
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class SegmentProposals:
    """Hears of commands as they are proposed."""

    def __init__(
        self, cluster: "Cluster", copies: DurableCopies, segments: CommittedSegments, fences: Fences,
        acknowledged: AcknowledgedRecords,
    ) -> None:  # fmt: skip
        self._cluster = cluster
        self._copies = copies
        self._segments = segments
        self._fences = fences
        self._acknowledged = acknowledged
        cluster.network.when_sent("Repair", self.ordered)

    def proposed(self, node: int, command: AnyCommand) -> None:
        """A node proposes this for the first time."""
        if not isinstance(command, Seal | ChangeSet):
            return
        key = (command.topic, command.segment)
        segment = self._segments.segment(key)
        if segment is None or (segment.state, segment.epoch) != (command.state, command.epoch):
            return  # it comes too late, and will be refused
        if command.state == OPEN:
            host = self._cluster.host(node)
            self._acknowledged.look(host, probe.writers(host))
        if isinstance(command, ChangeSet):
            if command.state == OPEN:
                self._change(key, command)
            elif segment.version == command.version:
                self._need(f"{command} of a segment of {segment.count} records", key, segment.count, command.members)
        elif command.state == OPEN:
            self._rolled(node, key, command)
        elif command.state == SEALING:
            self._recovered(key, command)

    # --- by the writer ---

    def _change(self, key: Key, command: ChangeSet) -> None:
        others = [c for c in self._acknowledged.changes.setdefault(key, []) if c.version == command.version]
        if others:
            raise Violation(f"set changes: {command} is proposed while the outcome of {others[0]} is not known")
        if key in self._acknowledged.seals:
            raise Violation(f"set changes: {command} is proposed after a seal at {self._acknowledged.seals[key]}")
        acked = self._acknowledged.acked.get(key, 0)
        what = f"{command} is proposed, {acked} records are acknowledged"
        self._need(what, key, acked, command.members, synced=False)
        self._acknowledged.changes[key].append(command)

    def _rolled(self, node: int, key: Key, command: Seal) -> None:
        host = self._cluster.host(node)
        writer, state = probe.writers(host).get(key), probe.metadata(host)
        if writer is not None and not writer.acked == writer.length == command.count:
            raise Violation(
                f"rollover: node {node} proposes to seal {key[0]}:{key[1]} at {command.count}, and has acknowledged "
                f"{writer.acked} of {writer.length} records"
            )
        version = state.existing(*key).version if state is not None and not state.is_gone(*key) else 0
        for change in self._acknowledged.changes.get(key, ()):
            if change.version == version:
                raise Violation(f"rollover: {command} is proposed while the outcome of {change} is not known")
        before = self._acknowledged.seals.setdefault(key, command.count)
        if before != command.count:
            raise Violation(f"rollover: {command} is proposed, and {before} records were before")
        self._need(f"{command} is proposed", key, command.count, command.members)

    # --- by a recoverer ---

    def ordered(self, sender: int, to: int, data: bytes) -> None:
        """A recoverer has a copy completed."""
        decoded = opened(data)
        if not isinstance(decoded[1], Repair):
            return
        order = decoded[1]
        key = (order.topic, order.segment)
        segment = self._segments.segment(key)
        if segment is not None and (segment.state, segment.epoch) == (SEALING, order.epoch):
            self._check_tail(f"node {sender} orders {order}", key, order.epoch, order.tail)

    def _check_tail(self, what: str, key: Key, epoch: int, tail: int) -> None:
        frozen, told = self._segments.frozen[key], self._fences.told.get((key, epoch), {})
        answers = {member: told[member] for member in frozen if member in told}
        within = [member for member, length in answers.items() if length <= tail]
        if len(within) < quorums(len(frozen))[1] and not self._is_what_is_left(key, epoch, tail):
            raise Violation(f"recovery: {what}; of {frozen}, fenced at {epoch}, lengths told: {answers}")

    def _is_what_is_left(self, key: Key, epoch: int, tail: int) -> bool:
        """Of a segment that allows for it, where all members have told what losses of power have left, but for those
        that are lost.
        """
        frozen, left = self._segments.frozen[key], self._fences.left.get((key, epoch), {})
        segment, told = self._segments.segment(key), {**left, **self._fences.told.get((key, epoch), {})}
        lengths = [told[member] for member in frozen if member in told]
        silent = [member for member in frozen if member not in told]
        return (
            segment is not None
            and segment.durability != ALWAYS
            and any(member in left for member in frozen)
            and len(lengths) >= quorums(len(frozen))[1]
            and max(lengths) <= tail
            and all(self._copies.was_hurt(m, key) or m in self._cluster.lost_members for m in silent)
        )

    def _recovered(self, key: Key, command: Seal) -> None:
        what = f"{command} is proposed"
        acked = self._acknowledged.acked.get(key, 0)
        if command.count < acked and not command.power_cut:
            raise Violation(f"recovery: {what}, and {acked} records were acknowledged")
        self._check_tail(what, key, command.epoch, command.count)
        fenced = [m for m in command.members if self._copies.copy(m, key).fence >= command.epoch]
        self._need(f"{what}, fenced are {fenced}", key, command.count, command.members, fenced)

    # --- quorums ---

    def _need(
        self, what: str, key: Key, records: int, members: tuple[Member, ...], among: list[Member] | None = None,
        *, synced: bool = True,
    ) -> None:  # fmt: skip
        chosen = tuple(members if among is None else among)
        holders = self._copies.holders(chosen, key, records, synced=synced)
        if len(holders) < quorums(len(members))[0]:
            raise Violation(f"replica sets: {what}; of {members} only {holders} durably hold {records} records")
