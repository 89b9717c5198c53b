"""The driver of one node in the simulated world: executes actions, collects completions, asks for the
deadline.

It does what :mod:`walrus.io` does with sockets and files, and like it decides nothing. Events that come
within one turn are handed over one after the other and then ``PollFinished``; how long a turn gathers is
random. A crash forgets the node, the actions held back and every event not yet handed over.
"""

from collections.abc import Callable
from typing import Final, Protocol

from walrus.core.actions import (
    Action,
    Delete,
    ForgetPeer,
    Log,
    PauseReading,
    Read,
    Rename,
    Reply,
    ResumeReading,
    Send,
    SendToAddress,
    SetPeerAddress,
    Stop,
    Truncate,
    Write,
)
from walrus.core.config import Deadline, NodeConfig
from walrus.core.events import Event, PollFinished, SpaceRanOut, Started, TimerFired, WriteCompleted, WriteFailed
from walrus.sim.clock import Clock
from walrus.sim.disk import Disk
from walrus.sim.network import Network
from walrus.sim.rng import Rng
from walrus.sim.streams import Streams
from walrus.sim.world import SECOND, US, Violation, World

_POLL_FINISHED: Final = PollFinished()
_TIMER_FIRED: Final = TimerFired()
_LEAST_SLEEP_NS: Final = 1 * US
_START_ANEW: Final = ("was removed from the cluster", "without hearing of")
"""Reasons to stop after which an operator starts the node on an empty disk."""


class NodeLike(Protocol):
    """What a driver needs of :class:`walrus.core.node.Node`."""

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        """Take one event, return what to do."""

    def next_deadline(self) -> Deadline | None:
        """The one next moment at which to call with ``TimerFired``."""


NodeFactory = Callable[[NodeConfig, Rng, int], NodeLike]


