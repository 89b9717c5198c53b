"""Who writes the next segment and who copies it."""

import msgspec
import pytest
from segment_fixtures import member, members, register

from walrus.core.metadata.commands import ACTIVE, DRAINING
from walrus.core.metadata.placement import (
    better_members,
    choose_members,
    choose_writer,
    misplaced,
    placeable,
    staying,
)
from walrus.core.metadata.state import Metadata, NodeInfo
from walrus.core.raft.membership import MemberInfo, Membership


def known(*numbers: int) -> dict[int, NodeInfo]:
    metadata = Metadata()
    for node in numbers:
        metadata.apply(register(node))
    return metadata.nodes


@pytest.mark.parametrize(
    ("live", "after", "expected"),
    [
        ((1, 2, 3), 1, 2),
        ((1, 2, 3), 3, 1),
        ((1, 3), 1, 3),
        ((1,), 1, 1),
        ((), 1, 2),  # nobody is known to live: any voter is better than none
        ((2, 3), 7, 2),
    ],
)
def test_the_next_writer_is_the_next_live_voter(live: tuple[int, ...], after: int, expected: int) -> None:
    chosen = choose_writer(known(1, 2, 3), (1, 2, 3), live, after)
    assert chosen is not None
    assert chosen.node == expected


def test_a_live_node_without_a_vote_writes_nothing() -> None:
    chosen = choose_writer(known(1, 2, 3), (1, 2), (1, 2, 3), after=2)
    assert chosen is not None
    assert chosen.node == 1


def test_nobody_writes_where_no_voter_has_announced_itself() -> None:
    assert choose_writer({}, (1, 2, 3), (1, 2, 3), after=1) is None


@pytest.mark.parametrize(
    ("voters", "live", "writer", "target", "expected"),
    [
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), 2, 3, (2, 3, 4)),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), 5, 3, (1, 2, 5)),
        ((1, 2, 3, 4, 5), (1, 2, 5), 2, 3, (1, 2, 5)),  # live ones first
        ((1, 2, 3), (2,), 2, 3, (1, 2, 3)),  # dead ones rather than none
        ((1, 2), (1, 2), 2, 3, (1, 2)),  # never more than there are voters
        ((1, 2, 3), (1, 2, 3), 2, 1, (2,)),
    ],
)
def test_a_set_is_the_writer_and_the_next_voters_live_ones_first(
    voters: tuple[int, ...], live: tuple[int, ...], writer: int, target: int, expected: tuple[int, ...]
) -> None:
    nodes = known(1, 2, 3, 4, 5)
    assert choose_members(nodes, voters, live, nodes[writer], target) == members(*expected)


@pytest.mark.parametrize(
    ("voters", "live", "gone", "present", "expected"),
    [
        ((1, 2, 3), (1, 2, 3), (), (1,), (1, 2, 3)),
        ((1, 2, 3), (1, 2), (), (1,), (1, 2)),  # growing by one is better than waiting
        ((1, 2, 3, 4), (1, 2, 4), (3,), (1, 2, 3), (1, 2, 4)),
        ((1, 2, 3), (1, 2), (3,), (1, 2, 3), None),  # never smaller than it is
        ((1, 2, 3, 4), (1, 2, 3, 4), (), (1, 2, 3), None),
        ((1, 2, 3), (1,), (), (1,), None),
    ],
)
def test_a_set_grows_to_its_target_and_replaces_who_is_gone_but_never_shrinks(
    voters: tuple[int, ...],
    live: tuple[int, ...],
    gone: tuple[int, ...],
    present: tuple[int, ...],
    expected: tuple[int, ...] | None,
) -> None:
    wanted = better_members(known(1, 2, 3, 4), voters, live, gone, members(*present), 3)
    assert wanted == (members(*expected) if expected else None)


def test_a_node_that_came_back_with_a_new_disk_takes_the_place_of_its_old_self() -> None:
    old = (2, 77)
    wanted = better_members(known(1, 2, 3), (1, 2, 3), (1, 2, 3), (), (member(1), old, member(3)), 3)
    assert wanted == members(1, 2, 3)


# --- nodes that are to leave ---


def leaving(nodes: dict[int, NodeInfo], *numbers: int) -> dict[int, NodeInfo]:
    return {n: msgspec.structs.replace(info, state=DRAINING if n in numbers else ACTIVE) for n, info in nodes.items()}


