"""What is said of one file: facts, problems with their positions, and the verdict that follows from them."""

import errno
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from walrus import __version__
from walrus.io.errors import describe

SOUND: Final = "sound"
TORN: Final = "torn"  # what a crash leaves: the next start cuts it, nothing that was promised is lost
DAMAGED: Final = "damaged"
NEWER: Final = "newer format"
NO_FILE_OF_OURS: Final = "not a Walrus file"
_ORDER: Final = (SOUND, TORN, NO_FILE_OF_OURS, NEWER, DAMAGED)
EXIT_CODES: Final = {SOUND: 0, TORN: 0, DAMAGED: 1, NEWER: 2, NO_FILE_OF_OURS: 2}

Listing = Callable[[dict[str, object]], None]
"""Takes one block or record after the other, as what is to be printed of it."""

Listings = Callable[[str], Listing] | None
"""Gives the listing of a file; None where nothing is to be listed."""

_PREVIEW_BYTES: Final = 48
_PREVIEW_CHARS: Final = 160


class Problem(msgspec.Struct, frozen=True):
    """``level``: one of the verdicts but SOUND. ``position``: of the first byte concerned, from the file's start; None
    where it is the file itself, or the whole directory.
    """

    level: str
    position: int | None
    text: str


def place(problem: Problem) -> str:
    """The start of a line about it."""
    return "" if problem.position is None else f"byte {problem.position}: "


class Report(msgspec.Struct):
    """``facts`` are shown in their order; a list is a list, a pair goes from one value to another.

    ``notes`` are remarks on what is as it should be.
    """

    path: str
    kind: str
    facts: dict[str, object] = msgspec.field(default_factory=dict)
    problems: list[Problem] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def verdict(self) -> str:
        return worst(problem.level for problem in self.problems)

    def add(self, level: str, position: int | None, text: str) -> None:
        self.problems.append(Problem(level, position, text))


def worst(verdicts: Iterable[str]) -> str:
    """The verdict on a whole whose parts have these."""
    return max(verdicts, key=_ORDER.index, default=SOUND)


def unreadable(path: str, error: OSError) -> Report:
    """The report on a file that the system would not give; a disk that cannot read what it has is damage."""
    if isinstance(error, BrokenPipeError):  # it is not the file: whoever reads what is printed has gone
        raise error
    report = Report(path, "unknown")
    report.add(DAMAGED if error.errno == errno.EIO else NO_FILE_OF_OURS, None, f"cannot be read: {describe(error)}")
    return report


def identity(number: int) -> str:
    """A storage or cluster id as the node's messages show it."""
    return f"{number:016x}"


def owner(node: int, storage: int) -> str:
    """Whose file it is, in a message."""
    return f"node {node} with storage id {identity(storage)}"


def moment(wall_ns: int) -> str:
    """Wall clock as ISO 8601 in UTC, to the nanosecond; the bare number where it is no date of the calendar."""
    seconds, fraction_ns = divmod(wall_ns, 10**9)
    try:
        date = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return f"{wall_ns} ns"
    return f"{date:%Y-%m-%dT%H:%M:%S}.{fraction_ns:09}Z"


def preview(payload: bytes) -> str:
    """The start of a payload, as Python would write it."""
    more = "..." if len(payload) > _PREVIEW_BYTES else ""
    return repr(payload[:_PREVIEW_BYTES])[1:] + more


def shortened(value: object) -> str:
    """A decoded record on one line."""
    text = repr(value)
    return text if len(text) <= _PREVIEW_CHARS else text[: _PREVIEW_CHARS - 3] + "..."


def newer_format(version: int, readable: int) -> str:
    """What to do about a file of another format version."""
    if version < readable:
        return (
            f"format version {version} is older than this program reads ({readable}): let an older version rewrite it"
        )
    return f"format version {version}, this program ({__version__}) reads {readable}: run a newer version"
