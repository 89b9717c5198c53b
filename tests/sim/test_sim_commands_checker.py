"""The checker of the replicated state agrees with the real one on any commands, and sees each rule that is missing."""

from collections import Counter
from random import Random
from types import SimpleNamespace

import pytest

from walrus.core.codec import encode_message
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
    SetNodeState,
    TrimTopic,
    encode,
)
from walrus.core.metadata.settings import TopicSettings
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.peer import ENTRY_NOOP, ENTRY_NORMAL, Entry, Envelope, ProposeReply
from walrus.sim.checkers.commands import Commands
from walrus.sim.checkers.metadata_model import MetadataModel
from walrus.sim.checkers.removals import Removals
from walrus.sim.world import MS, Violation

WRITERS = ((1, 10, 1), (2, 20, 1), (1, 10, 2))
SETS = (((1, 10),), ((1, 10), (2, 20)), ((1, 10), (2, 20), (3, 30)))
WALL_MS = 1000


class Log:
    """Commands, one after the other, to the checker and to a node."""

    def __init__(self, node: Metadata) -> None:
        self.node = node
        self.listeners: dict[str, list[object]] = {}
        self.cluster = SimpleNamespace(
            network=SimpleNamespace(when_sent=lambda kind, listener: self.listeners.setdefault(kind, [listener])),
            world=SimpleNamespace(labels=Counter()),
            hosts=[SimpleNamespace(clock=SimpleNamespace(latest_ns=WALL_MS * MS), disk=SimpleNamespace(files={}))],
        )
        self.checker = Commands(self.cluster, Removals(self.cluster))
        self.index = 0
        self.host = SimpleNamespace(node_id=1, node=SimpleNamespace(metadata=node))

    def commit(self, command: AnyCommand) -> str:
        """The node applies it as well; why it was refused, or nothing."""
        self.index += 1
        self.checker.committed(Entry(self.index, 1, ENTRY_NORMAL, encode(command)))
        reason = self.node.apply(command)
        self.checker.applied(self.host, self.index)
        return reason

    def end(self) -> None:
        self.checker.ended(self.host, self.index)


def some_command(rng: Random, state: Metadata) -> AnyCommand:
    """Any command, mostly one that names what is there or was there a moment ago."""
    name = rng.choice(("a", "b"))
    topic = state.topics.get(name)
    number = rng.randrange(1, 5) if topic is None else topic.last.number - rng.choice((0, 0, 0, 1, -1))
    segment = (topic.segment(number) if topic else None) or Segment(number, WRITERS[0], SETS[0], 0)
    epoch = segment.epoch + rng.choice((0, 0, 0, 0, -1, 1))
    named = rng.choice((segment.state, segment.state, OPEN, SEALING, SEALED))
    born = rng.choice((topic.born if topic else state.deleted.get(name, 1), 0, 1, 2))
    first = topic.first.number if topic else 1
    return rng.choice(
        (
            CreateTopic(name, rng.choice(WRITERS), rng.choice(SETS), TopicSettings(0, 0, rng.randrange(3)), born),
            BeginSealing(name, number, named, epoch, rng.randrange(1, 4), rng.randrange(1, 4)),
            *[
                Seal(
                    *(name, number, named, epoch, rng.randrange(4), rng.choice(SETS), rng.choice(WRITERS)),
                    *(rng.choice(SETS), rng.choice((None, (1, rng.randrange(9)))), rng.randrange(50)),
                    rng.choice((0, WALL_MS - 5)),
                )
            ]
            * 3,
            ChangeSet(name, number, named, epoch, segment.version + rng.choice((0, 0, -1)), rng.choice(SETS)),
            CommitCursors(
                rng.choice(WRITERS),
                (
                    CursorCommit(name, number, 1, rng.randrange(9)),
                    CursorCommit("b", number, rng.choice((1, 2)), rng.randrange(9)),
                ),
            ),
            ConfigureTopic(name, born, rng.randrange(3), rng.choice((None, 4, 6)), None, rng.choice((None, 0, 2))),
            RegisterNode(rng.randrange(1, 3), rng.choice((10, 11)), rng.randrange(4), "a", "c"),
            SetNodeState(rng.randrange(1, 3), rng.choice((10, 11)), rng.randrange(4)),
            TrimTopic(name, first, first + rng.randrange(4), rng.randrange(WALL_MS)),
            *([RemoveTopic(name, born)] if rng.random() < 0.2 else []),
        )
    )


def test_the_model_and_a_node_agree_whatever_is_committed() -> None:
    did: Counter[tuple[str, bool]] = Counter()
    for seed in range(60):
        rng = Random(seed)
        log = Log(Metadata())
        for _ in range(150):
            command = some_command(rng, log.node)
            did[type(command).__name__, not log.commit(command)] += 1
        log.end()
    kinds = {name for name, _ in did}
    assert len(kinds) == 10
    assert all(did[name, True] and did[name, False] for name in kinds), did


