"""Topics with settings, their retention and deletion, on one whole node."""

import json
from typing import Any

import pytest
from core_node import WALL_NS, World

from walrus.core.config import MS, SECOND
from walrus.core.storage.catalogue import CATALOGUE_PATH, recover_catalogue


def begun(**settings: Any) -> World:
    """A node whose segments hold two records."""
    return World(max_segment_entries=2, monitor_interval_ns=100 * MS, **settings).start().sleep(500 * MS)


def state_of(world: World, topic: str, verb: str = "STATE") -> dict[str, Any]:
    [reply] = world.ask(f"{verb} {topic}".encode())
    found: dict[str, Any] = json.loads(reply)
    return found


def filled(world: World, topic: str, count: int) -> World:
    assert world.ask(*[f"PUT {topic} {n}".encode() for n in range(count)]) == [b"OK"] * count
    return world


def files_of(world: World, topic: str) -> list[str]:
    return sorted(path.rpartition(":")[2][:-4] for path in world.files if path.startswith(f"user_data/{topic}:"))


# --- settings ---


def test_a_topic_is_created_with_settings_that_state_and_info_show() -> None:
    world = begun()
    assert world.ask(b"CREATE t retention_ms=5000") == [b"OK"]
    shown = {"retention_ms": 5000, "retention_bytes": None, "retention_records": None}
    assert shown.items() <= state_of(world, "t").items()
    assert shown.items() <= state_of(world, "t", "INFO").items()
    assert state_of(world, "logs")["retention_ms"] is None


def test_creating_again_is_as_good_with_the_same_settings_and_refused_with_others() -> None:
    world = begun()
    assert world.ask(b"CREATE t retention_ms=5") == [b"OK"]
    assert world.ask(b"CREATE t retention_ms=5", b"REGISTER t") == [b"OK", b"OK"]
    refusal = b"ERR topic t exists, with retention_ms=5: change it with SET"
    assert world.ask(b"CREATE t retention_ms=6") == [refusal]
    assert world.ask(b"CREATE logs") == [b"OK"]


def test_set_changes_what_it_names_and_outlives_a_restart_from_a_snapshot() -> None:
    world = begun(snapshot_entries=3)
    assert world.ask(b"CREATE t retention_ms=5 retention_bytes=7") == [b"OK"]
    assert world.ask(b"SET t retention_ms=0 retention_records=9", b"SET nobody retention_ms=1") == [
        b"OK",
        b"ERR unknown topic nobody",
    ]
    for _ in range(2):
        found = state_of(world, "t")
        assert (found["retention_ms"], found["retention_bytes"], found["retention_records"]) == (None, 7, 9)
        world.sleep(500 * MS).crash().sleep(500 * MS)


# --- retention ---


@pytest.mark.parametrize(
    ("setting", "left"),
    [
        ("retention_records=5", ["3", "4", "5", "6"]),  # eleven records: five segments of two are sealed
        ("retention_records=4", ["4", "5", "6"]),
        ("retention_records=100", ["1", "2", "3", "4", "5", "6"]),
        ("retention_bytes=1", ["5", "6"]),
        (f"retention_bytes={610 * 3}", ["3", "4", "5", "6"]),
        (f"retention_bytes={610 * 3 + 1}", ["2", "3", "4", "5", "6"]),
    ],
)
def test_the_oldest_sealed_segments_go_as_far_as_the_setting_allows(setting: str, left: list[str]) -> None:
    """Two records of one byte, each a batch of its own, are a file of 610 bytes."""
    world = begun()
    assert world.ask(f"CREATE t {setting}".encode()) == [b"OK"]
    for n in range(11):
        assert world.ask(b"PUT t %d" % (n % 10)) == [b"OK"]
    world.sleep(300 * MS)
    assert files_of(world, "t") == left
    found = state_of(world, "t")
    earliest = int(left[0])
    assert (found["earliest_segment"], found["earliest_offset"]) == (earliest, 2 * earliest - 2)
    assert sorted(found["sealed_segments"]) == left[:-1]
    assert world.ask(b"GET t") == [b"OK %d" % (2 * earliest - 2)], "the cursor stands at the earliest record"


def test_a_segment_goes_once_it_has_been_sealed_for_as_long_as_the_setting_says() -> None:
    world = begun()
    assert world.ask(b"CREATE t retention_ms=2000") == [b"OK"]
    filled(world, "t", 3)
    assert state_of(world, "t", "INFO")["oldest_sealed_ms"] == WALL_NS // MS
    world.sleep(1_800 * MS)
    assert files_of(world, "t") == ["1", "2"]
    world.sleep(400 * MS)
    assert files_of(world, "t") == ["2"]


