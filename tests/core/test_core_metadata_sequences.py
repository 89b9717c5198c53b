"""Any sequence of commands, right or wrong, leaves the metadata sound, and every node with the same."""

import copy
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

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
    Writer,
    decode,
    encode,
)
from walrus.core.metadata.state import Metadata, Topic

SMALL = st.integers(0, 3)
TOPICS = st.sampled_from(("a", "b"))
STATES = st.sampled_from((OPEN, SEALING, SEALED))
SETS = st.sampled_from((((1, 11),), ((1, 11), (2, 12)), ((1, 11), (2, 12), (3, 13)), ((2, 12), (3, 13), (4, 14))))
WRITERS = st.sampled_from(((1, 11, 1), (1, 11, 2), (2, 12, 1), (3, 13, 1)))
CURSORS = st.none() | st.tuples(st.integers(1, 2), st.integers(0, 30))
SEGMENTS = st.integers(0, 6)

COMMANDS: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(RegisterNode, SMALL, SMALL, SMALL, st.just("n:1"), st.just("n:2")),
    st.builds(CreateTopic, TOPICS, WRITERS, SETS),
    st.builds(BeginSealing, TOPICS, SEGMENTS, STATES, SMALL, SMALL, SMALL),
    st.builds(Seal, TOPICS, SEGMENTS, STATES, SMALL, st.integers(0, 9), SETS, WRITERS, SETS, CURSORS),
    st.builds(ChangeSet, TOPICS, SEGMENTS, STATES, SMALL, SMALL, SETS),
    st.builds(
        CommitCursors,
        WRITERS,
        st.lists(st.builds(CursorCommit, TOPICS, SEGMENTS, SMALL, st.integers(0, 30)), max_size=3).map(tuple),
    ),
)


def check_topic(topic: Topic) -> None:
    """What must hold of a topic at any time."""
    assert [segment.number for segment in topic.segments] == list(range(1, len(topic.segments) + 1))
    assert all(segment.state == SEALED for segment in topic.segments[:-1])
    assert topic.last.state in (OPEN, SEALING)
    assert topic.bases == [segment.base for segment in topic.segments]
    assert topic.bases[0] == 0
    for before, after in pairwise(topic.segments):
        assert after.base == before.base + before.count
    assert topic.last.count == 0
    assert topic.cursor >= 0


def check_step(before: Metadata, after: Metadata) -> None:
    """What must hold between the states before and after one command."""
    for name, old in before.topics.items():
        new = after.topics[name]
        assert len(old.segments) <= len(new.segments) <= len(old.segments) + 1
        for was, now in zip(old.segments, new.segments, strict=False):
            assert (now.number, now.writer, now.base) == (was.number, was.writer, was.base)
            assert now.epoch >= was.epoch
            assert now.state >= was.state
            assert now.version >= was.version
            assert (now.members == was.members) == (now.version == was.version) or now.version == was.version + 1
            if was.state == SEALING:
                assert now.members == was.members or now.state == SEALED, "a frozen set changed"
            if was.state == SEALED:
                assert now.count == was.count
        if len(new.segments) == len(old.segments):
            assert new.cursor >= old.cursor


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, max_size=40))
def test_no_sequence_of_commands_breaks_an_invariant(commands: list[AnyCommand]) -> None:
    metadata = Metadata()
    for command in commands:
        before = copy.deepcopy(metadata)
        reason = metadata.apply(command)
        changes = metadata.drain()
        if reason and not isinstance(command, CommitCursors):
            assert (metadata.nodes, metadata.topics) == (before.nodes, before.topics), "a refused command took effect"
            assert changes == []
        check_step(before, metadata)
        for topic in metadata.topics.values():
            check_topic(topic)
            assert metadata.unsealed[topic.name] is topic.last
        for change in changes:
            assert change.node in metadata.nodes or metadata.topics[change.topic].segment(change.segment) is not None


@settings(max_examples=75, deadline=None)
@given(st.lists(COMMANDS, max_size=30))
def test_a_command_that_moves_a_segment_takes_effect_once_however_often_it_is_committed(
    commands: list[AnyCommand],
) -> None:
    metadata = Metadata()
    for command in commands:
        metadata.apply(command)
        once = copy.deepcopy(metadata)
        again = metadata.apply(command)
        assert (metadata.nodes, metadata.topics) == (once.nodes, once.topics)
        if isinstance(command, CreateTopic | BeginSealing | Seal | ChangeSet):
            assert again, "the same command was taken twice"


@settings(max_examples=50, deadline=None)
@given(st.lists(COMMANDS, max_size=30))
def test_two_nodes_that_apply_the_same_log_agree(commands: list[AnyCommand]) -> None:
    one, other = Metadata(), Metadata()
    for command in commands:
        assert one.apply(command) == other.apply(decode(encode(command)))
    assert (one.nodes, one.topics, one.changes) == (other.nodes, other.topics, other.changes)


@given(WRITERS, st.integers(0, 9), st.integers(0, 12), CURSORS)
def test_a_cursor_never_stands_beyond_what_a_seal_counted(
    writer: Writer, count: int, committed: int, handed_over: tuple[int, int] | None
) -> None:
    metadata = Metadata()
    metadata.apply(CreateTopic("a", writer, ((1, 11),)))
    metadata.apply(CommitCursors(writer, (CursorCommit("a", 1, 1, committed),)))
    assert metadata.apply(Seal("a", 1, OPEN, 0, count, ((1, 11),), writer, ((1, 11),), handed_over)) == ""
    assert metadata.topics["a"].cursor <= count
