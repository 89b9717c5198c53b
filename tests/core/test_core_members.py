"""What a node answers operators, and when it takes itself for a member no more."""

import json

from core_node import World

from walrus.core.config import MS
from walrus.core.metadata.commands import DRAINING
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Heartbeat, JoinReply, JoinRequest, Removed, RequestVote, VoteReply


def alone() -> World:
    return World().start().sleep(500 * MS)


def test_the_list_of_nodes_says_what_each_has() -> None:
    [reply] = alone().ask(b"NODES")
    [row] = json.loads(reply)
    assert row == {
        "node": 1,
        "address": row["address"],
        "client_address": row["client_address"],
        "state": "active",
        "live": True,
        "voter": True,
        "raft_leader": True,
        "segments": 1,
        "writes": 1,
    }


def test_the_status_of_a_node_names_its_topics_and_what_nobody_else_has() -> None:
    world = alone()
    world.ask(b"PUT logs a")
    [reply] = world.ask(b"NODE STATUS 1")
    told = json.loads(reply)
    assert (told["topics"], told["last_copies"], told["waits_for"]) == ({"logs": 1}, ["logs:1"], "")
    assert told["storage"] == f"{world.storage:016x}"


def test_what_cannot_be_done_is_refused_with_the_reason() -> None:
    world = alone()
    assert world.ask(b"NODE DRAIN 9", b"NODE DRAIN 1", b"NODE REMOVE 1", b"NODE REMOVE 1 FORCE", b"NODE REPLACE 1") == [
        b"ERR node 9 is no member: expected one of 1",
        b"ERR node 1 cannot be drained: no other voter lives that is not drained itself",
        b"ERR node 1 cannot be removed: node 1 is the only voter",
        b"ERR node 1 cannot be removed: node 1 is the only voter",
        b"ERR node 1 lives: drain and remove it instead of replacing it",
    ]
    assert world.ask(b"NODE UNDRAIN 1") == [b"OK node 1 stays"]


def test_a_member_that_has_not_announced_itself_has_nothing_to_drain() -> None:
    world = alone()
    world.hear(JoinRequest(2, 1002, "node2:6001"), cluster=0)
    world.sleep(100 * MS)
    assert world.ask(b"NODE DRAIN 2") == [b"ERR node 2 has not announced itself yet: start it once"]


def test_a_node_that_is_told_of_its_removal_stops_and_says_what_to_do() -> None:
    world = alone()
    world.hear(Removed(1, 4711))
    world.hear(Removed(2, world.storage))
    assert world.stopped is None, "neither was about this node with this disk"
    storage = world.storage
    world.hear(Removed(1, storage), sender=7, storage=7)
    assert world.stopped is not None
    assert world.stopped.exit_code == 1
    assert world.stopped.reason == (
        f"node 1 with this data directory (storage id {storage:016x}) was removed from the cluster; "
        "start it with an empty data directory to join anew"
    )


def test_a_joiner_whose_number_is_taken_for_good_stops() -> None:
    world = World(2, join=("node1:6001",)).start()
    world.hear(JoinReply(7, 1, "node1:6001", "node 2 may live"), sender=1, cluster=7)
    assert world.stopped is None
    world.hear(JoinReply(7, 1, "node1:6001", "node 2 lives", refused=True), sender=1, cluster=7)
    assert world.stopped is not None
    assert world.stopped.reason == "the cluster refuses node 2: node 2 lives"


def test_a_drained_node_that_starts_again_announces_itself_once_and_stays_drained() -> None:
    world = alone()
    metadata: Metadata = world.node.metadata
    metadata.nodes[1] = type(metadata.nodes[1])(*(*world.node.running.me, "", ""), DRAINING)  # as if it were another's
    world.sleep(500 * MS)
    last = world.node.raft.log.last_index
    assert metadata.nodes[1].state == DRAINING
    assert metadata.nodes[1].address != ""
    world.sleep(500 * MS)
    assert world.node.raft.log.last_index == last


def member_on_another_disk() -> World:
    """Node 1 knows node 2 with storage 1002 as a learner."""
    world = alone()
    world.hear(JoinRequest(2, 1002, "node2:6001"), cluster=0)
    assert world.node.raft.storage_of[2] == 1002
    world.done.clear()
    return world


def test_a_leader_is_heard_though_it_is_known_with_an_earlier_disk() -> None:
    """A node that is behind does not know yet that it was replaced; nobody else can tell it."""
    world = member_on_another_disk()
    term = world.node.raft.term
    world.hear(Heartbeat(term + 1, 1, 0, 0, ()), storage=77)
    assert (world.node.raft.term, world.node.raft.leader) == (term + 1, 2)


def test_answers_of_an_earlier_disk_count_for_nothing() -> None:
    world = member_on_another_disk()
    term = world.node.raft.term
    world.hear(VoteReply(term + 1, False, False), storage=77)
    assert world.node.raft.term == term
    assert any("speaks with another data directory" in text for _, text in world.logged())


def test_a_vote_in_a_term_is_for_one_disk() -> None:
    """The old disk of a node and its new one could otherwise both lead in that term."""
    world = member_on_another_disk()
    term, last = world.node.raft.term + 1, world.node.raft.log.last_index
    asked = RequestVote(term, last, term, pre=False, transfer=True)
    world.hear(asked, storage=1002)
    assert [m for _, m in world.sent() if isinstance(m, VoteReply)] == [VoteReply(term, True, False)]
    world.hear(asked, storage=77)
    world.hear(asked, storage=1002)
    assert [m for _, m in world.sent() if isinstance(m, VoteReply)] == [VoteReply(term, True, False)] * 2