def test_what_is_removed_is_told_from_what_never_was() -> None:
    world = begun()
    assert world.ask(b"CREATE t retention_records=2") == [b"OK"]
    filled(world, "t", 7).sleep(300 * MS)
    assert world.ask(b"FETCH t 1 0", b"FETCH t 3 0", b"FETCH t 3 2", b"FETCH t 9 0") == [
        b"ERR no such record of t any more: the earliest is offset 0 of segment 3",
        b"OK 1 4",
        b"OK 3 6",
        b"ERR unknown segment 9 of t: it has 3 to 4",
    ]


def test_a_cursor_that_is_within_what_is_removed_moves_to_the_earliest_record() -> None:
    world = begun()
    filled(world, "logs", 7)
    assert world.ask(b"GET logs") == [b"OK 0"]
    assert world.ask(b"SET logs retention_records=2") == [b"OK"]
    world.sleep(300 * MS)
    assert world.ask(b"GET logs", b"GET logs", b"GET logs", b"GET logs") == [b"OK 4", b"OK 5", b"OK 6", b"EMPTY"]
    world.sleep(300 * MS).crash().sleep(500 * MS)
    assert world.ask(b"GET logs") == [b"EMPTY"]


# --- deletion ---


def test_a_deleted_topic_is_unknown_its_files_are_gone_and_its_name_is_free() -> None:
    world = begun()
    filled(world, "logs", 5)
    assert world.ask(b"GET logs", b"FETCH logs 1 1") == [b"OK 0", b"OK 2 1"]
    assert world.ask(b"DELETE logs") == [b"OK"]
    world.sleep(200 * MS)
    unknown = b"ERR unknown topic logs"
    assert world.ask(b"PUT logs x", b"GET logs", b"FETCH logs 1 0", b"STATE logs", b"DELETE logs") == [unknown] * 5
    assert world.ask(b"TOPICS") == [b"[]"]
    assert files_of(world, "logs") == []
    assert world.ask(b"REGISTER logs") == world.ask(b"PUT logs new") == [b"OK"]
    assert world.ask(b"GET logs", b"GET logs") == [b"OK new", b"EMPTY"]
    assert state_of(world, "logs")["current_segment"] == 4, "numbers of segments are never used again"
    assert world.ask(b"FETCH logs 1 0") == [
        b"ERR no such record of logs any more: the earliest is offset 0 of segment 4"
    ]
    assert files_of(world, "logs") == ["4"]


@pytest.mark.parametrize("snapshot_entries", [2, 10_000])
def test_files_of_a_deleted_topic_that_come_back_after_a_restart_are_removed_again(snapshot_entries: int) -> None:
    """As on a node that was down when the topic was deleted; also a file that the catalogue does not know."""
    world = begun(snapshot_entries=snapshot_entries)
    filled(world, "logs", 5)
    held = {path: data for path, data in world.files.items() if path.startswith("user_data/logs:")}
    catalogue = world.files[CATALOGUE_PATH]
    assert world.ask(b"DELETE logs", b"REGISTER other") == [b"OK", b"OK"]
    world.sleep(300 * MS)
    world.files |= held | {CATALOGUE_PATH: catalogue, "user_data/logs:2.wal": b"torn"}
    world.crash().sleep(500 * MS)
    assert files_of(world, "logs") == []
    known = recover_catalogue(bytes(world.files[CATALOGUE_PATH]), 1, world.storage)
    assert known is not None
    assert [key for key, copy in known.copies.items() if copy.held and key[0] == "logs"] == []
    assert world.ask(b"REGISTER logs") == world.ask(b"PUT logs new") == [b"OK"]
    assert world.ask(b"GET logs") == [b"OK new"]
    assert not [text for level, text in world.logged() if level == "error"]


def test_puts_that_were_pipelined_behind_a_deletion_end_one_way_or_another() -> None:
    world = begun()
    replies = world.ask(b"PUT logs a", b"DELETE logs", b"PUT logs b", b"GET logs", wait_ns=6 * SECOND)
    assert replies[1] == b"OK"
    assert {replies[0], replies[2]} <= {b"OK", b"ERR outcome unknown: logs:1", b"ERR unknown topic logs"}
    assert replies[3] in (b"OK a", b"EMPTY", b"ERR unknown topic logs")
