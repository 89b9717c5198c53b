"""What a node counts about itself. Nothing is decided by these numbers; each part of a node owns its own.

A part is given the time as everywhere in the core; who asks for METRICS reads the parts (:mod:`walrus.core.report`).
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from walrus.core.config import MS, SECOND
from walrus.core.requests import Pending

_US: Final = MS // 1000
LATENCY_BOUNDS_NS: Final = (
    *(250 * _US, 500 * _US, 1 * MS, 2_500 * _US, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS),
    *(1 * SECOND, 2_500 * MS, 5 * SECOND, 10 * SECOND),
)
"""Upper bounds, each inclusive, of the buckets of every histogram; one more bucket takes what lies above them."""

_UPTO_S: Final = (*(str(bound_ns / SECOND) for bound_ns in LATENCY_BOUNDS_NS), "+Inf")


class Histogram:
    """How long something took, by buckets. Invariant: ``counts`` has one bucket more than there are bounds."""

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_NS) + 1)
        self.sum_ns = 0

    def observe(self, duration_ns: int, times: int = 1) -> None:
        """So many things took so long each."""
        self.counts[bisect_left(LATENCY_BOUNDS_NS, duration_ns)] += times
        self.sum_ns += duration_ns * times


def histogram_value(counts: Sequence[int], sum_ns: int) -> dict[str, Any]:
    """A histogram as METRICS shows it: ``{"count", "sum_s", "le": {upper bound in seconds: how many up to it}}``."""
    upto = dict(zip(_UPTO_S, accumulate(counts), strict=True))
    return {"count": upto["+Inf"], "sum_s": sum_ns / SECOND, "le": upto}


class RequestMeter:
    """One verb, as the clients of this node see it: from the request's arrival to its answer.

    ``local``: decided on this node; ``forwarded``: another node had to be asked. Requests that failed are counted by
    reason and are in neither.
    """

    __slots__ = ("_timeout_ns", "failed", "forwarded", "local")

    def __init__(self, timeout_ns: int, *reasons: str) -> None:
        """``timeout_ns``: how long after its arrival a request's deadline is."""
        self._timeout_ns = timeout_ns
        self.local = Histogram()
        self.forwarded = Histogram()
        self.failed = dict.fromkeys(reasons, 0)

    def answered(self, pendings: Sequence[Pending], now_ns: int, *, forwarded: bool) -> None:
        """These requests are answered now. Those of one turn arrived together and cost one look-up."""
        histogram = self.forwarded if forwarded else self.local
        deadline_ns = times = 0
        for pending in pendings:
            if pending.deadline_ns != deadline_ns:
                if times:
                    histogram.observe(now_ns - deadline_ns + self._timeout_ns, times)
                deadline_ns, times = pending.deadline_ns, 0
            times += 1
        if times:
            histogram.observe(now_ns - deadline_ns + self._timeout_ns, times)

    def value(self) -> dict[str, Any]:
        """As METRICS shows it."""
        return {
            "local": histogram_value(self.local.counts, self.local.sum_ns),
            "forwarded": histogram_value(self.forwarded.counts, self.forwarded.sum_ns),
            "failed": dict(self.failed),
        }


class LoopMeter:
    """How late this process gets to what is due: its loop was busy, or the machine did not let it run."""

    __slots__ = ("lag", "stalled_ns", "stalls")

    def __init__(self) -> None:
        self.lag = Histogram()
        self.stalls = 0  # so late that it suspected nobody for that time
        self.stalled_ns = 0

    def late(self, late_ns: int) -> None:
        """The tick came so long after its time."""
        self.lag.observe(max(0, late_ns))

    def stalled(self, late_ns: int) -> None:
        self.lag.observe(late_ns)
        self.stalls += 1
        self.stalled_ns += late_ns

    def value(self) -> dict[str, Any]:
        """As METRICS shows it."""
        return {
            "lag": histogram_value(self.lag.counts, self.lag.sum_ns),
            "stalls": self.stalls,
            "stalled_s": self.stalled_ns / SECOND,
        }