class Host:
    """One node's process, its disk and its clock.

    ``life`` counts the processes started; for the checkers ``after_turn`` is called at the end of every turn
    and ``before_end`` before the process ends. ``injured`` says what faults did to the disk that may make the process
    stop itself; ``dead``: no process can start on this disk any more.
    """

    def __init__(
        self,
        world: World,
        config: NodeConfig,
        factory: NodeFactory,
        network: Network,
        streams: Streams,
        disk_latency_ns: tuple[int, int],
        after_turn: Callable[["Host"], None],
        before_end: Callable[["Host"], None],
    ) -> None:
        self.node_id = config.node_id
        self.config = config
        self.node: NodeLike | None = None
        self.life = 0
        self.heard_from: dict[int, bool] = {}  # peers with a connection to this process
        self.stopped_because = ""
        self.injured = ""
        self.dead = False
        self.boots = 1  # how often the machine was switched on
        self.paused = False
        self.beside = False  # in another cluster than the rest, see :mod:`walrus.sim.foundings`
        self.stood_still_ns = 0  # how long this process was paused, all in all
        self.gather_per_million = 100_000  # turns that gather events for a while
        self.gather_most_ns = 500 * US
        self._world = world
        self._factory = factory
        self._network = network
        self._streams = streams
        self._after_turn = after_turn
        self._before_end = before_end
        self.when_stranded: Callable[[Host], None] | None = None
        self._rng = world.rng.stream(f"host {self.node_id}")
        self.disk = Disk(world, world.rng.stream(f"disk {self.node_id}"), self.deliver, disk_latency_ns)
        self.clock = Clock(world, self._rng.randrange(1, 1000) * SECOND)
        self._paused_ns = 0
        self._inbox: list[Event] = []
        self._turn_due = False
        self._wake_at_ns = -1  # -1: no wake-up is pending
        self._peers: dict[int, str] = {}
        self._pending: set[int] = set()  # tokens of writes in flight, or without room; membership only
        self._roomless: set[int] = set()  # those without room, which may be asked for again; membership only
        self._durable: set[int] = set()  # tokens of completed writes
        self._held: dict[int, list[Send]] = {}
        self._do: dict[type[Action], Callable[..., None]] = self._table()
        streams.open_at[self.node_id] = {}

    @property
    def up(self) -> bool:
        """Whether the process runs."""
        return self.node is not None

    @property
    def held_back(self) -> int:
        """Messages that wait for a write to become durable."""
        return sum(map(len, self._held.values()))

    @property
    def world_ns(self) -> int:
        """Simulated time, which no node knows."""
        return self._world.now_ns

    def now_ns(self) -> int:
        """What its own clock says."""
        return self.clock.now_ns()

    def start(self) -> None:
        """Start the process on what the disk holds."""
        assert self.node is None, f"node {self.node_id} runs already"
        self.life += 1
        self.beside = False
        self.stopped_because = ""
        self.node = self._factory(self.config, self._rng.stream(f"life {self.life}"), self.clock.now_ns())
        self.deliver(Started(self.disk.sizes(), self.clock.wall_ns(), f"boot {self.boots}"))

    def crash(self, keep_per_million: int = 500_000, *, torn: bool = False) -> None:
        """End the process; each write in flight is kept with a probability given in millionths, or perhaps torn."""
        self._before_end(self)
        self._end()
        self.disk.crash(keep_per_million, torn=torn)
        self._network.connection_lost(self.node_id)
        self._streams.host_crashed(self.node_id)

    def cut_power(self, keep_per_million: int = 500_000, *, torn: bool = False) -> dict[str, tuple[bytes, bytes]]:
        """The machine stops and is switched on again, the process not; see :meth:`walrus.sim.disk.Disk.cut_power`."""
        self.boots += 1
        was_up = self.up
        self._before_end(self)
        self._end()
        lost = self.disk.cut_power(keep_per_million, torn=torn)
        if was_up:
            self._network.connection_lost(self.node_id)
            self._streams.host_crashed(self.node_id)
        return lost

    def pause(self) -> None:
        """Let the process stand still; what arrives for it waits."""
        self.paused = True
        self._paused_ns = self._world.now_ns

    def go_on(self) -> None:
        """Let a process that stood still run again."""
        self.paused = False
        self.stood_still_ns += self._world.now_ns - self._paused_ns
        if not self._turn_due:
            self._schedule_turn()

    def clock_changed(self) -> None:
        """The clock runs otherwise than the wake-up that is pending was reckoned with."""
        if self.node is not None and not self._turn_due and not self.paused:
            self._wake_at_ns = -1
            self._sleep()

    def note(self, text: str, label: str = "") -> None:
        """Add a line about this node to the run's story, and count it under ``label`` if there is one."""
        self._world.note(f"node {self.node_id} {text}")
        if label:
            self._world.labels[label] += 1

    def deliver(self, event: Event) -> None:
        """An event for the node; it waits for the next turn."""
        if self.node is None:
            return
        self._inbox.append(event)
        if not self._turn_due and not self.paused:
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        self._turn_due = True
        gathers = self._rng.chance(self.gather_per_million)
        delay = self._rng.randrange(self.gather_most_ns) if gathers else 0
        self._world.after(delay, self._turn, self.life)

    def _end(self) -> None:
        self.node = None
        self.paused = False
        self.stood_still_ns = 0
        self.heard_from = {}
        self._inbox = []
        self._turn_due = False
        self._wake_at_ns = -1
        self._peers = {}
        self._pending = set()
        self._roomless = set()
        self._durable = set()
        self._held = {}

    def _turn(self, life: int) -> None:
        if life != self.life or self.node is None:
            return
        self._turn_due = False
        if self.paused:
            return
        now = self.clock.now_ns()
        inbox, self._inbox = self._inbox, []
        for event in inbox:
            if event.__class__ is WriteCompleted or event.__class__ is WriteFailed:
                self._write_ended(event)
            elif isinstance(event, SpaceRanOut):
                self._roomless.add(event.change.token)
            self._handle(event, now)
        if self.node is None:  # it stopped itself
            return
        deadline = self.node.next_deadline()
        if deadline is not None and deadline.at_ns <= now:
            self._handle(_TIMER_FIRED, now)
        if self.node is not None:
            self._handle(_POLL_FINISHED, now)
        if self.node is not None:
            self._sleep()
            self._after_turn(self)

    def _handle(self, event: Event, now: int) -> None:
        node = self.node
        if node is None:
            return
        actions = node.handle(event, now)
        self._world.trace.record(self._world.now_ns, self.node_id, event, actions)
        table = self._do
        held = 0
        for action in actions:
            if action.__class__ is Send and action.after and action.after not in self._durable:
                self._held.setdefault(action.after, []).append(action)
                held = action.after
            else:
                table[action.__class__](action)
                if self.node is None:  # the action was Stop
                    return
        if held and held not in self._pending:
            raise Violation(
                f"driver contract: node {self.node_id} has a message wait for write {held}, never asked for"
            )

    def _sleep(self) -> None:
        """Arrange to wake up at the deadline; one that moved back is found out when it comes."""
        assert self.node is not None
        deadline = self.node.next_deadline()
        if deadline is None:
            return
        at_ns = max(self.clock.world_ns_at(deadline.at_ns), self._world.now_ns + _LEAST_SLEEP_NS)
        if self._wake_at_ns == -1 or at_ns < self._wake_at_ns:
            self._wake_at_ns = at_ns
            self._world.at(at_ns, self._wake, (self.life, at_ns))

    def _wake(self, item: tuple[int, int]) -> None:
        life, at_ns = item
        if life != self.life or self.node is None or at_ns != self._wake_at_ns:
            return
        self._wake_at_ns = -1
        deadline = self.node.next_deadline()
        if deadline is None or self._turn_due or self.paused:
            return
        if deadline.at_ns <= self.clock.now_ns():
            self._schedule_turn()
        else:
            self._sleep()

    def _write_ended(self, event: Event) -> None:
        assert isinstance(event, WriteCompleted | WriteFailed)
        self._pending.discard(event.token)
        held = self._held.pop(event.token, [])
        if isinstance(event, WriteCompleted):
            self._durable.add(event.token)
            for action in held:
                self._send(action)

    def _table(self) -> dict[type[Action], Callable[..., None]]:
        return {
            Send: self._send,
            SendToAddress: self._send_to_address,
            SetPeerAddress: self._set_peer_address,
            ForgetPeer: self._forget_peer,
            Write: self._change,
            Truncate: self._change,
            Delete: self._change,
            Rename: self._change,
            Read: self.disk.read,
            Reply: self._reply,
            PauseReading: self._pause,
            ResumeReading: self._resume,
            Log: self._write_log,
            Stop: self._stop,
        }

    def _send(self, action: Send) -> None:
        address = self._peers.get(action.to)
        if address is not None and address in self._network.addresses:
            to = self._network.addresses[address].node_id
        elif action.to in self.heard_from:
            to = action.to
        else:
            self._network.fates["no address"] += 1
            return
        self._network.send(self.node_id, to, action.data, action.urgent)

    def _send_to_address(self, action: SendToAddress) -> None:
        host = self._network.addresses.get(action.address)
        if host is not None:
            self._network.send(self.node_id, host.node_id, action.data, False)

    def _set_peer_address(self, action: SetPeerAddress) -> None:
        self._peers[action.node] = action.address

    def _forget_peer(self, action: ForgetPeer) -> None:
        self._peers.pop(action.node, None)
        self.heard_from.pop(action.node, None)

    def _change(self, action: Write | Truncate | Delete | Rename) -> None:
        if action.token in self._pending and action.token not in self._roomless:
            raise Violation(f"driver contract: node {self.node_id} uses token {action.token} twice at a time")
        self._pending.add(action.token)
        self._roomless.discard(action.token)
        self.disk.change(action)

    def _reply(self, action: Reply) -> None:
        if self.beside and not action.close:
            return
        self._streams.towards_client(self.node_id, action.conn, action.data, action.close)

    def _pause(self, action: PauseReading) -> None:
        self._streams.set_paused(self.node_id, action.conn, True)

    def _resume(self, action: ResumeReading) -> None:
        self._streams.set_paused(self.node_id, action.conn, False)

    def _write_log(self, action: Log) -> None:
        self.note(f"{action.level}: {action.text}")

    def _stop(self, action: Stop) -> None:
        self.stopped_because = action.reason or "stopped"
        self.note(f"stops with code {action.exit_code}: {action.reason}")
        if action.exit_code and self.when_stranded is not None and any(why in action.reason for why in _START_ANEW):
            self.when_stranded(self)
            return
        if action.exit_code:
            if not self.injured:
                raise Violation(f"node {self.node_id} stopped itself: {action.reason}")
            self._world.labels[f"stopped itself after {self.injured}"] += 1
        self.crash()
