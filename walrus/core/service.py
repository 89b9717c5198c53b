"""The client's verbs: what a node does with each request, wherever the answer must come from.

"unknown topic" is said only after this node has applied everything that was committed when the request came.
"""

from collections.abc import Callable

from walrus.core import status
from walrus.core.clients import ClientSessions, Slot
from walrus.core.config import NodeConfig
from walrus.core.gets import Gets
from walrus.core.lease import Lease
from walrus.core.liveness import Liveness
from walrus.core.metadata.state import Metadata
from walrus.core.operators import Operators
from walrus.core.outbox import Outbox
from walrus.core.pages import Page
from walrus.core.proposals import Outcome, Proposals
from walrus.core.puts import Puts
from walrus.core.raft.raft import Raft
from walrus.core.readindex import ReadIndexes
from walrus.core.requests import Pending
from walrus.core.topics import Topics
from walrus.core.wire import (
    CREATE,
    FETCH,
    GET,
    HTTP,
    INFO,
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
        sessions: ClientSessions, lease: Lease, proposals: Proposals, reads: ReadIndexes, puts: Puts, gets: Gets,
        metrics: Metrics, pages: Pages, operators: Operators,
    ) -> None:  # fmt: skip
        self._out = out
        self._config = config
        self._metadata = metadata
        self._sessions = sessions
        self._lease = lease
        self._reads = reads
        self._puts = puts
        self._gets = gets
        self._metrics = metrics
        self._pages = pages
        self.leaderless = 0  # requests refused because no leader was known in time
        self._operators = operators
        self._behind: dict[int, tuple[Slot, Request, int]] = {}  # barrier ticket -> (who, what, deadline)
        self.topics = Topics(config, metadata, raft, liveness, sessions, proposals)

    @property
    def waiting(self) -> int:
        return len(self._behind) + self.topics.waiting + self._operators.waiting

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
        elif verb == REGISTER and (request.topic not in self._metadata.topics or self._lease.valid(now_ns)):
            self.topics.create(slot, request.topic, None, now_ns)
        elif verb in (GET, FETCH) and self._known(request):
            self._dispatch(slot, request, now_ns)
        else:
            self._behind[self._reads.barrier()] = (slot, request, now_ns + self._config.rpc_timeout_ns)

    def again(self, verb: int, pending: Pending) -> None:
        """The topic of a PUT or GET was deleted before anything came of it: there may be another of that name."""
        assert pending.slot is not None, "what other nodes forwarded waits there"
        request = Request(verb, pending.topic, pending.payload)
        self._behind[self._reads.barrier()] = (pending.slot, request, pending.deadline_ns)

    def _known(self, request: Request) -> bool:
        topic = self._metadata.topics.get(request.topic)
        return topic is not None and (request.verb == GET or topic.segment(request.segment) is not None)

    def _dispatch(self, slot: Slot, request: Request, now_ns: int) -> None:
        """Answer a request of which this node now knows enough."""
        topic = self._metadata.topics.get(request.topic)
        if request.verb == REGISTER:
            self.topics.create(slot, request.topic, None, now_ns)
        elif request.verb == CREATE:
            self.topics.create(slot, request.topic, dict(request.settings), now_ns)
        elif topic is None and request.topic:
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
            self._sessions.answer(slot, status.to_json(status.topic_state(topic, self._metadata.recoveries)))
        elif request.verb == INFO and topic is not None:
            self._sessions.answer(slot, status.to_json(status.topic_info(topic)))
        elif topic is not None:
            self.topics.change(slot, request, topic, now_ns)
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

    def outcome(self, outcome: Outcome) -> bool:
        """A command was decided; False if it is not ours."""
        return self.topics.outcome(outcome) or self._operators.outcome(outcome)

    def tick(self, now_ns: int) -> None:
        """Refuse what has waited too long for a leader; retry what could not be proposed."""
        self._operators.tick(now_ns)
        expired = [ticket for ticket, (_, _, deadline) in self._behind.items() if deadline <= now_ns]
        for ticket in expired:
            self.leaderless += 1
            self._sessions.answer(self._behind.pop(ticket)[0], NO_LEADER)
        self.topics.tick(now_ns)
