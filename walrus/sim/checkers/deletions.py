"""A deleted topic is unknown until its name is taken again, and nothing of it shows in the new one.

Of topics that clients create and delete all the time, judged by what is certain: a CREATE, REGISTER or DELETE without a
clear answer may take effect at any time from when it was sent on, for ever.

- After a DELETE was answered, and before anybody sent a request that makes the topic, nothing but "unknown topic" is
  said of it.
- After a CREATE was answered, "unknown topic" is wrong unless a DELETE may have come since.
- A record that was known before a DELETE was sent is not read after that DELETE was answered. By FETCH it may be, from
  a segment that is gone: that asks no lease, so a node that has not heard of the DELETE shows what was sealed. Segment
  numbers never come again, so nobody takes it for a record of the new topic.
- An acknowledged record that no DELETE can have removed is in the topic at the end, once and in order.

Where clocks went beyond what leases allow for, a deleted topic may answer for a while.
"""

from walrus.sim.checkers.records import established
from walrus.sim.history import DONE, EMPTY_REPLY, UNKNOWN, History, Operation
from walrus.sim.world import Violation

_MAKES = ("CREATE", "REGISTER")
_EVER = 1 << 62


def _end(op: Operation) -> int:
    """Until when it may take effect."""
    return op.done_ns if op.outcome == DONE else _EVER


def check_deletions(topic: str, history: History, scan: list[bytes], trimmed: list[bytes], first: int) -> None:
    """Raise :class:`Violation` unless the history of a topic is as above.

    ``scan``: its records at the end; ``trimmed``: what retention removed from all topics of that name;
    ``first``: the number from which on segments are not gone.
    """
    ops = [op for op in history.operations if op.topic == topic]
    deletes = [op for op in ops if op.verb == "DELETE" and op.outcome in (DONE, UNKNOWN)]
    makes = [op for op in ops if op.verb in _MAKES and not op.reply.startswith(b"ERR topic ")]
    deleted = [op for op in deletes if op.outcome == DONE]
    for op in ops:
        if op.done_ns >= 0 and op.verb not in (*_MAKES, "DELETE"):
            _check_existence(op, topic, makes, deletes, [] if history.stale_allowed else deleted)
    if not history.stale_allowed:
        _check_reads([op for op in ops if op.verb != "FETCH" or op.segment >= first], deleted)
    _check_end(topic, history, [op for op in ops if op.payload not in trimmed], deletes, scan)


def _check_existence(
    op: Operation, topic: str, makes: list[Operation], deletes: list[Operation], deleted: list[Operation]
) -> None:
    unknown = op.reply == f"ERR unknown topic {topic}".encode()
    if unknown:
        for make in makes:
            if make.outcome == DONE and make.done_ns < op.sent_ns:
                may_be_gone = any(_end(other) > make.sent_ns and other.sent_ns < op.done_ns for other in deletes)
                if not may_be_gone:
                    raise Violation(f"unknown topic: {op}; {make}, and nobody has deleted it since")
    elif op.outcome in (DONE, EMPTY_REPLY):
        for last in deleted:
            if last.done_ns < op.sent_ns and not any(
                _end(make) > last.sent_ns and make.sent_ns < op.done_ns for make in makes
            ):
                raise Violation(f"deleted topic answers: {op}; {last}, and nobody has made it anew")


def _check_reads(ops: list[Operation], deleted: list[Operation]) -> None:
    known: dict[bytes, int] = {}
    for op in ops:
        if op.outcome != DONE or op.verb not in ("PUT", "GET", "FETCH"):
            continue
        payload = op.payload if op.verb == "PUT" else op.delivered
        if payload:
            known[payload] = min(known.get(payload, _EVER), op.done_ns)
    for op in ops:
        if op.verb in ("GET", "FETCH") and op.outcome == DONE and op.delivered:
            for delete in deleted:
                if delete.done_ns < op.sent_ns and known[op.delivered] < delete.sent_ns:
                    raise Violation(f"record of a deleted topic: {op}; it was there before {delete}")


def _check_end(
    topic: str, history: History, ops: list[Operation], deletes: list[Operation], found: list[bytes]
) -> None:
    positions = {payload: position for position, payload in enumerate(found) if payload}
    if len(positions) != len([payload for payload in found if payload]):
        raise Violation(f"record doubled in {topic}")
    for put in ops:
        if put.verb != "PUT" or put.outcome != DONE or not put.payload:
            continue
        before = [delete for delete in deletes if delete.outcome == DONE and put.done_ns < delete.sent_ns]
        if before and put.payload in positions:
            raise Violation(f"record of a deleted topic: {put}; it is there at the end, after {before[0]}")
        if put.payload not in positions and not any(_end(delete) > put.sent_ns for delete in deletes):
            raise Violation(f"acknowledged record lost: {put}; topic {topic} has {len(found)} records without it")
    known = established(history, topic, positions)
    for put in ops:
        position = positions.get(put.payload)
        if put.verb == "PUT" and position is not None and known.before(put.sent_ns) > position:
            raise Violation(f"order: {put} stands at {topic} offset {position}, behind what was known before")
