"""A node whose disk is full: what it refuses, what it goes on with, and how it comes back."""

import pytest
from core_node import WALL_NS, World

from walrus.core import events as ev
from walrus.core.actions import Delete, Write
from walrus.core.config import MS
from walrus.core.space import ROOM_PATH
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_NEW_PATH, JOURNAL_PATH
from walrus.core.wire import encode_frame

FULL = "ENOSPC: No space left on device"
RESERVED = (JOURNAL_PATH, CATALOGUE_PATH)
NO_SPACE = b"ERR no space left on node 1"
UNKNOWN = b"ERR outcome unknown: logs:1"


class SmallDisk(World):
    """``room`` is whether anything but what was reserved ahead fits; ``reserve`` whether that does."""

    room = True
    reserve = True

    def step(self) -> bool:
        action = self.disk[0] if self.disk else None
        if isinstance(action, Write) and not self.room and not (self.reserve and action.path in RESERVED):
            self.disk.popleft()
            self.handle(ev.SpaceRanOut(action, FULL))
            return True
        return super().step()

    def asked_for_room(self) -> int:
        return sum(isinstance(action, Write) and action.path == ROOM_PATH for action in self.done)


def full(**settings: object) -> SmallDisk:
    """A lone node that holds records a and b, and whose disk has just been found full by a third PUT."""
    world = SmallDisk(**settings)
    world.start().sleep(2_000 * MS)
    assert world.ask(b"PUT logs a", b"PUT logs b") == [b"OK", b"OK"]
    world.room = False
    assert world.ask(b"PUT logs c", wait_ns=10 * MS) == []
    return world


def test_a_full_disk_refuses_puts_and_serves_reads() -> None:
    world = full()
    assert world.ask(b"PUT logs d", b"GET logs", b"PUT logs e", b"FETCH logs 1 1") == [
        NO_SPACE,
        b"OK a",
        NO_SPACE,
        b"OK 2 b",
    ]
    assert world.stopped is None
    assert [level for level, text in world.logged() if "No room on the disk" in text] == ["error"]


def test_a_put_that_was_on_its_way_to_the_disk_is_unknown_and_is_written_once_there_is_room() -> None:
    world = SmallDisk()
    world.start().sleep(2_000 * MS)
    world.room = False
    assert world.ask(b"PUT logs c", wait_ns=world.config.rpc_timeout_ns + 100 * MS) == [UNKNOWN]
    assert world.ask(b"PUT logs d") == [NO_SPACE]
    world.room = True
    world.sleep(1_000 * MS)
    assert world.ask(b"FETCH logs 1 0", b"PUT logs f") == [b"OK 1 c", b"OK"]
    assert world.ask(b"FETCH logs 1 1") == [b"OK 2 f"]


def test_metadata_goes_on_within_the_reserve() -> None:
    """Topics are created and cursors are committed on a full disk; both are there after a crash."""
    world = full()
    assert world.ask(b"REGISTER more", b"GET logs") == [b"OK", b"OK a"]
    world.sleep(500 * MS)
    world.crash().sleep(2_000 * MS)
    assert world.ask(b"TOPICS") == [b'["logs","more"]']
    assert world.stopped is None


def test_both_logs_ask_for_the_reserve_with_every_write() -> None:
    world = full(metadata_reserve_bytes=12_345)
    ahead = {action.path: action.ahead for action in world.done if isinstance(action, Write)}
    assert ahead[JOURNAL_PATH] == ahead[CATALOGUE_PATH] == 12_345
    assert {ahead[path] for path in ahead if path not in RESERVED} == {0}


def test_with_the_reserve_used_up_metadata_waits_and_goes_on_when_there_is_room() -> None:
    world = full()
    world.reserve = False
    assert world.ask(b"REGISTER more") == []
    world.room = True
    assert world.sleep(2_000 * MS).stopped is None
    assert world.ask(b"REGISTER more", b"PUT more x") == [b"OK", b"OK"]


