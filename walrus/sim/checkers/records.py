"""Every acknowledged record is readable exactly once, in order; nothing that was refused or never sent is
there.

Given the operations on one topic and the scan of its records at the end:

- an acknowledged PUT is in the scan exactly once, one with unknown outcome at most once, a refused one never;
- a record whose PUT was acknowledged, or that was read, before another PUT was sent stands before that
  one's record;
- within one connection acknowledged records stand in the order in which they were sent.

Payloads are unique but for empty ones, which are only counted.
"""

from bisect import bisect_left

from walrus.sim.history import DONE, FAILED, History, Operation
from walrus.sim.world import Violation


class Established:
    """Which part of a topic's log was known to someone at a moment, and so must be seen later."""

    def __init__(self, facts: list[tuple[int, int]]) -> None:
        """``facts`` are (when it was known in ns, position of the record)."""
        self._times: list[int] = []
        self._greatest: list[int] = []
        greatest = -1
        for time_ns, position in sorted(facts):
            greatest = max(greatest, position)
            self._times.append(time_ns)
            self._greatest.append(greatest)

    def before(self, time_ns: int) -> int:
        """The greatest position known strictly before ``time_ns``, or -1."""
        index = bisect_left(self._times, time_ns)
        return self._greatest[index - 1] if index else -1


def check_records(topic: str, history: History, scan: list[bytes]) -> None:
    """Raise :class:`Violation` unless the scan is what the history allows."""
    puts = history.of_topic(topic, "PUT")
    positions = _positions(topic, puts, scan)
    for op in puts:
        if op.outcome == DONE and op.payload and op.payload not in positions:
            raise Violation(f"acknowledged record lost: {op}; topic {topic} has {len(scan)} records without it")
        if op.outcome == FAILED and op.payload in positions:
            raise Violation(f"refused record present: {op}; it stands at {topic} offset {positions[op.payload]}")
    _check_empty(topic, puts, scan)
    _check_order(topic, puts, positions, established(history, topic, positions))


def _positions(topic: str, puts: list[Operation], scan: list[bytes]) -> dict[bytes, int]:
    """Where each payload stands; no payload twice and none that was never sent."""
    sent = {op.payload for op in puts}
    positions: dict[bytes, int] = {}
    for position, payload in enumerate(scan):
        if payload not in sent:
            raise Violation(f"record never put: {topic} offset {position} holds {payload[:40]!r}")
        if payload and positions.setdefault(payload, position) != position:
            raise Violation(
                f"record doubled: {payload[:40]!r} stands at {topic} offsets {positions[payload]} and {position}"
            )
    return positions


def _check_empty(topic: str, puts: list[Operation], scan: list[bytes]) -> None:
    empty = [op for op in puts if not op.payload]
    least = sum(op.outcome == DONE for op in empty)
    most = sum(op.outcome != FAILED for op in empty)
    found = scan.count(b"")
    if not least <= found <= most:
        raise Violation(f"empty records: topic {topic} has {found}, acknowledged {least}, possible {most}")


def established(history: History, topic: str, positions: dict[bytes, int]) -> Established:
    """What acknowledgements and reads made known, and when."""
    facts = []
    for op in history.operations:
        if op.topic != topic or op.outcome != DONE:
            continue
        if op.verb == "PUT":
            payload = op.payload
        elif op.verb in ("GET", "FETCH"):
            payload = op.delivered
        else:
            continue
        if payload in positions:
            facts.append((op.done_ns, positions[payload]))
    return Established(facts)


def _check_order(topic: str, puts: list[Operation], positions: dict[bytes, int], known: Established) -> None:
    last_of_connection: dict[int, Operation] = {}
    for op in puts:
        position = positions.get(op.payload)
        if position is None:
            continue
        before = known.before(op.sent_ns)
        if before >= position:
            raise Violation(
                f"order: {op} stands at {topic} offset {position}, but offset {before} was known before it was sent"
            )
        if op.outcome == DONE:
            last = last_of_connection.get(op.connection)
            if last is not None and positions[last.payload] > position:
                raise Violation(f"order within a connection: {last} was sent before {op} and stands behind it")
            last_of_connection[op.connection] = op
