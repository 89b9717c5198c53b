"""The checkers of the clients' way see each rule broken in made-up messages, and let the legal ones pass."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from walrus.core.codec import encode_message
from walrus.core.metadata.commands import OPEN, CreateTopic, RemoveTopic, Seal
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Envelope, Message, ProposeReply
from walrus.core.requests import Pending
from walrus.core.segment.messages import (
    DONE,
    EMPTY,
    MOVED,
    READ_CLIENT,
    READ_END,
    READ_OK,
    REFUSED,
    UNKNOWN,
    ForwardGet,
    ForwardPuts,
    GetDelivered,
    GetDone,
    PutsDone,
    ReadBlocks,
    ReadBlocksReply,
)
from walrus.core.storage.blocks import encode_block
from walrus.sim.checkers.ends import Ends
from walrus.sim.checkers.forwarded_gets import ForwardedGets
from walrus.sim.checkers.forwarded_puts import ForwardedPuts
from walrus.sim.checkers.metadata_model import MetadataModel
from walrus.sim.checkers.settled import Settled
from walrus.sim.history import History, Operation
from walrus.sim.world import Violation

SET = ((1, 10), (2, 20), (3, 30))
OWNER, ASKER = 1, 2
RID = 1 << 40


class Stage:
    """Three nodes and what they say to each other. Node 1 writes segment 1 of topic "a"."""

    def __init__(self) -> None:
        self.history = History()
        self.model = MetadataModel()
        self.create = CreateTopic("a", (1, 10, 1), SET)
        self.model.apply(self.create)
        self._sent: dict[str, list[Callable[[int, int, bytes], None]]] = {}
        self._received: dict[str, list[Callable[[int, int, bytes], None]]] = {}
        self.hosts = [self._host(node) for node in (1, 2, 3)]
        self.network = SimpleNamespace(
            when_sent=lambda kind, hear: self._sent.setdefault(kind, []).append(hear),
            when_received=lambda kind, hear: self._received.setdefault(kind, []).append(hear),
        )
        self.clocks_within_margin = True

    def _host(self, node: int) -> SimpleNamespace:
        state = Metadata()
        state.apply(self.create)
        running = SimpleNamespace(
            me=(node, 10 * node, 1),
            puts=SimpleNamespace(_forwarded={}),
            gets=SimpleNamespace(_forwarded={}),
            writers=SimpleNamespace(_writers={}),
            cursors=SimpleNamespace(owned={}),
            sessions=SimpleNamespace(_connections={7: None}),
            lease=SimpleNamespace(valid=lambda now_ns: True),
        )
        raft = SimpleNamespace(applied_index=1)
        return SimpleNamespace(
            node_id=node, life=1, now_ns=lambda: self.clock_ns, world_ns=100, disk=SimpleNamespace(files={}),
            config=SimpleNamespace(rpc_timeout_ns=500),
            node=SimpleNamespace(
                running=running, metadata=state, raft=raft, out=SimpleNamespace(storage_id=10 * node)
            ),
        )  # fmt: skip

    clock_ns = 0

    def host(self, node: int) -> SimpleNamespace:
        return self.hosts[node - 1]

    def say(self, sender: int, to: int, message: Message, arrives: int = 1) -> None:
        """A message leaves, and so many copies arrive."""
        data = encode_message(Envelope(9, sender, 10 * sender, to, 10 * to), message)
        kind = type(message).__name__
        for hear in self._sent.get(kind, ()):
            hear(sender, to, data)
        for _ in range(arrives):
            for hear in self._received.get(kind, ()):
                hear(sender, to, data)

    def answer(self, verb: str, reply: bytes, payload: bytes = b"", offset: int = 0) -> None:
        """A client, who asked at 200 ns, is answered."""
        op = self.history.add(Operation(1, 1, verb, "a", payload, offset, sent_ns=200, node=1))
        self.history.answer(op, reply, 300)


# --- PUTs ---


def puts() -> tuple[Stage, ForwardedPuts]:
    stage = Stage()
    return stage, ForwardedPuts(stage, stage.history, stage.model)  # type: ignore[arg-type]


def forward(stage: Stage, rid: int, payload: bytes, segment: int = 1) -> None:
    stage.say(ASKER, OWNER, ForwardPuts(rid, "a", segment, [payload]))


def seal(stage: Stage) -> None:
    """Segment 1 ends, as everybody knows."""
    command = Seal("a", 1, OPEN, 0, 3, SET, (1, 10, 1), SET, None)
    stage.model.apply(command)
    for host in stage.hosts:
        host.node.metadata.apply(command)


def test_a_put_goes_elsewhere_once_the_writer_never_took_it() -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    seal(stage)
    stage.say(OWNER, ASKER, PutsDone(1, 1, MOVED))
    forward(stage, 2, b"x", segment=2)
    stage.say(OWNER, ASKER, PutsDone(2, 1, DONE))
    forward(stage, 3, b"")
    forward(stage, 4, b"")  # empty ones are all the same


@pytest.mark.parametrize("answer", [None, UNKNOWN, DONE])
def test_what_may_have_been_taken_is_never_sent_again(answer: int | None) -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    if answer is not None:
        stage.say(OWNER, ASKER, PutsDone(1, 1, answer))
    with pytest.raises(Violation, match="forwarded PUTs: node 2 sends b'x' to node 1 for a:2, and nobody told it"):
        forward(stage, 2, b"x", segment=2)


def test_an_answer_that_was_lost_tells_nobody_anything() -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    seal(stage)
    stage.say(OWNER, ASKER, PutsDone(1, 1, MOVED), arrives=0)
    with pytest.raises(Violation, match="nobody told it"):
        forward(stage, 2, b"x", segment=2)


def test_a_put_is_ended_once() -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    stage.say(OWNER, ASKER, PutsDone(1, 1, DONE))
    with pytest.raises(Violation, match=r"b'x' for a:1 is UNKNOWN, having said DONE before"):
        stage.say(OWNER, ASKER, PutsDone(1, 1, UNKNOWN))


def test_the_next_life_of_a_writer_knows_nothing_of_the_first_copy() -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    stage.say(OWNER, ASKER, PutsDone(1, 1, DONE))
    stage.host(OWNER).life = 2
    stage.say(OWNER, ASKER, PutsDone(1, 1, MOVED))


@pytest.mark.parametrize("status", [MOVED, REFUSED])
def test_what_is_on_a_disk_was_taken(status: int) -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    seal(stage)
    stage.host(3).disk.files["user_data/a:1.wal"] = bytearray(encode_block(0, 0, 1, 0, [b"y", b"x"]))
    with pytest.raises(Violation, match="and it is on the disk of node 3"):
        stage.say(OWNER, ASKER, PutsDone(1, 1, status))


def test_a_writer_sends_nothing_away_that_is_for_its_open_segment() -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    with pytest.raises(Violation, match="MOVED, and it has that segment open"):
        stage.say(OWNER, ASKER, PutsDone(1, 1, MOVED))


def test_a_writer_may_be_the_first_to_see_its_segment_sealed() -> None:
    stage, _ = puts()
    forward(stage, 1, b"x")
    stage.host(OWNER).node.metadata.apply(Seal("a", 1, OPEN, 0, 3, SET, (1, 10, 1), SET, None))
    stage.say(OWNER, ASKER, PutsDone(1, 1, MOVED))


def test_a_refused_put_is_nowhere() -> None:
    stage, _ = puts()
    stage.host(3).disk.files["user_data/a:4.wal"] = bytearray(encode_block(0, 0, 1, 0, [b"xx"]))
    stage.answer("PUT", b"ERR NotLeaderForPartition: a:1", b"x")
    stage.answer("PUT", b"ERR outcome unknown: a:1", b"xx")
    with pytest.raises(Violation, match="refused record present: PUT a b'xx'"):
        stage.answer("PUT", b"ERR NotLeaderForPartition: a:1", b"xx")


def test_puts_of_a_topic_go_to_one_segment_at_a_time() -> None:
    stage, checker = puts()
    host = stage.host(ASKER)
    checker.after_turn(host)
    forwarded = host.node.running.puts._forwarded
    forwarded.update({1: (None, ("a", 1), 1), 2: (None, ("a", 1), 1), 3: (None, ("b", 4), 1)})
    checker.after_turn(host)
    own = Pending("a", b"", 0, slot=object())  # type: ignore[arg-type]
    others = Pending("a", b"", 0, node=3, rid=1)
    writer = SimpleNamespace(unsent=[others], in_flight=[])
    host.node.running.writers._writers["a", 2] = writer
    checker.after_turn(host)
    writer.in_flight.append((1, [own]))
    with pytest.raises(Violation, match="node 2 has PUTs to a under way to the segments 1 and 2 at a time"):
        checker.after_turn(host)


# --- GETs ---


def gets() -> Stage:
    stage = Stage()
    ForwardedGets(stage)  # type: ignore[arg-type]
    return stage


def ask(stage: Stage, node: int = ASKER, conn: int = 7, rid: int = RID) -> None:
    slot = SimpleNamespace(conn=conn)
    stage.host(node).node.running.gets._forwarded[rid] = SimpleNamespace(pending=SimpleNamespace(slot=slot))
    stage.say(node, OWNER, ForwardGet(rid, "a", 1))


def hand(stage: Stage, offset: int, node: int = ASKER, rid: int = RID, arrives: int = 1) -> None:
    stage.say(OWNER, node, GetDone(rid, DONE, "a", 1, offset, b"x"), arrives)


def tell(stage: Stage, offset: int, *, delivered: bool, node: int = ASKER) -> None:
    stage.say(node, OWNER, GetDelivered("a", 1, offset, delivered))


def test_a_record_goes_to_one_client_after_the_other_if_the_first_was_gone() -> None:
    stage = gets()
    ask(stage)
    hand(stage, 0, arrives=2)
    hand(stage, 0)
    tell(stage, 0, delivered=True)
    tell(stage, 0, delivered=True)
    tell(stage, 0, delivered=True)
    ask(stage, 3, conn=5)
    hand(stage, 1, 3)
    tell(stage, 1, delivered=False, node=3)
    ask(stage, rid=RID + 1)
    hand(stage, 1, rid=RID + 1)
    stage.say(OWNER, ASKER, GetDone(RID + 2, EMPTY, "a", 1, 0, b""))


def test_a_record_is_not_handed_to_two() -> None:
    stage = gets()
    ask(stage)
    ask(stage, 3)
    hand(stage, 0)
    with pytest.raises(Violation, match=r"hands a offset 0 to node 3 .* does not know yet what became of it at node 2"):
        hand(stage, 0, 3)


def test_a_record_of_which_nothing_was_heard_is_handed_out_again() -> None:
    stage = gets()
    hand(stage, 0)
    stage.clock_ns = 1000
    hand(stage, 0, 3)


def test_a_record_is_not_delivered_to_a_client_that_is_gone() -> None:
    stage = gets()
    ask(stage, conn=8)
    hand(stage, 0)
    with pytest.raises(Violation, match="a offset 0 was delivered, and the client's connection 8 is gone"):
        tell(stage, 0, delivered=True)


def test_one_get_gets_one_record() -> None:
    stage = gets()
    ask(stage)
    hand(stage, 0)
    hand(stage, 1)
    tell(stage, 0, delivered=True)
    with pytest.raises(Violation, match="a offset 1 was delivered, as another record for the same GET was before"):
        tell(stage, 1, delivered=True)


def test_nothing_is_said_of_what_did_not_come_nor_delivered_that_nobody_asked_for() -> None:
    stage = gets()
    hand(stage, 0)
    with pytest.raises(Violation, match="and no client asked it"):
        tell(stage, 0, delivered=True)
    with pytest.raises(Violation, match="tells node 1 of a record that it did not get"):
        tell(stage, 1, delivered=False)


def test_the_same_is_said_twice() -> None:
    stage = gets()
    ask(stage)
    hand(stage, 0, arrives=2)
    tell(stage, 0, delivered=True)
    with pytest.raises(Violation, match="was not delivered, and said the opposite before"):
        tell(stage, 0, delivered=False)


# --- the end of a topic ---


def ends(acked: int, handed: int) -> tuple[Stage, Ends]:
    """Node 1 has acknowledged, at 100 ns, and handed out so many records."""
    stage = Stage()
    checker = Ends(stage, stage.history, stage.model)  # type: ignore[arg-type]
    running = stage.host(1).node.running
    running.writers._writers["a", 1] = SimpleNamespace(acked=acked)
    running.cursors.owned["a"] = SimpleNamespace(segment=1, next=handed)
    checker.after_turn(stage.host(1))
    return stage, checker


def read(stage: Stage, offset: int, status: int) -> None:
    stage.say(ASKER, OWNER, ReadBlocks(RID, "a", 1, offset, READ_CLIENT, 0, 100))
    stage.say(OWNER, ASKER, ReadBlocksReply(RID, status, b""))


def test_the_end_is_behind_the_last_acknowledged_record() -> None:
    stage, _ = ends(3, 0)
    read(stage, 2, READ_OK)
    read(stage, 3, READ_END)
    stage.clocks_within_margin = False
    read(stage, 2, READ_END)


def test_no_end_is_told_before_an_acknowledged_record() -> None:
    stage, _ = ends(3, 0)
    with pytest.raises(
        Violation, match=r"a ends at offset 2 \(a:1\), and 3 records were acknowledged when it was asked"
    ):
        read(stage, 2, READ_END)


def test_a_question_that_came_before_the_acknowledgement_may_be_told_the_end() -> None:
    stage, checker = ends(3, 0)
    stage.say(ASKER, OWNER, ReadBlocks(RID, "a", 1, 3, READ_CLIENT, 0, 100))
    stage.host(1).node.running.writers._writers["a", 1].acked = 4
    checker.after_turn(stage.host(1))
    stage.say(OWNER, ASKER, ReadBlocksReply(RID, READ_END, b""))


def test_a_fetch_is_empty_only_at_the_end() -> None:
    stage, checker = ends(3, 0)
    stage.answer("FETCH", b"EMPTY", offset=3)
    running = stage.host(1).node.running
    running.writers._writers["a", 1].acked = 4
    stage.host(1).world_ns = 250  # after the question
    checker.after_turn(stage.host(1))
    stage.answer("FETCH", b"EMPTY", offset=3)
    with pytest.raises(Violation, match="3 records were acknowledged when it was sent, and that is offset 2"):
        stage.answer("FETCH", b"EMPTY", offset=2)


def test_a_get_is_empty_only_when_all_is_handed_out() -> None:
    stage, checker = ends(3, 3)
    stage.answer("GET", b"EMPTY")
    stage.model.apply(RemoveTopic("a", 1))
    stage.answer("GET", b"EMPTY")  # of a topic that may be another one
    stage, checker = ends(3, 2)
    with pytest.raises(Violation, match="3 records were acknowledged, and 2 handed out"):
        stage.answer("GET", b"EMPTY")
    stage.host(1).node.running.cursors.owned["a"].next = 3
    checker.after_turn(stage.host(1))
    stage.answer("GET", b"EMPTY")


# --- SET and DELETE ---


def settled() -> tuple[Stage, Settled]:
    """DELETE is at index 2; nodes 1 and 2 have applied it."""
    stage = Stage()
    for node in (1, 2):
        stage.host(node).node.raft.applied_index = 2
    at = {1: stage.create, 2: RemoveTopic("a", 1)}
    return stage, Settled(stage, SimpleNamespace(at=at))  # type: ignore[arg-type]


def set_lease(stage: Stage, node: int, *, valid: bool) -> None:
    stage.host(node).node.running.lease.valid = lambda now_ns: valid


def test_delete_is_told_when_no_lease_is_left_behind() -> None:
    stage, checker = settled()
    set_lease(stage, 3, valid=False)
    stage.say(1, 2, ProposeReply(7, 1, True, ""))
    stage.say(1, 2, ProposeReply(8, 2, True, ""))
    checker.after_turn(stage.host(3))
    stage.host(3).node.raft.applied_index = 2
    set_lease(stage, 3, valid=True)
    checker.after_turn(stage.host(3))
    checker.after_turn(stage.host(3))


def test_delete_is_not_told_while_a_lease_runs_behind() -> None:
    stage, _ = settled()
    with pytest.raises(Violation, match=r"settled: RemoveTopic.* was told, and node 3, which has not applied it, has"):
        stage.say(1, 2, ProposeReply(8, 2, True, ""))


def test_none_gets_a_lease_back_before_it_has_applied_what_was_told() -> None:
    stage, checker = settled()
    set_lease(stage, 3, valid=False)
    stage.say(1, 2, ProposeReply(8, 2, True, ""))
    set_lease(stage, 3, valid=True)
    with pytest.raises(Violation, match="settled: RemoveTopic"):
        checker.after_turn(stage.host(3))
