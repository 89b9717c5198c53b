"""Durability modes of topics on one whole node: settings, intervals, stops, and losses of power."""

import json
from typing import Any

import pytest
from core_node import World

from walrus.core import events as ev
from walrus.core.actions import Write
from walrus.core.config import MS, SECOND
from walrus.core.metadata.durability import NEVER

LOGS_1 = "user_data/logs:1.wal"


def told(world: World, request: str) -> dict[str, Any]:
    [reply] = world.ask(request.encode())
    found: dict[str, Any] = json.loads(reply)
    return found


def writes(world: World, path: str) -> list[tuple[int, bool]]:
    """(bytes, with a sync) of the writes to a file so far."""
    return [
        (len(action.data), action.sync) for action in world.done if isinstance(action, Write) and action.path == path
    ]


def begun(durability: int, **settings: Any) -> World:
    return World(durability=durability, **settings).start().sleep(500 * MS)


def test_a_topic_gets_the_nodes_default_or_what_it_is_created_with() -> None:
    world = begun(100)
    assert world.ask(b"CREATE own durability=never", b"REGISTER same") == [b"OK", b"OK"]
    assert told(world, "STATE logs")["durability"] == "interval:100"
    assert told(world, "INFO own")["durability"] == "never"
    assert told(world, "INFO same")["durability"] == "interval:100"
    metrics = told(world, "METRICS")
    assert metrics["default_durability"] == "interval:100"
    assert metrics["durability"] == {"always": 0, "interval": 2, "never": 1}


def test_creating_again_without_a_mode_takes_the_topic_as_it_is() -> None:
    world = begun(100)
    assert world.ask(b"CREATE own durability=never", b"CREATE own") == [b"OK", b"OK"]
    assert world.ask(b"CREATE own durability=always") == [
        b"ERR topic own exists, with durability=never: change it with SET"
    ]


def test_set_hands_over_to_a_segment_of_the_new_mode() -> None:
    world = begun(0)
    assert world.ask(b"PUT logs a", b"SET logs durability=never", b"PUT logs b") == [b"OK"] * 3
    state = told(world, "STATE logs")
    assert (state["durability"], state["current_durability"], state["current_segment"]) == ("never", "never", 2)
    assert world.ask(b"SET logs retention_ms=5") == [b"OK"]
    assert told(world, "STATE logs")["current_segment"] == 2


def test_an_interval_ends_with_a_sync_by_itself() -> None:
    world = begun(300)
    assert world.ask(b"PUT logs a") == [b"OK"]
    assert world.ask(b"PUT logs b") == [b"OK"]
    before = writes(world, LOGS_1)
    assert [sync for _, sync in before] == [True, False]
    assert told(world, "METRICS")["unsynced_copies"] == 1
    world.sleep(280 * MS)
    assert writes(world, LOGS_1) == before
    world.sleep(100 * MS)
    assert writes(world, LOGS_1) == [*before, (0, True)]
    assert told(world, "METRICS")["unsynced_copies"] == 0
    world.sleep(2 * SECOND)
    assert writes(world, LOGS_1) == [*before, (0, True)], "nothing more was written"


def test_a_full_segment_is_synced_before_it_is_sealed() -> None:
    world = begun(NEVER, max_segment_entries=3)
    assert world.ask(b"PUT logs a") == [b"OK"]
    assert world.ask(b"PUT logs b") == [b"OK"]
    assert world.ask(b"PUT logs c", b"PUT logs d") == [b"OK", b"OK"]
    assert [sync for _, sync in writes(world, LOGS_1)] == [True, False, True], "the last write takes the sync along"


def test_a_clean_stop_leaves_nothing_that_a_loss_of_power_could_take() -> None:
    world = begun(NEVER)
    assert world.ask(*[b"PUT logs %d" % n for n in range(5)]) == [b"OK"] * 5
    assert world.ask(b"PUT logs last") == [b"OK"]
    world.handle(ev.ShutdownRequested())
    world.run().sleep(3 * SECOND)
    assert world.stopped is not None
    assert writes(world, LOGS_1)[-1] == (0, True)
    world.boot_id = "second boot"
    world.start().sleep(2 * SECOND)
    assert told(world, "STATE logs")["sealed_segments"] == {"1": 6}
    assert told(world, "STATE logs")["power_cut_segments"] == []


@pytest.mark.parametrize(("boot_id", "cut"), [("first boot", []), ("second boot", [1])])
def test_a_node_alone_goes_on_with_what_is_left_and_says_where_power_was_lost(boot_id: str, cut: list[int]) -> None:
    world = begun(NEVER)
    assert world.ask(b"PUT logs a") == [b"OK"]
    assert world.ask(b"PUT logs b") == [b"OK"]
    world.boot_id = boot_id
    world.start().sleep(3 * SECOND)
    state = told(world, "STATE logs")
    assert (state["sealed_segments"], state["power_cut_segments"]) == ({"1": 2}, cut)
    assert told(world, "INFO logs")["power_cut_segments"] == cut
    metrics = told(world, "METRICS")
    assert (metrics["power_cut_seals"], metrics["power_cut_copies"]) == (len(cut), 0)
    assert world.ask(b"GET logs", b"GET logs", b"PUT logs c") == [b"OK a", b"OK b", b"OK"]
