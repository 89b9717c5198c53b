"""A whole node from its first event to its last: starting, restarting, refusing, stopping."""

import zlib

import pytest
from core_node import WALL_NS, World

from walrus.core import events as ev
from walrus.core.actions import Read, Reply, Send, SendToAddress, Stop, Truncate, Write
from walrus.core.config import MS, SECOND
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_PATH, recover_journal
from walrus.core.wire import encode_frame

SEGMENT_1 = "user_data/logs:1.wal"


def used(*payloads: bytes) -> World:
    """A cluster of one node whose topic ``logs`` took these PUTs."""
    world = World().start().sleep(500 * MS)
    assert world.ask(*[b"PUT logs " + payload for payload in payloads]) == [b"OK"] * len(payloads)
    return world


def fetched(world: World, count: int) -> list[bytes]:
    """The first ``count`` records by offset."""
    return world.ask(*[b"FETCH logs 1 %d" % offset for offset in range(count)])


def test_a_copy_of_another_format_version_stops_the_node_and_is_left_as_it_is() -> None:
    world = used(b"a")
    newer = bytearray(world.files[SEGMENT_1])
    newer[8] = 2
    newer[508:512] = zlib.crc32(newer[:508]).to_bytes(4, "little")
    world.files[SEGMENT_1] = bytes(newer)
    world.crash().sleep(SECOND)
    assert world.stopped == Stop(f"{SEGMENT_1}: format version 2, this program reads 1; run a newer version", 1)
    assert world.files[SEGMENT_1] == newer


# --- before the node runs ---


def test_a_fresh_node_writes_its_journal_then_its_catalogue_and_says_nothing_before() -> None:
    world = World()
    first = world.boot()
    assert [(type(action), action.path) for action in first if isinstance(action, Write)] == [(Write, JOURNAL_PATH)]
    assert len(first) == 1
    world.step()
    assert [action.path for action in world.done if isinstance(action, Write)] == [JOURNAL_PATH, CATALOGUE_PATH]
    assert not [action for action in world.done if isinstance(action, Send | SendToAddress | Reply)]
    assert world.node.running is None
    world.run()
    assert world.node.running is not None


def test_events_that_come_before_recovery_is_done_are_harmless() -> None:
    world = World()
    world.boot()
    assert world.handle(ev.MessageReceived(b"anything")) == []
    assert world.handle(ev.PeerDisconnected(2)) == []
    assert world.handle(ev.TimerFired()) == []
    assert world.handle(ev.PollFinished()) == []
    assert world.handle(ev.ClientConnected(5)) == []
    assert world.handle(ev.ClientDisconnected(5)) == []
    assert world.node.next_deadline() is None


def test_a_client_that_asks_before_recovery_is_done_is_answered_after_it() -> None:
    world = World()
    world.boot()
    for conn in (5, 6):
        world.handle(ev.ClientConnected(conn))
        world.handle(ev.ClientDataReceived(conn, encode_frame(b"PUT logs a"), WALL_NS))
    world.handle(ev.ClientDisconnected(6))
    world.run().sleep(500 * MS)
    assert world.replies(5) == [b"OK"]
    assert world.replies(6) == []


def test_a_shutdown_before_recovery_is_done_stops_at_once_and_cleanly() -> None:
    world = World()
    world.boot()
    assert world.handle(ev.ShutdownRequested()) == [Stop("shut down before it had started", 0)]
    assert world.handle(ev.PollFinished()) == []
    assert world.node.next_deadline() is None


def test_a_node_without_data_or_a_cluster_to_join_says_what_to_give_it() -> None:
    world = World(node=2).start()
    assert world.stopped is not None
    assert world.stopped.exit_code == 1
    assert "give --join HOST:PORT" in world.stopped.reason


# --- a cluster of one ---


