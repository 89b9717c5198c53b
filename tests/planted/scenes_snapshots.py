"""What the bugs in snapshots change."""

import random
import zlib

from core_node import World
from raft_alone import config_entry, elect, hear, normal, raft
from raft_network import info, settings, storage_of
from scene import shows

from walrus.core import events as ev
from walrus.core.actions import Write
from walrus.core.config import MS
from walrus.core.metadata import snapshot as state
from walrus.core.peer import (
    ENTRY_NOOP,
    AppendEntries,
    AppendReply,
    HeartbeatReply,
    InstallSnapshot,
    SnapshotReply,
)
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import HardState
from walrus.core.raft.raft import Raft
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.core.storage.journal import JOURNAL_NEW_PATH
from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH

DATA = b"the state"
SUM = zlib.crc32(DATA)
MEMBERS = Membership(tuple(info(node) for node in (1, 2)))


def taken(index: int) -> RaftSnapshot:
    return RaftSnapshot(index, 1, MEMBERS, DATA, SUM)


def restarted() -> Raft:
    """Node 2 comes back with a snapshot, the last entry that it includes, and a newer configuration behind it."""
    entries = [normal(4, 1), config_entry(5, 1, (1, 2, 3))]
    return Raft(
        2, storage_of(2), settings(2), random.Random(2),
        hard_state=HardState(1, 0), entries=entries, now_ns=0, snapshot=taken(4), base=(3, 1),
    )  # fmt: skip


def sends_a_snapshot() -> Raft:
    """A leader whose follower 3 lacks what was cut; the first piece is under way."""
    machine = raft(1, terms=(1,) * 8)
    elect(machine)
    hear(machine, 2, AppendReply(2, True, 9, 0, 0, 0))
    machine.snapshot_taken(taken(6))
    machine.compact(6)
    hear(machine, 3, AppendReply(2, False, 0, 8, 0, 1))
    return machine


def pieces(machine: Raft, sender: int, message: SnapshotReply | HeartbeatReply, now_ns: int = 0) -> list[int]:
    """Offsets of the pieces that a leader sends for a message."""
    out = hear(machine, sender, message, now_ns)
    return [sent.offset for to, sent, _ in out.messages if to == sender and isinstance(sent, InstallSnapshot)]


@shows("cut-off-learner", sound=[0], broken=[])
def a_follower_answers_a_heartbeat_long_after_a_piece_was_lost() -> object:
    return pieces(sends_a_snapshot(), 3, HeartbeatReply(2, 1, 0), 1_000 * MS)


@shows("transfer-not-resumed", sound=[0], broken=[])
def a_follower_has_lost_what_it_had_of_a_snapshot() -> object:
    machine = sends_a_snapshot()
    hear(machine, 3, SnapshotReply(2, 6, SUM, 5, False))
    return pieces(machine, 3, SnapshotReply(2, 6, SUM, 0, False))


@shows("replayed-configuration", sound=(1, 2, 3), broken=(1, 2))
def a_node_comes_back_whose_log_holds_a_configuration_newer_than_its_snapshot() -> object:
    return restarted().voters


@shows("members-forgotten-at-truncation", sound=(1, 2), broken=())
def a_node_comes_back_and_its_log_holds_no_configuration() -> object:
    machine = Raft(
        2, storage_of(2), settings(2), random.Random(2),
        hard_state=HardState(1, 0), entries=[], now_ns=0, snapshot=taken(4), base=(4, 1),
    )  # fmt: skip
    return machine.voters


@shows("repeated-append-after-compaction", sound=4, broken="entry 2 is committed and cannot be replaced")
def an_append_comes_again_of_which_a_part_was_compacted() -> object:
    machine = raft(2, terms=(1,) * 4)
    hear(machine, 1, AppendEntries(1, 4, 1, [], 4))
    machine.snapshot_taken(taken(3))
    machine.compact(3)
    try:
        hear(machine, 1, AppendEntries(1, 1, 1, [normal(2, 1), normal(3, 1), normal(4, 1)], 4))
    except AssertionError as error:
        return str(error)
    return machine.log.last_index


@shows("install-over-newer-state", sound=5, broken=4)
def a_snapshot_arrives_that_is_older_than_what_is_applied() -> object:
    machine = raft(2, terms=(1,) * 6)
    hear(machine, 1, AppendEntries(1, 5, 1, [], 5))
    received = hear(machine, 1, InstallSnapshot(1, 4, 1, SUM, len(DATA), 0, DATA)).received
    if received is not None:
        machine.install(taken(4))
    return machine.commit_index


@shows("piece-offset-unchecked", sound=None, broken=b"the the s")
def a_piece_of_a_snapshot_comes_twice() -> object:
    machine = raft(2)
    received = None
    for offset, data in ((0, b"the "), (0, b"the "), (4, b"s")):
        received = hear(machine, 1, InstallSnapshot(1, 4, 1, SUM, len(DATA), offset, data)).received
    return received.data if received is not None else None


def alone() -> World:
    """A cluster of one node that has taken no snapshot yet."""
    return World().start().sleep(500 * MS)


def take_one(world: World) -> RaftSnapshot:
    """Let a node take a snapshot now; nothing is durable yet."""
    group = world.node.running.group  # type: ignore[union-attr]
    group._config = World(snapshot_entries=1).config
    group.take_snapshot(world.node.metadata, world.now_ns)
    assert group._files._writing is not None
    return group._files._writing.raft


@shows("log-cut-before-snapshot", sound=[SNAPSHOT_NEW_PATH], broken=[SNAPSHOT_NEW_PATH, JOURNAL_NEW_PATH])
def a_snapshot_is_due() -> object:
    """The files that are being written before any of them is durable."""
    world = alone()
    take_one(world)
    world.handle(ev.PollFinished())
    return [action.path for action in world.done if isinstance(action, Write) and action.path.endswith(".new")]


@shows("snapshot-of-unapplied", sound=0, broken=1)
def a_snapshot_is_taken_while_a_command_waits_for_the_disk() -> object:
    """By how many entries it ends behind the last one applied."""
    world = alone()
    world.node.raft.append_own(ENTRY_NOOP, b"")
    return take_one(world).index - world.node.raft.applied_index


@shows("snapshot-of-newer-members", sound=(), broken=(7,))
def a_snapshot_is_taken_while_a_learner_is_being_added() -> object:
    world = alone()
    assert world.node.raft.add_learner(info(7, voter=False), world.now_ns) == ""
    return take_one(world).membership.learners


@shows("parts-not-told", sound=["topic-x"], broken=[])
def a_node_is_brought_to_a_state_with_a_new_topic() -> object:
    """The topics whose first segment the service heard of."""
    world, other = alone(), alone()
    other.ask(b"REGISTER topic-x")
    running = world.node.running
    assert running is not None
    told: list[str] = []
    running.service.topic_known = lambda topic, now_ns: told.append(topic)  # type: ignore[method-assign]
    raft_of_other = other.node.raft
    running._restore(
        state.take(other.node.metadata, 0, raft_of_other.applied_index, 1, raft_of_other.committed_membership),
        world.now_ns,
    )
    return told


@shows("unfinished-file-shows-through", sound=False, broken=True)
def a_node_starts_beside_a_file_that_was_never_finished() -> object:
    world = alone()
    world.files[JOURNAL_NEW_PATH] = b"x" * 5_000
    world.crash()
    return JOURNAL_NEW_PATH in world.files
