"""Snapshots on a whole node: when, in which order the files change, and what a crash at any moment leaves."""

import zlib

import msgspec
import pytest
from core_node import World

from walrus.core import events as ev
from walrus.core.actions import Rename, Truncate, Write
from walrus.core.codec import encode_message
from walrus.core.config import MS
from walrus.core.metadata import snapshot as state
from walrus.core.outbox import Outbox
from walrus.core.peer import AppendEntries, Envelope, Heartbeat, InstallSnapshot, JoinReply, SnapshotReply
from walrus.core.raft.output import HardState
from walrus.core.snapshots import PIECE_BYTES, SnapshotFiles, taken
from walrus.core.storage.appender import Tokens
from walrus.core.storage.journal import JOURNAL_NEW_PATH, JOURNAL_PATH, recover_journal
from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH, SNAPSHOT_PATH, decode_file

EVERY = 6
FILES = (JOURNAL_PATH, JOURNAL_NEW_PATH, SNAPSHOT_PATH, SNAPSHOT_NEW_PATH)


def founder(**settings: object) -> World:
    """A cluster of one node that takes a snapshot every few entries."""
    return World(**{"snapshot_entries": EVERY, **settings}).start().sleep(500 * MS)


def register(world: World, *numbers: int) -> None:
    """Commands for the metadata."""
    for number in numbers:
        assert world.ask(b"REGISTER topic-%d" % number) == [b"OK"]


def changes(world: World, since: int = 0) -> list[str]:
    """What was done to the files of the metadata, in order."""
    found = []
    for action in world.done[since:]:
        if isinstance(action, Rename):
            found.append(f"rename to {action.to}")
        elif isinstance(action, Write | Truncate) and action.path in FILES[1:]:
            found.append(f"{type(action).__name__.lower()} {action.path}")
    return found


def told(world: World) -> tuple[object, ...]:
    """The replicated state of a node, and how far it is."""
    raft, metadata = world.node.raft, world.node.metadata
    return raft.applied_index, state.take(metadata, 0, raft.applied_index, 1, raft.membership)


def test_a_snapshot_is_durable_before_the_journal_is_cut_and_both_take_their_names_at_once_when_whole() -> None:
    world = founder()
    since = len(world.done)
    register(world, *range(EVERY))
    assert changes(world, since)[:4] == [
        f"write {SNAPSHOT_NEW_PATH}",
        f"rename to {SNAPSHOT_PATH}",
        f"write {JOURNAL_NEW_PATH}",
        f"rename to {JOURNAL_PATH}",
    ]
    assert JOURNAL_NEW_PATH not in world.files
    assert SNAPSHOT_NEW_PATH not in world.files


def test_a_node_starts_from_its_snapshot_and_the_rest_of_its_log_and_is_what_it_was() -> None:
    world = founder()
    register(world, *range(4 * EVERY + 2))
    before = told(world)
    journal = recover_journal(world.files[JOURNAL_PATH])
    assert journal is not None
    assert journal.base.index > EVERY
    assert len(journal.entries) <= 2 * EVERY
    world.crash().sleep(500 * MS)
    applied, found = told(world)
    assert world.node.raft.snapshot.index == decode_file(world.files[SNAPSHOT_PATH]).snapshot.index
    assert applied > before[0]  # type: ignore[operator]
    assert [topic.name for topic in found.topics] == [topic.name for topic in before[1].topics]  # type: ignore[attr-defined]
    assert world.ask(b"PUT topic-3 x") == [b"OK"]
    assert world.ask(b"FETCH topic-3 1 0") == [b"OK 1 x"]


def test_the_journal_and_the_snapshot_do_not_grow_with_the_number_of_commands() -> None:
    world = founder()
    sizes = []
    for number in range(300):
        register(world, number % 5)
        world.handle(ev.PollFinished())
        world.ask(b"PUT topic-0 %d" % number, b"GET topic-0")
        world.sleep(150 * MS)
        sizes.append(sum(len(world.files.get(path, b"")) for path in FILES))
    assert world.node.raft.applied_index > 250, "every cursor that moved was committed"
    assert max(sizes[20:]) < 2 * max(sizes[:20])


def test_a_journal_that_grows_without_entries_is_written_anew() -> None:
    world = founder(snapshot_entries=10_000, snapshot_bytes=2_000)
    for life in range(2, 60):
        world.crash()
        assert world.life == life
        world.sleep(300 * MS)
    assert len(world.files[JOURNAL_PATH]) < 4_000
    journal = recover_journal(world.files[JOURNAL_PATH])
    assert journal is not None
    assert journal.incarnation == 59


