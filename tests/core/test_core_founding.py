"""An empty node 1 that was told of peers: it founds a cluster only where they know of none."""

import pytest
from core_node import World

from walrus.core.actions import SendToAddress
from walrus.core.codec import decode_message
from walrus.core.config import MS, SECOND
from walrus.core.founding import ASK_NS
from walrus.core.joining import KNOWS_NONE, ONLY_ASKED
from walrus.core.peer import Envelope, JoinReply, JoinRequest

PEERS = ("node2:6002", "node3:6003")
NONE = JoinReply(0, 0, "", KNOWS_NONE)
KNOWS_US = JoinReply(5, 0, "", ONLY_ASKED, lists=True)


def founder(*peers: str) -> World:
    """An empty node 1, after its first ticks."""
    return World(1, initial_peers=peers or PEERS).start().sleep(100 * MS)


def asked(world: World, since: int = 0) -> list[tuple[str, Envelope, JoinRequest]]:
    """Whom the node asked what, from which cluster."""
    found = []
    for action in world.done[since:]:
        if isinstance(action, SendToAddress):
            decoded = decode_message(action.data)
            assert decoded is not None
            assert isinstance(decoded[1], JoinRequest)
            found.append((action.address, *decoded))
    return found


def hears(world: World, reply: JoinReply, sender: int) -> None:
    world.hear(reply, sender, storage=1000 + sender, cluster=reply.cluster)
    world.sleep(100 * MS)


def test_it_asks_all_its_peers_at_once_and_founds_nothing_meanwhile() -> None:
    world = founder(*PEERS, "node1:6001", "node2:6002")
    assert sorted({address for address, _, _ in asked(world)} - {"node1:6001"}) == [*PEERS]
    hears(world, NONE, 2)
    world.sleep(2 * SECOND)
    assert world.cluster == 0
    assert world.ask(b"PUT logs x", wait_ns=0) == []


def test_it_founds_a_cluster_as_soon_as_every_peer_has_said_that_it_knows_of_none() -> None:
    world = founder()
    hears(world, NONE, 2)
    hears(world, NONE, 2)
    assert world.cluster == 0
    hears(world, NONE, 3)
    assert world.cluster != 0
    world.sleep(500 * MS)
    assert world.ask(b"PUT logs x") == [b"OK"]
    assert [level for level, text in world.logged() if "Founding a cluster" in text] == []


def test_it_founds_a_cluster_after_its_patience_where_a_peer_stays_silent_and_says_so() -> None:
    world = founder()
    hears(world, NONE, 2)
    world.sleep(3 * SECOND)
    assert world.cluster != 0
    (text,) = [text for level, text in world.logged() if level == "warn"]
    assert "Founding a cluster: of node2:6002, node3:6003 only 1 have said in 3 s" in text


@pytest.mark.parametrize("error", ["", "node 1 may live, with another disk"])
def test_it_founds_none_where_a_peer_belongs_to_a_cluster_even_if_that_does_not_let_it_in_yet(error: str) -> None:
    world = founder()
    hears(world, NONE, 2)
    hears(world, JoinReply(5, 3, "node3:6003", error), 3)
    hears(world, NONE, 3)
    world.sleep(10 * SECOND)
    assert world.cluster == (0 if error else 5)
    assert world.node.raft.term == 0


def test_one_that_was_told_what_to_join_or_has_another_number_never_founds() -> None:
    for world in (World(1, join=PEERS[:1], initial_peers=PEERS), World(2, initial_peers=PEERS)):
        world.start().sleep(10 * SECOND)
        assert world.cluster == 0


def alone() -> World:
    """It has founded a cluster after its patience, and nobody has joined."""
    return founder().sleep(5 * SECOND)


def test_while_nobody_has_joined_it_asks_its_peers_what_they_belong_to() -> None:
    world = alone()
    since = len(world.done)
    world.sleep(ASK_NS)
    questions = asked(world, since)
    assert [address for address, _, _ in questions] == [*PEERS]
    assert {(envelope.cluster, question.only_asks) for _, envelope, question in questions} == {(0, True)}


def test_it_stops_where_another_cluster_knows_it_and_says_what_to_do() -> None:
    world = alone()
    hears(world, JoinReply(6, 0, "", ONLY_ASKED), 3)
    hears(world, NONE, 3)
    assert world.stopped is None, "a cluster that never had a node 1 is none of its business"
    hears(world, KNOWS_US, 2)
    assert world.stopped is not None
    assert world.stopped.reason.endswith("nothing was acknowledged here; remove this data directory and start again, "
                                         "to join that one")  # fmt: skip


@pytest.mark.parametrize("request_", [b"PUT logs x", b"REGISTER other", b"SET logs retention_ms=5"])
@pytest.mark.parametrize("lives", [1, 2])
def test_it_says_so_where_a_client_was_acknowledged(request_: bytes, lives: int) -> None:
    world = alone()
    assert world.ask(request_) == [b"OK"]
    for _ in range(lives - 1):
        world.crash().sleep(2 * SECOND)
    hears(world, KNOWS_US, 2)
    assert world.stopped is not None
    assert "clients have been acknowledged here; move this data directory away" in world.stopped.reason


def test_a_restart_before_anything_was_acknowledged_changes_nothing() -> None:
    world = alone().crash().sleep(2 * SECOND)
    hears(world, KNOWS_US, 2)
    assert world.stopped is not None
    assert "nothing was acknowledged here" in world.stopped.reason


def test_who_belongs_to_no_cluster_says_so_and_a_member_says_whether_it_knows_the_asker() -> None:
    world = founder()
    world.hear(JoinRequest(4, 1004, "node4:6004"), 4, storage=1004, cluster=0)
    assert (4, NONE) in world.sent()
    world = World(1).start().sleep(500 * MS)
    for node in (1, 4):
        world.hear(JoinRequest(node, 77, "x:1", only_asks=True), 9, storage=77, cluster=0)
    told = [message for _, message in world.sent() if isinstance(message, JoinReply)]
    assert told == [JoinReply(world.cluster, 0, "", ONLY_ASKED, lists=lists) for lists in (True, False)]
    assert world.node.raft.membership.learners == ()
