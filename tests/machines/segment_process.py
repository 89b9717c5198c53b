"""One node's data path without Raft: the real parts, put together as :class:`walrus.core.running.Running` does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from power_disk import PowerDisk
from segment_fixtures import LATER, TOPIC, member, register, settings, writer_of

from walrus.core.actions import Delete, Log, Read, Send, Truncate, Write
from walrus.core.codec import decode_message
from walrus.core.config import MS
from walrus.core.cursors import Cursors
from walrus.core.fetcher import Fetcher
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import SEALED, encode
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.peer import Propose, ProposeReply
from walrus.core.proposals import Proposals
from walrus.core.raft.membership import MemberInfo
from walrus.core.raft.output import Role
from walrus.core.requests import Pending
from walrus.core.segment import messages as sm
from walrus.core.segment.blockreader import BlockReader
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.repair import Repairs
from walrus.core.segment.store import ReplicaStore
from walrus.core.segment.upkeep import Upkeep
from walrus.core.segment.writers import Writers
from walrus.core.storage.appender import Tokens
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH, CATALOGUE_VERSION, recover_catalogue
from walrus.core.storage.recordlog import RecordLog
from walrus.core.wallclock import WallClock

if TYPE_CHECKING:
    from segment_world import SegmentWorld

NODES: Final = (1, 2, 3, 4)
ENTRIES_MAX: Final = 8
TICK_NS: Final = 40 * MS


@dataclass(frozen=True)
class Letter:
    """A message in flight. ``storage``: of its sender."""

    sender: int
    storage: int
    to: int
    message: Any


class Office:
    """What the parts ask of Raft: elections and commits are the story's. A deposed leader does not know it."""

    def __init__(self, world: "SegmentWorld", node: int) -> None:
        self.role = Role.FOLLOWER
        self.term = 0
        self.leader = world.leader
        self.commit_index = 0  # whoever is elected has applied everything, so nothing is to be waited for
        self.voters = NODES
        self.members = tuple(MemberInfo(*member(n), "", True) for n in NODES)
        self._world = world
        self._node = node

    @property
    def committed_membership(self) -> "Office":
        """All nodes are voters."""
        return self

    def propose(self, command: bytes, _now_ns: int) -> int:
        """Only what the last one elected proposes may come to be committed."""
        return self._world.proposed(self.term, command) if self.role is Role.LEADER else 0

    def withhold_lease(self, node: int, index: int) -> None:
        """Leases are whims."""


class Whims:
    """Leases as the story wants them, on the holder's side and on the leader's."""

    def __init__(self) -> None:
        self.without: frozenset[int] = frozenset()  # nodes that have no lease
        self.suspected: frozenset[int] = frozenset()

    def answering(self, node: int, _now_ns: int) -> bool:
        """For the leader: the node is there."""
        return node not in self.suspected

    def lapsed(self, node: int, _now_ns: int) -> bool:
        """For the leader: the node is gone."""
        return node in self.suspected


class OwnLease:
    """The whims about one node."""

    def __init__(self, whims: Whims, node: int) -> None:
        self._whims = whims
        self._node = node

    def valid(self, _now_ns: int) -> bool:
        """Whether it may serve."""
        return self._node not in self._whims.without


