"""A cluster as a backup reads it: what its topics hold at one moment, and their records, through any node.

Whatever only reads is asked again for a while where no node answers or none leads, as when one dies on the way.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from walrus.cli.probe import wait_until
from walrus.client import NotConnected, ServerError, WalrusClient, WalrusError, calls
from walrus.client.calls import Call

PATIENCE_S = 60.0  # without an answer that helps
_PAUSE_S: Final = 0.2

# A node that is asked for a record it has not at hand reads a window of 256 KiB, once for every request that came in
# the meantime. So the first of a run goes alone, and the run is no longer than what a window is likely to hold: with
# 1 KiB records runs of 16 are twice as fast as runs of 32 on a cluster of three.
_RUN_BYTES: Final = 16 * 1024
_RUN_MIN: Final = 16
_RUN_MAX: Final = 128
_REPLY_BYTES_MAX: Final = 32 * 1024 * 1024  # of a run whose records turn out to be far larger than those before

_TRANSIENT: Final = ("NotLeaderForPartition", "no raft leader known")
_SETTING_PREFIX: Final = "retention_"  # of the names in STATE that are settings

_T = TypeVar("_T")


class NotThere(NotConnected):
    """A record that the cluster counts was not shown."""


class Piece(msgspec.Struct, frozen=True):
    """The first ``count`` records of a segment."""

    number: int
    count: int
    sealed: bool


class View(msgspec.Struct, frozen=True):
    """A topic at one moment: everything acknowledged before it was looked at is in ``pieces``.

    ``cursor`` counts from the first record of ``pieces``, and is the one that was committed.
    """

    name: str
    settings: dict[str, int | str]
    cursor: int
    pieces: list[Piece]

    @property
    def count(self) -> int:
        return sum(piece.count for piece in self.pieces)


class Source:
    """Reads through ``client``; raises its errors once patience has run out."""

    def __init__(self, client: WalrusClient) -> None:
        self._client = client

    def cluster(self) -> str:
        """The cluster id, 16 hexadecimal digits. Does not wait: whoever cannot be reached now was given wrongly."""
        cluster: str = self._client.metrics()["cluster"]
        return cluster

    def topics(self) -> list[str]:
        return self.patiently(self._client.topics)

    def state(self, topic: str) -> dict[str, Any]:
        return self.patiently(lambda: self._client.state(topic))

    def view(self, topic: str) -> View:
        """Look at a topic. Raises ServerError if there is none."""
        state = self.state(topic)
        current: int = state["current_segment"]
        end = self._open_end(topic, current)
        later = self.state(topic)
        # If the segment was sealed while its end was looked for, that end may lie in a later one; but then all that
        # was acknowledged before is in segments that are sealed now.
        if later["current_segment"] != current:
            end = 0
        sealed = {int(number): count for number, count in later["sealed_segments"].items()}
        pieces = [Piece(number, sealed[number], sealed=True) for number in sorted(sealed)]
        if end:
            pieces.append(Piece(current, end, sealed=False))
        settings = {name: value for name, value in later.items() if name.startswith(_SETTING_PREFIX) and value}
        if later.get("durability", "always") != "always":
            settings["durability"] = later["durability"]
        # The cursor of before: what it has behind it was acknowledged.
        return View(topic, settings, max(0, state["cursor"] - later.get("earliest_offset", 0)), pieces)

    def cursor(self, topic: str) -> int:
        """How many of the topic's records its committed GET cursor has behind it."""
        state = self.state(topic)
        cursor: int = state["cursor"] - state.get("earliest_offset", 0)
        return max(0, cursor)

    def _open_end(self, topic: str, segment: int) -> int:
        """How many records an open segment shows."""

        def is_there(offset: int) -> bool:
            return self.patiently(lambda: self._client.fetch(topic, segment, offset)) is not None

        if not is_there(0):
            return 0
        shown, missing = 0, 1
        while is_there(missing):
            shown, missing = missing, 2 * missing
        while missing - shown > 1:
            middle = (shown + missing) // 2
            if is_there(middle):
                shown = middle
            else:
                missing = middle
        return missing

    def read(self, topic: str, segment: int, first: int, end: int) -> Iterator[list[bytes]]:
        """Records ``first`` to before ``end``, which are there, counted from the start of a segment, in runs."""
        at, run = first, _RUN_MIN
        while at < end:
            payloads = self._run(topic, segment, at, at + 1)
            if at + 1 < end:
                payloads += self._run(topic, segment, at + 1, min(at + run, end))
            at += len(payloads)
            mean_bytes = sum(map(len, payloads)) // len(payloads) + 1
            run = min(max(_RUN_BYTES // mean_bytes, _RUN_MIN), _RUN_MAX)
            yield payloads

    def _run(self, topic: str, segment: int, first: int, end: int) -> list[bytes]:
        return self.patiently(lambda: self._run_once(topic, segment, first, end))

    def _run_once(self, topic: str, segment: int, first: int, end: int) -> list[bytes]:
        """The records from ``first`` on, at least one and before ``end``."""
        requests = [calls.fetch(topic, segment, offset) for offset in range(first, end)]
        payloads: list[bytes] = []
        for reply in self._client.call_many(requests, _REPLY_BYTES_MAX):
            try:
                record = calls.record_of(reply)
            except ServerError:
                if payloads:
                    break  # it is asked for again, and by itself
                raise
            if record is None:
                break
            payloads.append(record.payload)
        if not payloads:
            raise NotThere(f"{topic}:{segment}: record {first} of {end} is not shown")
        return payloads

    def ask(self, call: Call) -> bytes:
        """The reply to a request that may be repeated; errors are raised."""
        return self.patiently(lambda: calls.check(self._client.call(call)))

    def patiently(self, ask: Callable[[], _T]) -> _T:
        """What ``ask`` returns, once it does not fail in a way that may pass."""
        answers: list[_T] = []
        failures: list[WalrusError] = []

        def is_amiss() -> str:
            try:
                answers.append(ask())
            except (NotConnected, ServerError) as error:
                if not may_pass(error):
                    raise
                failures.append(error)
                return str(error) or "no answer"
            return ""

        if wait_until(is_amiss, PATIENCE_S, _PAUSE_S):
            raise failures[-1]
        return answers[-1]


def may_pass(error: WalrusError) -> bool:
    """Whether the same request may succeed in a while."""
    if isinstance(error, ServerError):
        return error.text.startswith(_TRANSIENT)
    return isinstance(error, NotConnected)
