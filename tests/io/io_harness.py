"""What the tests of the runtime share: a log that remembers, a clock set by hand, a loop that waits for conditions."""

import selectors
import time
from collections.abc import Callable, Sequence

from walrus.core.events import Event
from walrus.io.source import Ticker

PATIENCE_S = 20.0


class MemoryLog:
    """Keeps log lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def log(self, level: str, text: str) -> None:
        self.lines.append((level, text))

    line = log

    def texts(self) -> str:
        return "\n".join(text for _, text in self.lines)


class ManualClock:
    """Time that passes only when a test says so."""

    def __init__(self) -> None:
        self.time_ns = 1_000_000_000

    def now_ns(self) -> int:
        return self.time_ns

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def advance_ms(self, milliseconds: int) -> None:
        self.time_ns += milliseconds * 1_000_000


class Loop:
    """Serves whatever is in ``selector`` until a condition holds; events are gathered in ``events``."""

    def __init__(self, clock: ManualClock) -> None:
        self.selector = selectors.DefaultSelector()
        self.clock = clock
        self.tickers: list[Ticker] = []
        self.flushes: list[Callable[[], None]] = []
        self.events: list[Event] = []

    def until(self, condition: Callable[[], object], what: str = "condition") -> None:
        """Serve sockets until ``condition()`` is true; fails the test if that takes too long."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain for: {what}; events so far: {self.events[-5:]}"
            self.turn(0.02)

    def turn(self, timeout_s: float = 0.0) -> list[Event]:
        """Serve what is ready once, as the reactor does; returns the new events."""
        before = len(self.events)
        ready = self.selector.select(timeout_s)
        for key, mask in sorted(ready, key=lambda item: item[0].data.order):
            self.events += key.data.on_ready(mask)
        for ticker in self.tickers:
            if ticker.deadline_ns is not None and self.clock.now_ns() >= ticker.deadline_ns:
                self.events += ticker.tick(self.clock.now_ns())
        for flush in self.flushes:
            flush()
        return self.events[before:]


def of_type(events: Sequence[Event], kind: type[Event]) -> list[Event]:
    """The events of one type, in order."""
    return [event for event in events if type(event) is kind]