def begun() -> Log:
    """A topic with an open segment of two members."""
    log = Log(Metadata())
    assert not log.commit(CreateTopic("a", WRITERS[0], SETS[1]))
    return log


def test_a_rollover_of_another_segment_than_the_last_must_be_refused() -> None:
    log = begun()
    seal = Seal("a", 1, OPEN, 0, 3, SETS[1], WRITERS[1], SETS[1], None)
    assert not log.commit(seal)
    log.node.existing("a", 2).state = SEALED  # as if the node had taken the repetition for the next segment
    with pytest.raises(Violation, match=r"replicated state: a:2 is .* by the rules .* Seal\("):
        log.commit(Seal("a", 2, OPEN, 7, 3, SETS[1], WRITERS[1], SETS[1], None))


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        (ChangeSet("a", 1, OPEN, 0, 7, SETS[2]), {"members": SETS[2], "version": 2}),
        (ChangeSet("a", 1, SEALING, 0, 1, SETS[2]), {"members": SETS[2], "version": 2}),
        (BeginSealing("a", 1, OPEN, 0, 2, 1), {"epoch": 0}),
        (Seal("a", 1, SEALING, 0, 3, SETS[1], WRITERS[1], SETS[1], None), {"state": SEALED, "count": 3}),
    ],
)
def test_a_segment_that_is_not_what_the_rules_say_is_seen(command: AnyCommand, wrong: dict[str, object]) -> None:
    log = begun()
    apply = log.node.apply

    def wrongly(command: AnyCommand) -> str:
        apply(command)
        for name, value in wrong.items():
            setattr(log.node.existing("a", 1), name, value)
        return ""

    log.node.apply = wrongly  # type: ignore[method-assign]
    with pytest.raises(Violation, match="replicated state: a:1 is"):
        log.commit(command)


def test_a_cursor_that_another_than_the_writer_moved_is_seen() -> None:
    log = begun()
    log.node.topics["a"].cursor = 2
    with pytest.raises(Violation, match=r"replicated state: a is .* CommitCursors"):
        log.commit(CommitCursors(WRITERS[1], (CursorCommit("a", 1, 1, 2),)))


def test_a_number_that_was_used_before_is_seen() -> None:
    log = begun()
    assert not log.commit(RemoveTopic("a", 1))
    log.node.deleted["a"] = 1
    with pytest.raises(Violation, match="replicated state: a"):
        log.commit(CreateTopic("a", WRITERS[0], SETS[1]))


def test_what_differs_at_the_end_is_seen() -> None:
    log = begun()
    log.commit(RegisterNode(1, 10, 1, "a", "c"))
    log.end()
    log.node.existing("a", 1).members = SETS[2]
    with pytest.raises(Violation, match="a:1 is"):
        log.end()
    log.node.nodes.clear()
    with pytest.raises(Violation, match="has nodes"):
        log.end()


def test_a_node_that_is_behind_is_not_compared() -> None:
    log = begun()
    log.checker.committed(Entry(2, 1, ENTRY_NORMAL, encode(RemoveTopic("a", 1))))
    log.checker.applied(log.host, 1)
    log.checker.committed(Entry(3, 1, ENTRY_NOOP, b""))
    log.checker.ended(log.host, 1)


def told(log: Log, index: int, *, applied: bool) -> None:
    reply = ProposeReply(7, index, applied, "" if applied else "no")
    listener = log.listeners["ProposeReply"][0]
    assert callable(listener)
    listener(1, 2, encode_message(Envelope(1, 1, 10, 2, 20), reply))


def test_who_asked_is_told_what_became_of_it() -> None:
    log = begun()
    log.commit(RemoveTopic("a", 5))
    told(log, 1, applied=True)
    told(log, 2, applied=False)
    told(log, 0, applied=False)
    with pytest.raises(Violation, match="tells node 2 that the command at index 2 took effect"):
        told(log, 2, applied=True)
    with pytest.raises(Violation, match="tells node 2 that the command at index 1 was refused"):
        told(log, 1, applied=False)


def test_a_segment_sealed_at_an_unknown_time_never_grows_old() -> None:
    model = MetadataModel()
    model.apply(CreateTopic("a", WRITERS[0], SETS[1], TopicSettings(retention_ms=5)))
    model.apply(Seal("a", 1, OPEN, 0, 3, SETS[1], WRITERS[1], SETS[1], None))
    assert not model.apply(TrimTopic("a", 1, 2, WALL_MS))
