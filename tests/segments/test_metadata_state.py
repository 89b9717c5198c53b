"""The metadata machine: every command names what it expects, and is refused, by name, where that is not so."""

import pytest
from segment_fixtures import TOPIC, member, members, metadata_with, register, sealed, writer_of

from walrus.core.metadata.commands import (
    OPEN,
    SEALED,
    SEALING,
    AnyCommand,
    BeginSealing,
    ChangeSet,
    CommitCursors,
    CreateTopic,
    CursorCommit,
    RegisterNode,
    Seal,
    decode,
    encode,
)
from walrus.core.metadata.state import Change, Metadata, Topic, quorums


def begin(state: int = OPEN, epoch: int = 0, *, segment: int = 1, topic: str = TOPIC) -> BeginSealing:
    return BeginSealing(topic, segment, state, epoch, recoverer=2, term=5)


def seal(
    state: int = OPEN, epoch: int = 0, count: int = 10, *, segment: int = 1, cursor: tuple[int, int] | None = None
) -> Seal:
    return Seal(TOPIC, segment, state, epoch, count, members(1, 2, 3), writer_of(2), members(1, 2, 3), cursor)


def change(state: int = OPEN, epoch: int = 0, version: int = 1, *, segment: int = 1) -> ChangeSet:
    return ChangeSet(TOPIC, segment, state, epoch, version, members(1, 2, 4))


def cursor(offset: int, *, segment: int = 1, generation: int = 1, writer: int = 1, topic: str = TOPIC) -> CommitCursors:
    return CommitCursors(writer_of(writer), (CursorCommit(topic, segment, generation, offset),))


def logs(metadata: Metadata) -> Topic:
    return metadata.topics[TOPIC]


# --- nodes and topics ---


def test_a_node_that_announces_itself_is_known_by_its_latest_incarnation() -> None:
    metadata = Metadata()
    assert metadata.apply(register(1, incarnation=3)) == ""
    assert metadata.apply(register(1, incarnation=4)) == ""
    assert metadata.nodes[1].writer == (1, 1001, 4)
    assert metadata.drain() == [Change("", 0, 1), Change("", 0, 1)]


def test_an_older_incarnation_of_a_node_is_refused() -> None:
    metadata = Metadata()
    metadata.apply(register(1, incarnation=3))
    assert metadata.apply(register(1, incarnation=2)) == "node 1 is already known with incarnation 3"
    assert metadata.nodes[1].incarnation == 3


def test_a_node_with_a_new_disk_counts_its_incarnations_from_the_start() -> None:
    metadata = Metadata()
    metadata.apply(register(1, incarnation=3))
    assert metadata.apply(RegisterNode(1, 5555, 1, "a:1", "")) == ""
    assert metadata.nodes[1].member == (1, 5555)


def test_a_new_topic_has_segment_1_open_at_offset_0() -> None:
    metadata = metadata_with(1, 2, 3)
    first = logs(metadata).last
    assert (first.number, first.state, first.epoch, first.version, first.base) == (1, OPEN, 0, 1, 0)
    assert (first.writer, first.members) == (writer_of(1), members(1, 2, 3))
    assert metadata.unsealed == {TOPIC: first}


def test_a_topic_is_created_once() -> None:
    metadata = metadata_with(1, 2, 3)
    assert "logs" in metadata.apply(CreateTopic(TOPIC, writer_of(2), members(2)))
    assert logs(metadata).last.writer == writer_of(1)
    assert metadata.drain() == []


# --- a segment's state ---


def in_state(state: int) -> Metadata:
    """Segment 1 of ``logs`` in ``state``, at epoch 0, or 1 once it was sealed by a recoverer."""
    metadata = metadata_with(1, 2, 3, 4)
    if state != OPEN:
        assert metadata.apply(begin()) == ""
    if state == SEALED:
        assert metadata.apply(seal(SEALING, 1)) == ""
    metadata.drain()
    return metadata


