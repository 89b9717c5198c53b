"""A node after recovery: the parts, the way of a message to them, and of results between them."""

from typing import Final

import msgspec

from walrus.core.actions import Change as FileChange
from walrus.core.changes import spread
from walrus.core.clients import ClientSessions
from walrus.core.codec import AnyMessage
from walrus.core.config import Deadline, NodeConfig
from walrus.core.cursors import Cursors
from walrus.core.departures import Departures
from walrus.core.events import DriverMeasured
from walrus.core.farewell import Farewells
from walrus.core.fetcher import Fetcher
from walrus.core.founding import Founding
from walrus.core.gets import Gets
from walrus.core.group import Group
from walrus.core.joining import Joining, why_removed
from walrus.core.lease import Lease, LeaseTable
from walrus.core.leaving import Leaving
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import ACTIVE, RegisterNode, encode
from walrus.core.metadata.snapshot import Snapshot, restore
from walrus.core.metadata.state import Metadata, NodeInfo
from walrus.core.meters import LoopMeter
from walrus.core.operators import Operators
from walrus.core.outbox import Outbox
from walrus.core.pages import Page, page
from walrus.core.peer import Envelope
from walrus.core.proposals import Proposals
from walrus.core.puts import Puts
from walrus.core.reachability import Reachability
from walrus.core.readindex import ReadIndexes
from walrus.core.removal import Removal
from walrus.core.report import report
from walrus.core.retention import Retention
from walrus.core.rng import Generator
from walrus.core.routes import routes
from walrus.core.segment.blockreader import BlockReader
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.repair import Repairs
from walrus.core.segment.scrub import Scrub
from walrus.core.segment.store import ReplicaStore
from walrus.core.segment.upkeep import Upkeep
from walrus.core.segment.writers import Writers
from walrus.core.service import Service
from walrus.core.startup import Ready
from walrus.core.status import to_json
from walrus.core.storage.appender import Tokens
from walrus.core.wallclock import WallClock
from walrus.core.wire import GET, PUT

STALL_TICKS: Final = 3  # a tick so many intervals late means that this whole process stood still


