"""One real Raft machine with its journal, as a value: a step takes a machine and an event, and gives another machine.

Time stands still at 0. A voter's clock may say at any moment that it has not heard from a leader for long enough, and
never forbids it to vote: that is more than real clocks do, so elections are safe with any clocks if they are here.
Records are journaled as :class:`walrus.core.group.Group` does it: one write at a time, all that waits goes with the
next, and what must not be said before a record is durable waits for its write.
"""

import hashlib
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from fuzz.explore.canonical import Canon
from walrus.core.codec import decode_message, encode_message
from walrus.core.config import NodeConfig
from walrus.core.peer import Entry, Envelope, RaftMessage
from walrus.core.raft.membership import MemberInfo
from walrus.core.raft.output import LEADER, HardState
from walrus.core.raft.raft import Raft
from walrus.core.raft.rounds import LONG_AGO_NS

Sent = list[tuple[int, RaftMessage]]
Event = tuple[Any, ...]

_FAR_NS: Final = 1 << 40


class _NoChance:
    """The least of every range; a timer fires when the explorer says so, whatever was drawn."""

    def randrange(self, start: int, stop: int) -> int:
        return start


_CHANCE: Final = _NoChance()


class RaftConfig(NodeConfig, frozen=True, kw_only=True):
    """Settings of a scope's node; pickled as its number."""

    def __reduce__(self) -> Any:
        return config_of, (self.node_id,)


_CONFIGS: dict[int, RaftConfig] = {}


def config_of(node: int) -> RaftConfig:
    """Timeouts never pass by themselves; a message that is owed is sent again with each heartbeat's answer."""
    found = _CONFIGS.get(node)
    if found is None:
        found = _CONFIGS[node] = RaftConfig(
            node_id=node, advertise_address=f"node{node}:1", heartbeat_interval_ns=0, lease_ns=_FAR_NS,
            election_timeout_min_ns=_FAR_NS, election_timeout_max_ns=_FAR_NS,
        )  # fmt: skip
    return found


def storage_of(node: int) -> int:
    """The storage id of a node's disk."""
    return 1000 + node


def info_of(node: int, *, voter: bool) -> MemberInfo:
    """A node as a member."""
    return MemberInfo(node, storage_of(node), f"node{node}:1", voter)


def packed(message: RaftMessage) -> bytes:
    """A message as it goes over the wire."""
    return encode_message(Envelope(0, 0, 0, 0, 0), message)


@cache
def unpacked(data: bytes) -> RaftMessage:
    """What arrives of it."""
    decoded = decode_message(data)
    assert decoded is not None
    assert isinstance(decoded[1], RaftMessage)
    return decoded[1]


class Write(NamedTuple):
    """Records on their way to the journal, and what is said once they are there."""

    records: tuple[HardState | Entry, ...] = ()
    messages: tuple[tuple[int, RaftMessage], ...] = ()


class RaftView(NamedTuple):
    """What the explorer and its invariants see of a machine."""

    up: bool
    term: int
    leads: bool
    voter: bool
    commit: int
    log: tuple[Entry, ...]
    flying: int  # records in the write under way