def test_nothing_new_is_put_on_a_node_that_is_to_leave() -> None:
    nodes = leaving(known(1, 2, 3, 4), 2)
    chosen = choose_writer(nodes, (1, 2, 3, 4), (1, 2, 3, 4), after=1)
    assert chosen is not None
    assert chosen.node == 3
    assert choose_members(nodes, (1, 2, 3, 4), (1, 2, 3, 4), nodes[1], 3) == members(1, 3, 4)
    assert choose_members(nodes, (1, 2, 3), (1, 2, 3), nodes[1], 3) == members(1, 3), "sets are smaller then"


def test_a_live_node_that_is_to_leave_writes_rather_than_a_dead_one() -> None:
    chosen = choose_writer(leaving(known(1, 2), 2), (1, 2), (2,), after=2)
    assert chosen is not None
    assert chosen.node == 2


@pytest.mark.parametrize(
    ("voters", "live", "gone", "present", "expected"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), (), (1, 2, 3), (1, 2, 4)),
        ((1, 2, 3), (1, 2, 3), (), (1, 2, 3), (1, 2)),  # with fewer nodes sets are smaller
        ((1, 2, 3), (1, 3), (2,), (1, 2, 3), (1, 3)),  # rather a member that is to leave than a dead one
        ((1, 2, 3), (1, 3), (2,), (1, 2), (1, 3)),
        ((1, 2, 3), (1, 3), (2,), (1, 3), None),
        ((1, 2, 3, 4), (1, 2, 3, 4), (), (1, 2, 4), None),
    ],
)
def test_members_that_are_to_leave_are_replaced_by_those_that_stay(
    voters: tuple[int, ...],
    live: tuple[int, ...],
    gone: tuple[int, ...],
    present: tuple[int, ...],
    expected: tuple[int, ...] | None,
) -> None:
    wanted = better_members(leaving(known(1, 2, 3, 4), 3), voters, live, gone, members(*present), 3)
    assert wanted == (members(*expected) if expected else None)


@pytest.mark.parametrize(
    ("live", "gone", "present", "expected"),
    [
        ((1, 3, 4), (2,), (1, 2, 3), (1, 3, 4)),
        ((1, 2, 3, 4), (), (1, 2, 3), None),
        ((2, 4), (1, 3), (1, 2, 3), (2, 3, 4)),
    ],
)
def test_the_writer_of_an_open_segment_stays_in_its_set(
    live: tuple[int, ...], gone: tuple[int, ...], present: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    nodes = leaving(known(1, 2, 3, 4), 3)
    wanted = better_members(nodes, (1, 2, 3, 4), live, gone, members(*present), 3, writer=member(3))
    assert wanted == (members(*expected) if expected else None)


@pytest.mark.parametrize(
    ("voters", "lost", "present", "expected"),
    [
        ((1, 2, 3, 4), 2, (1, 2, 4), (1, 4, 3)),  # a node that is to leave rather than a copy that is lost
        ((1, 2, 3), 2, (1, 2), (1, 3)),
        ((1, 2), 2, (1, 2), None),
    ],
)
def test_a_member_whose_copy_is_lost_is_replaced(
    voters: tuple[int, ...], lost: int, present: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    nodes = leaving(known(1, 2, 3, 4), 3)
    wanted = better_members(nodes, voters, voters, (), members(*present), 3, member(1), members(lost))
    assert wanted == (tuple(sorted(members(*expected))) if expected else None)


def test_a_node_whose_lost_copy_was_on_an_earlier_disk_may_take_its_place() -> None:
    old = (2, 77)
    wanted = better_members(known(1, 2), (1, 2), (1, 2), (), (member(1), old), 3, member(1), (old,))
    assert wanted == members(1, 2)


def test_a_member_that_was_removed_is_replaced() -> None:
    assert better_members(known(1, 2, 3), (1, 2), (1, 2), (), members(1, 2, 3), 3) == members(1, 2)
    assert misplaced(known(1, 2, 3), (1, 2), members(1, 2, 3)) == members(3)


def test_where_all_are_to_leave_they_are_used_as_ever() -> None:
    nodes = leaving(known(1, 2, 3), 1, 2, 3)
    assert staying(nodes, (1, 2, 3)) == (1, 2, 3)
    assert better_members(nodes, (1, 2, 3), (1, 2, 3), (), members(1, 2, 3), 3) is None


def test_a_voter_whose_new_disk_has_not_announced_itself_gets_nothing() -> None:
    infos = (MemberInfo(1, member(1)[1], "", True), MemberInfo(2, 77, "", True), MemberInfo(3, 1003, "", False))
    assert placeable(known(1, 2, 3), Membership(infos)) == (1,)