class Running:
    """Owns the parts; ``_on`` says which of them takes a message (:mod:`walrus.core.routes`)."""

    # More attributes than an object holds in line: without slots each access is a look-up in a dictionary.
    __slots__ = (
        *("_announced", "_junk_said", "_known", "_myself", "_next_tick", "_on", "_own", "_tick_ns", "config"),
        *("cursors", "departures", "farewells", "fetcher", "founding", "gets", "group", "joining"),
        *("lease", "leases", "leaving"),
        *("driver", "loop", "wall_ns"),
        *("liveness", "me", "metadata", "out", "proposals", "puts", "raft", "reachability", "reader", "reads"),
        *("recoveries", "removal", "repairs", "retention", "scrub", "service", "sessions", "stalled_after_ns"),
        *("store", "upkeep"),
        "writers",
    )

    def __init__(
        self, config: NodeConfig, rng: Generator, out: Outbox, tokens: Tokens, sessions: ClientSessions,
        ready: Ready, files: dict[str, int], wall: WallClock, boot_id: str, now_ns: int,
    ) -> None:  # fmt: skip
        self.config = config
        self.out = out
        self.sessions = sessions
        out.begin_lifetime(ready.storage, ready.incarnation)
        me = (config.node_id, ready.storage, ready.incarnation)
        self.me = me
        self.metadata = Metadata()
        self.group = Group(out, tokens, config, rng, ready, now_ns)
        self.raft = self.group.raft
        self.liveness = Liveness(now_ns)
        self.lease = Lease(config, self.raft)
        self.leases = LeaseTable(config)
        self.proposals = Proposals(out, self.raft)
        self.reads = ReadIndexes(out, self.raft)
        self.departures = Departures(out, config, self.metadata, self.raft, self.liveness)
        self.joining = Joining(out, config, self.raft, now_ns, self.departures)
        self.store = ReplicaStore(
            out, tokens, self.metadata, ready.catalogue_log, ready.copies, files,
            config.mark_interval_ns, config.catalogue_rewrite_bytes, boot_id,
        )  # fmt: skip
        self.founding = Founding(out, config, self.raft, self.metadata, self.store, now_ns)
        self.fetcher = Fetcher(out, config, self.metadata, self.liveness)
        self.cursors = Cursors(config, me, self.metadata, self.lease, self.fetcher, self.proposals)
        self.writers = Writers(
            out, config, me, self.metadata, self.raft, self.lease, self.liveness, self.proposals, self.cursors
        )
        self.reader = BlockReader(out, tokens, self.store, self.writers)
        self.recoveries = Recoveries(out, config, self.metadata, self.raft, self.leases, wall)
        self.retention = Retention(config, self.metadata, self.raft, wall)
        self.upkeep = Upkeep(out, config, self.metadata, self.raft, self.liveness)
        self.repairs = Repairs(out, self.store, self.liveness, config.repair_bytes_per_s)
        self.scrub = Scrub(out, config, tokens, self.store, now_ns)
        self.reachability = Reachability(out)
        self.puts = Puts(out, config, self.metadata, sessions, self.writers, self.reachability)
        self.gets = Gets(out, config, self.metadata, sessions, self.cursors, self.fetcher)
        self.service = Service(
            out, config, self.metadata, self.raft, self.liveness, sessions, self.lease, self.proposals, self.reads,
            self.puts, self.gets, self.metrics, self.page,
            Operators(self.metadata, self.raft, self.liveness, sessions, self.proposals, self.departures),
        )  # fmt: skip
        self.removal = Removal(
            self.metadata, self.store, self.writers, self.recoveries, self.upkeep, self.repairs, self.fetcher,
            self.puts, self.gets,
        )  # fmt: skip
        self.farewells = Farewells(out, self.raft, self.liveness, self.reachability, self.cursors)
        self.leaving = Leaving(
            config, self.raft, self.lease, self.farewells, self.writers, self.cursors, sessions, self.waiting,
            self.store.syncs.rest,
        )  # fmt: skip
        self.loop = LoopMeter()
        self.driver: DriverMeasured | None = None  # what the driver measured last
        self.wall_ns = 0  # the time of day of the newest client's bytes
        self._tick_ns = config.heartbeat_interval_ns
        self._tick_at(now_ns)
        self._own = Envelope(0, me[0], me[1], me[0], me[1])  # of the messages that never leave this node
        self._myself = NodeInfo(*me, config.advertise_address, config.client_address)
        self._known = self._myself  # as the metadata has it, where that is right
        self._announced = 0  # rid of this node's own registration while it is proposed
        self._junk_said = False
        self._on = routes(self)

    def begin(self, now_ns: int) -> str:
        """Bootstrap or wait to be called; returns why that is impossible, or ""."""
        recovered, self.group.recovered = self.group.recovered, None
        if recovered is not None:
            self._restore(recovered, now_ns)
        fresh = not self.raft.membership.members
        if fresh and self.founding.may_found:
            if self.raft.may_bootstrap:
                self.group.forget_torn()
                if self.founding.begin():
                    self.group.bootstrap(self._own_info(), now_ns)
        elif fresh and not self.joining.has_targets:
            return (
                f"node {self.config.node_id} has no data and no cluster to join: give --join HOST:PORT of a "
                "running node (only node 1 starts a cluster of its own)"
            )
        return ""

    def _own_info(self) -> RegisterNode:
        node, storage, incarnation = self.me
        return RegisterNode(node, storage, incarnation, self.config.advertise_address, self.config.client_address)

    def must_stop(self) -> str:
        """Why this node can go on no more, or ""."""
        if self.group.removed or self.group.abandoned:
            return why_removed(self.me[:2], abandoned=self.group.abandoned)
        return self.founding.must_stop() or self.joining.refused

    def waiting(self) -> int:
        """Requests of clients that are still under way here."""
        return self.puts.waiting + self.gets.waiting + self.service.waiting

    def leave(self, now_ns: int) -> None:
        self.out.log("info", "Shutting down: handing over segments and leadership")
        self.leaving.begin(now_ns)

    # --- messages ---

    def received(self, envelope: Envelope, message: AnyMessage, now_ns: int) -> None:
        """A message from another node; those that are not for this member of this cluster are dropped."""
        if self.group.admits(envelope, message):
            self.reachability.heard(envelope.sender)
            self._on[type(message)](envelope, message, now_ns)

    def note_junk(self) -> None:
        if not self._junk_said:
            self._junk_said = True
            self.out.log("warn", "bytes on the raft port that are no message of this protocol version were dropped")

    def disconnected(self, node: int, now_ns: int) -> None:
        """The connection to a node broke: what was under way may be lost."""
        self.reachability.disconnected(node, now_ns)
        self.puts.disconnected(node)

    # --- disk ---

    def write_completed(self, token: int, now_ns: int) -> None:
        if not self.group.write_completed(token):
            ours = self.store.write_completed(token)
            assert ours, f"nobody waits for write {token}"

    def read_completed(self, token: int, data: bytes) -> None:
        ours = self.reader.read_completed(token, data) or self.store.read_completed(token, data)
        ours = ours or self.scrub.read_completed(token, data)
        assert ours, f"nobody waits for read {token}"

    def read_failed(self, token: int, error: str) -> None:
        ours = self.reader.read_failed(token, error) or self.store.read_failed(token, error)
        ours = ours or self.scrub.read_failed(token, error)
        assert ours, f"nobody waits for read {token}"

    def space_ran_out(self, change: FileChange) -> bool:
        """The disk has no room for ``change``; False if it is to be asked for again once there is."""
        self.has_no_room()
        return self.store.space_ran_out(change) or self.group.space_ran_out(change.token)

    def has_no_room(self) -> None:
        """Do without new room from now on."""
        self.store.has_no_room()
        self.writers.full = self.group.full = True

    def has_room(self, now_ns: int) -> None:
        """There is room again: go on with what waits for some."""
        self.writers.full = self.group.full = False
        self.store.has_room()
        self.group.take_snapshot(self.metadata, now_ns)

    # --- results between the parts ---

    def settle(self, now_ns: int) -> None:
        """Carry results from part to part until nothing moves."""
        local = self.out.local
        while True:
            if self.raft.dirty:
                self._drain_group(now_ns)
            elif local:
                message = local.popleft()
                self._on[type(message)](self._own, message, now_ns)
            elif not self._carry(now_ns):
                return

    def _drain_group(self, now_ns: int) -> None:
        output = self.group.drain(self.lease, self.leases, now_ns)
        for entry in output.committed:
            reason = self.group.apply(entry, self.metadata)
            self.proposals.committed(entry.index, entry.term, reason)
            spread(self, self.metadata.drain(), now_ns)
        if output.committed:
            self.group.take_snapshot(self.metadata, now_ns)
        for ticket, index in output.reads:
            self.reads.confirmed(ticket, index)
        for ticket in output.failed_reads:
            self.reads.failed(ticket)

    def _restore(self, snapshot: Snapshot, now_ns: int) -> None:
        """Be as if the entries up to the snapshot's had been applied here."""
        self.group.former = snapshot.former_clusters
        for recovery in snapshot.recoveries:
            if recovery not in self.metadata.recoveries:
                self.out.log("warn", f"Of this cluster: {recovery}")
        restore(self.metadata, snapshot)
        self.proposals.skipped(snapshot.index)
        spread(self, self.metadata.drain(), now_ns)

    def _carry(self, now_ns: int) -> bool:
        """Move what one part left for another; False if there was nothing."""
        if self.writers.results:
            results, self.writers.results = self.writers.results, []
            for key, result, pendings in results:
                self.puts.ended(key, result, pendings, now_ns)
        elif self.store.progressed:
            progressed, self.store.progressed = self.store.progressed, {}
            for key in progressed:
                self._copy_progressed(key, now_ns)
        elif self.fetcher.done:
            for done in self.fetcher.drain():
                self.cursors.fetched(done, now_ns)
                self.gets.fetched(done)
        elif self.cursors.results:
            self.gets.flush(now_ns)
        elif self.proposals.outcomes:
            for outcome in self.proposals.drain():
                if not self.cursors.committed(outcome.rid) and not self.service.outcome(outcome):
                    self._announced = 0 if outcome.rid == self._announced else self._announced
        elif self.group.has_durable_snapshot:
            installed = self.group.snapshot_durable(now_ns)
            if installed is not None:
                self._restore(installed, now_ns)
        elif passed := self.reads.drain(self.raft.applied_index):
            for ticket in passed:
                self.service.caught_up(ticket, now_ns)
        elif self.puts.homeless or self.gets.homeless:
            for verb, homeless in ((PUT, self.puts.homeless), (GET, self.gets.homeless)):
                for pending in homeless:
                    self.service.again(verb, pending)
                homeless.clear()
        else:
            return self.service.topics.applied()
        return True

    def _copy_progressed(self, key: tuple[str, int], now_ns: int) -> None:
        self.repairs.progressed(key, now_ns)
        self.reader.opened(key, now_ns)
        replica = self.store.replicas.get(key)
        segment = self.store.segment(key)
        if replica is not None and not self.store.drop_gone(replica) and segment is not None:
            self.store.reconcile(replica, segment)

    # --- time ---

    def deadline(self) -> Deadline:
        next_tick, sync_ns = self._next_tick, self.store.syncs.next_ns
        if sync_ns < next_tick.at_ns and sync_ns < self.raft.alarm.at_ns:
            return Deadline(sync_ns, "sync")
        return next_tick if next_tick.at_ns <= self.raft.alarm.at_ns else self.raft.deadline()

    def _tick_at(self, at_ns: int) -> None:
        self._next_tick = Deadline(at_ns, "tick")
        self.stalled_after_ns = at_ns + STALL_TICKS * self._tick_ns

    def notice_stall(self, now_ns: int) -> None:
        """After ``stalled_after_ns``: this whole process stood still, nobody else is to be suspected for that time."""
        late_ns = now_ns - self._next_tick.at_ns
        self.raft.stalled(late_ns)
        self.leases.stalled(late_ns, now_ns)
        self.loop.stalled(late_ns)
        self._tick_at(now_ns)

    def tick(self, now_ns: int) -> None:
        """Whatever is due."""
        if now_ns >= self.raft.alarm.at_ns:
            self.raft.tick(now_ns)
        self.store.syncs.tick(now_ns)
        if now_ns < self._next_tick.at_ns:
            return
        self.loop.late(now_ns - self._next_tick.at_ns)
        self._tick_at(now_ns + self._tick_ns)
        if self.lease.note(now_ns):
            self.reachability.doubt([node for node in self.metadata.nodes if node != self.me[0]], now_ns)
        self.group.tick(self.leases, self.liveness, now_ns)
        self.group.take_snapshot(self.metadata, now_ns)
        self.joining.tick(now_ns, everybody=self.founding.asks)
        if self.founding.due(now_ns):
            self.group.bootstrap(self._own_info(), now_ns)
        self.founding.tick(now_ns)
        self._announce()
        self.store.notes.tick(now_ns)
        self.recoveries.tick(now_ns)
        self.retention.tick(now_ns)
        self.upkeep.tick(now_ns)
        self.departures.tick(now_ns)
        self.writers.tick(now_ns)
        self.cursors.tick(now_ns)
        self.farewells.tick()
        self.repairs.tick(now_ns)
        self.scrub.tick(now_ns)
        self.fetcher.tick(now_ns)
        self.reachability.tick(now_ns)
        self.puts.tick(now_ns)
        self.gets.tick(now_ns)
        self.service.tick(now_ns)
        self.proposals.settle(self.leases, now_ns)
        self.proposals.tick(now_ns)
        self.reads.tick(now_ns)
        self.leaving.tick(now_ns)

    def _announce(self) -> None:
        """Have the metadata name this lifetime, so that segments of the one before are recovered."""
        known = self.metadata.nodes.get(self.me[0])
        if self._announced or known is self._known:
            return
        if known is not None and msgspec.structs.replace(known, state=ACTIVE) == self._myself:
            self._known = known
        elif self.raft.membership.get(self.me[0]) is not None:
            self._announced = self.proposals.submit(encode(self._own_info()))

    def flush(self, now_ns: int, wall_ns: int) -> None:
        """The driver's turn ends: send what was gathered, in batches."""
        self.settle(now_ns)
        if self.puts.dirty:
            self.puts.flush()
            self.settle(now_ns)
        if self.writers.active:
            self.writers.flush(now_ns, wall_ns)
            self.settle(now_ns)
        self.proposals.flush(now_ns)
        self.reads.flush(now_ns)
        if self.out.local:  # this node leads: it asks itself
            self.settle(now_ns)
        self.store.flush()
        self.store.syncs.schedule(now_ns)
        self.group.flush()

    def metrics(self, now_ns: int) -> bytes:
        """METRICS, as JSON."""
        return to_json(report(self, now_ns))

    def page(self, path: str, accept: bytes, now_ns: int) -> Page:
        """What is at ``path`` over HTTP."""
        return page(path, accept, self, now_ns)