def test_a_founder_whose_beginning_was_torn_off_anywhere_begins_again() -> None:
    world = World()
    world.boot()
    while world.node.running is None:
        world.step()
    booted, catalogue = len(world.files[JOURNAL_PATH]), world.files[CATALOGUE_PATH]
    whole = world.run().sleep(500 * MS).files[JOURNAL_PATH].rstrip(b"\0")
    assert len(whole) > booted + 100
    for end in range(booted, len(whole), 7):
        world = World()
        world.files = {JOURNAL_PATH: whole[:end], CATALOGUE_PATH: catalogue}
        world.start().sleep(2 * SECOND)
        answers = [answer for asked in (b"REGISTER logs", b"PUT logs a", b"GET logs") for answer in world.ask(asked)]
        assert answers == [b"OK", b"OK", b"OK a"], end


def test_a_fresh_node_1_takes_records_of_any_bytes_and_shows_them_in_order() -> None:
    world = used(b"a", b"", bytes(range(256)))
    assert world.ask(b"GET logs", b"GET logs", b"GET logs", b"GET logs") == [
        b"OK a",
        b"OK ",
        b"OK " + bytes(range(256)),
        b"EMPTY",
    ]
    assert fetched(world, 4) == [b"OK 1 a", b"OK 2 ", b"OK 3 " + bytes(range(256)), b"EMPTY"]


def test_a_reply_to_a_put_leaves_only_after_its_record_is_on_the_disk() -> None:
    world = World().start().sleep(500 * MS)
    before = len(world.done)
    world.handle(ev.ClientConnected(9))
    world.handle(ev.ClientDataReceived(9, encode_frame(b"PUT logs a"), WALL_NS))
    world.handle(ev.PollFinished())
    while world.disk:
        assert world.replies(9, before) == []
        world.step()
        world.handle(ev.PollFinished())
    assert world.replies(9, before) == [b"OK"]
    assert world.files[SEGMENT_1].endswith(b"a")


def test_pipelined_requests_are_written_together_and_answered_in_one_piece() -> None:
    world = World().start().sleep(500 * MS)
    before = len(world.done)
    assert world.ask(b"PUT logs a", b"PUT logs b", b"NONSENSE", b"PUT logs c") == [
        b"OK",
        b"OK",
        b"ERR unknown command",
        b"OK",
    ]
    after = world.done[before:]
    assert sum(isinstance(action, Write) and action.path == SEGMENT_1 for action in after) == 1
    assert sum(isinstance(action, Reply) for action in after) == 1


def test_segments_roll_at_their_limit_and_read_on_across_the_border() -> None:
    world = World(max_segment_entries=2).start().sleep(500 * MS)
    assert world.ask(*[b"PUT logs %d" % n for n in range(5)]) == [b"OK"] * 5
    assert fetched(world, 6) == [b"OK %d %d" % (n + 1, n) for n in range(5)] + [b"EMPTY"]
    assert world.ask(b"FETCH logs 2 0", b"FETCH logs 3 0") == [b"OK 1 2", b"OK 1 4"]
    topic = world.node.metadata.topics["logs"]
    assert [(segment.number, segment.count) for segment in topic.segments] == [(1, 2), (2, 2), (3, 0)]


@pytest.mark.parametrize("limit", [561, 562, 580, 605, 606, 610, 611])
def test_a_segment_rolls_at_any_limit_in_bytes_without_losing_its_pace(limit: int) -> None:
    """One record of one byte makes a batch of 49 bytes; the limits leave room for a part of the second."""
    world = World(max_segment_bytes=limit).start().sleep(500 * MS)
    replies = [world.ask(b"PUT logs %d" % n) for n in range(4)]
    assert replies == [[b"OK"]] * 4
    assert fetched(world, 4) == [b"OK %d %d" % (n + 1, n) for n in range(4)]


# --- restarts ---


def test_each_lifetime_has_the_next_incarnation_and_the_same_disk() -> None:
    world = World()
    lives = []
    for _ in range(3):
        world.start().sleep(500 * MS)
        lives.append(world.node.running.me if world.node.running else None)
    storage = world.storage
    assert lives == [(1, storage, 1), (1, storage, 2), (1, storage, 3)]