class Process:
    """One process lifetime of a node: the parts, put together as :class:`walrus.core.running.Running` does."""

    def __init__(self, world: "SegmentWorld", node: int, incarnation: int, disk: PowerDisk) -> None:
        self.node = node
        self.me = writer_of(node, incarnation)
        self.world = world
        self.disk = disk
        self.applied = 0
        self.announced = False
        self.out = Outbox(node)
        self.out.begin_lifetime(self.me[1], incarnation)
        self.out.cluster = 7
        tokens, config = (
            Tokens(),
            settings(node, max_segment_entries=ENTRIES_MAX, monitor_interval_ns=TICK_NS, replace_after_ns=5 * TICK_NS),
        )
        self.metadata = Metadata()
        self.office: Any = Office(world, node)
        lease: Any = OwnLease(world.whims, node)
        whims: Any = world.whims
        self.liveness = Liveness(world.now_ns)
        catalogue, known = self._catalogue(tokens)
        sizes = {path: len(data) for path, data in sorted(disk.files.items())}
        self.store = ReplicaStore(self.out, tokens, self.metadata, catalogue, known, sizes)
        self.proposals = Proposals(self.out, self.office)
        self.fetcher = Fetcher(self.out, config, self.metadata, self.liveness)
        self.cursors = Cursors(config, self.me, self.metadata, lease, self.fetcher, self.proposals)
        self.writers = Writers(
            self.out, config, self.me, self.metadata, self.office, lease, self.liveness, self.proposals, self.cursors
        )
        self.reader = BlockReader(self.out, tokens, self.store, self.writers)
        self.recoveries = Recoveries(self.out, config, self.metadata, self.office, whims, WallClock())
        self.upkeep = Upkeep(self.out, config, self.metadata, self.office, self.liveness)
        self.repairs = Repairs(self.out, self.store, self.liveness, config.repair_bytes_per_s)
        self._on = self._table()

    def _catalogue(self, tokens: Tokens) -> tuple[RecordLog, Any]:
        """As start-up reads it: a torn tail is cut, one that never became durable is made anew."""
        found = recover_catalogue(self.disk.files.get(CATALOGUE_PATH, b""), *self.me[:2])
        if found is None:
            self.disk.files.pop(CATALOGUE_PATH, None)
            args = (CATALOGUE_PATH, CATALOGUE_MAGIC, *self.me[:2], tokens)
            return RecordLog.create(*args, version=CATALOGUE_VERSION), None
        self.disk.files[CATALOGUE_PATH] = self.disk.files[CATALOGUE_PATH][: found.end]
        return RecordLog(CATALOGUE_PATH, tokens, found.end), found

    def _table(self) -> dict[type, Callable[[Any, Any, int], None]]:
        return {
            Propose: lambda who, m, now: self.proposals.requested(who[0], m, now),
            ProposeReply: lambda who, m, now: self.proposals.answered(m),
            sm.Append: lambda who, m, now: self.store.append(who[0], m),
            sm.AppendAck: lambda who, m, now: self.writers.acknowledged(who, m, now),
            sm.Fence: self._fence,
            sm.FenceReply: lambda who, m, now: self.recoveries.answered(who, m, now),
            sm.Repair: lambda who, m, now: self.repairs.ordered(who[0], m, now),
            sm.Hold: lambda who, m, now: self.repairs.hold(who[0], m, now),
            sm.Holding: lambda who, m, now: self.upkeep.answered(who, m, now),
            sm.ReadBlocks: lambda who, m, now: self.reader.serve(who[0], m, now),
            sm.ReadBlocksReply: self._blocks_read,
        }

    def _fence(self, who: Any, message: sm.Fence, _now_ns: int) -> None:
        self.store.fence(who[0], message)
        self.writers.fenced((message.topic, message.segment), message.epoch)

    def _blocks_read(self, _who: Any, message: sm.ReadBlocksReply, now_ns: int) -> None:
        if not self.fetcher.answered(message, now_ns) and not self.repairs.answered(message, now_ns):
            self.writers.blocks_read(message, now_ns)

    # --- what happens to it ---

    def receive(self, letter: Letter) -> None:
        """A message arrives, and the turn ends."""
        self._on[type(letter.message)]((letter.sender, letter.storage), letter.message, self.world.now_ns)
        self.turn()

    def apply(self) -> None:
        """The next committed command is applied, and the turn ends."""
        term, command = self.world.log[self.applied]
        self.applied += 1
        reason = self.metadata.apply(command)
        self.proposals.committed(self.applied, term, reason)
        self._changed()
        self.turn()

    def put(self, payloads: list[bytes]) -> bool:
        """PUTs for the segment that this process writes; False if there is none."""
        topic = self.metadata.topics.get(TOPIC)
        writer = self.writers.get((TOPIC, topic.last.number)) if topic is not None else None
        if writer is None or not writer.readable:
            return False
        for payload in payloads:
            self.writers.put(writer, Pending(TOPIC, payload, LATER, node=9))
        self.turn()
        return True

    def roll(self) -> None:
        """The operator wants the next segment."""
        topic = self.metadata.topics.get(TOPIC)
        writer = self.writers.get((TOPIC, topic.last.number)) if topic is not None else None
        if writer is not None:
            writer.roll()
            self.writers.active[writer.key] = None
            self.turn()

    def completed(self, path: str) -> None:
        """The write of ``path`` is durable, and the turn ends."""
        assert self.store.write_completed(self.disk.complete(path).token)
        self.turn()

    def tick(self) -> None:
        """Whatever is due."""
        now_ns = self.world.now_ns
        self.liveness.told(tuple(node for node in NODES if node not in self.world.whims.suspected), now_ns)
        known = self.metadata.nodes.get(self.node)
        if (known is None or known.writer != self.me) and not self.announced:
            self.announced = True
            self.proposals.submit(encode(register(self.node, self.me[2])))
        self.recoveries.tick(now_ns)
        self.upkeep.tick(now_ns)
        self.writers.tick(now_ns)
        self.cursors.tick(now_ns)
        self.repairs.tick(now_ns)
        self.fetcher.tick(now_ns)
        self.proposals.tick(now_ns)
        self.turn()

    # --- a turn ---

    def turn(self) -> None:
        """Results are carried from part to part, batches go out, and what the disk is to read is read at once."""
        now_ns = self.world.now_ns
        self._settle()
        self.writers.flush(now_ns, 0)
        self._settle()
        self.proposals.flush(now_ns)
        self._settle()
        self.store.flush()
        reads = []
        for action in self.out.drain():
            if isinstance(action, Send):
                decoded = decode_message(action.data)
                assert decoded is not None
                self.world.in_flight.append(Letter(self.node, self.me[1], action.to, decoded[1]))
            elif isinstance(action, Write | Truncate | Delete):
                self.disk.begin(action)
            elif isinstance(action, Read):
                reads.append(action)
            else:
                assert isinstance(action, Log)
        for read in reads:
            data = self.disk.files[read.path][read.offset : read.offset + read.length]
            assert self.reader.read_completed(read.token, data) or self.store.read_completed(read.token, data)
        if reads:
            self.turn()

    def _settle(self) -> None:
        while True:
            if self.out.local:
                message = self.out.local.popleft()
                self._on[type(message)](self.me[:2], message, self.world.now_ns)
            elif not self._carry():
                return

    def _carry(self) -> bool:
        if self.writers.results:
            results, self.writers.results = self.writers.results, []
            for key, status, pendings in results:
                self.world.ledger.ended(key, status, [pending.payload for pending in pendings])
        elif self.store.progressed:
            progressed, self.store.progressed = self.store.progressed, {}
            for key in progressed:
                self.repairs.progressed(key, self.world.now_ns)
                self.reader.opened(key, self.world.now_ns)
                replica, segment = self.store.replicas.get(key), self.store.segment(key)
                if replica is not None and segment is not None:
                    self.store.reconcile(replica, segment)
        elif self.proposals.outcomes:
            self.proposals.drain()
        else:
            return False
        return True

    def _changed(self) -> None:
        changes = [change for change in self.metadata.drain() if change.segment]
        for change in changes:
            self.writers.changed(change.topic, self.metadata.topics[change.topic].segments[change.segment - 1])
        for change in changes:
            key = (change.topic, change.segment)
            segment = self.metadata.topics[change.topic].segments[change.segment - 1]
            self.recoveries.changed(change.topic, segment, self.world.now_ns)
            self.upkeep.changed(change.topic, segment)
            if segment.state == SEALED:
                self.repairs.sealed(key, segment)
            replica = self.store.replicas.get(key)
            if replica is not None:
                self.store.reconcile(replica, segment)
