"""PUTs that one node forwards to the writer on another: each ends once, in order, and as it is told (design 4.3, 4.5).

- What was handed to the network is sent again only if the writer said that it never took it (MOVED): for all the sender
  knows it may be in the log.
- The writer ends each PUT once: it takes no message twice.
- What it says it did not take (MOVED, REFUSED, NO_SPACE), and what a client is told was refused, is on no disk.
- It does not send away (MOVED) what is for a segment that it has open: it would take the next PUT, and that would stand
  before this one.
- A node hands the PUTs of a topic to one segment at a time, so that none overtakes another.

Messages that come twice do so within one life of the writer: the next one knows nothing of the first copy, and no
stream between two processes outlives one of them.
"""

from struct import Struct
from typing import TYPE_CHECKING, Final

from walrus.core.metadata.commands import OPEN
from walrus.core.segment.messages import DONE, MOVED, NO_SPACE, REFUSED, UNKNOWN, ForwardPuts, PutsDone
from walrus.core.segment.replica import Key, segment_path
from walrus.sim import client_probe, probe
from walrus.sim.checkers.metadata_model import MetadataModel
from walrus.sim.checkers.opened import opened
from walrus.sim.history import FAILED, History, Operation
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

_NAMES: Final = {DONE: "DONE", MOVED: "MOVED", UNKNOWN: "UNKNOWN", REFUSED: "REFUSED", NO_SPACE: "NO_SPACE"}
_NOT_TAKEN: Final = (MOVED, REFUSED, NO_SPACE)
_LENGTH: Final = Struct("<I")

Rid = tuple[int, int, int]
"""Node, storage id and number of a request."""


class _Forward:
    """One PUT on its way. ``life`` of the writer that it came to first, and what that one answered; -1: nothing yet."""

    __slots__ = ("key", "life", "moved", "payload", "status")

    def __init__(self, key: Key, payload: bytes) -> None:
        self.key = key
        self.payload = payload
        self.life = -1
        self.status = -1
        self.moved = False  # its sender knows that it was not taken


class ForwardedPuts:
    """``model`` says what is committed."""

    def __init__(self, cluster: "Cluster", history: History, model: MetadataModel) -> None:
        self._cluster = cluster
        self._model = model
        self._forwards: dict[Rid, _Forward] = {}
        self._newest: dict[tuple[str, bytes], _Forward] = {}  # topic and payload: no two PUTs have the same
        network = cluster.network
        network.when_sent("ForwardPuts", self._sent)
        network.when_received("ForwardPuts", self._came)
        network.when_sent("PutsDone", self._answers)
        network.when_received("PutsDone", self._answered)
        history.listeners.append(self._told)

    def _sent(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], ForwardPuts):
            return
        storage = decoded[0].sender_storage
        for rid, payload in enumerate(message.payloads, message.rid):
            forward = self._forwards[sender, storage, rid] = _Forward((message.topic, message.segment), payload)
            before = self._newest.get((message.topic, payload)) if payload else None
            if before is not None and not before.moved:
                raise Violation(
                    f"forwarded PUTs: node {sender} sends {payload[:40]!r} to node {to} for {message.topic}:"
                    f"{message.segment}, and nobody told it that what it sent for {before.key[0]}:{before.key[1]} was "
                    f"not taken"
                )
            self._newest[message.topic, payload] = forward

    def _came(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], ForwardPuts):
            return
        life = self._cluster.host(to).life
        for rid in range(message.rid, message.rid + len(message.payloads)):
            forward = self._forwards.get((sender, decoded[0].sender_storage, rid))
            if forward is not None and forward.life == -1:
                forward.life = life

    def _answers(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], PutsDone):
            return
        writer = self._cluster.host(sender)
        for rid in range(message.rid, message.rid + message.count):
            forward = self._forwards.get((to, probe.storage(self._cluster.host(to)), rid))
            if forward is not None and forward.life == writer.life and not self._is_gone(writer, forward.key):
                self._ended(writer, to, forward, message.status)

    def _ended(self, writer: Host, to: int, forward: _Forward, status: int) -> None:
        topic, number = forward.key
        what = f"node {writer.node_id} tells node {to} that {forward.payload[:40]!r} for {topic}:{number} is "
        if forward.status != -1:
            raise Violation(f"forwarded PUTs: {what}{_NAMES[status]}, having said {_NAMES[forward.status]} before")
        forward.status = status
        if status in _NOT_TAKEN and forward.payload:
            self._check_absent(f"{what}{_NAMES[status]}", forward)
        if status == MOVED and self._has_open(writer, forward.key):
            raise Violation(f"forwarded PUTs: {what}MOVED, and it has that segment open")

    def _has_open(self, writer: Host, key: Key) -> bool:
        """The segment is open and this process is to write it, as is committed; and it has not seen its end yet, which
        it may before anybody else.
        """
        topic = self._model.topics.get(key[0])
        segment = topic.find(key[1]) if topic is not None else None
        if segment is None or segment.state != OPEN or segment.writer != client_probe.lifetime(writer):
            return False
        state = probe.metadata(writer)
        there = state.topics.get(key[0]) if state is not None else None
        seen = there.segment(key[1]) if there is not None else None
        is_gone = state is not None and state.is_gone(*key)
        return not is_gone and (seen is None or seen.state == OPEN)

    def _check_absent(self, what: str, forward: _Forward) -> None:
        path, record = segment_path(forward.key), _LENGTH.pack(len(forward.payload)) + forward.payload
        for host in self._cluster.hosts:
            if record in host.disk.files.get(path, b""):
                raise Violation(f"forwarded PUTs: {what}, and it is on the disk of node {host.node_id}")

    def _is_gone(self, writer: Host, key: Key) -> bool:
        topic, state = self._model.topics.get(key[0]), probe.metadata(writer)
        first = topic.segments[0].number if topic is not None else self._model.next_number.get(key[0], 0)
        return key[1] < first or (state is not None and state.is_gone(*key))

    def _answered(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(message := decoded[1], PutsDone) or message.status != MOVED:
            return
        for rid in range(message.rid, message.rid + message.count):
            forward = self._forwards.get((to, probe.storage(self._cluster.host(to)), rid))
            if forward is not None:
                forward.moved = True

    def _told(self, op: Operation) -> None:
        """A client was answered."""
        if op.verb != "PUT" or op.outcome != FAILED or not op.payload:
            return
        start, record = f"user_data/{op.topic}:", _LENGTH.pack(len(op.payload)) + op.payload
        for host in self._cluster.hosts:
            for path, data in host.disk.files.items():
                if path.startswith(start) and record in data:
                    raise Violation(f"refused record present: {op}; it is in {path} on node {host.node_id}")

    def after_turn(self, host: Host) -> None:
        """The PUTs of a topic that are under way."""
        if not client_probe.forwards_puts(host):
            return
        targets: dict[str, int] = {}
        for topic, number in client_probe.puts_under_way(host):
            if targets.setdefault(topic, number) != number:
                raise Violation(
                    f"forwarded PUTs: node {host.node_id} has PUTs to {topic} under way to the segments "
                    f"{targets[topic]} and {number} at a time"
                )

    def on_crash(self, host: Host) -> None:
        """Nothing: memory goes."""
