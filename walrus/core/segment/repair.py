"""Copies what this disk's copies lack from other members: on a recoverer's order, or because SEALED says more.

Pulls whole blocks, in order, a window at a time; what arrives is admitted like any batch (dense, compared). What nobody
waits for, copies of sealed segments, comes at a bounded rate; what a recoverer orders, as fast as it can.
"""

from typing import Final

import msgspec

from walrus.core.config import MS
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Segment
from walrus.core.outbox import Outbox
from walrus.core.pace import Pace
from walrus.core.segment.messages import (
    ACCEPTED,
    FENCED,
    READ_CLIENT,
    READ_OK,
    READ_RECOVERY,
    Hold,
    Holding,
    ReadBlocks,
    ReadBlocksReply,
    Repair,
)
from walrus.core.segment.replica import LOST, READY, Key, Replica
from walrus.core.segment.store import ReplicaStore

PULL_BYTES: Final = 1 << 20
ASK_AGAIN_NS: Final = 500 * MS
PULLS_MAX: Final = 8  # segments repaired at once because SEALED says more


class Pull(msgspec.Struct):
    """One copy being completed. ``epoch`` > 0: ordered by a recoverer, who is told at the end."""

    key: Key
    tail: int
    epoch: int
    source: int
    requester: int
    rid: int = 0
    asked_ns: int = 0
    attempt: int = 0
    charged: int = 0  # bytes taken from the rate for the question under way
    held: bool = False  # waits until the rate allows the next question


