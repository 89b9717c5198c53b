"""What the bugs in founding a cluster change."""

from core_node import World
from scene import shows

from walrus.core.config import SECOND
from walrus.core.joining import ONLY_ASKED
from walrus.core.peer import JoinReply


def founder() -> World:
    return World(1, initial_peers=("node2:6002",)).start()


@shows("founder-asks-nobody", sound=False, broken=True)
def an_empty_node_1_with_a_peer_begins() -> object:
    return bool(founder().sleep(SECOND).cluster)


@shows("founder-hears-no-refusal", sound=False, broken=True)
def its_peer_belongs_to_a_cluster_that_does_not_let_it_in_yet() -> object:
    world = founder()
    world.hear(JoinReply(5, 2, "node2:6002", "node 1 may live"), cluster=5)
    return bool(world.sleep(10 * SECOND).cluster)


@shows("founder-goes-on-beside", sound=True, broken=False)
def its_peer_turns_out_to_belong_to_a_cluster_that_knows_it() -> object:
    world = founder().sleep(5 * SECOND)
    world.hear(JoinReply(5, 0, "", ONLY_ASKED, lists=True), cluster=5)
    return world.stopped is not None
