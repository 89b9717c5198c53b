"""Who writes the next segment and who copies it."""

import pytest
from segment_fixtures import member, members, register

from walrus.core.metadata.placement import better_members, choose_members, choose_writer
from walrus.core.metadata.state import Metadata, NodeInfo


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
