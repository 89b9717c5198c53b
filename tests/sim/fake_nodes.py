"""Small nodes with which the simulator is tested: one echoes, the others keep a log on node 1."""

from collections import deque

import msgspec

from walrus.core import wire
from walrus.core.actions import Action, Read, Send, SetPeerAddress, Stop, Truncate, Write
from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import MS, Deadline, NodeConfig
from walrus.core.events import (
    ClientConnected,
    ClientDataReceived,
    ClientDisconnected,
    Event,
    MessageReceived,
    PollFinished,
    ReadCompleted,
    ShutdownRequested,
    Started,
    TimerFired,
    WriteCompleted,
)
from walrus.sim.rng import Rng

PATH = "user_data/log"


class EchoNode:
    """Sends every message back to its sender, whose number is the first byte, and remembers all events."""

    def __init__(self, config: NodeConfig, rng: Rng, now_ns: int) -> None:
        self.config = config
        self.rng = rng
        self.events: list[tuple[int, Event]] = []
        self.actions: list[Action] = []
        self.deadline: Deadline | None = None

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        self.events.append((now_ns, event))
        if isinstance(event, TimerFired):
            self.deadline = None
        actions, self.actions = self.actions, []
        return actions

    def next_deadline(self) -> Deadline | None:
        return self.deadline

    def seen(self, kind: type) -> list:
        return [event for _, event in self.events if isinstance(event, kind)]


