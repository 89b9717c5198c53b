"""What comes in on the raft port, whatever it is, never ends a node that was not addressed by one of its own."""

import pytest
from core_node import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from walrus.core import events as ev
from walrus.core.actions import Send
from walrus.core.codec import encode_message
from walrus.core.config import MS
from walrus.core.metadata.commands import CreateTopic, encode
from walrus.core.peer import (
    ENVELOPE_BYTES,
    AppendEntries,
    Envelope,
    Heartbeat,
    JoinRequest,
    Message,
    Ping,
    Propose,
    ReadIndex,
    RequestVote,
    TimeoutNow,
)
from walrus.core.segment.messages import (
    READ_CLIENT,
    READ_ELSEWHERE,
    Append,
    AppendAck,
    Fence,
    ForwardGet,
    ForwardPuts,
    GetDelivered,
    Hold,
    ReadBlocks,
    ReadBlocksReply,
    Repair,
)

MESSAGES: tuple[Message, ...] = (
    RequestVote(3, 10, 2, pre=False, transfer=True),
    Heartbeat(9, 1, 5, 0, (2,)),
    AppendEntries(9, 0, 0, [], 5),
    TimeoutNow(9),
    ReadIndex(5),
    Append("logs", 1, 2, 1, 0, b""),
    AppendAck("logs", 1, 0, 0, 50, 0, 1),
    Fence("logs", 1, 9),
    Repair("logs", 1, 3, 2, 1),
    Hold("logs", 1, 2, 4),
    ReadBlocks(6, "logs", 1, 0, READ_CLIENT, 0, 1 << 20),
    ForwardPuts(7, "logs", 1, [b"x"]),
    ForwardGet(8, "logs", 1),
    GetDelivered("logs", 1, 0, delivered=True),
)

SHARED = World().start().sleep(500 * MS)
"""One node for all random bytes: what one message leaves behind must not make the next one fatal either."""


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=120), st.booleans())
def test_random_bytes_are_dropped(data: bytes, addressed: bool) -> None:
    if addressed:
        envelope = Envelope(SHARED.cluster, 2, 1002, 1, SHARED.storage)
        data = encode_message(envelope, Ping(answer=True))[:ENVELOPE_BYTES] + data
    SHARED.handle(ev.MessageReceived(data))
    SHARED.run()
    assert SHARED.stopped is None


def test_bytes_that_are_no_message_are_mentioned_once() -> None:
    world = World().start()
    for _ in range(3):
        world.handle(ev.MessageReceived(b"GET / HTTP/1.1\r\n\r\n"))
    said = [text for _, text in world.logged() if "no message of this protocol version" in text]
    assert len(said) == 1


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_a_message_cut_short_is_dropped(cut: int) -> None:
    world = World().start()
    whole = encode_message(Envelope(world.cluster, 2, 1002, 1, 0), Fence("logs", 1, 9))
    assert len(whole) > 40
    world.handle(ev.MessageReceived(whole[:cut]))
    assert world.run().sent() == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(0, 2, 1002, 1, 0),
        Envelope(5, 2, 1002, 1, 0),
        Envelope(-1, 2, 1002, 3, 0),
        Envelope(-1, 2, 1002, 1, 99),
        Envelope(-1, 1, 1002, 1, 0),
    ],
    ids=["no cluster", "another cluster", "another node", "another disk", "the own number"],
)
def test_a_message_not_meant_for_this_member_changes_and_answers_nothing(message: Message, envelope: Envelope) -> None:
    world = World().start().sleep(500 * MS)
    if envelope.cluster < 0:
        envelope = Envelope(world.cluster, envelope.sender, envelope.sender_storage, *_recipient(envelope))
    term = world.node.raft.term
    world.handle(ev.MessageReceived(encode_message(envelope, message)))
    world.run()
    assert [action for action in world.done if isinstance(action, Send)] == []
    assert world.node.raft.term == term
    assert world.ask(b"PUT logs a", b"FETCH logs 1 0") == [b"OK", b"EMPTY"]
    assert world.ask(b"FETCH logs 1 0", b"GET logs") == [b"OK 1 a", b"OK a"]


def _recipient(envelope: Envelope) -> tuple[int, int]:
    return envelope.recipient, envelope.recipient_storage


def test_another_process_with_this_nodes_number_is_refused_and_named_once() -> None:
    world = World().start()
    for _ in range(2):
        world.hear(Fence("logs", 1, 9), sender=1, storage=0xABC)
    said = [text for level, text in world.logged() if level == "error"]
    assert len(said) == 1
    assert "node 1 speaks with another data directory (storage id 0000000000000abc)" in said[0]


def test_a_command_that_cannot_be_read_is_never_committed() -> None:
    """Once committed, every node would fail on it at every start."""
    world = World().start().sleep(500 * MS)
    last = world.node.raft.log.last_index
    for command in (b"", b"nonsense", b"\x91" * 5000, encode(CreateTopic("x", (1, 1, 1), ()))[:-1]):
        world.hear(Propose(1 << 40, command))
    assert world.node.raft.log.last_index == last
    assert world.crash().sleep(500 * MS).ask(b"PUT logs a") == [b"OK"]


def test_a_stranger_may_ask_to_join_and_is_heard_though_it_is_in_no_cluster() -> None:
    world = World().start().sleep(500 * MS)
    world.hear(JoinRequest(2, 1002, "node2:6001"), cluster=0)
    assert [m.node for m in world.node.raft.membership.members] == [1, 2]
    world.hear(JoinRequest(3, 1003, "node3:6001"), cluster=world.cluster ^ 2)
    assert [m.node for m in world.node.raft.membership.members] == [1, 2]


def test_blocks_of_a_segment_that_is_not_here_are_asked_for_elsewhere() -> None:
    world = World().start().sleep(500 * MS)
    world.hear(ReadBlocks(6, "other", 1, 0, READ_CLIENT, 0, 1 << 20))
    assert (2, ReadBlocksReply(6, READ_ELSEWHERE, b"")) in world.sent()


def test_answers_that_nobody_waits_for_change_nothing() -> None:
    world = World().start().sleep(500 * MS)
    world.hear(ReadBlocksReply(77, 0, b"junk"))
    world.hear(AppendAck("logs", 1, 0, 0, 99, 0, 1))
    world.hear(GetDelivered("logs", 1, 0, delivered=False))
    assert world.ask(b"PUT logs a", b"GET logs", b"GET logs")[0] == b"OK"
    assert world.ask(b"FETCH logs 1 0", b"FETCH logs 1 1") == [b"OK 1 a", b"EMPTY"]
