"""A deterministic little world for several Raft instances: messages, disks, clock and a seeded order of events.

Each host keeps its parent's side of the contract: records are written in batches, one write at a time; durable
messages wait for them; a crash loses what was not written, but for a prefix of the batch under way.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from raft_checks import Checks

from walrus.core.config import MS, NodeConfig
from walrus.core.peer import Entry, RaftMessage
from walrus.core.raft.membership import MemberInfo
from walrus.core.raft.output import HardState, RaftOutput, Role
from walrus.core.raft.raft import Raft


def settings(node: int) -> NodeConfig:
    """Default settings for node ``node``."""
    return NodeConfig(node_id=node, advertise_address=f"node{node}:6001")


def storage_of(node: int) -> int:
    """The storage id of ``node`` in all tests."""
    return 1000 + node


def info(node: int, *, voter: bool = True) -> MemberInfo:
    """The member record of ``node`` in all tests."""
    return MemberInfo(node, storage_of(node), f"node{node}:6001", voter)


@dataclass
class Batch:
    """One write: its records, and the messages that wait for it."""

    records: list[HardState | Entry] = field(default_factory=list)
    held: list[tuple[int, RaftMessage]] = field(default_factory=list)


class Host:
    """One node's process and disk."""

    def __init__(self, node: int) -> None:
        self.node = node
        self.hard_state = HardState()
        self.entries: list[Entry] = []
        self.raft: Raft | None = None
        self.life = 0
        self.batches: deque[Batch] = deque()
        self.writing = False
        self.outputs = RaftOutput()

    def write(self, records: list[HardState | Entry]) -> None:
        """Make ``records`` durable."""
        for record in records:
            if isinstance(record, HardState):
                self.hard_state = record
            else:
                del self.entries[record.index - 1 :]
                assert len(self.entries) == record.index - 1, "the disk's log has a gap"
                self.entries.append(record)

    def crash(self, rng: random.Random) -> None:
        """Lose the process and what was not written; some of the write under way may have reached the disk."""
        if self.batches and self.writing:
            records = self.batches[0].records
            self.write(records[: rng.randrange(0, len(records) + 1)])
        self.batches.clear()
        self.writing = False
        self.raft = None

    def start(self, seed: int, now_ns: int) -> Raft:
        """Begin a life with what is on the disk."""
        self.life += 1
        self.raft = Raft(
            self.node,
            storage_of(self.node),
            settings(self.node),
            random.Random(seed),
            hard_state=self.hard_state,
            entries=list(self.entries),
            now_ns=now_ns,
        )
        return self.raft


