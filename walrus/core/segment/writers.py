"""The segments that this process lifetime writes: one writer per segment; drives rollover and growth."""

from heapq import nlargest

from walrus.core.config import MS, NodeConfig
from walrus.core.cursors import Cursors
from walrus.core.lease import Lease
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import ACTIVE, OPEN, SEALED, AnyCommand, Writer, encode
from walrus.core.metadata.placement import (
    better_members,
    choose_members,
    choose_writer,
    misplaced,
    placeable,
    replica_target,
    staying,
)
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.meters import Histogram
from walrus.core.outbox import Outbox
from walrus.core.peer import Member
from walrus.core.proposals import Proposals
from walrus.core.raft.raft import Raft
from walrus.core.requests import Pending
from walrus.core.segment.messages import READ_OK, READ_OWN, AppendAck, ReadBlocks, ReadBlocksReply
from walrus.core.segment.replica import Key
from walrus.core.segment.writer import DRAINING, PROPOSED, Limits, SegmentWriter

CATCH_UP_BYTES = 1 << 20


class Writers:
    """``results`` collects what became of PUTs: (segment, DONE/MOVED/UNKNOWN, who waited)."""

    def __init__(
        self, out: Outbox, config: NodeConfig, me: Writer, metadata: Metadata, raft: Raft, lease: Lease,
        liveness: Liveness, proposals: Proposals, cursors: Cursors,
    ) -> None:  # fmt: skip
        self._out = out
        self._config = config
        self._me = me
        self._metadata = metadata
        self._raft = raft
        self._lease = lease
        self._liveness = liveness
        self._proposals = proposals
        self._cursors = cursors
        self._limits = Limits(config.max_segment_entries, config.max_segment_bytes)
        self._writers: dict[Key, SegmentWriter] = {}
        self.active: dict[Key, None] = {}  # something to flush
        self._proposed: dict[Key, int] = {}  # rid of the one proposal in flight per segment
        self._catching: dict[int, tuple[Key, int]] = {}  # rid of a local read -> (segment, lagging node)
        self._draining_since: dict[Key, int] = {}  # segments on their way to the seal -> ns
        self.rollovers = Histogram()  # of own segments: from the last record admitted until SEALED has applied
        self.full = False  # this node's disk: no PUT is taken
        self.leaving = False  # the node shuts down: hand every segment to another
        self._going: dict[int, int] = {}  # other nodes that shut down -> when they are done at the latest
        self.results: list[tuple[Key, int, list[Pending]]] = []

    def get(self, key: Key) -> SegmentWriter | None:
        return self._writers.get(key)

    @property
    def count(self) -> int:
        return len(self._writers)

    def lease_valid(self, now_ns: int) -> bool:
        return self._lease.valid(now_ns)

    def put(self, writer: SegmentWriter, pending: Pending) -> None:
        writer.put(pending)
        self.active[writer.key] = None

    def removed(self, topic: str, below: int, now_ns: int) -> None:
        """The topic's segments below a number are gone: what was sent is unknown, what was not moves on."""
        for key in [key for key in self._writers if key[0] == topic and key[1] < below]:
            writer = self._writers.pop(key)
            self._cursors.disown(*key)
            self._draining_since.pop(key, None)
            writer.sealed()
            self._withdraw(key)
            self._collect(writer)
        self._cursors.trimmed(topic, now_ns)

    def changed(self, topic: str, segment: Segment) -> None:
        """The metadata of this segment moved."""
        key = (topic, segment.number)
        writer = self._writers.get(key)
        if segment.state == OPEN:
            if writer is None and segment.writer == self._me:
                self._writers[key] = SegmentWriter(self._out, topic, segment, self._limits)
                self.active[key] = None
                self._cursors.own(topic, segment.number)
            elif writer is not None and writer.version != segment.version:
                writer.change_applied(segment)
                self._settled(writer)
            self._roll_to_other_mode(topic, segment)
            return
        if writer is None:
            return
        self._cursors.disown(topic, segment.number)
        if segment.state != SEALED or writer.state != PROPOSED:
            self._draining_since.pop(key, None)  # somebody else seals it
        if segment.state == SEALED:
            writer.sealed()
            self._withdraw(key)
            del self._writers[key]
        else:
            writer.stop()
        self._collect(writer)

    def _roll_to_other_mode(self, topic: str, segment: Segment) -> None:
        """A segment has one durability for life: for another the topic goes on in the next one."""
        writer = self._writers.get((topic, segment.number))
        if writer is not None and segment.durability != self._metadata.topics[topic].settings.durability:
            writer.roll()
            self.active[writer.key] = None

    def fenced(self, key: Key, epoch: int) -> None:
        """The own copy promised a higher epoch."""
        writer = self._writers.get(key)
        if writer is not None and epoch > writer.epoch:
            writer.stop()
            self._collect(writer)

    def acknowledged(self, sender: Member, message: AppendAck, now_ns: int) -> None:
        writer = self._writers.get((message.topic, message.segment))
        if writer is not None:
            writer.acknowledged(sender, message, now_ns)
            self._collect(writer)

    def _collect(self, writer: SegmentWriter) -> None:
        self._hand_over(writer)
        self.active[writer.key] = None

    def _hand_over(self, writer: SegmentWriter) -> None:
        for status, origins in writer.results:
            self.results.append((writer.key, status, origins))
        writer.results.clear()

    def _settled(self, writer: SegmentWriter) -> None:
        self._withdraw(writer.key)
        self._collect(writer)

    def _withdraw(self, key: Key) -> None:
        rid = self._proposed.pop(key, 0)
        if rid:
            self._proposals.withdraw(rid)

    # --- driving ---

    def flush(self, now_ns: int, wall_ns: int) -> None:
        """Send batches, read on for lagging copies, propose what is ready."""
        if not self.active:
            return
        lease = self._lease.valid(now_ns)
        active, self.active = self.active, {}
        for key in active:
            writer = self._writers.get(key)
            if writer is None:
                self._rolled(key, now_ns)
                continue
            if full_node := self._me[0] if self.full else writer.full_node:
                writer.refuse(full_node)
                self._hand_over(writer)
            writer.flush(now_ns, wall_ns, lease=lease)
            self._catch_up(writer)
            if writer.changing is not None:
                self._propose(writer, writer.propose_change())
            if writer.state == DRAINING:
                writer.ask_to_sync(now_ns)
                self._draining_since.setdefault(key, now_ns)
                self._seal(writer, now_ns, wall_ns)

    def _rolled(self, key: Key, now_ns: int) -> None:
        since_ns = self._draining_since.pop(key, None)
        if since_ns is not None:
            self.rollovers.observe(now_ns - since_ns)

    def lags(self, most: int) -> list[tuple[int, Key, int]]:
        """(records that are not durable there, segment, node) of up to ``most`` copies, those farthest behind first."""
        return nlargest(
            most,
            (
                (writer.length - target.match, key, node)
                for key, writer in self._writers.items()
                for node, target in writer.targets.items()
            ),
        )

    def tick(self, now_ns: int) -> None:
        """Probe silent copies, improve replica sets, retry what waits for a lease."""
        voters, drained = self._voters(), self._is_drained(now_ns)
        for writer in self._writers.values():
            writer.tick(now_ns)
            self._collect(writer)
            if self.leaving or drained:
                writer.roll()
            if writer.may_change:
                self._improve(writer, voters, now_ns)
            if writer.needs_recovery:
                self._propose(writer, writer.propose_recovery())
                self._collect(writer)

    def _voters(self) -> tuple[int, ...]:
        return placeable(self._metadata.nodes, self._raft.committed_membership)

    def said_farewell(self, node: int, now_ns: int) -> None:
        """Another node shuts down: it would hand over at once whatever it got."""
        self._going[node] = now_ns + self._config.shutdown_timeout_ns

    def _successors(self, now_ns: int) -> tuple[int, ...]:
        """Who lives and does not shut down."""
        going = {n for n, until_ns in self._going.items() if now_ns < until_ns}
        return tuple(n for n in self._liveness.live if n not in going and not (self.leaving and n == self._me[0]))

    def _is_drained(self, now_ns: int) -> bool:
        """This node is to leave, and another one could write in its place."""
        nodes, me = self._metadata.nodes, self._me[0]
        known = nodes.get(me)
        if known is None or known.state == ACTIVE:
            return False
        live = self._successors(now_ns)
        return any(n != me and n in live for n in staying(nodes, self._voters()))

    def _improve(self, writer: SegmentWriter, voters: tuple[int, ...], now_ns: int) -> None:
        nodes, target = self._metadata.nodes, self._config.target_replicas
        gone = self._liveness.gone([m[0] for m in writer.members], self._config.replace_after_ns, now_ns)
        lost = writer.lost
        enough = len(writer.members) >= replica_target(nodes, voters, target) and not (gone or lost)
        if enough and not misplaced(nodes, voters, writer.members):
            return
        live = self._liveness.live
        wanted = better_members(nodes, voters, live, gone, writer.members, target, self._me[:2], lost)
        if writer.changing is not None and all(m[0] in live and m not in lost for m in writer.changing):
            return
        if wanted is not None and wanted != writer.changing:
            writer.begin_change(wanted)

    def _seal(self, writer: SegmentWriter, now_ns: int, wall_ns: int) -> None:
        if not writer.ready_to_seal or not self._cursors.freeze(writer.key[0], now_ns):
            return
        nodes, voters, live = self._metadata.nodes, self._voters(), self._successors(now_ns)
        successor = choose_writer(nodes, voters, live, after=self._me[0])
        if successor is None:
            return
        members = choose_members(nodes, voters, live, successor, self._config.target_replicas)
        cursor = self._cursors.frozen(writer.key[0])
        self._propose(writer, writer.propose_seal(successor, members, cursor, max(0, wall_ns // MS)))

    def _propose(self, writer: SegmentWriter, command: AnyCommand | None) -> None:
        if command is not None:
            assert writer.key not in self._proposed, "one set change or rollover in flight per segment"
            self._proposed[writer.key] = self._proposals.submit(encode(command))

    # --- lagging copies ---

    def _catch_up(self, writer: SegmentWriter) -> None:
        for target in writer.lagging():
            target.fetching = True
            rid = self._out.rid()
            self._catching[rid] = (writer.key, target.member[0])
            request = ReadBlocks(rid, *writer.key, target.next, READ_OWN, writer.epoch, CATCH_UP_BYTES)
            self._out.send(self._me[0], request)

    def blocks_read(self, message: ReadBlocksReply, now_ns: int) -> bool:
        """Take blocks of an own copy; False if the read was not ours."""
        found = self._catching.pop(message.rid, None)
        if found is None:
            return False
        writer = self._writers.get(found[0])
        if writer is not None:
            writer.caught(found[1], message.data if message.status == READ_OK else b"", now_ns)
            self.active[writer.key] = None
        return True