def crashed_at(steps: int) -> tuple[World, int]:
    """A node that lost its process after so many steps of its disk from when a snapshot was due."""
    world = founder()
    register(world, *range(EVERY - 2))
    known = world.node.raft.commit_index
    for number in (100, 101, 102, 103):
        conn = 5_000 + number
        world.handle(ev.ClientConnected(conn))
        world.handle(ev.ClientDataReceived(conn, b"".join(_frames(b"REGISTER late-%d" % number)), 0))
        world.handle(ev.PollFinished())
    for _ in range(steps):
        if not world.step():
            break
        world.handle(ev.PollFinished())
    return world, known


def _frames(request: bytes) -> list[bytes]:
    return [len(request).to_bytes(4, "little"), request]


def test_a_crash_at_any_step_of_a_snapshot_and_of_the_cut_loses_nothing_that_was_durable() -> None:
    seen = set()
    for steps in range(40):
        world, known = crashed_at(steps)
        seen |= set(changes(world))
        durable = world.node.raft.persisted_index
        hard = HardState(world.node.raft.term, world.node.raft.vote)
        incarnation, cluster = world.node.running.me[2], world.cluster  # type: ignore[union-attr]
        for path in (JOURNAL_NEW_PATH, SNAPSHOT_NEW_PATH):
            if path in world.files:  # whatever part of an unfinished write
                world.files[path] = world.files[path][: len(world.files[path]) // 2] + b"junk" * 300
        world.crash()
        assert world.stopped is None, world.stopped
        raft = world.node.raft
        assert raft.log.last_index >= durable >= known
        assert HardState(raft.term, raft.vote).term >= hard.term
        assert world.node.running.me[2] == incarnation + 1  # type: ignore[union-attr]
        assert world.cluster == cluster
        world.sleep(500 * MS)
        assert world.node.raft.commit_index >= durable
    assert f"rename to {JOURNAL_PATH}" in seen


# --- a node that is brought to the state of others ---


def joiner(**settings: object) -> World:
    """Node 4, just taken in by the cluster of a founder whose storage it knows."""
    world = World(4, join=("node1:6001",), **settings).start()
    world.hear(JoinReply(77, 1, "node1:6001", ""), sender=1, storage=1001, cluster=77)
    assert world.cluster == 77
    return world


def snapshot_of(world: World, cluster: int = 77) -> state.Snapshot:
    """The state of a founder as a snapshot of another cluster."""
    raft = world.node.raft
    term = raft.log.term(raft.applied_index)
    return state.take(world.node.metadata, cluster, raft.applied_index, term, raft.membership)


def pieces(content: state.Snapshot, data: bytes, size: int = 100) -> list[InstallSnapshot]:
    """The messages that bring it."""
    checksum = zlib.crc32(data)
    return [
        InstallSnapshot(5, content.index, content.term, checksum, len(data), at, data[at : at + size])
        for at in range(0, len(data), size)
    ]


def source() -> tuple[World, state.Snapshot, bytes]:
    """A founder with some topics, and its state."""
    world = founder()
    register(world, *range(8))
    world.ask(b"PUT topic-2 x", b"GET topic-2")
    world.sleep(500 * MS)
    content = snapshot_of(world)
    return world, content, state.encode(content)


def test_a_joiner_that_gets_a_snapshot_is_as_if_it_had_applied_the_entries() -> None:
    other, content, data = source()
    world = joiner()
    for message in pieces(content, data):
        world.hear(message, sender=1, storage=1001)
    raft = world.node.raft
    assert (raft.commit_index, raft.applied_index, raft.log.first_index) == (content.index,) * 2 + (content.index + 1,)
    assert state.encode(snapshot_of(world)) == data
    replies = [message for _, message in world.sent() if isinstance(message, SnapshotReply)]
    assert [reply.installed for reply in replies] == [False] * (len(replies) - 1) + [True]
    world.hear(Heartbeat(5, 1, content.index, 0, ()), sender=1, storage=1001)
    conn = 9_000
    world.handle(ev.ClientConnected(conn))
    assert world.ask(b"METRICS") != []
    before = told(world)
    world.crash()
    assert told(world) == before, "and it is still so after a restart"
    assert world.node.raft.term == 5
    assert other.stopped is None


def test_the_answer_that_a_snapshot_is_installed_waits_for_the_journal_that_needs_it() -> None:
    """Until then a damaged snapshot would not be missed, and the answer be forgotten."""
    _, content, data = source()
    world = joiner()
    for message in pieces(content, data):
        world.handle(ev.MessageReceived(_encoded(world, message)))
    world.handle(ev.PollFinished())
    order = []
    while world.disk:
        action = world.disk[0]
        order.append(f"{type(action).__name__} {action.path}")  # type: ignore[attr-defined]
        before = len([m for _, m in world.sent() if isinstance(m, SnapshotReply) and m.installed])
        world.step()
        world.handle(ev.PollFinished())
        after = len([m for _, m in world.sent() if isinstance(m, SnapshotReply) and m.installed])
        if after > before:
            held = [a for a in world.done if getattr(a, "after", 0) and not before][-1]
            rename = world.disk[0]
            assert isinstance(rename, Rename)
            assert rename.to == JOURNAL_PATH
            assert held.after == rename.token  # type: ignore[attr-defined]
    assert f"Rename {SNAPSHOT_NEW_PATH}" in order
    assert order.index(f"Rename {SNAPSHOT_NEW_PATH}") < order.index(f"Rename {JOURNAL_NEW_PATH}")


def _encoded(world: World, message: InstallSnapshot) -> bytes:
    return encode_message(Envelope(77, 1, 1001, 4, 0), message)


@pytest.mark.parametrize("what", ["another cluster", "another index", "no snapshot"])
def test_a_snapshot_that_is_not_what_its_messages_say_is_refused_and_the_node_goes_on(what: str) -> None:
    _, content, _ = source()
    wrong = {"another cluster": {"cluster": 78}, "another index": {"index": content.index + 1}, "no snapshot": {}}[what]
    data = state.encode(msgspec.structs.replace(content, **wrong)) if wrong else b"nothing of the sort" * 9
    world = joiner()
    for message in pieces(content, data):
        world.hear(message, sender=1, storage=1001)
    assert world.node.raft.commit_index == 0
    assert SNAPSHOT_PATH not in world.files
    assert [text for level, text in world.logged() if level == "error" and "refused" in text]
    good = state.encode(content)
    for message in pieces(content, good):
        world.hear(message, sender=1, storage=1001)
    assert world.node.raft.commit_index == content.index


def test_entries_that_come_while_a_snapshot_is_being_installed_make_it_superfluous_or_go_on_behind_it() -> None:
    _, content, data = source()
    world = joiner()
    for message in pieces(content, data):
        world.handle(ev.MessageReceived(_encoded(world, message)))
    world.handle(ev.PollFinished())
    world.run()
    index = content.index
    world.hear(AppendEntries(5, index, content.term, [], index), sender=1, storage=1001)
    for message in pieces(content, data):
        world.hear(message, sender=1, storage=1001)
    assert world.node.raft.commit_index == index
    replies = [message for _, message in world.sent() if isinstance(message, SnapshotReply)]
    assert replies[-1].installed


def files_in_turn(*indexes: int) -> list[int]:
    """Snapshots of these entries are to be written, the first one and, while it is under way, the others; which are."""
    out = Outbox(1)
    files = SnapshotFiles(out, Tokens())
    _, content, _ = source()
    for index in indexes:
        one = msgspec.structs.replace(content, index=index)
        files.write(taken(one, state.encode(one), sent=True))
    durable = []
    while actions := out.drain():
        for action in actions:
            assert isinstance(action, Write | Rename)
            assert files.write_completed(action.token)
        found = files.fetch()
        if found is not None:
            durable.append(found.raft.index)
    return durable


def test_snapshots_are_written_one_after_the_other_and_never_an_older_one_over_a_newer() -> None:
    assert files_in_turn(5) == [5]
    assert files_in_turn(5, 7) == [5, 7]
    assert files_in_turn(5, 7, 9) == [5, 9]
    assert files_in_turn(7, 5) == [7]


def test_a_large_snapshot_is_written_in_several_pieces() -> None:
    out = Outbox(1)
    files = SnapshotFiles(out, Tokens())
    _, content, _ = source()
    node = msgspec.structs.replace(content.nodes[0], address="x" * (5 * PIECE_BYTES // 2))
    content = msgspec.structs.replace(content, nodes=(node,))
    files.write(taken(content, state.encode(content), sent=False))
    data = b""
    sizes = []
    while actions := out.drain():
        [action] = actions
        if isinstance(action, Write):
            assert action.offset == len(data)
            data += action.data
            sizes.append(len(action.data))
        files.write_completed(action.token)  # type: ignore[attr-defined]
    assert sizes[:2] == [PIECE_BYTES] * 2
    assert len(sizes) == 3
    assert decode_file(data).snapshot == content
    assert not files.write_completed(99)
