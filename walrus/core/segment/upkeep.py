"""Keeps sealed segments copied: the Raft leader grows their replica sets and replaces members that are gone.

A few segments at a time. Each member of the wanted set is asked to hold all ``count`` records (it pulls what it lacks
from the present members) and says so; once a quorum of the wanted set durably does, the change is proposed, naming
SEALED and the version of the set.
"""

from typing import Final

import msgspec

from walrus.core.config import MS, NodeConfig
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import SEALED, ChangeSet, encode
from walrus.core.metadata.placement import better_members, misplaced, placeable, replica_target
from walrus.core.metadata.state import Metadata, Segment, quorums
from walrus.core.outbox import Outbox
from walrus.core.peer import Member
from walrus.core.raft.output import LEADER
from walrus.core.raft.raft import Raft
from walrus.core.segment.messages import Hold, Holding
from walrus.core.segment.replica import Key

CHANGES_MAX: Final = 4
LOOKS_PER_TICK: Final = 256
RESEND_NS: Final = 500 * MS
GIVE_UP_NS: Final = 30_000 * MS


class Change(msgspec.Struct):
    """One sealed segment on its way to another replica set."""

    members: tuple[Member, ...]
    version: int
    began_ns: int
    sent_ns: int
    holding: list[Member]
    proposed: bool = False


class Upkeep:
    """Runs on every node, acts only while it leads Raft."""

    def __init__(self, out: Outbox, config: NodeConfig, metadata: Metadata, raft: Raft, liveness: Liveness) -> None:
        self._out = out
        self._config = config
        self._metadata = metadata
        self._raft = raft
        self._liveness = liveness
        self._changes: dict[Key, Change] = {}
        self._to_look_at: list[Key] = []  # the rest of the current round over all segments
        self._next_round_ns = 0

    def tick(self, now_ns: int) -> None:
        """Look at some more segments; go on with the changes under way."""
        if self._raft.role is not LEADER:
            self._changes.clear()
            return
        for key, change in list(self._changes.items()):
            if now_ns - change.began_ns >= GIVE_UP_NS:
                del self._changes[key]
            elif now_ns - change.sent_ns >= RESEND_NS:
                if change.proposed or self._wanted(key, now_ns) == change.members:
                    self._ask(key, change, now_ns)
                else:
                    del self._changes[key]  # a member that was to come is gone itself: look again
        if not self._to_look_at and now_ns >= self._next_round_ns:
            self._next_round_ns = now_ns + self._config.monitor_interval_ns
            self._to_look_at = [
                (topic.name, segment.number)
                for topic in self._metadata.topics.values()
                for segment in topic.segments[:-1]
            ]
        for _ in range(min(LOOKS_PER_TICK, len(self._to_look_at))):
            if len(self._changes) >= CHANGES_MAX:
                break
            self._look_at(self._to_look_at.pop(), now_ns)

    def _look_at(self, key: Key, now_ns: int) -> None:
        if self._metadata.is_gone(*key) or self._metadata.existing(*key).state != SEALED or key in self._changes:
            return
        wanted = self._wanted(key, now_ns)
        if wanted is not None:
            self._changes[key] = change = Change(wanted, self._metadata.existing(*key).version, now_ns, now_ns, [])
            self._ask(key, change, now_ns)

    def _wanted(self, key: Key, now_ns: int) -> tuple[Member, ...] | None:
        """The set that the segment should have as things are now; None where its own is as good."""
        segment = self._metadata.existing(*key)
        nodes, live, target = self._metadata.nodes, self._liveness.live, self._config.target_replicas
        voters = placeable(nodes, self._raft.committed_membership)
        gone = self._liveness.gone([m[0] for m in segment.members], self._config.replace_after_ns, now_ns)
        enough = len(segment.members) >= replica_target(nodes, voters, target) and not gone
        if enough and not misplaced(nodes, voters, segment.members):
            return None
        if not any(member[0] in live for member in segment.members):
            return None
        return better_members(nodes, voters, live, gone, segment.members, target)

    def look_soon(self) -> None:
        """A node is to leave, or has come or left: begin a round over all segments now."""
        self._to_look_at.clear()
        self._next_round_ns = 0

    def _ask(self, key: Key, change: Change, now_ns: int) -> None:
        change.sent_ns = now_ns
        if change.proposed:
            self._propose(key, change, now_ns)
            return
        segment = self._metadata.existing(*key)
        for member in change.members:
            if member not in change.holding:
                self._out.send(member[0], Hold(*key, segment.count, change.version + 1))

    def answered(self, sender: Member, message: Holding, now_ns: int) -> None:
        """A member durably holds all records of the segment."""
        key = (message.topic, message.segment)
        change = self._changes.get(key)
        if change is None or message.version != change.version + 1 or sender not in change.members:
            return
        if sender not in change.holding:
            change.holding.append(sender)
        if len(change.holding) >= quorums(len(change.members))[0] and not change.proposed:
            self._propose(key, change, now_ns)

    def _propose(self, key: Key, change: Change, now_ns: int) -> None:
        segment = self._metadata.existing(*key)
        command = ChangeSet(*key, SEALED, segment.epoch, change.version, change.members)
        change.proposed = bool(self._raft.propose(encode(command), now_ns))

    def removed(self, topic: str, below: int) -> None:
        """The topic's segments below a number are gone."""
        for key in [key for key in self._changes if key[0] == topic and key[1] < below]:
            del self._changes[key]

    def changed(self, topic: str, segment: Segment) -> None:
        """The metadata of this segment moved: a change of its set has come to an end."""
        change = self._changes.get((topic, segment.number))
        if change is not None and segment.version != change.version:
            del self._changes[topic, segment.number]