def test_room_is_looked_for_at_intervals_and_what_was_written_for_it_is_removed() -> None:
    world = full(room_check_ns=200 * MS, room_needed_bytes=3_000)
    world.sleep(1_010 * MS)
    assert world.asked_for_room() == 5
    world.room = True
    world.sleep(1_000 * MS)
    assert world.asked_for_room() == 6
    assert ROOM_PATH not in world.files
    assert [text for _, text in world.logged()][-1].endswith("The disk has room again; PUTs are taken")


def test_the_next_start_removes_what_was_written_to_look_for_room() -> None:
    world = full()
    world.room = True
    world.files[ROOM_PATH] = b"left"
    world.crash()
    assert ROOM_PATH not in world.files


def test_a_snapshot_waits_for_room_and_the_old_journal_goes_on_meanwhile() -> None:
    world = full(snapshot_entries=3)
    before = len(world.done)
    replies = world.ask(*[b"REGISTER t%d" % number for number in range(20)])
    assert replies == [b"OK"] * 20
    written = {action.path for action in world.done[before:] if isinstance(action, Write)}
    assert written <= {JOURNAL_PATH, CATALOGUE_PATH, ROOM_PATH}
    world.room = True
    world.sleep(2_000 * MS)
    assert world.node.raft.snapshot is not None
    assert world.node.raft.log.snapshot_index > 10
    world.crash().sleep(2_000 * MS)
    assert world.stopped is None
    assert world.ask(b"PUT t19 x") == [b"OK"]


def test_a_new_journal_that_finds_no_room_is_given_up_and_nothing_that_was_promised_is_lost() -> None:
    """The disk fills up between the snapshot and the new journal."""
    world = SmallDisk(snapshot_entries=3)
    world.start().sleep(2_000 * MS)
    world.handle(ev.ClientConnected(5))
    for number in range(6):
        world.handle(ev.ClientDataReceived(5, encode_frame(b"REGISTER t%d" % number), WALL_NS))
        world.handle(ev.PollFinished())
        while world.disk:
            head = world.disk[0]
            if isinstance(head, Write) and head.path == JOURNAL_NEW_PATH:
                world.room = False
            world.step()
            world.handle(ev.PollFinished())
    assert not world.room, "the journal was to be written anew"
    assert world.replies(5) == [b"OK"] * 6
    assert world.ask(b"REGISTER last") == [b"OK"]
    world.crash().sleep(2_000 * MS)
    assert world.stopped is None
    assert b'"last"' in world.ask(b"TOPICS")[0]
    world.room = True
    world.sleep(2_000 * MS)
    assert world.ask(b"PUT last x") == [b"OK"]


@pytest.mark.parametrize("reserve", [True, False])
def test_a_node_that_starts_on_a_full_disk_waits_for_what_it_cannot_do_without(reserve: bool) -> None:
    world = full()
    world.reserve = reserve
    world.crash().sleep(3_000 * MS)
    assert world.stopped is None
    if not reserve:
        assert world.node.running is None, "it cannot note that it has begun"
    world.room = True
    world.sleep(3_000 * MS)
    assert world.ask(b"GET logs", b"PUT logs z") == [b"OK a", b"OK"]


def test_a_removal_without_room_is_asked_for_again() -> None:
    world = full()
    world.room = True
    assert world.node.space.next_ns is not None
    world.now_ns = world.node.space.next_ns
    world.handle(ev.TimerFired())
    world.handle(ev.PollFinished())
    while not isinstance(world.disk[0], Delete):
        world.step()
    removal = world.disk.popleft()
    assert isinstance(removal, Delete)
    world.handle(ev.SpaceRanOut(removal, FULL))
    assert world.ask(b"PUT logs d", wait_ns=10 * MS) == [NO_SPACE]
    world.sleep(2_000 * MS)
    assert world.ask(b"PUT logs d") == [b"OK"]
    assert ROOM_PATH not in world.files
