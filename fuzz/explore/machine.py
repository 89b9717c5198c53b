"""One real node with its disk, as a value: a step takes a machine and an event, and gives another machine.

The node is :class:`walrus.core.node.Node` with all its parts, codecs, files and recovery; only Raft is replaced, by
:mod:`fuzz.explore.sharedlog`. Time stands still, every timer is due whenever the explorer lets it fire, and each event
is a turn of the driver's loop of its own. Reads complete at once: what they read is durable and changes no more.

Request numbers: before each step the node is told the greatest number of its own that is still in use, in its tables
or in a message, and goes on from there. Numbers that nobody knows any more can so be given again, which keeps the
number of machines finite, and never meet an old one.
"""

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

import msgspec

from fuzz.explore.canonical import Canon
from fuzz.explore.sharedlog import LOG, AlwaysLease, SharedLogGroup, SharedLogRaft, ToldLeases
from fuzz.explore.views import Face, View, view_of
from walrus.core import cursors, fetcher, gets, proposals
from walrus.core import events as ev
from walrus.core import node as node_module
from walrus.core import running as running_module
from walrus.core.actions import Delete, Read, Send, Stop, Truncate, Write
from walrus.core.config import NodeConfig
from walrus.core.gets import Gets
from walrus.core.node import Node
from walrus.core.outbox import Outbox
from walrus.core.peer import Entry, ProposeReply
from walrus.core.puts import Puts
from walrus.core.raft.state import EntriesLost
from walrus.core.routes import routes
from walrus.core.running import Running
from walrus.core.segment import recovery, repair, upkeep, writer
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.repair import Repairs
from walrus.core.segment.syncing import Syncs
from walrus.core.segment.writers import Writers
from walrus.core.service import Service
from walrus.core.storage.appender import Tokens

FAR_NS: Final = 1 << 30  # a deadline that never comes
BROKEN: Final = (AssertionError, EntriesLost, LookupError, TypeError, ValueError, AttributeError)
"""What a node that contradicts itself raises; each is a finding."""

Event = tuple[Any, ...]


def storage_of(node: int) -> int:
    """The storage id of a node's disk, an odd number."""
    return 1000 + 2 * node + 1


class ScopeConfig(NodeConfig, frozen=True, kw_only=True):
    """Settings of a scope's node; pickled as the two numbers in which they differ."""

    def __reduce__(self) -> Any:
        return config_of, (self.node_id, self.max_segment_entries)


_CONFIGS: dict[tuple[int, int], ScopeConfig] = {}


def config_of(node: int, segment_entries: int) -> ScopeConfig:
    """All intervals are 0, so that every timer is due at every tick; deadlines are never reached."""
    found = _CONFIGS.get((node, segment_entries))
    if found is None:
        found = _CONFIGS[node, segment_entries] = ScopeConfig(
            node_id=node, advertise_address=f"node{node}:1", join=("log:1",), max_segment_entries=segment_entries,
            monitor_interval_ns=0, cursor_commit_interval_ns=0, replace_after_ns=0, heartbeat_interval_ns=0,
            rpc_timeout_ns=FAR_NS, mark_interval_ns=0, repair_bytes_per_s=1 << 50,
        )  # fmt: skip
    return found


class _StorageIds:
    """What a node draws from: only the storage id of its fresh disk."""

    def __init__(self, storage: int) -> None:
        self._storage = storage

    def getrandbits(self, k: int) -> int:
        return self._storage