def test_records_and_cursor_survive_two_restarts_and_no_lifetime_writes_on_in_anothers_segment() -> None:
    world = used(b"a", b"b")
    assert world.ask(b"GET logs") == [b"OK a"]
    world.sleep(200 * MS)  # the cursor is committed every 100 ms
    for life, payload in ((2, b"c"), (3, b"d")):
        world.crash().sleep(500 * MS)
        assert world.ask(b"PUT logs " + payload) == [b"OK"]
        topic = world.node.metadata.topics["logs"]
        assert [(segment.writer[2], segment.count) for segment in topic.segments][-2:] == [
            (life - 1, 2 if life == 2 else 1),
            (life, 0),
        ]
    assert fetched(world, 5) == [b"OK 1 a", b"OK 2 b", b"OK 3 c", b"OK 4 d", b"EMPTY"]
    assert world.ask(b"GET logs") == [b"OK b"]


def test_a_crash_between_any_two_writes_loses_no_acknowledged_record() -> None:
    """The session is played again up to each write in turn; what was acknowledged by then is there afterwards."""
    crash_after = 0
    while True:
        world = World(max_segment_entries=3).start().sleep(500 * MS)
        acknowledged, ended = session(world, crash_after)
        world.crash().sleep(1 * SECOND)
        found = [reply.split(b" ", 2)[2] for reply in fetched(world, 9) if reply.startswith(b"OK")]
        assert found[: len(acknowledged)] == acknowledged, f"crash after write {crash_after}"
        assert found == [b"%d" % n for n in range(len(found))]
        if ended:
            return
        crash_after += 1


def session(world: World, writes: int) -> tuple[list[bytes], bool]:
    """PUT 0 to 7 with at most ``writes`` writes; returns the payloads acknowledged, and whether all was done."""
    acknowledged = []
    for n in range(8):
        conn = 50 + n
        before = len(world.done)
        world.handle(ev.ClientConnected(conn))
        world.handle(ev.ClientDataReceived(conn, encode_frame(b"PUT logs %d" % n), WALL_NS))
        world.handle(ev.PollFinished())
        while world.disk and writes:
            writes -= isinstance(world.disk[0], Write)
            world.step()
            world.handle(ev.PollFinished())
        if world.replies(conn, before) == [b"OK"]:
            acknowledged.append(b"%d" % n)
        if world.disk:
            return acknowledged, False
    return acknowledged, True


def test_a_torn_batch_at_the_end_of_a_segment_is_cut_and_the_batches_before_it_stay() -> None:
    world = World().start().sleep(500 * MS)
    world.ask(b"PUT logs a")
    sound = world.files[SEGMENT_1]
    world.ask(b"PUT logs b")
    torn = world.files[SEGMENT_1][:-1]
    world.files[SEGMENT_1] = torn
    world.crash().sleep(500 * MS)
    cuts = [action for action in world.done if isinstance(action, Truncate) and action.path == SEGMENT_1]
    assert cuts[0].size == len(sound)
    assert fetched(world, 2) == [b"OK 1 a", b"EMPTY"]


def test_damage_in_the_middle_of_a_set_of_one_serves_nothing_and_says_why() -> None:
    world = used(b"a")
    world.ask(b"PUT logs b")
    damaged = bytearray(world.files[SEGMENT_1])
    damaged[512 + 48] ^= 1
    world.files[SEGMENT_1] = bytes(damaged)
    world.crash().sleep(3 * SECOND)
    assert bytes(damaged) == world.files[SEGMENT_1], "what is left of the records is not thrown away"
    assert fetched(world, 1) == []
    said = [text for level, text in world.logged() if level == "error"]
    assert any(SEGMENT_1 in text and "counts in no quorum" in text for text in said)
    assert any("Cannot seal logs:1" in text and "lost or corrupt" in text for text in said)


# --- what is refused ---


def test_the_directory_of_another_node_is_refused_by_name() -> None:
    world = used(b"a")
    other = World(node=2, join=("node1:6001",))
    other.files = world.files
    other.start()
    assert other.stopped is not None
    assert other.stopped.exit_code == 1
    assert other.stopped.reason.startswith(f"{JOURNAL_PATH} belongs to node 1, not to node 2")


