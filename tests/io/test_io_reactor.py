"""The loop and the dispatcher: what happens in which order, on scripted parts and with a real echo node."""

import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from io_harness import ManualClock, MemoryLog

from walrus.core.actions import (
    Action,
    Delete,
    ForgetPeer,
    Log,
    PauseReading,
    Read,
    Reply,
    ResumeReading,
    Send,
    SendToAddress,
    SetPeerAddress,
    Stop,
    Truncate,
    Write,
)
from walrus.core.config import Deadline
from walrus.core.events import (
    ClientDataReceived,
    Event,
    MessageReceived,
    PeerDisconnected,
    PollFinished,
    Started,
    TimerFired,
    WriteCompleted,
    WriteFailed,
)
from walrus.io.clients import ClientServer
from walrus.io.clock import SystemClock
from walrus.io.dispatch import Dispatcher
from walrus.io.errors import StartError
from walrus.io.holdback import Holdback
from walrus.io.listener import listen
from walrus.io.peers import PeerTransport
from walrus.io.reactor import Reactor
from walrus.io.source import CLIENTS, FIRST, PEERS, READ
from walrus.io.storage import ThreadedStorage
from walrus.io.storage_mmap import MappedFiles

STARTED = Started({}, 0)
STOP = Stop("done", 3)


class Parts:
    """Stands in for storage, peers and clients; notes what it is asked."""

    name = "noted"

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.log = MemoryLog()
        self.unsent = 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.calls.append((name, *args))

    def has_unsent(self) -> bool:
        self.unsent -= 1
        return self.unsent >= 0


def dispatcher() -> tuple[Dispatcher, Parts]:
    parts = Parts()
    return Dispatcher(parts, parts, parts, parts.log), parts  # type: ignore[arg-type]


class Script(selectors.DefaultSelector):
    """A selector whose answers are given beforehand: one list of sources per call."""

    def __init__(self, polls: list[list["Noted"]]) -> None:
        super().__init__()
        self.polls = polls
        self.timeouts_s: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.timeouts_s.append(timeout)
        sources = self.polls.pop(0) if self.polls else []
        return [(selectors.SelectorKey(0, 0, READ, source), READ) for source in sources]


class Noted:
    """A source that reports one event each time."""

    def __init__(self, order: int, event: Event) -> None:
        self.order = order
        self.event = event

    def on_ready(self, mask: int) -> list[Event]:
        return [self.event]


class ScriptedCore:
    """Notes events; stops at the end of a turn of its choice. The first turn, that of Started, waits for nothing."""

    def __init__(self, turns: int = 2, deadline_ns: int | None = None) -> None:
        self.events: list[Event] = []
        self.turns = turns
        self.deadline_ns = deadline_ns

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        self.events.append(event)
        if isinstance(event, TimerFired):
            self.deadline_ns = None
        if isinstance(event, PollFinished):
            self.turns -= 1
            return [] if self.turns else [STOP]
        return []

    def next_deadline(self) -> Deadline | None:
        return None if self.deadline_ns is None else Deadline(self.deadline_ns, "election")


PEER = Noted(PEERS, MessageReceived(b"heartbeat"))
CLIENT = Noted(CLIENTS + 5, ClientDataReceived(1, b"put", 0))
EARLIER_CLIENT = Noted(CLIENTS + 4, ClientDataReceived(2, b"get", 0))
DISK = Noted(FIRST, WriteCompleted(1))


def test_what_started_asks_for_is_carried_out_before_the_loop_waits() -> None:
    """The core asks for it at the end of the turn; no other event may be needed to get there."""
    read = Read("raft_meta/entries.log", 0, 1, 1)
    out, parts = dispatcher()
    selector = Script([])
    real_select = selector.select
    begun_before_waiting: list[bool] = []

    def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        begun_before_waiting.append(("submit", [read]) in parts.calls and ("flush",) in parts.calls)
        return real_select(timeout)

    class ReadingCore(ScriptedCore):
        def handle(self, event: Event, now_ns: int) -> list[Action]:
            actions = super().handle(event, now_ns)
            return [read] if self.events == [STARTED, PollFinished()] else actions

    selector.select = select  # type: ignore[method-assign]
    assert Reactor(ReadingCore(), selector, out, [], ManualClock()).run(STARTED) == 3
    assert begun_before_waiting == [True]