class LogNode:
    """Node 1 keeps all records in one file; the others forward to it. Correct, but down while node 1 is.

    The class attributes switch bugs on.
    """

    acknowledge_early = False  # before the write is durable
    forget_requests = False  # a forwarded request that arrives twice counts twice
    skip_in_get = False
    forget_after = 0  # records beyond so many are not found any more after a restart

    def __init__(self, config: NodeConfig, rng: Rng, now_ns: int) -> None:
        self.config = config
        self.incarnation = rng.getrandbits(60)
        self.sessions = ClientSessions(config)
        self.answered: dict[tuple[int, int, int], bytes] = {}
        self.under_way: set[tuple[int, int, int]] = set()
        self.to_ask: deque[tuple[Slot, wire.Request]] = deque()  # one at a time keeps their order
        self.asked: bytes = b""
        self.server = 0  # incarnation of node 1, as far as is known
        self.records: dict[str, list[bytes]] = {"logs": []}
        self.cursors: dict[str, int] = {}
        self.end = 0
        self.queued: list[tuple[str, bytes | None, object]] = []
        self.writing: list[tuple[str, bytes | None, object]] = []
        self.cutting = False  # a torn end is being cut off
        self.next_rid = 0
        self.token = 0
        self.loaded = config.node_id != 1
        self.early: list[Event] = []
        self.actions: list[Action] = []
        self.heartbeat_ns = now_ns + 40 * MS

    def next_deadline(self) -> Deadline | None:
        return Deadline(self.heartbeat_ns, "heartbeat")

    def handle(self, event: Event, now_ns: int) -> list[Action]:
        if isinstance(event, Started):
            if self.config.node_id != 1:
                self.actions.append(SetPeerAddress(1, self.config.join[0]))
            elif PATH in event.files:
                self.actions.append(Read(PATH, 0, event.files[PATH], 1))
            else:
                self.loaded = True
        elif isinstance(event, ShutdownRequested):
            self.actions.append(Stop("", 0))
        elif isinstance(event, ReadCompleted):
            self._load(event.data)
            for early in self.early:
                self._take(early, now_ns)
        elif not self.loaded and not isinstance(event, PollFinished | TimerFired):
            self.early.append(event)
        else:
            self._take(event, now_ns)
        actions, self.actions = self.actions, []
        return actions

    def _take(self, event: Event, now_ns: int) -> None:
        if isinstance(event, ClientConnected):
            self.sessions.connected(event.conn, now_ns)
        elif isinstance(event, ClientDisconnected):
            self.sessions.disconnected(event.conn)
        elif isinstance(event, ClientDataReceived):
            for slot, request in self.sessions.received(event.conn, event.data, now_ns):
                self._request(slot, request)
        elif isinstance(event, MessageReceived):
            self._message(msgspec.msgpack.decode(event.data))
        elif isinstance(event, WriteCompleted):
            self._durable()
        elif isinstance(event, TimerFired):
            self.heartbeat_ns = now_ns + 40 * MS
            if self.asked:
                self.actions.append(Send(1, self.asked))
        elif isinstance(event, PollFinished):
            if self.queued and not self.writing and not self.cutting:
                self._write()
            self.actions += self.sessions.drain()

    def _request(self, slot: Slot, request: wire.Request) -> None:
        if self.config.node_id == 1:
            self._serve(request, slot)
            return
        self.to_ask.append((slot, request))
        if not self.asked:
            self._ask()

    def _ask(self) -> None:
        self.asked = b""
        self.next_rid += 1
        self._ask_again()

    def _ask_again(self) -> None:
        if self.to_ask:
            _, request = self.to_ask[0]
            body = (
                "ask",
                self.config.node_id,
                self.incarnation,
                self.server,
                self.next_rid,
                msgspec.structs.astuple(request),
            )
            self.asked = msgspec.msgpack.encode(body)
            self.actions.append(Send(1, self.asked))

    def _message(self, message: list) -> None:
        if message[0] == "ask":
            _, node, incarnation, server, rid, request = message
            if server != self.incarnation:  # meant for an earlier life, or the first: say who answers now
                self.actions.append(Send(node, msgspec.msgpack.encode(("server", self.incarnation))))
                return
            key = (node, incarnation, rid)
            if not self.forget_requests:
                if key in self.answered:
                    self._answer(key, self.answered[key])
                if key in self.under_way:
                    return
            self.under_way.add(key)
            self._serve(wire.Request(*request), key)
        elif message[0] == "server":
            if self.server != message[1]:
                self.server = message[1]
                self._ask_again()
        elif message[0] == "answer":
            _, incarnation, rid, body = message
            if incarnation == self.incarnation and rid == self.next_rid and self.asked:
                self.sessions.answer(self.to_ask.popleft()[0], body)
                self._ask()

    def _answer(self, to: object, body: bytes) -> None:
        if isinstance(to, Slot):
            self.sessions.answer(to, body)
        else:
            node, incarnation, rid = to
            self.answered[to] = body
            self.actions.append(Send(node, msgspec.msgpack.encode(("answer", incarnation, rid, body))))

    def _serve(self, request: wire.Request, to: object) -> None:
        topic, verb = request.topic, request.verb
        if verb == wire.METRICS:
            self._answer(to, b"{}")
        elif verb in (wire.REGISTER, wire.CREATE):
            self.queued.append((topic, None, to))
        elif topic not in self.records:
            self._answer(to, wire.unknown_topic(topic))
        elif verb == wire.DELETE:
            self._answer(to, b"ERR nothing is deleted here")
        elif verb == wire.PUT:
            self.queued.append((topic, request.payload, to))
            if self.acknowledge_early:
                self._answer(to, wire.OK)
        elif verb == wire.GET:
            offset = self.cursors.get(topic, 0)
            step = 2 if self.skip_in_get else 1
            if offset < len(self.records[topic]):
                self.cursors[topic] = offset + step
                self._answer(to, wire.ok_payload(self.records[topic][offset]))
            else:
                self._answer(to, wire.EMPTY)
        elif verb == wire.FETCH:
            records = self.records[topic]
            found = request.offset < len(records)
            self._answer(to, wire.fetched(request.offset + 1, records[request.offset]) if found else wire.EMPTY)
        else:
            self._answer(to, b"{}")

    def _write(self) -> None:
        self.writing, self.queued = self.queued, []
        data = b"".join(_record(topic, payload, to) for topic, payload, to in self.writing)
        self.token += 1
        self.actions.append(Write(PATH, self.end, data, self.token))
        self.end += len(data)

    def _durable(self) -> None:
        self.cutting = False
        for topic, payload, to in self.writing:
            self.records.setdefault(topic, [])
            if payload is not None:
                self.records[topic].append(payload)
            if payload is None or not self.acknowledge_early:
                self._answer(to, wire.OK)
        self.writing = []

    def _load(self, data: bytes) -> None:
        self.loaded = True
        position = 0
        while position + 4 <= len(data):
            length = int.from_bytes(data[position : position + 4], "little")
            if position + 4 + length > len(data):
                break
            topic, payload, to = msgspec.msgpack.decode(data[position + 4 : position + 4 + length])
            if to is not None:
                self.under_way.add(tuple(to))
                self.answered[tuple(to)] = wire.OK
            position += 4 + length
            records = self.records.setdefault(topic, [])
            if payload is not None and not (self.forget_after and len(records) >= self.forget_after):
                records.append(payload)
        self.end = position
        if position < len(data):
            self.cutting = True
            self.token += 1
            self.actions.append(Truncate(PATH, position, self.token))


def _record(topic: str, payload: bytes | None, to: object) -> bytes:
    body = msgspec.msgpack.encode((topic, payload, None if isinstance(to, Slot) else to))
    return len(body).to_bytes(4, "little") + body
