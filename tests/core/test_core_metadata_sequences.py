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
    ConfigureTopic,
    CreateTopic,
    CursorCommit,
    RegisterNode,
    RemoveTopic,
    Seal,
    TrimTopic,
    Writer,
    decode,
    encode,
)
from walrus.core.metadata.settings import TopicSettings
from walrus.core.metadata.snapshot import decode as decode_snapshot
from walrus.core.metadata.snapshot import encode as encode_snapshot
from walrus.core.metadata.snapshot import restore, take
from walrus.core.metadata.state import Metadata, Topic
from walrus.core.raft.membership import MemberInfo, Membership

MEMBERSHIP = Membership((MemberInfo(1, 11, "n:1", voter=True),))

SMALL = st.integers(0, 3)
TOPICS = st.sampled_from(("a", "b"))
STATES = st.sampled_from((OPEN, SEALING, SEALED))
SETS = st.sampled_from((((1, 11),), ((1, 11), (2, 12)), ((1, 11), (2, 12), (3, 13)), ((2, 12), (3, 13), (4, 14))))
WRITERS = st.sampled_from(((1, 11, 1), (1, 11, 2), (2, 12, 1), (3, 13, 1)))
CURSORS = st.none() | st.tuples(st.integers(1, 2), st.integers(0, 30))
SEGMENTS = st.integers(0, 6)
LIMITS = st.none() | st.integers(0, 12)
SETTINGS = st.builds(TopicSettings, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))

COMMANDS: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(RegisterNode, SMALL, SMALL, SMALL, st.just("n:1"), st.just("n:2")),
    st.builds(CreateTopic, TOPICS, WRITERS, SETS, SETTINGS, SMALL),
    st.builds(BeginSealing, TOPICS, SEGMENTS, STATES, SMALL, SMALL, SMALL),
    st.builds(
        *(Seal, TOPICS, SEGMENTS, STATES, SMALL, st.integers(0, 9), SETS, WRITERS, SETS, CURSORS),
        *(st.integers(0, 9), st.integers(0, 30)),
    ),
    st.builds(ChangeSet, TOPICS, SEGMENTS, STATES, SMALL, SMALL, SETS),
    st.builds(
        CommitCursors,
        WRITERS,
        st.lists(st.builds(CursorCommit, TOPICS, SEGMENTS, SMALL, st.integers(0, 30)), max_size=3).map(tuple),
    ),
    st.builds(ConfigureTopic, TOPICS, SEGMENTS, SMALL, LIMITS, LIMITS, LIMITS),
    st.builds(RemoveTopic, TOPICS, SEGMENTS),
    st.builds(TrimTopic, TOPICS, SEGMENTS, SEGMENTS, st.integers(0, 40)),
)


def check_topic(topic: Topic) -> None:
    """What must hold of a topic at any time."""
    first = topic.first.number
    assert [segment.number for segment in topic.segments] == list(range(first, first + len(topic.segments)))
    assert topic.born <= first
    assert topic.cursor >= topic.first.base
    assert all(segment.state == SEALED for segment in topic.segments[:-1])
    assert topic.last.state in (OPEN, SEALING)
    assert topic.bases == [segment.base for segment in topic.segments]
    assert topic.bases[0] == 0 or topic.born < first
    for before, after in pairwise(topic.segments):
        assert after.base == before.base + before.count
    assert topic.last.count == 0
    assert topic.cursor >= 0


def check_step(before: Metadata, after: Metadata) -> None:
    """What must hold between the states before and after one command."""
    for name, old in before.topics.items():
        new = after.topics.get(name)
        if new is None:
            assert after.deleted[name] == old.last.number + 1
            assert all(after.is_gone(name, segment.number) for segment in old.segments)
            continue
        assert old.last.number <= new.last.number <= old.last.number + 1
        for was in old.segments:
            now = new.segment(was.number)
            assert (now is None) == after.is_gone(name, was.number)
            if now is None:
                assert was.state == SEALED, "a segment was removed that was not sealed"
                continue
            assert (now.number, now.writer, now.base) == (was.number, was.writer, was.base)
            assert now.epoch >= was.epoch
            assert now.state >= was.state
            assert now.version >= was.version
            assert (now.members == was.members) == (now.version == was.version) or now.version == was.version + 1
            if was.state == SEALING:
                assert now.members == was.members or now.state == SEALED, "a frozen set changed"
            if was.state == SEALED:
                assert now.count == was.count
        if new.last.number == old.last.number:
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
            if change.below:
                assert metadata.is_gone(change.topic, change.below - 1)
                assert not metadata.is_gone(change.topic, change.below)
                continue
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
        if isinstance(command, CreateTopic | BeginSealing | Seal | ChangeSet | RemoveTopic | TrimTopic):
            assert again, "the same command was taken twice"


@settings(max_examples=50, deadline=None)
@given(st.lists(COMMANDS, max_size=30))
def test_two_nodes_that_apply_the_same_log_agree(commands: list[AnyCommand]) -> None:
    one, other = Metadata(), Metadata()
    for command in commands:
        assert one.apply(command) == other.apply(decode(encode(command)))
    assert (one.nodes, one.topics, one.changes) == (other.nodes, other.topics, other.changes)


@settings(max_examples=150, deadline=None)
@given(st.lists(COMMANDS, max_size=40), st.integers(0, 40))
def test_a_snapshot_brings_any_earlier_state_to_what_the_log_gives(commands: list[AnyCommand], behind: int) -> None:
    """Also one with topics that were trimmed, deleted or made anew since; and the next snapshot is the same bytes."""
    ahead, late = Metadata(), Metadata()
    for number, command in enumerate(commands):
        ahead.apply(command)
        if number < behind:
            late.apply(command)
    late.drain()
    before = {(name, segment.number) for name, topic in late.topics.items() for segment in topic.segments}
    data = encode_snapshot(take(ahead, 1, 1, 1, MEMBERSHIP))
    restore(late, decode_snapshot(data))
    assert (late.nodes, late.topics, late.deleted) == (ahead.nodes, ahead.topics, ahead.deleted)
    assert encode_snapshot(take(late, 1, 1, 1, MEMBERSHIP)) == data
    told = {change.topic: change.below for change in late.drain() if change.below}
    for name, number in sorted(before):
        assert not ahead.is_gone(name, number) or number < told[name], "nobody was told that a segment is gone"


@given(WRITERS, st.integers(0, 9), st.integers(0, 12), CURSORS)
def test_a_cursor_never_stands_beyond_what_a_seal_counted(
    writer: Writer, count: int, committed: int, handed_over: tuple[int, int] | None
) -> None:
    metadata = Metadata()
    metadata.apply(CreateTopic("a", writer, ((1, 11),)))
    metadata.apply(CommitCursors(writer, (CursorCommit("a", 1, 1, committed),)))
    assert metadata.apply(Seal("a", 1, OPEN, 0, count, ((1, 11),), writer, ((1, 11),), handed_over)) == ""
    assert metadata.topics["a"].cursor <= count