class Repairs:
    """At most one pull per copy."""

    def __init__(self, out: Outbox, store: ReplicaStore, liveness: Liveness, bytes_per_s: int) -> None:
        """``bytes_per_s``: of all copies together that are completed in the background."""
        self._pace = Pace(bytes_per_s)
        self._out = out
        self._store = store
        self._liveness = liveness
        self._pulls: dict[Key, Pull] = {}
        self._by_rid: dict[int, Pull] = {}
        self._short: dict[Key, None] = {}  # sealed copies to look at
        self._holds: dict[Key, tuple[int, int]] = {}  # (who asked to hold a copy, under which set version)

    @property
    def waiting(self) -> int:
        return len(self._pulls) + len(self._short)

    # --- ordered by a recoverer ---

    def ordered(self, sender: int, message: Repair, now_ns: int) -> None:
        """Copy up to ``tail`` under the fence that this copy has promised; repeated orders are harmless."""
        key = (message.topic, message.segment)
        replica = self._store.replicas.get(key)
        if replica is None or not self._store.open(replica):
            return  # the order comes again
        if replica.state != READY or replica.fence_durable != message.epoch:
            return
        if replica.fence_epoch > message.epoch:
            self._store.answers.fence(sender, replica, FENCED)
            return
        pull = self._pulls.get(key)
        if pull is None or pull.epoch != message.epoch or pull.source != message.source:
            self._end(key)
            pull = self._pulls[key] = Pull(key, message.tail, message.epoch, message.source, sender)
        self.progressed(key, now_ns)

    # --- ordered by the Raft leader, for a new member of a sealed set ---

    def hold(self, sender: int, message: Hold, now_ns: int) -> None:
        """Hold all records of a sealed segment; answered once they are here, admitted durably under that version."""
        key = (message.topic, message.segment)
        segment = self._store.segment(key)
        if segment is None or segment.state != SEALED or segment.count != message.count:
            return
        self._holds[key] = (sender, message.version)
        self._answer_hold(key)
        if key in self._holds:
            self._short[key] = None
            self._look_at(key, now_ns)

    def _answer_hold(self, key: Key) -> None:
        """Only once this lifetime has read the copy: on this word others may drop theirs."""
        sender, version = self._holds[key]
        replica = self._store.get(key)
        if not self._store.open(replica):
            return
        if self._store.admitted_under(replica, version) and replica.complete:
            del self._holds[key]
            self._out.send(sender, Holding(*key, version))

    # --- because SEALED says more ---

    def sealed(self, key: Key, segment: Segment) -> None:
        """A SEALED segment that this disk should hold a copy of; completed in the background if it is short."""
        pull = self._pulls.get(key)
        if pull is not None and pull.epoch:
            self._end(key)  # its recovery is over, and the source it named may be gone
        replica = self._store.get(key)
        if not replica.complete and (self._out.node_id, self._out.storage_id) in segment.members:
            self._short[key] = None

    def removed(self, topic: str, below: int) -> None:
        """The topic's segments below a number are gone: there is nothing to copy."""
        for known in (self._pulls, self._short, self._holds):
            for key in [key for key in known if key[0] == topic and key[1] < below]:
                self._end(key)
                self._short.pop(key, None)
                self._holds.pop(key, None)

    def tick(self, now_ns: int) -> None:
        """Start background repairs, ask again where no answer came."""
        for key, pull in list(self._pulls.items()):
            segment = self._store.segment(key)
            if not pull.epoch and segment is not None and not self._is_wanted(key, segment):
                self._end(key)  # the set has changed meanwhile, and the copy is dropped
            elif pull.held or now_ns - pull.asked_ns >= ASK_AGAIN_NS:
                self._ask(pull, now_ns)
        for key in list(self._short):
            if len(self._pulls) >= PULLS_MAX:
                break
            self._look_at(key, now_ns)

    def _look_at(self, key: Key, now_ns: int) -> None:
        replica = self._store.get(key)
        segment = self._store.segment(key)
        if segment is not None and not self._is_wanted(key, segment):
            self._holds.pop(key, None)
            del self._short[key]
            return
        if replica.complete or segment is None or segment.state != SEALED:
            del self._short[key]
            return
        if not self._store.open(replica) or not replica.settled or key in self._pulls:
            return
        if replica.state == LOST and not segment.count:
            self._store.reset(replica)
        elif replica.state == READY and replica.length >= segment.count:
            self._store.reconcile(replica, segment)
            if key in self._holds:
                self._answer_hold(key)  # where nothing needs writing, nothing will tell that it is complete
        else:
            self._store.admitted_under(replica, segment.version)
            self._pulls[key] = pull = Pull(key, segment.count, 0, 0, 0)
            self._ask(pull, now_ns)

    def _is_wanted(self, key: Key, segment: Segment) -> bool:
        """This disk is a member, or was asked to become one by a change that may still come."""
        if (self._out.node_id, self._out.storage_id) in segment.members:
            return True
        return key in self._holds and self._holds[key][1] > segment.version

    # --- pulling ---

    def progressed(self, key: Key, now_ns: int) -> None:
        """The copy's durable state moved: ask for more, or tell that the tail is reached."""
        if key in self._holds:
            self._answer_hold(key)
        pull = self._pulls.get(key)
        if pull is None:
            self._watch(key)
            return
        replica = self._store.get(key)
        if pull.epoch and replica.fence_epoch != pull.epoch:
            self._end(key)
        elif replica.durable_length >= pull.tail:
            if pull.epoch and replica.doubtful:
                self._store.syncs.vouch(replica)
            elif replica.settled:
                self._end(key)
                if pull.epoch:
                    self._store.answers.fence(pull.requester, replica, ACCEPTED)
        elif not pull.rid and replica.state == READY and replica.length == replica.durable_length:
            self._ask(pull, now_ns)

    def _watch(self, key: Key) -> None:
        """A sealed copy that turned out to be lost or short is completed."""
        replica = self._store.replicas.get(key)
        segment = self._store.segment(key)
        if replica is not None and segment is not None and segment.state == SEALED:
            self.sealed(key, segment)

    def _ask(self, pull: Pull, now_ns: int) -> None:
        replica = self._store.get(pull.key)
        self._withdraw(pull)
        pull.held = not pull.epoch and not self._pace.allows(now_ns)
        if pull.held:
            return
        source = pull.source or self._other_member(pull)
        pull.asked_ns = now_ns
        pull.attempt += 1
        pull.rid = self._out.rid()
        self._by_rid[pull.rid] = pull
        if self._store.full:
            return  # asked again later
        mode = READ_RECOVERY if pull.epoch else READ_CLIENT
        if not source:
            return
        if not pull.epoch:
            pull.charged = PULL_BYTES
            self._pace.take(pull.charged, now_ns)
        # A lost copy is given up only for one that has all records: ask for the last one first.
        offset, size = (pull.tail - 1, 0) if replica.state == LOST else (replica.length, PULL_BYTES)
        self._out.send(source, ReadBlocks(pull.rid, *pull.key, offset, mode, pull.epoch, size))

    def _other_member(self, pull: Pull) -> int:
        segment = self._store.segment(pull.key)
        others = [m[0] for m in segment.members if m[0] != self._out.node_id] if segment else []
        live = [n for n in others if n in self._liveness.live] or others
        return live[pull.attempt % len(live)] if live else 0

    def answered(self, message: ReadBlocksReply, now_ns: int) -> bool:
        """Take pulled blocks; False if the read was not ours."""
        pull = self._by_rid.get(message.rid)
        if pull is None:
            return False
        self._withdraw(pull, len(message.data))
        replica = self._store.get(pull.key)
        if pull.epoch and replica.fence_epoch != pull.epoch:
            self._end(pull.key)
        elif message.status == READ_OK and replica.state == LOST:
            self._out.log("warn", f"{replica.path}: lost copy is filled again from its peers")
            self._store.reset(replica)
            self.progressed(pull.key, now_ns)
        elif message.status == READ_OK:
            self._take(replica, message.data)
        return True

    def _take(self, replica: Replica, data: bytes) -> None:
        if replica.state == READY and not self._store.admit_pulled(replica, data):
            self._out.log("error", f"{replica.path}: blocks copied from a peer do not continue this copy; refused")

    def _end(self, key: Key) -> None:
        pull = self._pulls.pop(key, None)
        if pull is not None:
            self._withdraw(pull)

    def _withdraw(self, pull: Pull, received_bytes: int = 0) -> None:
        """The question under way, if there is one, is answered or void: it cost no more than what came of it."""
        self._by_rid.pop(pull.rid, None)
        pull.rid = 0
        if pull.charged:
            self._pace.give_back(pull.charged - received_bytes)
            pull.charged = 0