@pytest.mark.parametrize(
    ("state", "command", "reason"),
    [
        (OPEN, begin(SEALING, 0), "segment logs:1 is OPEN at epoch 0, not SEALING at 0"),
        (OPEN, begin(OPEN, 1), "segment logs:1 is OPEN at epoch 0, not OPEN at 1"),
        (OPEN, seal(SEALING, 1), "segment logs:1 is OPEN at epoch 0, not SEALING at 1"),
        (OPEN, seal(OPEN, 1), "segment logs:1 is OPEN at epoch 0, not OPEN at 1"),
        (OPEN, change(SEALED, 0), "segment logs:1 is OPEN at epoch 0, not SEALED at 0"),
        (OPEN, change(OPEN, 1), "segment logs:1 is OPEN at epoch 0, not OPEN at 1"),
        (OPEN, change(OPEN, 0, version=2), "replica set of logs:1 has version 1, not 2"),
        (OPEN, begin(segment=2), "no segment logs:2"),
        (OPEN, begin(segment=0), "no segment logs:0"),
        (OPEN, begin(topic="none"), "no segment none:1"),
        (OPEN, seal(segment=2), "no segment logs:2"),
        (OPEN, change(segment=2), "no segment logs:2"),
        (SEALING, begin(OPEN, 0), "segment logs:1 is SEALING at epoch 1, not OPEN at 0"),
        (SEALING, begin(SEALING, 0), "segment logs:1 is SEALING at epoch 1, not SEALING at 0"),
        (SEALING, seal(OPEN, 0), "segment logs:1 is SEALING at epoch 1, not OPEN at 0"),
        (SEALING, seal(SEALING, 2), "segment logs:1 is SEALING at epoch 1, not SEALING at 2"),
        (SEALING, change(OPEN, 0), "segment logs:1 is SEALING at epoch 1, not OPEN at 0"),
        (SEALING, change(SEALING, 1), "segment logs:1 is SEALING: its replica set is frozen"),
        (SEALED, begin(OPEN, 0), "segment logs:1 is SEALED at epoch 1, not OPEN at 0"),
        (SEALED, begin(SEALED, 1), "segment logs:1 is SEALED"),
        (SEALED, seal(SEALING, 1), "segment logs:1 is SEALED at epoch 1, not SEALING at 1"),
        (SEALED, seal(SEALED, 1), "segment logs:1 is SEALED"),
        (SEALED, change(OPEN, 0), "segment logs:1 is SEALED at epoch 1, not OPEN at 0"),
        (SEALED, change(SEALED, 1, version=2), "replica set of logs:1 has version 1, not 2"),
    ],
)
def test_a_command_with_a_wrong_expectation_is_refused_and_changes_nothing(
    state: int, command: AnyCommand, reason: str
) -> None:
    metadata = in_state(state)
    before = repr(metadata.topics)
    assert metadata.apply(decode(encode(command))) == reason
    assert repr(metadata.topics) == before
    assert metadata.drain() == []


def test_every_sealing_takes_the_next_epoch_and_names_its_recoverer() -> None:
    metadata = in_state(SEALING)
    first = logs(metadata).last
    assert (first.state, first.epoch, first.recoverer, first.recoverer_term) == (SEALING, 1, 2, 5)
    assert metadata.apply(BeginSealing(TOPIC, 1, SEALING, 1, recoverer=3, term=6)) == ""
    assert (first.state, first.epoch, first.recoverer, first.recoverer_term) == (SEALING, 2, 3, 6)
    assert metadata.drain() == [Change(TOPIC, 1)]


def test_a_seal_opens_the_next_segment_where_the_count_ends() -> None:
    metadata = metadata_with(1, 2, 3)
    assert metadata.apply(seal(count=10)) == ""
    assert metadata.apply(seal(count=5, segment=2)) == ""
    topic = logs(metadata)
    assert [(s.number, s.state, s.count, s.base) for s in topic.segments] == [
        (1, SEALED, 10, 0),
        (2, SEALED, 5, 10),
        (3, OPEN, 0, 15),
    ]
    assert topic.bases == [0, 10, 15]
    assert metadata.unsealed == {TOPIC: topic.last}
    assert metadata.drain() == [Change(TOPIC, 1), Change(TOPIC, 2), Change(TOPIC, 2), Change(TOPIC, 3)]


def test_a_record_is_located_in_the_segment_that_counts_it_even_past_empty_ones() -> None:
    metadata = metadata_with(1, 2, 3)
    for number, count in enumerate((3, 0, 2), start=1):
        assert metadata.apply(seal(count=count, segment=number)) == ""
    assert [logs(metadata).locate(offset).number for offset in (0, 2, 3, 4, 5, 99)] == [1, 1, 3, 3, 4, 4]


