"""Routes PUTs to the writer of their topic's open segment, here or on another node, keeping their order.

Per topic there is one queue and one target. What was handed to a target either ends there (done, unknown) or comes back
(moved: never admitted), and the queue turns to a new target only when nothing is under way to the old one: so
pipelined PUTs of one connection never overtake each other across a rollover.
"""

from collections import deque

from walrus.core.clients import ClientSessions
from walrus.core.config import NodeConfig
from walrus.core.metadata.commands import OPEN
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.meters import RequestMeter
from walrus.core.outbox import Outbox
from walrus.core.reachability import Reachability
from walrus.core.requests import Pending
from walrus.core.segment.messages import DONE, MOVED, NO_SPACE, REFUSED, UNKNOWN, ForwardPuts, PutsDone
from walrus.core.segment.replica import Key
from walrus.core.segment.writers import Writers
from walrus.core.wire import no_space, not_leader, outcome_unknown

FORWARD_BYTES_MAX = 4 << 20


class Route:
    """Invariant: everything in ``queue`` was put after everything under way to ``target``."""

    __slots__ = ("closed", "moved", "queue", "target", "under_way")

    def __init__(self) -> None:
        self.queue: deque[Pending] = deque()
        self.target = 0  # number of the segment that the PUTs under way were sent to
        self.under_way = 0
        self.moved: list[Pending] = []  # came back, in any order; joins the queue when nothing is under way
        self.closed = 0  # number of a segment whose node has no writer of it, and will have none any more


