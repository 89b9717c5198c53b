"""What an operator may do with the nodes of a cluster of several, and what is refused."""

from segment_fixtures import Wire, leading_raft, member, metadata_with, settings

from walrus.core.actions import Reply
from walrus.core.clients import ClientSessions
from walrus.core.departures import Departures
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import DRAINING, LEAVING, LOST, SetNodeState, decode
from walrus.core.operators import Operators
from walrus.core.peer import Propose
from walrus.core.proposals import Outcome, Proposals
from walrus.core.wire import HEADER_BYTES, NO_LEADER, encode_frame


class Desk:
    """Node 1 leads nodes 1 to ``nodes``; ``copies`` have segment 1 of ``logs``."""

    def __init__(
        self, *, nodes: int = 3, live: tuple[int, ...] = (1, 2, 3), copies: tuple[int, ...] = (1, 2, 3)
    ) -> None:
        everybody = tuple(range(1, nodes + 1))
        self.wire = Wire(1)
        self.metadata = metadata_with(*everybody, copies=copies)
        raft = leading_raft(1, everybody)
        liveness = Liveness(0)
        liveness.told(live, 0)
        departures = Departures(self.wire.out, settings(1), self.metadata, raft, liveness)
        self.sessions = ClientSessions(settings(1))
        self.proposals = Proposals(self.wire.out, raft)
        self.desk = Operators(self.metadata, raft, liveness, self.sessions, self.proposals, departures)
        self.sessions.connected(5, 0)

    def ask(self, request: bytes) -> bytes | SetNodeState:
        """The reply, or the command that is proposed instead."""
        [(slot, parsed)] = self.sessions.received(5, encode_frame(request), 0)
        self.desk.request(slot, parsed, 1_000)
        self.proposals.flush(0)
        for message in self.wire.replies():
            assert isinstance(message, Propose)
            command = decode(message.command)
            assert isinstance(command, SetNodeState)
            self.rid = message.rid
            return command
        return self.reply()

    def reply(self) -> bytes:
        [action] = self.sessions.drain()
        assert isinstance(action, Reply)
        return action.data[HEADER_BYTES:]


def test_a_live_node_is_drained_before_it_is_removed() -> None:
    desk = Desk()
    assert desk.ask(b"NODE DRAIN 3") == SetNodeState(*member(3), DRAINING)
    assert desk.desk.outcome(Outcome(desk.rid, 7, True, ""))
    assert desk.reply() == b"OK node 3 is being drained"
    assert desk.ask(b"NODE REMOVE 2") == SetNodeState(*member(2), LEAVING)
    assert desk.desk.outcome(Outcome(desk.rid, 8, False, "node 2 is not known"))
    assert desk.reply() == b"ERR node 2 is not known"
    assert not desk.desk.outcome(Outcome(99, 9, True, ""))


def test_what_leaves_goes_on_leaving_when_it_is_drained() -> None:
    desk = Desk()
    desk.metadata.apply(SetNodeState(*member(3), LEAVING))
    assert desk.ask(b"NODE DRAIN 3") == SetNodeState(*member(3), LEAVING)


def test_so_many_are_not_drained_that_few_must_hold_everything() -> None:
    desk = Desk()
    desk.metadata.apply(SetNodeState(*member(3), DRAINING))
    assert desk.ask(b"NODE DRAIN 2") == (
        b"ERR node 2 cannot be drained yet: of 3 voters only 1 would be left to hold everything; remove or call back "
        b"the nodes that are drained already"
    )


def test_of_two_nodes_one_may_leave() -> None:
    assert Desk(nodes=2, live=(1, 2), copies=(1, 2)).ask(b"NODE REMOVE 2") == SetNodeState(*member(2), LEAVING)


def test_a_dead_node_is_replaced_at_once() -> None:
    assert Desk(live=(1, 2)).ask(b"NODE REPLACE 3") == SetNodeState(*member(3), LOST)
    assert Desk(live=(1, 2)).ask(b"NODE REMOVE 3") == SetNodeState(*member(3), LEAVING)


def test_the_last_sure_copies_are_named_and_given_up_only_by_force() -> None:
    desk = Desk(live=(1, 2), copies=(3,))
    refused = (
        b"ERR node 3 is down, and only its disk surely holds all of logs:1: start it, or give that up with "
        b"walrus-cli node remove 3 --force"
    )
    assert desk.ask(b"NODE REMOVE 3") == refused
    assert desk.ask(b"NODE REPLACE 3") == refused
    assert desk.ask(b"NODE REMOVE 3 FORCE") == SetNodeState(*member(3), LOST)


def test_force_is_for_the_dead() -> None:
    text = b"ERR node 3 lives: --force gives up the copies of a dead node; remove it without"
    assert Desk().ask(b"NODE REMOVE 3 FORCE") == text


def test_the_quorum_is_never_given_up() -> None:
    why = b"without node 2 the voters would be 1, 3, of which 1 live and 2 must"
    assert Desk(live=(1, 2)).ask(b"NODE REMOVE 2") == b"ERR node 2 cannot be removed: " + why
    desk = Desk(live=(1,))
    assert desk.ask(b"NODE REPLACE 2") == b"ERR node 2 cannot be replaced: " + why
    assert desk.ask(b"NODE REMOVE 2 FORCE") == b"ERR node 2 cannot be removed: " + why


def test_whoever_waits_too_long_for_a_leader_is_told_so() -> None:
    desk = Desk()
    desk.ask(b"NODE DRAIN 3")
    desk.desk.tick(999)
    assert desk.desk.waiting == 1
    desk.desk.tick(1_000)
    assert desk.reply() == NO_LEADER
    assert (desk.desk.waiting, desk.proposals.waiting) == (0, 0)