def test_a_core_that_stops_at_once_is_never_waited_for() -> None:
    selector = Script([])
    assert Reactor(ScriptedCore(turns=1), selector, dispatcher()[0], [], ManualClock()).run(STARTED) == 3
    assert selector.timeouts_s == []


def test_a_turn_serves_disk_then_peers_then_clients_longest_unserved_first() -> None:
    core = ScriptedCore()
    selector = Script([[CLIENT, PEER, EARLIER_CLIENT, DISK]])
    assert Reactor(core, selector, dispatcher()[0], [], ManualClock()).run(STARTED) == 3
    expected = [STARTED, PollFinished(), DISK.event, PEER.event, EARLIER_CLIENT.event, CLIENT.event, PollFinished()]
    assert core.events == expected


def test_peer_input_is_drained_again_before_the_timer_fires_and_client_input_is_not() -> None:
    clock = ManualClock()
    core = ScriptedCore(deadline_ns=clock.now_ns())
    selector = Script([[PEER], [PEER, CLIENT]])
    Reactor(core, selector, dispatcher()[0], [], clock).run(STARTED)
    assert core.events == [STARTED, PollFinished(), PEER.event, PEER.event, TimerFired(), PollFinished()]


def test_a_deadline_that_the_drained_input_moves_does_not_fire() -> None:
    clock = ManualClock()
    core = ScriptedCore(deadline_ns=clock.now_ns())
    real_handle = core.handle

    def handle(event: Event, now_ns: int) -> list[Action]:
        if isinstance(event, MessageReceived):
            core.deadline_ns = now_ns + 1
        return real_handle(event, now_ns)

    core.handle = handle  # type: ignore[method-assign]
    Reactor(core, Script([[], [PEER]]), dispatcher()[0], [], clock).run(STARTED)
    assert core.events == [STARTED, PollFinished(), PEER.event, PollFinished()]


def test_the_wait_ends_at_the_earliest_deadline_of_core_and_driver() -> None:
    class Ticks:
        deadline_ns: int | None = 1_000_000_000 + 3_000_000

        def tick(self, now_ns: int) -> list[Event]:
            self.deadline_ns = None
            return [PeerDisconnected(7)]

    clock = ManualClock()
    core = ScriptedCore(turns=4, deadline_ns=clock.now_ns() + 5_000_000)
    ticks = Ticks()
    selector = Script([])
    real_select = selector.select

    def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None
        clock.time_ns += round(timeout * 1e9)
        return real_select(timeout)

    selector.select = select  # type: ignore[method-assign]
    Reactor(core, selector, dispatcher()[0], [ticks], clock).run(STARTED)
    assert selector.timeouts_s == [0.003, 0.002, 0, 60]
    assert core.events[2:] == [PeerDisconnected(7), PollFinished(), TimerFired(), PollFinished(), PollFinished()]


def test_stopping_flushes_sockets_for_a_fifth_of_a_second_at_most() -> None:
    clock = ManualClock()
    out, parts = dispatcher()
    parts.unsent = 1000
    selector = Script([])
    real_select = selector.select

    def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        clock.advance_ms(30)
        return real_select(timeout)

    selector.select = select  # type: ignore[method-assign]
    began_ns = clock.now_ns()
    assert Reactor(ScriptedCore(), selector, out, [], clock).run(STARTED) == 3
    assert clock.now_ns() - began_ns <= 270_000_000


def test_every_action_has_its_executor_and_the_disk_begins_first() -> None:
    out, parts = dispatcher()
    reply, write, read = Reply(1, b"OK"), Write("a", 0, b"x", 5), Read("a", 0, 1, 6)
    truncate, delete = Truncate("b", 0, 7), Delete("c", 8)
    out.execute(
        [
            SetPeerAddress(2, "n2:1"),
            Send(2, b"m", urgent=True),
            reply,
            write,
            SendToAddress("n1:1", b"join"),
            read,
            PauseReading(1),
            ResumeReading(1),
            truncate,
            delete,
            ForgetPeer(3),
            Log("info", "hello"),
        ]
    )
    assert parts.calls == [
        ("submit", [write, read, truncate, delete]),
        ("set_address", 2, "n2:1"),
        ("send", 2, b"m", True),
        ("reply", reply),
        ("send_to_address", "n1:1", b"join"),
        ("pause", 1),
        ("resume", 1),
        ("forget", 3),
        ("flush",),
        ("flush",),
    ]
    assert parts.log.lines == [("info", "hello")]
    assert out.stop is None
    out.execute([STOP])
    assert out.stop == STOP


