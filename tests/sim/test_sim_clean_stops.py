"""The checker of clean stops is fed one that forgets what was read, and some that do not."""

from collections import Counter
from types import SimpleNamespace

import pytest

from walrus.core.cursors import OwnedCursor
from walrus.core.metadata.commands import OPEN, SEALING
from walrus.core.metadata.state import Segment, Topic
from walrus.sim.checkers.clean_stops import CleanStops
from walrus.sim.world import Violation


def host(node_id: int, **running: object) -> SimpleNamespace:
    node = SimpleNamespace(running=SimpleNamespace(**running), metadata=SimpleNamespace(topics={"t": None}))
    return SimpleNamespace(node_id=node_id, life=1, up=True, node=node)


def stop_after_reading(*, committed: int, complete: bool = True, state: int = OPEN, deleted: bool = False) -> None:
    """Node 1 leaves while node 2 keeps the cursor of t, which stands at 5."""
    stopping = host(
        1,
        leaving=SimpleNamespace(begun=True, complete=complete),
        farewells=SimpleNamespace(others=lambda: [2]),
    )
    reader = host(2, cursors=SimpleNamespace(owned={"t": OwnedCursor(1, 1, 5)}))
    if deleted:
        reader.node.metadata.topics.clear()
    cluster = SimpleNamespace(hosts=[stopping, reader], world=SimpleNamespace(labels=Counter()))
    checker = CleanStops(cluster)  # type: ignore[arg-type]
    segment = Segment(1, (2, 1, 1), ((2, 1),), 0, state=state)
    checker.topic(reader, Topic("t", [segment], [0], committed))  # type: ignore[arg-type]
    checker.after_turn(stopping)  # type: ignore[arg-type]
    checker.on_crash(stopping)  # type: ignore[arg-type]


def test_a_clean_stop_that_leaves_a_cursor_uncommitted_is_a_violation() -> None:
    with pytest.raises(Violation, match="of t was read up to 5 through node 2 before, and only 3 is committed"):
        stop_after_reading(committed=3)


def test_stops_that_promise_nothing_or_keep_it_pass() -> None:
    stop_after_reading(committed=5)
    stop_after_reading(committed=3, complete=False)
    stop_after_reading(committed=3, state=SEALING)
    stop_after_reading(committed=3, deleted=True)
