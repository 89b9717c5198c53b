"""What the bugs on the way of clients' requests change."""

from types import SimpleNamespace

from core_node import World
from scene import shows
from segment_copies import Copies
from segment_fixtures import TOPIC, metadata_with, sealed, settings, writer_of
from segment_owner import Owner

from walrus.core import events as ev
from walrus.core.clients import ClientSessions
from walrus.core.config import SECOND
from walrus.core.gets import Gets
from walrus.core.leaving import Leaving
from walrus.core.puts import Puts
from walrus.core.raft.output import Role
from walrus.core.reachability import Reachability
from walrus.core.requests import Pending
from walrus.core.segment.blockreader import BlockReader
from walrus.core.segment.messages import (
    DONE,
    EMPTY,
    MOVED,
    READ_CLIENT,
    READ_ELSEWHERE,
    READ_END,
    READ_OK,
    ForwardGet,
    ForwardPuts,
    GetDelivered,
    GetDone,
    PutsDone,
    ReadBlocks,
    ReadBlocksReply,
)
from walrus.core.segment.writer import PROPOSED, WRITING
from walrus.core.segment.writers import Writers
from walrus.core.storage.appender import Tokens
from walrus.core.wire import encode_frame

CONN = 1

# --- cursors ---


@shows("cursor-past-outstanding", sound=0, broken=1)
def a_record_was_handed_out_and_not_delivered() -> object:
    owner = Owner(b"a")
    owner.get(1)
    owner.serve()
    return owner.cursors.owned[TOPIC].position


@shows("get-without-asker", sound=[(9, DONE, 0, b"a"), (9, DONE, 1, b"b")], broken=[(9, DONE, 0, b"a")] * 2)
def two_nodes_ask_under_the_same_number() -> object:
    owner = Owner(b"a", b"b")
    for node in (2, 3):
        owner.get(9, node=node)
        owner.serve()
    return owner.results()


@shows("coalesced-empty", sound=[(1, EMPTY, 0, b"")], broken=[(1, EMPTY, 0, b""), (2, EMPTY, 0, b"")])
def a_get_comes_after_the_question_was_put() -> object:
    owner = Owner()
    owner.get(1)
    [read] = owner.reads()
    owner.get(2)
    owner.answer(read)
    return owner.results()


@shows("goes-without-farewell", sound=False, broken=True)
def a_node_stops_while_another_has_cursors_to_commit() -> object:
    leaving = Leaving(
        settings(1),
        SimpleNamespace(role=Role.FOLLOWER),  # type: ignore[arg-type]
        SimpleNamespace(valid=lambda now_ns: True),  # type: ignore[arg-type]
        SimpleNamespace(others=lambda: [2], ask=lambda: False),  # type: ignore[arg-type]
        SimpleNamespace(count=0),  # type: ignore[arg-type]
        SimpleNamespace(),  # type: ignore[arg-type]
        SimpleNamespace(stop_reading=lambda: None),  # type: ignore[arg-type]
        lambda: 0,
        lambda: True,
    )
    leaving.begin(0)
    leaving.tick(1)
    return leaving.done


# --- routes ---


class Node1(Owner):
    """Node 1 and its one client; ``writer`` writes logs:1."""

    def __init__(self, writer: int) -> None:
        super().__init__()
        self.metadata = metadata_with(1, 2, 3, writer=writer)
        self.sessions = ClientSessions(self.config)
        self.sessions.connected(CONN, 0)
        out, config = self.wire.out, self.config
        self.writers = Writers(
            out, config, writer_of(1), self.metadata, self.raft, self.lease, self.liveness, self.proposals,
            self.cursors,
        )  # fmt: skip
        self.puts = Puts(out, config, self.metadata, self.sessions, self.writers, Reachability(out))
        self.gets = Gets(out, config, self.metadata, self.sessions, self.cursors, self.fetcher)

    def ask(self, body: bytes) -> Pending:
        """The client's request."""
        [(slot, request)] = self.sessions.received(CONN, encode_frame(body), 0)
        return Pending(request.topic, request.payload, 5 * SECOND, slot=slot)

    def said(self, kind: type) -> list[object]:
        return [message for _, message in self.wire.sent() if isinstance(message, kind)]


