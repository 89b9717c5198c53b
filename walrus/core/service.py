"""The client's verbs: what a node does with each request, wherever the answer must come from.

"unknown topic" is said only after this node has applied everything that was committed when the request came.
"""

from collections.abc import Callable

from walrus.core import status
from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import NodeConfig
from walrus.core.gets import Gets
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import CreateTopic, encode
from walrus.core.metadata.placement import choose_members, choose_writer, placeable
from walrus.core.metadata.state import Metadata
from walrus.core.operators import Operators
from walrus.core.outbox import Outbox
from walrus.core.pages import Page
from walrus.core.proposals import Outcome, Proposals
from walrus.core.puts import Puts
from walrus.core.raft.raft import Raft
from walrus.core.readindex import ReadIndexes
from walrus.core.requests import Pending
from walrus.core.wire import (
    FETCH,
    GET,
    HTTP,
    METRICS,
    NO_LEADER,
    NODE,
    NODES,
    PUT,
    REGISTER,
    STATE,
    Request,
    unknown_topic,
)

Metrics = Callable[[int], bytes]
Pages = Callable[[str, bytes, int], Page]


class Service:
    """Takes parsed requests; answers through the sessions."""

    def __init__(
        self, out: Outbox, config: NodeConfig, metadata: Metadata, raft: Raft, liveness: Liveness,
        sessions: ClientSessions, proposals: Proposals, reads: ReadIndexes, puts: Puts, gets: Gets,
        metrics: Metrics, pages: Pages, operators: Operators,
    ) -> None:  # fmt: skip
        self._out = out
        self._config = config
        self._metadata = metadata
        self._raft = raft
        self._liveness = liveness
        self._sessions = sessions
        self._proposals = proposals
        self._reads = reads
        self._puts = puts
        self._gets = gets
        self._metrics = metrics
        self._pages = pages
        self.leaderless = 0  # requests refused because no leader was known in time
        self._operators = operators
        self._behind: dict[int, tuple[Slot, Request, int]] = {}  # barrier ticket -> (who, what, deadline)
        self._creating: dict[str, list[tuple[Slot, int]]] = {}  # topic -> (who, deadline)
        self._proposed: dict[int, str] = {}  # rid -> topic

    @property
    def waiting(self) -> int:
        return len(self._behind) + len(self._creating) + self._operators.waiting

    def request(self, slot: Slot, request: Request, now_ns: int) -> None:
        """One request of a client of this node."""
        verb = request.verb
        if verb == PUT and request.topic in self._metadata.topics:
            deadline = now_ns + self._config.rpc_timeout_ns
            self._puts.put(Pending(request.topic, request.payload, deadline, slot=slot))
        elif verb == METRICS:
            self._sessions.answer(slot, self._metrics(now_ns))
        elif verb == HTTP:
            page = self._pages(request.topic, request.payload, now_ns)
            self._sessions.answer_http(slot, page.status, page.content_type, page.body)
        elif verb == REGISTER:
            self._register(slot, request.topic, now_ns)
        elif verb in (GET, FETCH) and self._known(request):
            self._dispatch(slot, request, now_ns)
        else:
            self._behind[self._reads.barrier()] = (slot, request, now_ns + self._config.rpc_timeout_ns)

    def _known(self, request: Request) -> bool:
        topic = self._metadata.topics.get(request.topic)
        return topic is not None and (request.verb == GET or topic.segment(request.segment) is not None)

    def _dispatch(self, slot: Slot, request: Request, now_ns: int) -> None:
        """Answer a request of which this node now knows enough."""
        topic = self._metadata.topics.get(request.topic)
        if topic is None and request.topic:
            self._sessions.answer(slot, unknown_topic(request.topic))
        elif request.verb in (NODES, NODE):
            self._operators.request(slot, request, now_ns + self._config.rpc_timeout_ns)
        elif request.verb == PUT:
            self.request(slot, request, now_ns)
        elif request.verb == GET:
            deadline = now_ns + self._config.rpc_timeout_ns
            self._gets.get(Pending(request.topic, b"", deadline, slot=slot), now_ns)
        elif request.verb == FETCH:
            self._gets.fetch(slot, request.topic, request.segment, request.offset, now_ns)
        elif request.verb == STATE and topic is not None:
            self._sessions.answer(slot, status.to_json(status.topic_state(topic)))
        else:
            self._sessions.answer(slot, status.to_json(sorted(self._metadata.topics)))

    def caught_up(self, ticket: int, now_ns: int) -> None:
        """The barrier has passed: the request that waited behind it can be judged."""
        found = self._behind.pop(ticket, None)
        if found is None:
            return
        self._dispatch(found[0], found[1], now_ns)

    def topic_known(self, topic: str, now_ns: int) -> None:
        """This node has just learnt of a topic: what waited for it goes first, so that nothing overtakes it."""
        tickets = [ticket for ticket, (_, request, _) in self._behind.items() if request.topic == topic]
        for ticket in tickets:
            slot, request, _ = self._behind[ticket]
            if request.verb in (PUT, GET):
                del self._behind[ticket]
                self._dispatch(slot, request, now_ns)

    # --- REGISTER ---

    def _register(self, slot: Slot, topic: str, now_ns: int) -> None:
        if topic in self._metadata.topics:
            self._sessions.answer(slot, b"OK")
            return
        waiting = self._creating.setdefault(topic, [])
        waiting.append((slot, now_ns + self._config.rpc_timeout_ns))
        if len(waiting) == 1:
            self._create(topic)

    def _create(self, topic: str) -> None:
        nodes = self._metadata.nodes
        voters = placeable(nodes, self._raft.committed_membership)
        live = self._liveness.live
        known = [n for n in voters if n in nodes]
        if not known:
            return
        after = known[(len(self._metadata.topics) - 1) % len(known)]
        writer = choose_writer(nodes, voters, live, after)
        if writer is not None:
            members = choose_members(nodes, voters, live, writer, self._config.target_replicas)
            self._proposed[self._proposals.submit(encode(CreateTopic(topic, writer.writer, members)))] = topic

    def outcome(self, outcome: Outcome) -> bool:
        """A command was decided; False if it is not ours. A topic that existed already is as good."""
        topic = self._proposed.pop(outcome.rid, None)
        if topic is None:
            return self._operators.outcome(outcome)
        for slot, _ in self._creating.pop(topic, ()):
            self._sessions.answer(slot, b"OK")
        return True

    def tick(self, now_ns: int) -> None:
        """Refuse what has waited too long for a leader; retry what could not be proposed."""
        self._operators.tick(now_ns)
        expired = [ticket for ticket, (_, _, deadline) in self._behind.items() if deadline <= now_ns]
        for ticket in expired:
            self.leaderless += 1
            self._sessions.answer(self._behind.pop(ticket)[0], NO_LEADER)
        if not self._creating:
            return
        proposed = set(self._proposed.values())
        for topic, waiting in list(self._creating.items()):
            while waiting and waiting[0][1] <= now_ns:
                self.leaderless += 1
                self._sessions.answer(waiting.pop(0)[0], NO_LEADER)
            if not waiting:
                del self._creating[topic]
            elif topic not in proposed:
                self._create(topic)