class RaftMachine:
    """A Raft machine (None: its process is down), its journal, the write under way and the next one."""

    def __init__(self, node: int, records: list[HardState | Entry]) -> None:
        self.node = node
        self.journal = records
        self.flying: Write | None = None
        self.waiting = Write()
        self.raft: Raft | None = None

    def take(self, event: Event) -> Sent:
        """Let one thing happen; returns what was sent."""
        match event:
            case ("start",):
                hard_state, entries = recovered(self.journal)
                self.raft = Raft(
                    self.node, storage_of(self.node), config_of(self.node), _CHANCE, hard_state=hard_state,
                    entries=entries, now_ns=0,
                )  # fmt: skip
                return self._settle([])
            case ("crash", landed):
                assert self.flying is not None or not landed
                self.journal += self.flying.records[:landed] if self.flying else ()
                self.flying, self.waiting, self.raft = None, Write(), None
                return []
            case ("wrote",):
                return self._wrote()
            case ("message", sender, data):
                return self._do(lambda raft: raft.step(sender, unpacked(data), 0))
            case ("timeout",):
                return self._do(_time_out)
            case ("heartbeat",):
                return self._do(_beat)
            case ("abandoned",):
                return self._do(_abandon)
            case ("propose", data):
                return self._do(lambda raft: raft.propose(data, 0))
            case ("learner", node):
                return self._do(lambda raft: raft.add_learner(info_of(node, voter=False), 0))
            case ("transfer",):
                return self._do(lambda raft: raft.transfer_leadership(0))
        raise ValueError(f"unknown event {event!r}")

    def _do(self, what: Callable[[Raft], object]) -> Sent:
        assert self.raft is not None
        what(self.raft)
        return self._settle([])

    def _wrote(self) -> Sent:
        assert self.raft is not None
        assert self.flying is not None
        write, self.flying = self.flying, None
        self.journal += write.records
        entries = [record for record in write.records if isinstance(record, Entry)]
        if entries:
            self.raft.persisted(entries[-1].index, entries[-1].term)
        return self._settle(list(write.messages))

    def _settle(self, sent: Sent) -> Sent:
        """Journal and send what the machine says; forget what a clock would have noted."""
        raft = self.raft
        assert raft is not None
        while raft.dirty:
            output = raft.drain()
            self.waiting = Write((*self.waiting.records, *output.records), self.waiting.messages)
            for to, message, durable in output.messages:
                if durable and self.waiting.records:
                    self.waiting = self.waiting._replace(messages=(*self.waiting.messages, (to, message)))
                elif durable and self.flying is not None:
                    self.flying = self.flying._replace(messages=(*self.flying.messages, (to, message)))
                else:
                    sent.append((to, message))
        if self.flying is None and self.waiting.records:
            self.flying, self.waiting = self.waiting, Write()
        raft._leader_heard_ns = LONG_AGO_NS
        if raft._lead is not None:
            raft._lead.rounds.quorum_contact_ns = LONG_AGO_NS
        return sent


def _time_out(raft: Raft) -> None:
    raft._timer.at_ns = 0
    raft.tick(0)


def _beat(raft: Raft) -> None:
    """The heartbeat is due, and a quorum has answered of late."""
    raft.tick(0)


def _abandon(raft: Raft) -> None:
    """The heartbeat is due, and no quorum has answered for too long."""
    assert raft._lead is not None
    for progress in raft._lead.progress.values():
        progress.contact_ns = LONG_AGO_NS
    raft.tick(0)


def recovered(journal: list[HardState | Entry]) -> tuple[HardState, list[Entry]]:
    """What a journal amounts to: the last hard state; an entry at or below the last one replaces the suffix."""
    hard_state, entries = HardState(), []
    for record in journal:
        if isinstance(record, HardState):
            hard_state = record
        else:
            entries[record.index - 1 :] = [record]
    return hard_state, entries


class RaftMachines:
    """All machines of an exploration, by number; each step is computed once."""

    def __init__(self) -> None:
        self.views: list[RaftView] = []
        self._data: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._steps: dict[tuple[int, Event], tuple[int, Sent]] = {}
        self._canon = Canon((RaftConfig, _NoChance, Raft), {})

    def add(self, machine: RaftMachine) -> int:
        """The number of this machine's content."""
        # Two journals that amount to the same are the same: what was replaced in them is never read again.
        hard_state, entries = recovered(machine.journal)
        machine.journal = [hard_state, *entries]
        digest = hashlib.blake2b(msgspec.msgpack.encode(self._content(machine)), digest_size=16).digest()
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = len(self.views)
            self.views.append(_view_of(machine))
            self._data.append(pickle.dumps(machine, pickle.HIGHEST_PROTOCOL))
        return found

    def step(self, number: int, event: Event) -> tuple[int, Sent]:
        """The machine after ``event``, and what it sent."""
        key = (number, event)
        found = self._steps.get(key)
        if found is None:
            machine: RaftMachine = pickle.loads(self._data[number])
            sent = machine.take(event)
            found = self._steps[key] = (self.add(machine), sent)
        return found

    def _content(self, machine: RaftMachine) -> tuple[Any, ...]:
        writes = [write for write in (machine.flying, machine.waiting) if write is not None]
        raft = self._canon.write([machine.raft]) if machine.raft is not None else ()
        return machine.node, machine.journal, machine.flying is None, [_plain(write) for write in writes], raft


def _plain(write: Write) -> tuple[Any, ...]:
    return [(type(r).__name__, r) for r in write.records], [(to, type(m).__name__, m) for to, m in write.messages]


def _view_of(machine: RaftMachine) -> RaftView:
    flying = len(machine.flying.records) if machine.flying is not None else 0
    raft = machine.raft
    if raft is None:
        hard_state, entries = recovered(machine.journal)
        return RaftView(False, hard_state.term, False, False, 0, tuple(entries), 0)
    log = tuple(raft.log.slice(1, raft.log.last_index))
    return RaftView(True, raft.term, raft.role is LEADER, raft.is_voter, raft.commit_index, log, flying)
