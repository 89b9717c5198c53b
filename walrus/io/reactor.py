"""The loop that drives the core: events in, actions out, nothing decided here.

A turn waits until the node's deadline, hands over what sockets, disk and signals report (other nodes before
clients), fires the timer if it is due, carries out the actions, and sends each connection's output once.

Before the timer fires, all input of other nodes is drained once more: a process that was itself slow, or
stopped for a while, must read the heartbeats that wait in its sockets before it may suspect anybody.
"""

import selectors
from collections.abc import Sequence
from typing import Final, Protocol

from walrus.core.actions import Action
from walrus.core.config import Deadline
from walrus.core.events import Event, PollFinished, Started, TimerFired, WriteCompleted, WriteFailed
from walrus.io.clock import SECOND_NS, Clock
from walrus.io.dispatch import Dispatcher
from walrus.io.source import CLIENTS, WRITE, Ticker

_WAIT_NS_MAX: Final = 60 * SECOND_NS
_LAST_FLUSH_NS: Final = SECOND_NS // 5
_SETTLING: Final = (WriteCompleted, WriteFailed)
_Ready = list[tuple[selectors.SelectorKey, int]]


class Core(Protocol):
    """What the loop needs of :class:`walrus.core.node.Node`."""

    def handle(self, event: Event, now_ns: int) -> list[Action]: ...

    def next_deadline(self) -> Deadline | None: ...


class Reactor:
    """Drives ``node`` until it says ``Stop``."""

    def __init__(
        self,
        node: Core,
        selector: selectors.BaseSelector,
        dispatcher: Dispatcher,
        tickers: Sequence[Ticker],
        clock: Clock,
    ) -> None:
        self._node = node
        self._selector = selector
        self._dispatcher = dispatcher
        self._tickers = tickers
        self._clock = clock
        self._actions: list[Action] = []

    def run(self, started: Started) -> int:
        """Run from the first event to ``Stop``; return its exit code."""
        self._give([started])
        self._end_turn()
        while not self._dispatcher.stop:
            self._serve(self._selector.select(self._timeout_s()))
            self._tick()
            if self._timer_is_due():
                self._serve([ready for ready in self._selector.select(0) if ready[0].data.order < CLIENTS])
            if self._timer_is_due():
                self._give([TimerFired()])
            self._end_turn()
        self._flush_last()
        return self._dispatcher.stop.exit_code

    def _end_turn(self) -> None:
        self._give([PollFinished()])
        actions, self._actions = self._actions, []
        self._dispatcher.execute(actions)

    def _serve(self, ready: _Ready) -> None:
        ready.sort(key=_order)
        for key, mask in ready:
            self._give(key.data.on_ready(mask))

    def _give(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, _SETTLING):
                self._actions += self._dispatcher.settle(event)
            self._actions += self._node.handle(event, self._clock.now_ns())

    def _tick(self) -> None:
        now_ns = self._clock.now_ns()
        for ticker in self._tickers:
            if ticker.deadline_ns is not None and now_ns >= ticker.deadline_ns:
                self._give(ticker.tick(now_ns))

    def _timer_is_due(self) -> bool:
        deadline = self._node.next_deadline()
        return deadline is not None and self._clock.now_ns() >= deadline.at_ns

    def _timeout_s(self) -> float:
        now_ns = self._clock.now_ns()
        at_ns = now_ns + _WAIT_NS_MAX
        deadline = self._node.next_deadline()
        if deadline is not None and deadline.at_ns < at_ns:
            at_ns = deadline.at_ns
        for ticker in self._tickers:
            if ticker.deadline_ns is not None and ticker.deadline_ns < at_ns:
                at_ns = ticker.deadline_ns
        return max(0, at_ns - now_ns) / SECOND_NS

    def _flush_last(self) -> None:
        """Let sockets take what they have not taken yet, for a bounded time."""
        end_ns = self._clock.now_ns() + _LAST_FLUSH_NS
        while self._dispatcher.has_unsent() and (left_ns := end_ns - self._clock.now_ns()) > 0:
            for key, mask in self._selector.select(left_ns / SECOND_NS):
                if mask & WRITE:
                    key.data.on_ready(WRITE)
            self._dispatcher.flush()


def _order(ready: tuple[selectors.SelectorKey, int]) -> int:
    order: int = ready[0].data.order
    return order
