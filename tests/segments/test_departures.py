"""The Raft leader takes out who has nothing any more, and who comes with another disk finds the old one gone."""

import pytest
from segment_fixtures import (
    TOPIC,
    Wire,
    leading_raft,
    member,
    members,
    metadata_with,
    proposed,
    sealed,
    settings,
)

from walrus.core.config import MS, SECOND
from walrus.core.departures import LOOK_NS, SETTLE_NS, SILENT_NS, SURE_NS, Departures, listed
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import ACTIVE, DRAINING, LEAVING, LOST, ChangeSet, SetNodeState
from walrus.core.metadata.placement import endangered, holdings
from walrus.core.metadata.state import Metadata
from walrus.core.peer import HeartbeatReply, TimeoutNow


class Leading:
    """Node 1 leads nodes 1 to 3, and all have copies of segment 1 of ``logs``, which node 1 writes."""

    def __init__(self, live: tuple[int, ...] = (1, 2, 3), copies: tuple[int, ...] = (1, 2, 3)) -> None:
        self.wire = Wire(1)
        self.metadata = metadata_with(1, 2, 3, copies=copies)
        self.raft = leading_raft(1, (1, 2, 3))
        self.liveness = Liveness(0)
        self.liveness.told(live, 0)
        self.departures = Departures(
            self.wire.out, settings(1, replace_after_ns=60 * SECOND), self.metadata, self.raft, self.liveness
        )
        for node in (2, 3):
            self.raft.step(node, HeartbeatReply(2, 1, 0), 0)

    def wants(self, node: int, state: int) -> None:
        assert self.metadata.apply(SetNodeState(*member(node), state)) == ""

    def moved(self, *copies: int) -> None:
        segment = self.metadata.topics[TOPIC].last
        change = ChangeSet(TOPIC, segment.number, segment.state, segment.epoch, segment.version, members(*copies))
        assert self.metadata.apply(change) == ""


def test_a_node_that_leaves_stays_until_no_segment_names_it() -> None:
    bench = Leading()
    bench.wants(3, LEAVING)
    bench.departures.tick(0)
    assert bench.raft.voters == (1, 2, 3)
    assert bench.departures.waits_for == {3: "segments name it still, such as logs:1"}
    bench.moved(1, 2)
    bench.departures.tick(LOOK_NS)
    assert bench.raft.voters == (1, 2, 3), "what names it may be on its way yet"
    bench.departures.tick(LOOK_NS + SETTLE_NS - 1)
    assert bench.raft.voters == (1, 2, 3)
    later_ns = 2 * LOOK_NS + SETTLE_NS
    bench.raft.step(2, HeartbeatReply(2, 2, 0), later_ns)
    bench.departures.tick(later_ns)
    assert bench.raft.voters == (1, 2)
    assert bench.departures.waits_for == {}


def test_a_node_that_writes_a_segment_is_named_by_it() -> None:
    bench = Leading(copies=(2, 3))
    bench.wants(1, LEAVING)
    assert holdings(bench.metadata, member(1)) == {TOPIC: 1}
    bench.raft.transfer_leadership(0)  # so that this is not the first thing to do
    bench.departures.tick(0)
    assert bench.raft.voters == (1, 2, 3)


def test_a_drained_node_stays_a_member() -> None:
    bench = Leading()
    bench.moved(1, 2)
    bench.wants(3, DRAINING)
    bench.departures.tick(0)
    assert bench.raft.voters == (1, 2, 3)


def test_a_node_whose_disk_is_lost_goes_at_once() -> None:
    bench = Leading()
    bench.wants(3, LOST)
    bench.departures.tick(0)
    assert bench.raft.voters == (1, 2)


def test_only_the_leader_acts() -> None:
    bench = Leading()
    bench.wants(3, LOST)
    bench.departures = Departures(bench.wire.out, settings(2), bench.metadata, leading_raft(2, (2,)), bench.liveness)
    bench.departures.tick(0)
    assert bench.raft.voters == (1, 2, 3)


