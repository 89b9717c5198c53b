"""What a campaign must have seen to be worth its name: every fault biting, every kind of message, every outcome.

A label that a campaign never hits is a hole in the faults or the workload, not a proof that nothing happens there.
"""

from typing import Final

import msgspec

from walrus.sim.faults import KINDS
from walrus.sim.message_kinds import TAGS
from walrus.sim.options import Options

_JUDGED_FROM_RUNS: Final = 40
"""A fault that was on in so many runs and never changed an outcome fails the campaign."""

_SOMETIMES: Final = (
    *(f"message: {name}" for name in sorted(TAGS)),
    "Raft leader elected",
    "snapshot written",
    "snapshot installed",
    "started from a snapshot",
    "log truncated",
    "segment recovered and sealed",
    "segment rolled over",
    "client gave up waiting",
    "node broken for good",
    "shutdown done",
    "node removed",
    "removed node told",
    "segment removed by retention",
    "topic deleted",
    *(f"{verb} done" for verb in ("PUT", "GET", "FETCH", "STATE", "REGISTER", "METRICS")),
    *(f"{verb} done" for verb in ("CREATE", "SET", "INFO", "DELETE")),
    *(f"{verb} unknown" for verb in ("PUT", "GET", "FETCH")),
    "GET empty",
    "FETCH empty",
    "refused: ERR NotLeaderForPartition",
    "refused: ERR no raft leader known",
    "undecided: ERR outcome unknown",
)


_WITH_LOST_MAJORITY: Final = (
    "survived",
    "survived with sealed records lost",
    "survived with damaged copies",
    "survived with segments that its log did not know",
    "nobody could survive",
    "removed node told",
)


class FaultRow(msgspec.Struct, frozen=True):
    """One fault kind in a campaign: runs it was on in, how often it fired, how often it changed an outcome."""

    name: str
    runs: int
    fired: int
    bit: int

    @property
    def toothless(self) -> bool:
        """On often enough, and never of any consequence."""
        return self.runs >= _JUDGED_FROM_RUNS and not self.bit


def fault_rows(labels: dict[str, int]) -> list[FaultRow]:
    """One row for each fault kind that was on."""
    rows = [
        FaultRow(
            kind.name,
            labels.get(f"on: {kind.name}", 0),
            labels.get(f"fault: {kind.name}", 0),
            labels.get(f"bit: {kind.name}", 0),
        )
        for kind in KINDS
    ]
    return [row for row in rows if row.runs]


def never_hit(labels: dict[str, int], options: Options) -> list[str]:
    """The labels that were to be hit sometimes and were not."""
    return [label for label in known_labels(options) if not labels.get(label)]


def known_labels(options: Options) -> tuple[str, ...]:
    """What a campaign is to hit."""
    return _WITH_LOST_MAJORITY if options.lost_majority else _SOMETIMES