class Puts:
    """Every node has one: it serves its own clients' PUTs and, as a writer, those that others forward."""

    def __init__(
        self, out: Outbox, config: NodeConfig, metadata: Metadata, sessions: ClientSessions, writers: Writers,
        reachability: Reachability,
    ) -> None:  # fmt: skip
        self._out = out
        self._config = config
        self._metadata = metadata
        self._sessions = sessions
        self._writers = writers
        self._reachability = reachability
        self._routes: dict[str, Route] = {}
        self.dirty: dict[str, None] = {}
        self._forwarded: dict[int, tuple[Pending, Key, int]] = {}  # rid -> (who, segment, node)
        self._taken = 0
        self.homeless: list[Pending] = []  # were never sent anywhere when their topic was deleted
        self._early: dict[str, list[tuple[int, ForwardPuts, int]]] = {}  # for segments this node has not seen open yet
        self.meter = RequestMeter(config.rpc_timeout_ns, "refused", "unknown")
        self._last_rid: dict[tuple[int, str], int] = {}  # newest forward taken per (node, topic)

    @property
    def waiting(self) -> int:
        return len(self._forwarded) + sum(len(r.queue) + len(r.moved) for r in self._routes.values())

    def put(self, pending: Pending) -> None:
        """A client of this node wants a record appended; the topic exists."""
        route = self._routes.get(pending.topic)
        if route is None:
            route = self._routes[pending.topic] = Route()
        self._taken += 1
        pending.order = self._taken
        route.queue.append(pending)
        self.dirty[pending.topic] = None

    # --- towards the writer ---

    def changed(self, topic: str, segment: Segment) -> None:
        """The metadata moved: a new writer may be there; a writer being recovered answers nothing more."""
        if topic in self._early:
            self._take_early(topic)
        if topic in self._routes:
            self.dirty[topic] = None
            if segment.state != OPEN and segment.epoch:  # a snapshot may have skipped SEALING
                self._lost([rid for rid, found in self._forwarded.items() if found[1] == (topic, segment.number)])

    def removed(self, topic: str) -> None:
        """Segments of the topic are gone, perhaps all: who waits for one of them is told."""
        if topic in self._early:
            self._take_early(topic)
        if topic in self._routes:
            self.dirty[topic] = None
            self._lost([rid for rid, (_, key, _) in self._forwarded.items() if self._metadata.is_gone(*key)])
        if topic not in self._metadata.topics:
            for seen in [seen for seen in self._last_rid if seen[1] == topic]:
                del self._last_rid[seen]

    def disconnected(self, node: int) -> None:
        """What was on its way to or from ``node`` may be lost."""
        self._lost([rid for rid, found in self._forwarded.items() if found[2] == node])

    def _lost(self, rids: list[int]) -> None:
        for rid in rids:
            pending, key, _ = self._forwarded.pop(rid)
            self._finish(key, UNKNOWN, [pending])

    def flush(self) -> None:
        """Hand over what waits, per topic in one go."""
        if not self.dirty:
            return
        dirty, self.dirty = self.dirty, {}
        for topic in dirty:
            route = self._routes[topic]
            if not route.under_way and route.moved:
                route.moved.sort(key=lambda pending: pending.order)
                route.queue.extendleft(reversed(route.moved))
                route.moved.clear()
            if route.queue and topic in self._metadata.topics:
                self._dispatch(topic, route)
            elif route.queue:
                self.homeless += route.queue
                route.queue.clear()
                self.dirty[topic] = None
            elif not route.under_way:
                del self._routes[topic]

    def _dispatch(self, topic: str, route: Route) -> None:
        segment = self._metadata.topics[topic].last
        if segment.state != OPEN or route.moved or (route.under_way and route.target != segment.number):
            return
        key = (topic, segment.number)
        node = segment.writer[0]
        if node == self._out.node_id:
            writer = self._writers.get(key)
            if writer is not None:
                route.target = segment.number
                route.under_way += len(route.queue)
                for pending in route.queue:
                    self._writers.put(writer, pending)
                route.queue.clear()
            return
        if self._reachability.uncertain(node) or segment.number == route.closed:
            return  # better wait for the failover than lose it on the way, or be told the same again and again
        route.target = segment.number
        while route.queue:
            self._forward(key, node, route)

    def _forward(self, key: Key, node: int, route: Route) -> None:
        payloads: list[bytes] = []
        size = first_rid = 0
        while route.queue and (not payloads or size + len(route.queue[0].payload) <= FORWARD_BYTES_MAX):
            pending = route.queue.popleft()
            rid = self._out.rid()
            first_rid = first_rid or rid
            self._forwarded[rid] = (pending, key, node)
            payloads.append(pending.payload)
            size += len(pending.payload)
        route.under_way += len(payloads)
        self._out.send(node, ForwardPuts(first_rid, *key, payloads))

    # --- as the writer's node ---

    def forwarded(self, sender: int, message: ForwardPuts, now_ns: int) -> None:
        """PUTs from another node's clients. What was overtaken or repeated is not answered (it ends as unknown)."""
        seen = (sender, message.topic)
        if message.rid <= self._last_rid.get(seen, 0):
            return
        self._last_rid[seen] = message.rid
        deadline = now_ns + self._config.rpc_timeout_ns
        if self._is_early(message):
            # A refusal must stay one: this node would take the next message once it has seen the segment open.
            self._early.setdefault(message.topic, []).append((sender, message, deadline))
        else:
            self._take(sender, message, deadline)

    def _take(self, sender: int, message: ForwardPuts, deadline_ns: int) -> None:
        writer = self._writers.get((message.topic, message.segment))
        if writer is None:
            self._out.send(sender, PutsDone(message.rid, len(message.payloads), MOVED))
            return
        for number, payload in enumerate(message.payloads):
            pending = Pending(message.topic, payload, deadline_ns, node=sender, rid=message.rid + number)
            self._writers.put(writer, pending)

    def _take_early(self, topic: str) -> None:
        waiting = self._early.pop(topic)
        still = [item for item in waiting if self._is_early(item[1])]
        if still:
            self._early[topic] = still
        for sender, message, deadline_ns in waiting:
            if not self._is_early(message):
                self._take(sender, message, deadline_ns)

    def _is_early(self, message: ForwardPuts) -> bool:
        """This node has not seen the segment open yet."""
        topic = self._metadata.topics.get(message.topic)
        if topic is None:
            return not self._metadata.is_gone(message.topic, message.segment)
        return topic.last.number < message.segment

    # --- results ---

    def ended(self, key: Key, status: int, pendings: list[Pending], now_ns: int) -> None:
        """The writer here is done with these: answer own clients, tell the nodes that forwarded the others."""
        local = []
        full_node = pendings[0].full_node if pendings else 0
        node = first = count = 0
        for pending in pendings:
            if pending.slot is not None:
                local.append(pending)
            elif pending.node == node and pending.rid == first + count:
                count += 1
            else:
                if count:
                    self._out.send(node, PutsDone(first, count, status, full_node))
                node, first, count = pending.node, pending.rid, 1
        if count:
            self._out.send(node, PutsDone(first, count, status, full_node))
        if local:
            if status == DONE:
                self.meter.answered(local, now_ns, forwarded=False)
            self._finish(key, status, local)

    def answered(self, message: PutsDone, now_ns: int) -> None:
        """The writer's node is done with PUTs that this node forwarded."""
        ended = []
        key: Key = ("", 0)
        for rid in range(message.rid, message.rid + message.count):
            found = self._forwarded.pop(rid, None)
            if found is not None:
                ended.append(found[0])
                found[0].full_node = message.node
                key = found[1]
        if ended:
            if message.status == DONE:
                self.meter.answered(ended, now_ns, forwarded=True)
            elif message.status == MOVED:
                self._routes[key[0]].closed = key[1]
            self._finish(key, message.status, ended)

    def _finish(self, key: Key, status: int, pendings: list[Pending]) -> None:
        route = self._routes[key[0]]
        route.under_way -= len(pendings)
        self.dirty[key[0]] = None
        if status == MOVED:
            route.moved.extend(pendings)
            return
        if status != DONE:
            self.meter.failed["unknown" if status == UNKNOWN else "refused"] += len(pendings)
        if status == DONE:
            body = b"OK"
        elif status == NO_SPACE:
            body = no_space(pendings[0].full_node)
        else:
            body = not_leader(*key) if status == REFUSED else outcome_unknown(*key)
        answer = self._sessions.answer
        for pending in pendings:
            assert pending.slot is not None
            answer(pending.slot, body)

    def tick(self, now_ns: int) -> None:
        """Answer who has waited too long: forwarded ones are unknown, queued ones were never admitted."""
        expired = []
        for rid, (pending, _, _) in self._forwarded.items():
            if pending.deadline_ns > now_ns:
                break
            expired.append(rid)
        self._lost(expired)
        for topic in [t for t, waiting in self._early.items() if waiting[0][2] <= now_ns]:
            del self._early[topic]  # whoever forwarded them has given up
        for topic, route in self._routes.items():
            self.dirty[topic] = None
            for waiting in (route.moved, route.queue):
                if waiting and waiting[0].deadline_ns <= now_ns and topic in self._metadata.topics:
                    self._refuse_expired(topic, waiting, now_ns)

    def _refuse_expired(self, topic: str, waiting: "list[Pending] | deque[Pending]", now_ns: int) -> None:
        body = not_leader(topic, self._metadata.topics[topic].last.number)
        for pending in list(waiting):
            if pending.deadline_ns <= now_ns and pending.slot is not None:
                waiting.remove(pending)
                self.meter.failed["refused"] += 1
                self._sessions.answer(pending.slot, body)
