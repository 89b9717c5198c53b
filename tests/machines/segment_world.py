"""The data path of whole nodes without Raft: real stores, writers, recoverers, repairs, upkeep, and a committed log.

Nothing happens unless a rule says so: messages arrive, come twice or are lost, writes complete or not, processes end,
somebody is elected, a command commits, a node applies it. Leases and suspicions are whims of the story: they may never
decide which records exist. What holds after every step is checked by tests/machines/segment_ledger.py.
"""

from typing import Final

from power_disk import Fate, PowerDisk
from segment_fixtures import TOPIC, member, register, writer_of
from segment_ledger import Ledger
from segment_process import NODES, TICK_NS, Letter, Process, Whims

from walrus.core.metadata.commands import AnyCommand, CreateTopic, decode
from walrus.core.raft.output import Role

IN_FLIGHT_MAX: Final = 300
ROUNDS_MAX: Final = 5_000


class SegmentWorld:
    """Four nodes, and the log that they apply. ``frail``: the one node that may lose files."""

    def __init__(self, frail: int) -> None:
        self.now_ns = 0
        self.frail = frail
        self.term = self.leader = 0
        self.whims = Whims()
        self.in_flight: list[Letter] = []
        self.log: list[tuple[int, AnyCommand]] = []
        self.pending: list[tuple[int, AnyCommand]] = []  # (term, command): proposed, not committed
        self.disks = {node: PowerDisk() for node in NODES}
        self.incarnations = dict.fromkeys(NODES, 0)
        self.processes: dict[int, Process] = {}
        self.ledger = Ledger(self.disks)
        for node in NODES:
            self.start(node)
        for node in NODES:
            self._commit(0, register(node))
        self._commit(0, CreateTopic(TOPIC, writer_of(1), tuple(member(node) for node in (1, 2, 3))))
        self.elect(1, 0)

    # --- processes ---

    def start(self, node: int) -> None:
        """Start or restart a process."""
        self.incarnations[node] += 1
        self.processes[node] = Process(self, node, self.incarnations[node], self.disks[node])
        self.processes[node].turn()

    def crash(self, node: int, fate: Fate) -> None:
        """Kill a process and cut the power of its disk."""
        del self.processes[node]
        disk = self.disks[node]
        holes = disk.power_fails(dict.fromkeys(disk.flying, fate))
        assert not holes

    def lose_file(self, number: int) -> bool:
        """A copy on the frail node's disk is gone; only while its process is down."""
        path = f"user_data/{TOPIC}:{number}.wal"
        if self.frail in self.processes or path not in self.disks[self.frail].files:
            return False
        del self.disks[self.frail].files[path]
        self.ledger.lost.add((self.frail, number))
        return True

    # --- the log ---

    def elect(self, node: int, kept: int) -> None:
        """A node is elected, which has applied everything; of what was proposed the first ``kept`` commands commit."""
        for term, command in self.pending[:kept]:
            self._commit(term, command)
        self.pending.clear()
        process = self.processes[node]
        self.term, self.leader = self.term + 1, node
        process.office.role, process.office.term = Role.FOLLOWER, self.term
        self.hear_of_leader(node)
        while process.applied < len(self.log):
            process.apply()
        process.office.role = Role.LEADER
        process.tick()

    def hear_of_leader(self, node: int) -> None:
        """A node learns who leads."""
        office = self.processes[node].office
        office.leader = self.leader
        if node != self.leader:
            office.role = Role.FOLLOWER

    def proposed(self, term: int, command: bytes) -> int:
        """A leader proposes; what a deposed one does never commits. Returns the place in the log."""
        if term == self.term:
            self.pending.append((term, decode(command)))
        return len(self.log) + len(self.pending) + (term != self.term)

    def commit(self) -> None:
        """The oldest proposal commits."""
        self._commit(*self.pending.pop(0))

    def _commit(self, term: int, command: AnyCommand) -> None:
        self.log.append((term, command))
        self.ledger.committed(command)

    # --- messages ---

    def deliver(self, position: int) -> None:
        """The message at ``position`` arrives, if somebody is there."""
        letter = self.in_flight.pop(position)
        if letter.to in self.processes:
            self.processes[letter.to].receive(letter)
        del self.in_flight[:-IN_FLIGHT_MAX]

    def one_thing(self, awake: frozenset[int], slow: frozenset[int], *, commits: bool) -> bool:
        """What is under way between those awake moves on by one step; False if nothing is."""
        for position, letter in enumerate(self.in_flight):
            if letter.sender in awake and letter.to in awake and letter.to in self.processes:
                self.deliver(position)
                return True
        for node in awake:
            if node in self.processes and node not in slow and self.disks[node].flying:
                self.processes[node].completed(next(iter(self.disks[node].flying)))
                return True
        if commits and self.pending:
            self.commit()
            return True
        for node in awake:
            if node in self.processes and self.processes[node].applied < len(self.log):
                self.processes[node].apply()
                return True
        return False

    def calm(self, ticks: int, awake: frozenset[int], slow: frozenset[int], *, commits: bool) -> None:
        """Time passes, in which all that is under way between those awake arrives, is written, commits, is applied.

        Nothing that the ``slow`` write becomes durable.
        """
        for _ in range(ticks):
            for node in awake:
                if node in self.processes:
                    self.hear_of_leader(node)
                    self.processes[node].tick()
            for _ in range(ROUNDS_MAX):
                if not self.one_thing(awake, slow, commits=commits and self.leader in awake):
                    break
            else:
                raise AssertionError(f"{ROUNDS_MAX} steps in one tick: something spins")
            self.now_ns += TICK_NS

    def heal(self) -> None:
        """All faults end; a few seconds later the topic takes a record, and all copies are whole."""
        self.whims.without = self.whims.suspected = frozenset()
        for node in NODES:
            if node not in self.processes:
                self.start(node)
        everyone = frozenset(NODES)
        self.elect(1, len(self.pending))
        for _ in range(6):
            self.calm(20, everyone, frozenset(), commits=True)
            if not self.unsettled():
                break
        assert not self.unsettled(), self.unsettled()
        writers = [process for process in self.processes.values() if process.put([b"last"])]
        assert len(writers) == 1
        self.calm(4, everyone, frozenset(), commits=True)
        self.ledger.judge({node: process.metadata for node, process in self.processes.items()})

    def unsettled(self) -> str:
        """What is missing for all to be well; "" if nothing is."""
        segments = self.ledger.metadata.topics[TOPIC].segments
        for segment in segments[:-1]:
            for node, _ in segment.members:
                replica = self.processes[node].store.replicas.get((TOPIC, segment.number))
                if replica is None or not replica.complete:
                    return f"the copy of segment {segment.number} on node {node} is not complete"
        last = segments[-1]
        writer = self.processes[last.writer[0]]
        if last.writer != writer.me or last.state:
            return f"segment {last.number} has no writer"
        return ""
