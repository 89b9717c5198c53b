"""Real Raft machines with their leases, in a world where nothing happens unless a rule says so.

Every message in flight and every write under way is a thing that a rule picks: it arrives, comes twice, late, in
another order, or never. Time passes only when it is told to; each node's clock may run fast or slow. What holds after
every event is checked by tests/raft/raft_checks.py, and here for the leases.
"""

from collections.abc import Callable
from dataclasses import dataclass

from raft_checks import Checks
from raft_network import Batch, Host, info, settings

from walrus.core.config import MS
from walrus.core.lease import Lease, LeaseTable
from walrus.core.peer import Entry, RaftMessage
from walrus.core.raft.output import RaftOutput, Role
from walrus.core.raft.raft import Raft

MILLION = 1_000_000
NEVER_NS = 1 << 61
EVENTS_AT_ONCE_MAX = 20_000
IN_FLIGHT_MAX = 400  # when more wait, the oldest are lost
NOBODY: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Letter:
    """A message in flight."""

    sender: int
    to: int
    message: RaftMessage


def anything(_: Letter) -> bool:
    """Every message passes."""
    return True


class Process(Host):
    """One node: its process, disk and clock. ``paused_ns``: since when the process stands still; -1: it does not."""

    def __init__(self, node: int, rate_ppm: int) -> None:
        super().__init__(node)
        self.rate_ppm = rate_ppm
        self.paused_ns = -1
        self.led = False
        self.lease: Lease
        self.leases: LeaseTable

    def clock(self, world_ns: int) -> int:
        """What its clock says."""
        return world_ns + world_ns * self.rate_ppm // MILLION

    def world_time(self, clock_ns: int) -> int:
        """The first moment at which its clock says so."""
        return -(-clock_ns * MILLION // (MILLION + self.rate_ppm))

    def begin(self, now_ns: int) -> Raft:
        """Start on what the disk holds."""
        raft = self.start(self.node + 10 * self.life, self.clock(now_ns))
        self.lease = Lease(raft.config, raft)
        self.leases = LeaseTable(raft.config)
        self.led = False
        self.paused_ns = -1
        return raft

    def end(self, kept: int) -> None:
        """Lose the process; ``kept`` records of the write under way are on the disk."""
        if self.batches:
            records = self.batches[0].records
            self.write(records[: kept % (len(records) + 1)])
        self.batches.clear()
        self.raft = None


class RaftWorld:
    """Nodes 1 to n; the first has founded the cluster. ``rates_ppm``: how much faster than the world a clock runs."""

    def __init__(self, rates_ppm: list[int]) -> None:
        self.now_ns = 0
        self.hosts = {node: Process(node, rate) for node, rate in enumerate(rates_ppm, start=1)}
        self.checks = Checks(dict(self.hosts))
        # With unequal clocks a quorum may forget a leader that still counts on it: what leases then allow is checked
        # here, and the margin is there for it.
        self.checks.transfers_happened = any(rates_ppm)
        self.in_flight: list[Letter] = []
        self.tickets = 0
        self.commands = 0
        for node in self.hosts:
            self.start(node)
        self.found()

    @property
    def running(self) -> list[Process]:
        """Processes that are there, whether or not they stand still."""
        return [host for host in self.hosts.values() if host.raft is not None]

    @property
    def awake(self) -> list[Process]:
        """Processes that do something when something happens to them."""
        return [host for host in self.running if host.paused_ns < 0]

    @property
    def leaders(self) -> list[Raft]:
        """Those that take themselves for leaders and are awake; the one of the highest term last."""
        found = [host.raft for host in self.awake if host.raft is not None and host.raft.role is Role.LEADER]
        return sorted(found, key=lambda raft: raft.term)

    def clock(self, node: int) -> int:
        """What the clock of ``node`` says now."""
        return self.hosts[node].clock(self.now_ns)

    # --- processes ---

    def found(self) -> None:
        """Node 1 makes a cluster of itself; that much is durable from the start."""
        raft = self.hosts[1].raft
        assert raft is not None
        raft.bootstrap(info(1), [b"first"], self.clock(1))
        self.flush(1)
        self.wrote(1)

    def start(self, node: int) -> None:
        """Start or restart a process."""
        self.hosts[node].begin(self.now_ns)
        self.checks.started(node)
        self.flush(node)

    def crash(self, node: int, kept: int) -> None:
        """Kill a process."""
        self.hosts[node].end(kept)
        self.checks.crashed(node)

    def pause(self, node: int) -> None:
        """Let a process stand still."""
        self.hosts[node].paused_ns = self.now_ns

    def go_on(self, node: int) -> None:
        """Let it run again: it notices that it stood still, before anything else."""
        host = self.hosts[node]
        gap_ns = self.clock(node) - host.clock(host.paused_ns)
        host.paused_ns = -1
        assert host.raft is not None
        host.raft.stalled(gap_ns)
        host.leases.stalled(gap_ns, self.clock(node))
        self.flush(node)

    # --- messages and writes ---

    def deliver(self, position: int) -> None:
        """The message at ``position`` of those in flight arrives, if somebody is there."""
        letter = self.in_flight.pop(position)
        host = self.hosts[letter.to]
        if host.raft is not None and host.paused_ns >= 0:
            self.in_flight.append(letter)  # it waits in the socket
        elif host.raft is not None:
            host.raft.step(letter.sender, letter.message, self.clock(letter.to))
            self.flush(letter.to)

    def wrote(self, node: int) -> None:
        """The write under way at ``node`` is durable."""
        host = self.hosts[node]
        assert host.raft is not None
        batch = host.batches.popleft()
        host.write(batch.records)
        self._send(node, batch.held)
        last = next((record for record in reversed(batch.records) if isinstance(record, Entry)), None)
        if last is not None:
            host.raft.persisted(last.index, last.term)
        self.flush(node)

    def flush(self, node: int) -> None:
        """Do what a node does after an event: drain, send what may go, write the rest."""
        host = self.hosts[node]
        assert host.raft is not None
        out = host.raft.drain()
        self.checks.drained(host.raft, out, self.clock(node))
        self._keep_leases(host, host.raft, out)
        if out.records:
            if len(host.batches) < 2:  # the first is under way
                host.batches.append(Batch())
            host.batches[-1].records.extend(out.records)
        for to, message, durable in out.messages:
            if durable and host.batches:
                host.batches[-1].held.append((to, message))
            else:
                self._send(node, [(to, message)])
        self.check_leases()

    def _send(self, sender: int, messages: list[tuple[int, RaftMessage]]) -> None:
        for to, message in messages:
            self.checks.sent(message)
            self.in_flight.append(Letter(sender, to, message))
        del self.in_flight[:-IN_FLIGHT_MAX]

    # --- leases ---

    def _keep_leases(self, host: Process, raft: Raft, out: RaftOutput) -> None:
        now_ns = self.clock(host.node)
        if raft.role is Role.LEADER and not host.led:
            host.leases.elected(now_ns)
        host.led = raft.role is Role.LEADER
        for node, _ in out.heartbeat_acks:
            host.leases.answered(node, now_ns)
        for _, term, seq, confirmed_seq in out.granted:
            host.lease.heartbeat(term, seq, confirmed_seq, now_ns)

    def check_leases(self) -> None:
        """Nobody holds a lease that the newest leader there has been counts as lapsed. What older ones believe harms
        nobody: nothing that they propose is committed."""
        newest_term = max(self.checks.leaders, default=0)
        newest = self.hosts.get(self.checks.leaders.get(newest_term, 0))
        if newest is None or newest.raft is None or not newest.led or newest.raft.term != newest_term:
            return
        for host in self.running:
            if host is not newest and newest.leases.lapsed(host.node, self.clock(newest.node)):
                held = host.lease.valid(self.clock(host.node))
                assert not held, f"node {host.node} holds a lease that lapsed for leader {newest.node}"

    # --- time ---

    def pass_time(self, duration_ns: int) -> None:
        """Only timers fire; messages and writes stay under way."""
        end_ns = self.now_ns + duration_ns
        while (due := self._next_tick(end_ns)) is not None:
            self._tick(*due)
        self.now_ns = end_ns
        self.check_leases()

    def calm(
        self, duration_ns: int, passes: Callable[[Letter], bool] = anything, slow: frozenset[int] = NOBODY
    ) -> None:
        """Time passes, in which what is under way arrives and becomes durable at once, in order.

        Messages that do not pass, and what the ``slow`` write, stay under way.
        """
        end_ns = self.now_ns + duration_ns
        for _ in range(EVENTS_AT_ONCE_MAX):
            if self._do_one(passes, slow):
                continue
            due = self._next_tick(end_ns)
            if due is None:
                self.now_ns = end_ns
                self.check_leases()
                return
            self._tick(*due)
        raise AssertionError(f"{EVENTS_AT_ONCE_MAX} events in {duration_ns // MS} ms: something spins")

    def _do_one(self, passes: Callable[[Letter], bool], slow: frozenset[int]) -> bool:
        for position, letter in enumerate(self.in_flight):
            waits = self.hosts[letter.to].raft is not None and self.hosts[letter.to].paused_ns >= 0
            if not waits and passes(letter):
                self.deliver(position)
                return True
        for host in self.awake:
            if host.batches and host.node not in slow:
                self.wrote(host.node)
                return True
        return False

    def _next_tick(self, end_ns: int) -> tuple[int, int] | None:
        """(when, node) of the first timer until ``end_ns``."""
        due = []
        for host in self.awake:
            assert host.raft is not None
            at_ns = host.raft.deadline().at_ns
            if at_ns < NEVER_NS:
                due.append((max(self.now_ns, host.world_time(at_ns)), host.node))
        return min(due) if due and min(due)[0] <= end_ns else None

    def _tick(self, at_ns: int, node: int) -> None:
        self.now_ns = at_ns
        raft = self.hosts[node].raft
        assert raft is not None
        raft.tick(self.clock(node))
        self.flush(node)

    # --- requests ---

    def propose(self, raft: Raft) -> None:
        """A client's command, to whoever takes itself for the leader."""
        self.commands += 1
        raft.propose(b"%d" % self.commands, self.clock(raft.node_id))
        self.flush(raft.node_id)

    def read(self, raft: Raft) -> None:
        """A linearizable read."""
        self.tickets += 1
        self.checks.read_requested(self.tickets, raft.node_id)
        assert raft.request_read(self.tickets, self.clock(raft.node_id))
        self.flush(raft.node_id)

    def join(self, raft: Raft, node: int) -> None:
        """``node`` asks to be let in."""
        raft.add_learner(info(node, voter=False), self.clock(raft.node_id))
        self.flush(raft.node_id)

    def hand_over(self, raft: Raft) -> None:
        """The leader shuts down some day and gives its office away."""
        self.checks.transfers_happened = True
        raft.transfer_leadership(self.clock(raft.node_id))
        self.flush(raft.node_id)

    # --- the end ---

    def heal(self) -> None:
        """All faults end; a few seconds later everybody is a voter, agrees with the others, and no read is open."""
        for host in self.hosts.values():
            if host.raft is None:
                self.start(host.node)
            elif host.paused_ns >= 0:
                self.go_on(host.node)
        for _ in range(100):
            self.calm(100 * MS)
            for raft in self.leaders[-1:]:
                for node in self.hosts:
                    if raft.membership.get(node) is None:
                        self.join(raft, node)
            if self.leaders and len(self.leaders[-1].voters) == len(self.hosts):
                break
        self.calm(settings(1).election_timeout_max_ns)
        for raft in self.leaders[-1:]:
            self.propose(raft)
        self.calm(1_000 * MS)
        assert self.checks.converged().voters == tuple(self.hosts)