def test_a_seal_with_another_set_moves_the_version_on() -> None:
    metadata = in_state(SEALING)
    moved = Seal(TOPIC, 1, SEALING, 1, 4, members(2, 3, 4), writer_of(2), members(2, 3, 4), None)
    assert metadata.apply(moved) == ""
    first = logs(metadata).segments[0]
    assert (first.members, first.version) == (members(2, 3, 4), 2)


def test_a_seal_with_the_same_set_keeps_the_version() -> None:
    metadata = in_state(SEALED)
    assert logs(metadata).segments[0].version == 1


def test_a_set_changes_by_version_in_an_open_and_in_a_sealed_segment() -> None:
    metadata = metadata_with(1, 2, 3, 4)
    assert metadata.apply(change()) == ""
    assert metadata.apply(change()) == "replica set of logs:1 has version 2, not 1"
    first = sealed(metadata, 3)
    assert metadata.apply(ChangeSet(TOPIC, 1, SEALED, 0, 2, members(2, 3, 4))) == ""
    assert (first.version, first.members) == (3, members(2, 3, 4))


# --- the cursor ---


def test_the_cursor_moves_forward_only() -> None:
    metadata = metadata_with(1, 2, 3)
    assert metadata.apply(cursor(7)) == ""
    assert metadata.apply(cursor(5)) == ""
    assert logs(metadata).cursor == 7


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (cursor(5, writer=2), "segment logs:1 has another writer"),
        (CommitCursors(writer_of(1, 2), (CursorCommit(TOPIC, 1, 1, 5),)), "segment logs:1 has another writer"),
        (cursor(5, segment=2), "segment logs:2 is not open"),
        (cursor(5, generation=2), "cursor of logs has generation 1, not 2"),
        (cursor(5, topic="none"), "segment none:1 is not open"),
    ],
)
def test_a_cursor_is_moved_only_by_its_owner_within_its_generation(command: AnyCommand, reason: str) -> None:
    metadata = metadata_with(1, 2, 3)
    assert metadata.apply(command) == reason
    assert logs(metadata).cursor == 0


def test_the_cursor_of_a_segment_under_recovery_stands_still() -> None:
    metadata = in_state(SEALING)
    assert metadata.apply(cursor(5)) == "segment logs:1 is not open"


def test_one_refused_cursor_does_not_hold_back_the_others() -> None:
    metadata = metadata_with(1, 2, 3)
    commits = (CursorCommit("none", 1, 1, 4), CursorCommit(TOPIC, 1, 1, 4))
    assert metadata.apply(CommitCursors(writer_of(1), commits)) == "segment none:1 is not open"
    assert logs(metadata).cursor == 4


def test_a_clean_handover_carries_the_cursor_forward() -> None:
    metadata = metadata_with(1, 2, 3)
    metadata.apply(cursor(6))
    assert metadata.apply(seal(count=10, cursor=(1, 8))) == ""
    assert logs(metadata).cursor == 8


@pytest.mark.parametrize(("carried", "expected"), [((1, 3), 6), ((2, 8), 6), (None, 6), ((1, 99), 10)])
def test_a_handover_never_moves_the_cursor_back_nor_past_the_count(
    carried: tuple[int, int] | None, expected: int
) -> None:
    metadata = metadata_with(1, 2, 3)
    metadata.apply(cursor(6))
    assert metadata.apply(seal(count=10, cursor=carried)) == ""
    assert logs(metadata).cursor == expected


def test_a_cursor_above_the_sealed_count_falls_back_to_it() -> None:
    metadata = metadata_with(1, 2, 3)
    metadata.apply(cursor(12))
    metadata.apply(seal(count=10))
    assert logs(metadata).cursor == 10


@pytest.mark.parametrize(("size", "expected"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (4, (3, 2)), (5, (3, 3))])
def test_an_acknowledging_and_a_sealing_quorum_always_share_a_member(size: int, expected: tuple[int, int]) -> None:
    assert quorums(size) == expected
    assert sum(expected) > size


def test_a_member_is_a_node_with_its_disk() -> None:
    metadata = metadata_with(1, 2, 3)
    assert metadata.nodes[2].member == member(2)