@shows("forward-taken-twice", sound=[1], broken=[1, 1])
def a_forward_comes_twice_to_a_node_that_writes_nothing() -> object:
    node = Node1(2)
    for _ in range(2):
        node.puts.forwarded(3, ForwardPuts(7, TOPIC, 1, [b"a"]), 0)
    return [done.count for done in node.said(PutsDone)]  # type: ignore[attr-defined]


@shows("lost-forward-sent-again", sound=1, broken=0)
def the_connection_breaks_to_the_node_that_a_put_went_to() -> object:
    node = Node1(2)
    node.puts.put(node.ask(b"PUT logs a"))
    node.puts.flush()
    node.puts.disconnected(2)
    return len(node.sessions.drain())


@shows("put-overtakes", sound=1, broken=2)
def a_put_comes_while_another_is_with_the_writer_before() -> object:
    node = Node1(2)
    node.puts.put(node.ask(b"PUT logs a"))
    node.puts.flush()
    sealed(node.metadata, 0, writer=3)
    node.puts.put(node.ask(b"PUT logs b"))
    node.puts.flush()
    return len(node.said(ForwardPuts))


@shows("early-forward-refused", sound=[], broken=[MOVED])
def a_forward_comes_for_a_segment_not_seen_yet() -> object:
    node = Node1(2)
    node.puts.forwarded(3, ForwardPuts(7, TOPIC, 2, [b"a"]), 0)
    return [done.status for done in node.said(PutsDone)]  # type: ignore[attr-defined]


def told(node: Node1, rid: int, *offsets: int) -> list[bool]:
    """What the owner is told of the records at ``offsets``, all sent for one GET."""
    for offset in offsets:
        node.gets.answered(2, GetDone(rid, DONE, TOPIC, 1, offset, b"a"), 0)
    return [word.delivered for word in node.said(GetDelivered)]  # type: ignore[attr-defined]


@shows("delivery-assumed", sound=[False], broken=[True])
def a_record_comes_for_a_get_that_nobody_waits_for() -> object:
    return told(Node1(2), 99, 0)


@shows("told-without-record", sound=[True, False], broken=[True, True])
def two_records_come_for_one_get() -> object:
    node = Node1(2)
    node.gets.get(node.ask(b"GET logs"), 0)
    [forward] = node.said(ForwardGet)
    return told(node, forward.rid, 0, 1)  # type: ignore[attr-defined]


@shows("unknown-topic-unasked", sound=1, broken=0)
def a_get_names_a_topic_that_this_node_does_not_know() -> object:
    world = World().start()
    world.handle(ev.ClientConnected(CONN))
    world.handle(ev.ClientDataReceived(CONN, encode_frame(b"GET nowhere"), 0))
    assert world.node.running is not None
    return world.node.running.service.waiting


# --- reads of copies ---


class Reading(Copies):
    """Node 2's copy, of which ``acked`` records are acknowledged; its writer is in ``state``."""

    acked = 0
    state = WRITING

    def get(self, key: tuple[str, int]) -> SimpleNamespace:
        """Stands for :class:`Writers`."""
        assert key[0] == TOPIC
        return SimpleNamespace(acked=self.acked, state=self.state, readable=True)

    def lease_valid(self, now_ns: int) -> bool:
        return now_ns == 0

    def ask(self, offset: int) -> int:
        """The status that node 3 is answered."""
        reader = BlockReader(self.wire.out, Tokens(), self.store, self)  # type: ignore[arg-type]
        reader.serve(3, ReadBlocks(5, TOPIC, 1, offset, READ_CLIENT, 0, 1000), 0)
        [(_, reply)] = self.said()
        assert isinstance(reply, ReadBlocksReply)
        return reply.status


def reading(*payloads: bytes) -> Reading:
    copies = Reading().filled(*payloads)
    assert isinstance(copies, Reading)
    return copies


@shows("dirty-read", sound=READ_END, broken=READ_OK)
def a_record_is_durable_and_not_acknowledged() -> object:
    return reading(b"a").ask(0)


@shows("end-told-while-sealing", sound=READ_ELSEWHERE, broken=READ_END)
def a_reader_at_the_end_comes_to_a_writer_that_has_proposed_its_seal() -> object:
    copies = reading(b"a")
    copies.acked, copies.state = 1, PROPOSED
    return copies.ask(1)


@shows("short-copy-says-end", sound=READ_ELSEWHERE, broken=READ_END)
def a_reader_comes_to_a_short_copy_of_a_sealed_segment() -> object:
    copies = reading(b"a")
    sealed(copies.metadata, 3)
    return copies.ask(1)