@pytest.mark.parametrize("lost", ["journal", "catalogue", "all user data"])
def test_a_node_that_lost_a_part_of_its_directory_does_not_start_as_if_nothing_had_been_there(lost: str) -> None:
    world = used(b"a")
    if lost == "journal":
        del world.files[JOURNAL_PATH]
    else:
        del world.files[CATALOGUE_PATH]
        if lost == "all user data":
            del world.files[SEGMENT_1]
    world.start()
    assert world.stopped is not None
    assert world.stopped.exit_code == 1
    assert "missing or empty" in world.stopped.reason


def test_a_corrupt_middle_of_the_journal_stops_the_node_and_names_the_byte() -> None:
    world = used(b"a").crash()
    damaged = bytearray(world.files[JOURNAL_PATH])
    damaged[100] ^= 1
    world.files[JOURNAL_PATH] = bytes(damaged)
    world.start()
    assert world.stopped is not None
    assert world.stopped.reason.startswith(f"{JOURNAL_PATH}: corrupt record at byte 88, below byte ")


def test_a_journal_whose_only_news_is_damaged_starts_no_second_cluster_over_the_records_of_the_first() -> None:
    world = used(b"a")
    damaged = bytearray(world.files[JOURNAL_PATH])
    damaged[100] ^= 1  # within the one write after the first: taken for a torn tail
    world.files[JOURNAL_PATH] = bytes(damaged)
    world.start()
    assert world.stopped is not None
    assert world.stopped.reason.startswith(f"{JOURNAL_PATH} knows of no cluster, but there are segment files")


def test_a_journal_that_cannot_be_read_stops_the_node() -> None:
    world = used(b"a")
    world.boot()
    assert isinstance(world.disk[0], Read)
    world.handle(ev.ReadFailed(world.disk[0].token, JOURNAL_PATH, "EIO: Input/output error"))
    assert world.stopped == Stop(f"cannot read {JOURNAL_PATH}: EIO: Input/output error", 1)


# --- the end ---


def test_a_failed_write_stops_the_node_before_anything_else_is_said() -> None:
    world = used(b"a")
    world.handle(ev.ClientConnected(9))
    world.handle(ev.ClientDataReceived(9, encode_frame(b"PUT logs b"), WALL_NS))
    world.handle(ev.PollFinished())
    before = len(world.done)
    [write] = [action for action in world.disk if isinstance(action, Write)]
    world.handle(ev.WriteFailed(write.token, write.path, "EIO: Input/output error"))
    assert world.stopped == Stop(f"write to {write.path} failed: EIO: Input/output error", 1)
    assert not [action for action in world.done[before:] if isinstance(action, Reply | Send)]
    assert world.handle(ev.PollFinished()) == []


def test_a_lone_node_shuts_down_cleanly_with_its_cursor_committed() -> None:
    world = used(b"a", b"b")
    assert world.ask(b"GET logs") == [b"OK a"]
    world.handle(ev.ShutdownRequested())
    world.sleep(1800 * MS)
    assert world.stopped == Stop("shut down cleanly", 0)
    world.start().sleep(500 * MS)
    assert world.ask(b"GET logs") == [b"OK b"]


def test_a_second_shutdown_request_changes_nothing() -> None:
    world = used(b"a")
    world.handle(ev.ShutdownRequested())
    world.handle(ev.ShutdownRequested())
    world.sleep(1800 * MS)
    assert world.stopped == Stop("shut down cleanly", 0)


def test_the_same_events_and_seed_give_the_same_actions_and_files() -> None:
    runs = []
    for _ in range(2):
        world = used(b"a", b"b").crash().sleep(1 * SECOND)
        runs.append((world.done, world.files))
    assert runs[0] == runs[1]


def test_the_journal_of_a_session_reads_back_with_its_cluster_and_lifetimes() -> None:
    world = used(b"a").crash()
    found = recover_journal(world.files[JOURNAL_PATH])
    assert found is not None
    assert (found.node, found.cluster, found.incarnation, found.dirty_tail) == (1, world.cluster, 2, False)