class Network:
    """Hosts 1..n, a queue of what happens next, and faults that a test may switch on."""

    def __init__(self, nodes: int, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.now_ns = 0
        self.hosts = {node: Host(node) for node in range(1, nodes + 1)}
        self.checks = Checks(self.hosts)
        self.cut: set[tuple[int, int]] = set()  # (from, to)
        self.drop_share = 0.0
        self.duplicate_share = 0.0
        self.delay_ns = (1 * MS, 1 * MS + 1)
        self.write_ns = (1 * MS, 1 * MS + 1)
        self.notes: list[tuple[int, str]] = []
        self._queue: list[tuple[int, int, tuple[object, ...]]] = []
        self._order = 0
        for host in self.hosts.values():
            self.start(host.node)

    # --- Faults and requests ---

    def start(self, node: int) -> Raft:
        """Start or restart a host."""
        host = self.hosts[node]
        raft = host.start(self.rng.randrange(1 << 30), self.now_ns)
        self.checks.started(node)
        self._plan_tick(host)
        return raft

    def crash(self, node: int) -> None:
        """Kill a host."""
        self.hosts[node].crash(self.rng)
        self.checks.crashed(node)

    def isolate(self, node: int) -> None:
        """Cut a host off, both ways."""
        for other in self.hosts:
            self.cut |= {(node, other), (other, node)}

    def heal(self) -> None:
        """End all network faults."""
        self.cut.clear()
        self.drop_share = self.duplicate_share = 0.0

    def raft(self, node: int) -> Raft:
        """The running instance of ``node``."""
        raft = self.hosts[node].raft
        assert raft is not None
        return raft

    def leader(self) -> Raft | None:
        """The running leader of the highest term."""
        leaders = [raft for raft in self.running() if raft.role is Role.LEADER]
        return max(leaders, key=lambda raft: raft.term, default=None)

    def running(self) -> list[Raft]:
        """All running instances."""
        return [host.raft for host in self.hosts.values() if host.raft is not None]

    # --- The loop ---

    def flush(self, node: int) -> RaftOutput:
        """Do what a parent does after an event: drain, send, write."""
        host = self.hosts[node]
        raft = self.raft(node)
        out = raft.drain()
        self.checks.drained(raft, out, self.now_ns)
        self.notes.extend((node, note) for note in out.notes)
        if out.records:
            if len(host.batches) < 2:
                host.batches.append(Batch())
            host.batches[-1].records.extend(out.records)
        for to, message, durable in out.messages:
            if durable and host.batches:
                host.batches[-1].held.append((to, message))
            else:
                self.send(node, to, message)
        self._write_next(host)
        self._plan_tick(host)
        return out

    def send(self, sender: int, to: int, message: RaftMessage) -> None:
        """Put a message on the wire, with today's faults."""
        self.checks.sent(message)
        for _ in range(2 if self.rng.random() < self.duplicate_share else 1):
            if (sender, to) in self.cut or self.rng.random() < self.drop_share:
                continue
            self._plan(self.now_ns + self.rng.randrange(*self.delay_ns), ("deliver", sender, to, message))

    def _plan(self, at_ns: int, what: tuple[object, ...]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (at_ns, self._order, what))

    def _plan_tick(self, host: Host) -> None:
        assert host.raft is not None
        at_ns = host.raft.deadline().at_ns
        if at_ns < 1 << 61:
            self._plan(max(at_ns, self.now_ns), ("tick", host.node, host.life, at_ns))

    def _write_next(self, host: Host) -> None:
        if host.batches and not host.writing:
            host.writing = True
            self._plan(self.now_ns + self.rng.randrange(*self.write_ns), ("written", host.node, host.life))

    def step(self) -> None:
        """Let the next event happen."""
        self.now_ns, _, what = heapq.heappop(self._queue)
        match what:
            case ("deliver", sender, to, message):
                host = self.hosts[to]  # type: ignore[index]
                if host.raft is None or (sender, to) in self.cut:
                    return
                host.raft.step(sender, message, self.now_ns)  # type: ignore[arg-type]
            case ("tick", node, life, at_ns):
                host = self.hosts[node]  # type: ignore[index]
                if host.raft is None or host.life != life or host.raft.deadline().at_ns != at_ns:
                    return
                host.raft.tick(self.now_ns)
            case ("written", node, life):
                host = self.hosts[node]  # type: ignore[index]
                if host.raft is None or host.life != life:
                    return
                self._written(host)
        self.flush(host.node)

    def _written(self, host: Host) -> None:
        assert host.raft is not None
        batch = host.batches.popleft()
        host.writing = False
        host.write(batch.records)
        for to, message in batch.held:
            self.send(host.node, to, message)
        last = next((record for record in reversed(batch.records) if isinstance(record, Entry)), None)
        if last is not None:
            host.raft.persisted(last.index, last.term)

    def run_for(self, duration_ns: int) -> None:
        """Let time pass."""
        until_ns = self.now_ns + duration_ns
        while self._queue and self._queue[0][0] <= until_ns:
            self.step()
        self.now_ns = until_ns

    # --- Common scenes ---

    def bootstrap(self, commands: list[bytes] | None = None) -> None:
        """Make node 1 a cluster of one."""
        self.raft(1).bootstrap(info(1), commands or [], self.now_ns)
        self.flush(1)

    def join(self, node: int) -> str:
        """Ask the leader to add ``node``."""
        leader = self.leader()
        if leader is None:
            return "no leader"
        error = leader.add_learner(info(node, voter=False), self.now_ns)
        self.flush(leader.node_id)
        return error

    def propose(self, data: bytes) -> int:
        """Propose at the leader; 0 if there is none."""
        leader = self.leader()
        index = leader.propose(data, self.now_ns) if leader is not None else 0
        if leader is not None:
            self.flush(leader.node_id)
        return index


def cluster(voters: int, spare: int = 0, seed: int = 1) -> Network:
    """A network in which nodes 1 to ``voters`` are voters and node 1 leads; ``spare`` more run unattached."""
    network = Network(voters + spare, seed)
    network.bootstrap([b"first"])
    network.run_for(10 * MS)
    for node in range(2, voters + 1):
        assert network.join(node) == ""
        network.run_for(300 * MS)
    leader = network.leader()
    assert leader is not None
    assert leader.node_id == 1
    assert leader.membership.voters == tuple(range(1, voters + 1))
    return network