class ScopeNode(Node):
    """A node that can be pickled."""

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        state["_handlers"] = {kind: handler.__name__ for kind, handler in self._handlers.items()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._handlers = {kind: getattr(self, name) for kind, name in state["_handlers"].items()}


class ScopeRunning(Running):
    """A running node that can be pickled."""

    __slots__ = ()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in Running.__slots__ if name != "_on"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._on = routes(self)


@contextmanager
def scope_world() -> Iterator[None]:
    """Nodes made in here share a log, and their timers are always due."""
    changes = (
        (running_module, "Group", SharedLogGroup), (running_module, "Lease", AlwaysLease),
        (running_module, "LeaseTable", ToldLeases), (node_module, "Running", ScopeRunning),
        (recovery, "RESEND_NS", 0), (recovery, "SPARES_AFTER_NS", 0), (repair, "ASK_AGAIN_NS", 0),
        (upkeep, "RESEND_NS", 0), (writer, "PROBE_AFTER_NS", 0), (proposals, "RESEND_AFTER_NS", 0),
        (fetcher, "ASK_AGAIN_NS", 0), (gets, "ASK_AGAIN_NS", 0), (cursors, "SETTLE_NS", 0),
    )  # fmt: skip
    with ExitStack() as stack:
        for module, name, value in changes:
            stack.enter_context(patch.object(module, name, value))
        yield


class Machine:
    """A node (None: it is down) and its disk. Files are durable; ``flying`` are the changes under way, one per path."""

    def __init__(self, node_id: int, segment_entries: int) -> None:
        self.node_id = node_id
        self.segment_entries = segment_entries
        self.storage = storage_of(node_id)
        self.node: ScopeNode | None = None
        self.files: dict[str, bytes] = {}
        self.flying: dict[str, Write | Truncate | Delete] = {}

    # --- events ---

    def take(self, event: Event) -> list[tuple[int, bytes]]:
        """Let one thing happen; returns (to, message) of what was sent."""
        match event:
            case ("message", data):
                return self._turn(ev.MessageReceived(data))
            case ("wrote", path):
                action = self.flying.pop(path)
                self._land(action)
                return self._turn(ev.WriteCompleted(action.token))
            case ("apply", *entries):
                self._apply(entries)
                return self._turn()
            case ("tick", live):
                self.running.leases.live = live
                return self._turn(ev.TimerFired())
            case ("lead", term, index):
                self._raft.lead(term, index)
                return self._turn()
            case ("crash", landed, lost):
                return self._crash(landed, lost)
            case ("start", *entries):
                return self._start(entries)
        raise ValueError(f"unknown event {event!r}")

    @property
    def running(self) -> Any:
        assert self.node is not None
        return self.node.running

    @property
    def _raft(self) -> SharedLogRaft:
        raft: SharedLogRaft = self.running.raft
        return raft

    def _turn(self, *events: ev.Event) -> list[tuple[int, bytes]]:
        """Hand over events and end the turn; reads complete at once, in turns of their own."""
        assert self.node is not None
        sent: list[tuple[int, bytes]] = []
        waiting = [*events, ev.PollFinished()]
        while waiting:
            for action in self.node.handle(waiting.pop(0), 0):
                if isinstance(action, Send):
                    assert not action.after, "only Raft's messages wait for a write"
                    sent.append((action.to, action.data))
                elif isinstance(action, Read):
                    data = self.files[action.path][action.offset : action.offset + action.length]
                    waiting += [ev.ReadCompleted(action.token, data), ev.PollFinished()]
                elif isinstance(action, Write | Truncate | Delete):
                    assert action.path not in self.flying, f"two writes to {action.path}"
                    self.flying[action.path] = action
                else:
                    assert not isinstance(action, Stop), f"the node stopped: {action}"
        if self.node.running is not None:
            sent += [(LOG, command) for command in self._raft.proposed]
            self._raft.proposed.clear()
        return sent

    def _apply(self, entries: list[Entry]) -> None:
        """The next entries of the log; the leader's word that this node's own proposal took effect comes with them."""
        self._raft.offer(entries)
        for entry in entries:
            for rid, pending in self.running.proposals._pending.items():
                if pending.command == entry.data:
                    self.running.out.local.append(ProposeReply(rid, entry.index, True, ""))

    def _land(self, action: Write | Truncate | Delete) -> None:
        old = self.files.get(action.path, b"")
        if isinstance(action, Delete):
            self.files.pop(action.path, None)
        elif isinstance(action, Truncate):
            self.files[action.path] = old[: action.size]
        else:
            assert action.offset <= len(old), f"a write leaves a hole in {action.path}"
            self.files[action.path] = old[: action.offset] + action.data + old[action.offset + len(action.data) :]

    def _crash(self, landed: tuple[str, ...], lost: tuple[str, ...]) -> list[tuple[int, bytes]]:
        """The process is gone. Of the writes in flight those to ``landed`` got through; files ``lost`` are lost."""
        for path in landed:
            self._land(self.flying[path])
        for path in lost:
            self.files.pop(path, None)
        self.flying.clear()
        self.node = None
        return []

    def _start(self, entries: list[Entry]) -> list[tuple[int, bytes]]:
        """Recover, apply what every scope begins with, and let the first tick announce this lifetime."""
        self.node = ScopeNode(config_of(self.node_id, self.segment_entries), _StorageIds(self.storage), 0)
        self._turn(ev.Started({path: len(data) for path, data in sorted(self.files.items())}, 0))
        while self.node.running is None:
            action = self.flying.pop(next(iter(self.flying)))
            self._land(action)
            self._turn(ev.WriteCompleted(action.token))
        write = self.running.group.joined()
        if write is not None:
            self._land(write)
            self.running.group.journaled(write.token)
        self._raft.offer(entries)
        return self._turn() + self._turn(ev.TimerFired())


class Machines:
    """All machines of an exploration, by number; each step is computed once."""

    def __init__(self, prompt_disks: tuple[int, ...]) -> None:
        """The disks of ``prompt_disks`` do at once what they are asked for."""
        self._prompt_disks = prompt_disks
        self.views: list[View] = []
        self.faces: list[int] = []  # equal numbers, equal faces
        self._faces_known: dict[Face, int] = {}
        self._data: list[bytes] = []
        self._known: dict[bytes, int] = {}
        self._canon: Canon | None = None

    def add(self, machine: Machine) -> int:
        """The number of this machine's content."""
        content, rids = self.content(machine)
        digest = hashlib.blake2b(msgspec.msgpack.encode(content), digest_size=16).digest()
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = len(self.views)
            view = view_of(machine, rids)
            self.views.append(view)
            self.faces.append(self._faces_known.setdefault(view.face, len(self._faces_known)))
            self._data.append(pickle.dumps(machine, pickle.HIGHEST_PROTOCOL))
        return found

    def get(self, number: int) -> Machine:
        """A copy of the machine."""
        machine: Machine = pickle.loads(self._data[number])
        return machine

    def step(self, number: int, event: Event, rid: int) -> tuple[int, list[tuple[int, bytes]]]:
        """The machine after ``event``, and what it sent; ``rid`` is the greatest of its request numbers in messages."""
        machine = self.get(number)
        sent = self.carry_out(machine, event, rid, self.views[number].rids)
        return self.add(machine), sent

    def carry_out(
        self, machine: Machine, event: Event, rid: int, rids: frozenset[int]
    ) -> list[tuple[int, bytes]]:  # fmt: skip
        """Let a machine that knows the request numbers ``rids`` take an event."""
        if machine.node is not None:
            machine.node.out._last_rid = max(rid, machine.running.me[2] << 40, *rids)
        sent = machine.take(event)
        while machine.flying and machine.node_id in self._prompt_disks:
            sent += machine.take(("wrote", min(machine.flying)))
        return sent

    def content(self, machine: Machine) -> tuple[Any, frozenset[int]]:
        """What decides all that this machine will do, and the request numbers in it."""
        disk = sorted(machine.files.items())
        if machine.node is None:
            return (machine.node_id, machine.storage, disk), frozenset()
        running = machine.running
        parts = {name: getattr(running, name) for name in Running.__slots__ if name not in _COUNTED[ScopeRunning]}
        if self._canon is None:
            kinds = {type(part) for part in parts.values() if _is_part(part)}
            skip = {Outbox: {"_last_rid"}, **_COUNTED}
            skip[ScopeRunning] = {"_on", *_COUNTED[ScopeRunning]}
            self._canon = Canon((*kinds, Outbox, Tokens, _StorageIds, ScopeConfig), skip)
        canon = self._canon
        content = canon.write([running, *(part for part in parts.values() if _is_part(part))])
        flying = [_without_token(action) for _, action in sorted(machine.flying.items())]
        return (machine.node_id, disk, flying, content), frozenset(canon.rids)


# What a node counts about itself decides nothing: states that differ only in it are one state. Nor does how fast a copy
# may be completed, where time stands still; and the next deadline of syncs follows from those that are due.
_COUNTED: Final[dict[type, set[str]]] = {
    ScopeRunning: {"driver", "loop", "wall_ns"},
    Puts: {"meter"},
    Gets: {"meter"},
    Service: {"leaderless"},
    Recoveries: {"count", "power_cut_seals"},
    Repairs: {"_pace"},
    Syncs: {"next_ns"},
    Writers: {"_draining_since", "rollovers"},
}


def _is_part(value: object) -> bool:
    """A part of a node, which others refer to, and no value."""
    return type(value).__module__.startswith(("walrus.", "fuzz.")) and not isinstance(value, msgspec.Struct)


def _without_token(action: Write | Truncate | Delete) -> tuple[Any, ...]:
    return type(action).__name__, *(getattr(action, name) for name in action.__struct_fields__ if name != "token")