@pytest.mark.parametrize("send_first", [True, False])
def test_a_message_waits_for_its_write_wherever_it_stands_in_the_list(send_first: bool) -> None:
    out, parts = dispatcher()
    write, acknowledge = Write("a", 0, b"x", 5), Send(2, b"durable", after=5)
    out.execute([acknowledge, write] if send_first else [write, acknowledge])
    assert ("send", 2, b"durable", False) not in parts.calls
    out.execute(list(out.settle(WriteCompleted(5))))
    assert ("send", 2, b"durable", False) in parts.calls


def test_what_waits_for_a_failed_write_is_never_sent() -> None:
    held = Holdback()
    held.begin(5)
    assert held.holds(Send(2, b"early", after=5))
    assert held.settle(WriteFailed(5, "a", "EIO: broken")) == []
    assert held.holds(Send(2, b"late", after=5))


def test_a_message_for_a_write_that_has_completed_goes_at_once() -> None:
    held = Holdback()
    held.begin(5)
    assert held.settle(WriteCompleted(5)) == []
    assert not held.holds(Send(2, b"x", after=5))


class EchoCore:
    """Stores what clients send, then echoes it; a message makes it stop."""

    def __init__(self) -> None:
        self.size = 0
        self.tokens = 0
        self.waiting: dict[int, Reply] = {}

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        if isinstance(event, ClientDataReceived):
            self.tokens += 1
            self.waiting[self.tokens] = Reply(event.conn, event.data)
            offset, self.size = self.size, self.size + len(event.data)
            return [Write("echo", offset, event.data, self.tokens)]
        if isinstance(event, WriteCompleted):
            return [self.waiting.pop(event.token)]
        if isinstance(event, MessageReceived):
            return [STOP]
        return []

    def next_deadline(self) -> Deadline | None:
        return None


def test_a_whole_runtime_echoes_what_it_made_durable_and_stops_when_told(tmp_path: Path) -> None:
    clock, log, selector = SystemClock(), MemoryLog(), selectors.DefaultSelector()
    client_listener, peer_listener = listen("127.0.0.1", 0, "client port"), listen("127.0.0.1", 0, "raft port")
    client_address, peer_address = client_listener.getsockname(), peer_listener.getsockname()
    storage = ThreadedStorage(MappedFiles(tmp_path))
    peers = PeerTransport(1, selector, peer_listener, clock, log)
    clients = ClientServer(selector, client_listener, clock, log, connections_max=10, reply_timeout_ns=1_000_000_000)
    selector.register(storage.fileno(), READ, storage)
    reactor = Reactor(EchoCore(), selector, Dispatcher(storage, peers, clients, log), (peers, clients), clock)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(reactor.run(STARTED)))
    thread.start()
    with socket.create_connection(client_address) as client:
        client.settimeout(20)
        for number in range(100):
            client.sendall(b"%3d" % number)
            assert client.recv(100) == b"%3d" % number
    with socket.create_connection(peer_address) as peer:
        peer.sendall(b"\x0d\0\0\0WLRSPEER\x01\x02\0\0\0" + b"\x04\0\0\0stop")
        thread.join(20)
    assert codes == [3]
    clients.close()
    peers.close()
    storage.close()
    content = (tmp_path / "echo").read_bytes()
    assert content.rstrip(b"\0") == b"".join(b"%3d" % number for number in range(100))


def test_listening_on_a_taken_port_names_it() -> None:
    taken = listen("127.0.0.1", 0, "client port")
    port = taken.getsockname()[1]
    with pytest.raises(StartError, match=rf"client port 127\.0\.0\.1:{port} is already in use"):
        listen("127.0.0.1", port, "client port")
    with pytest.raises(StartError, match=r"host 'no-such-host\.invalid' does not resolve"):
        listen("no-such-host.invalid", 0, "raft port")
    taken.close()
