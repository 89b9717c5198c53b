"""What became of a run."""

import re
from typing import Final

import msgspec

EXCEPTION: Final = "exception in a node"
LIVENESS: Final = "liveness"
_NUMBER: Final = re.compile(r"\d+")


class Result(msgspec.Struct, kw_only=True):
    """What became of a seed. ``violation`` is empty for a clean run, otherwise it says what broke."""

    seed: int
    violation: str
    trace_hash: str
    steps: int
    simulated_ns: int
    labels: dict[str, int]
    story: list[tuple[int, str]] = []

    @property
    def property_broken(self) -> str:
        """The property that was seen broken, or what else went wrong; empty for a clean run."""
        line = self.violation.split("\n")[0]
        return _NUMBER.sub("#", line) if line.startswith((EXCEPTION, LIVENESS)) else line.split(":")[0]

    @property
    def verdict(self) -> str:
        """ "clean" or "violation"."""
        return "violation" if self.violation else "clean"
