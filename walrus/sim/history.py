"""What the simulated clients asked and were told: the only evidence that the end-to-end checkers use."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from walrus.core.wire import EMPTY, OK

ERR: Final = b"ERR "

# Texts of errors after which a request may still have taken effect.
_UNDECIDED: Final = (b"ERR outcome unknown",)

# Outcomes.
UNKNOWN: Final = "unknown"  # no answer, or an answer that says nobody knows
DONE: Final = "done"
EMPTY_REPLY: Final = "empty"
FAILED: Final = "failed"  # refused: it took no effect and never will


class Operation(msgspec.Struct):
    """One request. ``done_ns`` is when its reply arrived, -1 while or where there is none; times are
    simulated.
    """

    client: int
    connection: int
    verb: str
    topic: str
    payload: bytes
    offset: int  # of a FETCH, from the start of ``segment``
    sent_ns: int
    node: int  # that was asked
    segment: int = 1
    done_ns: int = -1
    reply: bytes = b""
    outcome: str = UNKNOWN

    def answer(self, reply: bytes, now_ns: int) -> None:
        """The reply arrived."""
        self.done_ns = now_ns
        self.reply = reply
        if reply == EMPTY:
            self.outcome = EMPTY_REPLY
        elif reply.startswith(ERR):
            self.outcome = UNKNOWN if reply.startswith(_UNDECIDED) else FAILED
        else:
            self.outcome = DONE

    @property
    def delivered(self) -> bytes:
        """The record that a GET or FETCH brought."""
        body = self.reply[len(OK) + 1 :]
        return body if self.verb == "GET" else body.split(b" ", 1)[1]

    def __str__(self) -> str:
        shown = self.payload[:24] + (b"..." if len(self.payload) > 24 else b"")
        what = {"PUT": f" {shown!r}", "FETCH": f" {self.segment} {self.offset}"}.get(self.verb, "")
        answered = f"answered {self.reply[:60]!r} at {self.done_ns} ns" if self.done_ns >= 0 else "never answered"
        return (
            f"{self.verb} {self.topic}{what} by client {self.client} to node {self.node} "
            f"at {self.sent_ns} ns, {answered}"
        )


class History:
    """All operations in the order in which they were sent. ``acknowledged`` counts PUTs by topic, ``got`` the GETs that
    were answered.

    ``stale_allowed``: no lease could prevent it.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.acknowledged: Counter[str] = Counter()
        self.got = 0
        self.stale_allowed = False
        self.listeners: list[Callable[[Operation], None]] = []  # hear of each answer

    def add(self, operation: Operation) -> Operation:
        """Note that a request is being sent."""
        self.operations.append(operation)
        return operation

    def answer(self, operation: Operation, reply: bytes, now_ns: int) -> None:
        """The reply to an operation arrived."""
        operation.answer(reply, now_ns)
        if operation.verb == "PUT" and operation.outcome == DONE:
            self.acknowledged[operation.topic] += 1
        elif operation.verb == "GET" and operation.outcome in (DONE, EMPTY_REPLY):
            self.got += 1
        for listener in self.listeners:
            listener(operation)

    def without(self, topic: str, records: list[bytes]) -> "History":
        """What it would be if these records of a topic had never been put, nor read."""
        found, empty = History(), records.count(b"")
        found.stale_allowed = self.stale_allowed
        for op in self.operations:
            known = op.topic == topic and op.outcome == DONE and op.verb in ("PUT", "GET", "FETCH")
            record = (op.payload if op.verb == "PUT" else op.delivered) if known else None
            if record == b"" and op.verb == "PUT" and empty > 0:  # one cannot be told from another
                found.operations.append(msgspec.structs.replace(op, outcome=UNKNOWN))
                empty -= 1
            elif not record or record not in records:
                found.operations.append(op)
        return found

    def of_topic(self, topic: str, verb: str) -> list[Operation]:
        """The operations with this verb on this topic."""
        return [op for op in self.operations if op.topic == topic and op.verb == verb]
