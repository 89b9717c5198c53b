"""All segment copies on this disk: admits batches, promises fences, answers with what is durable. Serves any writer and
any recoverer alike, the node's own included (they send local messages).
"""

from walrus.core.actions import Change, Delete, Write
from walrus.core.metadata.commands import OPEN, SEALED
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.outbox import Outbox
from walrus.core.segment.answers import Answers
from walrus.core.segment.cache import BlockCache
from walrus.core.segment.messages import ACCEPTED, CLOSED, FENCED, NO_ROOM, UNTRUSTED, Append, AppendAck, Fence
from walrus.core.segment.notes import EMPTIED, FENCED_NOTE, LOWERED, SYNCED, UNSYNCED, Notes
from walrus.core.segment.numbers import Numbers
from walrus.core.segment.opener import Opener
from walrus.core.segment.replica import LOST, READING, READY, UNREAD, Key, Replica
from walrus.core.segment.syncing import Syncs
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import BlockIndex, BlockInfo, encode_header, split_blocks
from walrus.core.storage.catalogue import CatalogueState
from walrus.core.storage.cataloguelog import REWRITE_BYTES, CatalogueLog
from walrus.core.storage.recordlog import RecordLog


class ReplicaStore:
    """Copies by (topic, segment). ``progressed`` collects copies whose durable state moved, for repairs to go on."""

    def __init__(
        self, out: Outbox, tokens: Tokens, metadata: Metadata, catalogue: RecordLog, known: CatalogueState | None,
        files: dict[str, int], mark_interval_ns: int = 0, rewrite_bytes: int = REWRITE_BYTES, boot_id: str = "",
    ) -> None:  # fmt: skip
        """The last three: see :class:`Notes`, :class:`CatalogueLog` and :class:`Syncs`."""
        self._out = out
        self._tokens = tokens
        self._metadata = metadata
        self.opener = Opener(out, tokens, files)
        self.answers = Answers(out)
        self.cache = BlockCache(64 << 20)
        self.replicas: dict[Key, Replica] = {}
        log = CatalogueLog(catalogue, tokens, out.node_id, out.storage_id, known, rewrite_bytes)
        self.notes = Notes(out, log, self.replicas, mark_interval_ns)
        self.syncs = Syncs(self.notes, self.opener, boot_id)
        self._numbers = Numbers(files)
        self.progressed: dict[Key, None] = {}
        self._dirty: dict[Key, None] = {}
        self.full = False  # this disk: nothing is taken from other nodes
        self._writes: dict[int, Replica] = {}
        self._no_room: dict[Key, Write] = {}  # of this node's own open segments: asked for again once there is room
        self._deletes: dict[int, Replica] = {}
        self._queued: dict[Key, list[tuple[int, Append | Fence]]] = {}
        for key, copy in (known.copies if known else {}).items():
            replica = self._add(key)
            replica.recall(copy, files)
            self.syncs.recalled(replica)

    def _add(self, key: Key) -> Replica:
        replica = self.replicas[key] = Replica(key, UNREAD)
        self._numbers.add(key)
        return replica

    def get(self, key: Key) -> Replica:
        """The copy of this segment; an empty one if there is none yet."""
        return self.replicas.get(key) or self._add(key)

    def segment(self, key: Key) -> Segment | None:
        topic = self._metadata.topics.get(key[0])
        return topic.segment(key[1]) if topic else None

    def open(self, replica: Replica) -> bool:
        """True if the copy can be used now; otherwise it opens and ``progressed`` will name it."""
        return self.opener.open(replica)

    def append(self, sender: int, message: Append) -> None:
        """A writer's batch, or its probe."""
        if self._metadata.is_gone(message.topic, message.segment):
            self._out.send(sender, AppendAck(message.topic, message.segment, message.epoch, CLOSED, 0, 0, 0))
            return
        replica = self.get((message.topic, message.segment))
        if not self.open(replica):
            self._queued.setdefault(replica.key, []).append((sender, message))
            return
        blocks = split_blocks(message.data)
        if blocks is None or (blocks and blocks[0].base != message.base):
            self._out.log("error", f"node {sender} sent a corrupt batch for {message.topic}:{message.segment}; refused")
            return
        status = self._admissible(replica, message, blocks)
        no_room = self.full and sender != self._out.node_id
        if status == ACCEPTED and no_room and blocks and blocks[-1].base >= replica.length:
            status = NO_ROOM
        if status != ACCEPTED:
            self.answers.refuse(sender, replica, message.epoch, status)
            return
        replica.version = max(replica.version, message.version)
        self.syncs.admitted_as(replica, message.durability, has_blocks=bool(blocks))
        new = self._admit(replica, message.data, blocks)
        replica.ack_to[sender] = message.epoch
        if replica.durable_length:
            self.notes.held(replica)
        if not new:
            self.answers.acknowledge(replica)
        if no_room:  # asked by a probe: what is durable counts, but there is to be no more for now
            self.answers.refuse(sender, replica, message.epoch, NO_ROOM)

    def _admissible(self, replica: Replica, message: Append, blocks: list[BlockInfo]) -> int:
        segment = self.segment(replica.key)
        if segment is not None and segment.state == SEALED:
            return CLOSED
        if segment is not None and message.epoch < segment.epoch:
            return FENCED
        if replica.state == LOST or replica.doubtful:
            return UNTRUSTED
        return replica.check(message.epoch, blocks, message.base)

    def _admit(self, replica: Replica, data: bytes, blocks: list[BlockInfo]) -> bool:
        new = replica.admit(data, blocks, encode_header(self.opener.header(replica.key)))
        for block, raw in new:
            self.cache.put(replica.key, block.base, raw)
        if new:
            self._dirty[replica.key] = None
        return bool(new)

    def admit_pulled(self, replica: Replica, data: bytes) -> bool:
        """Append blocks copied from a peer; False if they are corrupt, do not continue or do not match the copy."""
        blocks = split_blocks(data)
        if not blocks or replica.state != READY:
            return False
        if replica.check(replica.fence_epoch, blocks, blocks[0].base) != ACCEPTED:
            return False
        self._admit(replica, data, blocks)
        return True

    def admitted_under(self, replica: Replica, version: int) -> bool:
        """Take the copy on under ``version`` of its set; True once that is durable: no older set drops it then."""
        replica.version = max(replica.version, version)
        if replica.held or replica.held_token:
            self.notes.held(replica)
        return not replica.held_token

    def fence(self, sender: int, message: Fence) -> None:
        """Promise to admit and acknowledge nothing below the epoch; answered once that is durable."""
        if self._metadata.is_gone(message.topic, message.segment):
            return  # whoever asks will see that too
        replica = self.get((message.topic, message.segment))
        if not self.open(replica):
            self._queued.setdefault(replica.key, []).append((sender, message))
            return
        if message.epoch < replica.fence_epoch:
            self.answers.fence(sender, replica, FENCED)
            return
        if message.epoch > replica.fence_epoch:
            replica.fence_epoch = message.epoch
            replica.ack_to.clear()
            write = self._no_room.pop(replica.key, None)
            if write is not None:
                del self._writes[write.token]
                replica.give_up()  # its writer acknowledges nothing any more, and the recoverer is not to wait for room
            self.syncs.harden(replica)
            self.notes.fenced(replica, message.epoch)
        if (sender, message.epoch) not in replica.fence_waiters:
            replica.fence_waiters.append((sender, message.epoch))
        self.answers.fences(replica)

    # --- durability ---

    def flush(self) -> None:
        """Issue the writes and syncs of all copies that have something to write, or want one, and none in flight."""
        dirty, self._dirty = self._dirty, {}
        for replica in [*(self.replicas[key] for key in dirty), *self.syncs.take()]:
            self._flush_one(replica)
        self.notes.flush()

    def _flush_one(self, replica: Replica) -> None:
        write = replica.flush()
        if write is not None:
            self._writes[write.token] = replica
            self._out.add(write)
            self.syncs.asked(replica, write)

    def write_completed(self, token: int) -> bool:
        """Take a completed write; False if the token is not one of ours."""
        replica = self._writes.pop(token, None)
        if replica is not None:
            replica.write_completed(token)
            self.syncs.written(replica)
            self._flush_one(replica)
            self.notes.held(replica)
            self.notes.grew(replica)
            self._moved(replica)
            return True
        noted = self.notes.completed(token)
        if noted is not None:
            for copy, kind, value in noted:
                self._noted(copy, kind, value, token)
            return True
        return self._deleted(token) or self._opened(self.opener.write_completed(token))

    def space_ran_out(self, change: Change) -> bool:
        """There is no room for a change; False if it must wait for some.

        A copy is left behind, as if it had never been sent the batch, to be caught up later: so it can tell a recoverer
        its length at once. Only what this node itself writes waits: other copies are fed from it.
        """
        replica = self._writes.get(change.token)
        if replica is None or not isinstance(change, Write):
            return self.notes.no_room(change.token)
        if self._out.node_id in replica.ack_to:
            self._no_room[replica.key] = change
            return True
        del self._writes[change.token]
        for node, epoch in replica.ack_to.items():
            self.answers.refuse(node, replica, epoch, NO_ROOM)
        replica.ack_to.clear()
        replica.give_up()
        self.syncs.gave_up(replica)
        if replica.refilling:
            self._out.log("error", f"{replica.home_path}: no room to fill it again; the damaged file stays until then")
        self.answers.fences(replica)
        return True

    def has_no_room(self) -> None:
        """Do without new room from now on."""
        self.full = True
        self.notes.has_room(False)

    def has_room(self) -> None:
        """There is room again."""
        self.full = False
        self.notes.has_room(True)
        waiting, self._no_room = self._no_room, {}
        self._out.actions += waiting.values()

    def _noted(self, replica: Replica, kind: int, value: int, token: int) -> None:
        if kind == FENCED_NOTE:
            replica.fence_durable = max(replica.fence_durable, value)
        elif kind == EMPTIED:
            self._empty(replica)
        elif kind == LOWERED:
            self.opener.cut(replica, value)
        elif kind in (UNSYNCED, SYNCED):
            self.syncs.noted(replica, kind)
        elif token == replica.held_token:
            replica.held = True
            replica.held_token = 0
        self._moved(replica)

    def _moved(self, replica: Replica) -> None:
        self.answers.acknowledge(replica)
        self.answers.fences(replica)
        self.progressed[replica.key] = None

    def read_completed(self, token: int, data: bytes) -> bool:
        return self._opened(self.opener.read_completed(token, data))

    def read_failed(self, token: int, error: str) -> bool:
        return self._opened(self.opener.read_failed(token, error))

    def _opened(self, ours: bool) -> bool:
        if ours:
            opened, self.opener.opened = self.opener.opened, []
            for replica in opened:
                if replica.complete and not replica.has_all_of(self.segment(replica.key)):
                    self.notes.not_complete(replica)
                if replica.state == READY and replica.durable_length:
                    self.notes.held(replica)  # the process ended between the first batch and its note
                    self.notes.grew(replica)
                self.syncs.opened(replica)
                self._take_queued(replica.key)
                self._moved(replica)
        return ours

    def _take_queued(self, key: Key) -> None:
        for sender, message in self._queued.pop(key, ()):
            if isinstance(message, Append):
                self.append(sender, message)
            else:
                self.fence(sender, message)

    # --- what the metadata decided ---

    def reconcile(self, replica: Replica, segment: Segment) -> None:
        """Bring a copy in line with the metadata: drop what lies above a SEALED count, or a copy no longer wanted.

        A copy is not dropped on the word of a set older than its latest admission, nor while it is fenced in a segment
        that is not SEALED: it may count among those that hold the tail. The fence may be ahead of the metadata here.
        """
        wanted = (self._out.node_id, self._out.storage_id) in segment.members or segment.version < replica.version
        if not wanted:
            if segment.state == SEALED or (segment.state == OPEN and not replica.fence_epoch):
                self._drop(replica)
            return
        self.syncs.reconciled(replica, segment)
        if segment.state != SEALED or replica.complete or not self.open(replica):
            return
        if replica.state != READY or not replica.settled:
            return
        if replica.length > segment.count:
            self._cut(replica, segment.count)
        elif replica.length == segment.count and replica.refilling:
            self.opener.install(replica)
        elif replica.length == segment.count:
            self.syncs.end(replica)
            self.notes.complete(replica, segment.count)
            if segment.count:
                self.opener.cut(replica, segment.count)

    def _cut(self, replica: Replica, length: int) -> None:
        """Drop records; what the catalogue says of them is taken back first."""
        if replica.marked > length:
            replica.state = READING
            self.notes.lowered(replica, length)
        else:
            self.opener.cut(replica, length)

    def removed(self, topic: str, below: int) -> None:
        """The topic's segments below a number are gone: so are this disk's copies, those it never noted included."""
        for key in self._numbers.below(topic, below):
            self.drop_gone(self.get(key))

    def drop_gone(self, replica: Replica) -> bool:
        """Delete a copy of a segment that is gone, now or once nothing is under way for it; False for any other."""
        if not self._metadata.is_gone(*replica.key):
            return False
        self._queued.pop(replica.key, None)
        self._dirty.pop(replica.key, None)
        if replica.abandon():
            self._give_up(replica)
        return True

    def reset(self, replica: Replica) -> None:
        """Fill a lost copy of a SEALED segment again, from a peer that has all of it.

        First it is noted that the copy is not complete: a crash while it is being filled must not leave it believed so.
        """
        assert replica.state == LOST
        replica.state = READING
        self.syncs.end(replica)
        self.notes.emptied(replica)

    def _empty(self, replica: Replica) -> None:
        """The damaged file goes only when the new one is whole, or where there is nothing to keep."""
        segment = self.segment(replica.key)
        has_file = self.opener.has_file(replica)
        if has_file and segment is not None and segment.count:
            replica.refill(self._tokens)
            return
        replica.opened(BlockIndex(), self._tokens)
        if has_file:
            self.opener.cut(replica, 0)

    def damaged(self, replica: Replica, *, corrupt: bool = True) -> None:
        """A read found a copy unsound. A complete one is to be filled again, and its sound part is served until then. A
        fenced one takes back what it said, unless the error may pass (not ``corrupt``)."""
        if replica.state != READY:
            return
        if replica.complete:
            self.notes.not_complete(replica)
        elif not (corrupt and replica.fence_epoch and replica.at_rest):
            return
        self._out.log("error", f"{replica.path}: damaged; its copy counts in no quorum until repaired")
        replica.state = LOST
        self.progressed[replica.key] = None

    def _drop(self, replica: Replica) -> None:
        if replica.state == UNREAD or replica.at_rest:
            self._give_up(replica)

    def _give_up(self, replica: Replica) -> None:
        if replica.state == UNREAD and not replica.held and not self.opener.has_file(replica):
            self._forget(replica)
            return
        replica.state = READING
        self.syncs.end(replica)
        self.notes.dropped(replica)
        self._delete(replica)

    def _delete(self, replica: Replica) -> None:
        token = self._tokens.take()
        self._deletes[token] = replica
        self._out.add(Delete(replica.path, token))

    def _forget(self, replica: Replica) -> None:
        del self.replicas[replica.key]
        self._numbers.remove(replica.key)
        self.notes.given_up.pop(replica, None)

    def _deleted(self, token: int) -> bool:
        replica = self._deletes.pop(token, None)
        if replica is None:
            return False
        if replica.refilling:
            replica.refilled()  # the new file is gone: now the damaged one
            self._delete(replica)
            return True
        self.opener.forget_file(replica)
        self._forget(replica)
        self._take_queued(replica.key)
        self.progressed[replica.key] = None  # reads that waited for this copy go elsewhere
        return True
