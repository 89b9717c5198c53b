"""Reads show only what is acknowledged, skip nothing, and say EMPTY or "unknown topic" only when that is so.

- FETCH of segment 1, offset n, brings the n-th record of the final scan and names n + 1 as the next offset.
- GET brings a record of the final scan. Where the cursor was drained at the end, every record that was known before the
  last GET that was answered EMPTY, or stands before one that was delivered, was delivered by some GET, but for as many
  as there were GETs without an answer (it may be lost with its connection).
- EMPTY for offset n is wrong if offset n was known to someone before the FETCH was sent; for a GET, if
  more records were known than other GETs had been sent before its answer.
  Where clocks were further off than leases allow for, EMPTY may be stale: that is all that leases prevent.
- "unknown topic" is wrong once someone was told that the topic exists.
"""

from walrus.sim.checkers.records import Established, established
from walrus.sim.history import DONE, EMPTY_REPLY, FAILED, History, Operation
from walrus.sim.world import Violation


def check_reads(topic: str, history: History, scan: list[bytes], drained: bool, removed: int = 0) -> None:
    """Raise :class:`Violation` unless every read of the history fits the scan at the end.

    ``removed``: so many records at the start of the scan are there no more; the cursor may have passed over them.
    ``drained``: at the end GETs were sent until nothing more came, for longer than a delivery can be pending.
    """
    positions = {payload: position for position, payload in enumerate(scan) if payload}
    known = established(history, topic, positions)
    _check_unknown_topic(topic, history)
    for op in history.of_topic(topic, "FETCH"):
        if op.segment == 1:
            _check_fetch(op, scan, known, history.stale_allowed)
        elif op.outcome == DONE and op.delivered and op.delivered not in positions:
            raise Violation(f"read of a record that is not there: {op}")
    gets = history.of_topic(topic, "GET")
    delivered = _check_gets(gets, positions, known, None if history.stale_allowed else removed)
    if drained:
        _check_all_delivered(topic, gets, scan, delivered | set(range(removed)), known)


def _check_fetch(op: Operation, scan: list[bytes], known: Established, stale_allowed: bool) -> None:
    if op.outcome == DONE:
        expected = b"OK %d %b" % (op.offset + 1, scan[op.offset]) if op.offset < len(scan) else b"EMPTY"
        if op.reply != expected:
            raise Violation(f"read shows another record: {op}; at the end the answer is {expected[:60]!r}")
    elif op.outcome == EMPTY_REPLY and known.before(op.sent_ns) >= op.offset and not stale_allowed:
        raise Violation(f"stale EMPTY: {op}; offset {known.before(op.sent_ns)} was known before it was sent")


def _check_gets(
    gets: list[Operation], positions: dict[bytes, int], known: Established, removed: int | None
) -> set[int]:
    """Check each GET by itself; returns the positions delivered. ``removed`` None: EMPTY may be stale."""
    delivered: set[int] = set()
    times = [op.sent_ns for op in gets]
    for op in gets:
        if op.outcome == DONE and op.delivered:
            if op.delivered not in positions:
                raise Violation(f"read of a record that is not there: {op}")
            delivered.add(positions[op.delivered])
        elif op.outcome == EMPTY_REPLY and removed is not None:
            others = sum(time <= op.done_ns for time in times) - 1
            if known.before(op.sent_ns) >= others + removed:
                raise Violation(f"stale EMPTY: {op}; more records were known than other GETs had been sent")
    return delivered


def _check_all_delivered(
    topic: str, gets: list[Operation], scan: list[bytes], delivered: set[int], known: Established
) -> None:
    lost = sum(op.outcome not in (DONE, EMPTY_REPLY) for op in gets)
    ends_ns = [op.sent_ns for op in gets if op.outcome == EMPTY_REPLY]
    # What nobody knew of when the end was last told may have been on its way for long, and have been written since.
    end = max(known.before(max(ends_ns)), max(delivered, default=-1)) + 1 if ends_ns else len(scan)
    skipped = [n for n, payload in enumerate(scan[:end]) if payload and n not in delivered]
    if len(skipped) > lost:
        raise Violation(
            f"GET skipped records: {topic} offsets {skipped[:10]} of {len(scan)} were never delivered, "
            f"and only {lost} GETs had no answer"
        )


def _check_unknown_topic(topic: str, history: History) -> None:
    existed_ns = None
    refusal = f"ERR unknown topic {topic}".encode()
    for op in sorted((op for op in history.operations if op.topic == topic), key=lambda op: op.done_ns):
        if op.outcome in (DONE, EMPTY_REPLY) and existed_ns is None:
            existed_ns = op.done_ns
        if op.outcome == FAILED and op.reply == refusal and existed_ns is not None and op.sent_ns > existed_ns:
            raise Violation(f"unknown topic: {op}; the topic existed at {existed_ns} ns")