def test_a_leader_that_is_drained_hands_over_first() -> None:
    bench = Leading()
    bench.wants(1, DRAINING)
    bench.wants(2, DRAINING)
    bench.departures.tick(0)
    assert [to for to, message, _ in bench.raft.drain().messages if isinstance(message, TimeoutNow)] == [3]


def test_a_number_whose_node_lives_is_refused_once_that_is_sure() -> None:
    """A node that has just died counts as live for as long as it may hold a lease."""
    bench = Leading()
    text = "node 3 lives, with another disk: give the new node a number of its own"
    for at_ns in range(0, SURE_NS, 250 * MS):
        assert bench.departures.make_way(member(3), at_ns) == (text, False)
    assert bench.departures.make_way(member(3), SURE_NS) == (text, True)
    assert bench.departures.make_way(member(3), 10 * SURE_NS) == (text, False), "it was not asked in between"


def test_a_dead_node_makes_way_for_its_new_disk() -> None:
    bench = Leading(live=(1, 2))
    text, refused = bench.departures.make_way(member(3), SILENT_NS - 1)
    assert (text, refused) == (
        "node 3 may live, with another disk: it is replaced once it is silent for long enough",
        False,
    )
    assert proposed(bench.raft) == []
    assert bench.departures.make_way(member(3), SILENT_NS) == ("node 3 with its old disk is being removed", False)
    assert proposed(bench.raft) == [SetNodeState(*member(3), LOST)]


def test_a_dead_node_with_the_last_sure_copy_does_not_make_way() -> None:
    bench = Leading(live=(1, 2), copies=(1, 3))
    sealed(bench.metadata, 5)
    bench.liveness.told((1, 2), SILENT_NS)
    text, refused = bench.departures.make_way(member(3), 3 * SILENT_NS)
    assert (text, refused) == ("node 3 with its old disk is being removed", False), "of two, node 1 has it all"
    bench = Leading(live=(1, 2), copies=(3,))
    text, refused = bench.departures.make_way(member(3), SILENT_NS)
    assert text == (
        "only the old disk of node 3 surely holds all of logs:1: bring it back, or give it up with "
        "walrus-cli node remove 3 --force"
    )
    assert not refused
    assert proposed(bench.raft) == []


def test_a_dead_node_does_not_make_way_if_that_would_cost_the_quorum() -> None:
    bench = Leading(live=(1,))
    text, _ = bench.departures.make_way(member(3), SILENT_NS)
    assert text == "without node 3 the voters would be 1, 2, of which 1 live and 2 must"


@pytest.mark.parametrize(
    ("copies", "live", "expected"),
    [
        ((1, 2, 3), (1, 2), []),
        ((1, 2, 3), (1,), [(TOPIC, 1)]),  # one of two that are left may be the one that is behind
        ((1, 3), (1,), []),
        ((3,), (1, 2), [(TOPIC, 1)]),
        ((1, 2), (), []),  # it has no copy
    ],
)
def test_a_segment_is_in_danger_unless_a_seal_quorum_of_others_lives(
    copies: tuple[int, ...], live: tuple[int, ...], expected: list[tuple[str, int]]
) -> None:
    metadata = metadata_with(1, 2, 3, copies=copies)
    assert endangered(metadata, (1, 2, 3), live, member(3)) == expected


def test_the_same_number_with_another_disk_is_no_proof() -> None:
    metadata = Metadata()
    metadata = metadata_with(1, 2, 3, copies=(1, 3))
    metadata.nodes[1] = type(metadata.nodes[1])(1, 77, 1, "", "", ACTIVE)
    assert endangered(metadata, (1, 2, 3), (1, 2), member(3)) == [(TOPIC, 1)]


def test_long_lists_are_cut() -> None:
    assert listed(["a"]) == "a"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
