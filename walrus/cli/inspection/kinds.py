"""Which kind of file this is, by how it begins; its name is only a hint for whoever reads the answer."""

import re
from pathlib import Path
from typing import Final

from walrus.cli.inspection import catalogues, journals, segments, snapshots
from walrus.cli.inspection.datafile import DataFile, lock_holder
from walrus.cli.inspection.report import NO_FILE_OF_OURS, Listing, Listings, Report, place
from walrus.core.segment.replica import REFILL_SUFFIX
from walrus.core.storage.blocks import SEGMENT_MAGIC
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_NEW_PATH, CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_NEW_PATH, JOURNAL_PATH
from walrus.core.storage.snapshotfile import SNAPSHOT_MAGIC, SNAPSHOT_NEW_PATH, SNAPSHOT_PATH

LOCK_KIND: Final = "lock"
LOCK_NAME: Final = "lock"
_MAGIC_BYTES: Final = 8
_LOCK: Final = re.compile(rb"[0-9]{1,20}\n")
_KINDS: Final = {
    SEGMENT_MAGIC: segments.KIND,
    JOURNAL_MAGIC: journals.KIND,
    SNAPSHOT_MAGIC: snapshots.KIND,
    CATALOGUE_MAGIC: catalogues.KIND,
}
_NAMES: Final = {
    Path(JOURNAL_PATH).name: journals.KIND,
    Path(SNAPSHOT_PATH).name: snapshots.KIND,
    Path(CATALOGUE_PATH).name: catalogues.KIND,
    LOCK_NAME: LOCK_KIND,
}
_UNFINISHED: Final = tuple(Path(path).name for path in (JOURNAL_NEW_PATH, SNAPSHOT_NEW_PATH, CATALOGUE_NEW_PATH))

_REFILL: Final = f".wal{REFILL_SUFFIX}"


def inspect(file: DataFile, listings: Listings) -> Report:
    """Judge one file by itself. Raises OSError."""
    start = file.at(0, _MAGIC_BYTES)
    listing = listings(str(file.path)) if listings is not None else None
    kind = _KINDS.get(start)
    if kind is not None:
        report = as_kind(kind, file, listing)
    elif _LOCK.fullmatch(file.at(0, 32)) and file.path.name == LOCK_NAME:
        report = lock(file)
    else:
        return _stranger(file, start)
    node = file.path.parent.parent
    if report.problems and report.kind != LOCK_KIND and lock_holder(node / LOCK_NAME):
        report.notes.append("a node is running on this directory: it may be about to finish what looks torn")
    return report


def as_kind(kind: str, file: DataFile, listing: Listing | None) -> Report:
    """Judge a file as one of ``kind``, however it begins. Raises OSError."""
    if kind == segments.KIND:
        report = segments.inspect(file, listing)
    elif kind == journals.KIND:
        report = journals.inspect(file, listing)
    elif kind == catalogues.KIND:
        report, _ = catalogues.inspect(file, listing)
    else:
        report, _ = snapshots.inspect(file, listing)
    if file.path.name in _UNFINISHED or file.path.name.endswith(_REFILL):
        report.notes.append("never got its name: the next start removes it, so whatever is wrong with it is no problem")
        report.notes += [place(problem) + problem.text for problem in report.problems]
        report.problems = []
    return report


def lock(file: DataFile) -> Report:
    """The lock says which process took the directory last, and the kernel whether it still holds it."""
    text = file.at(0, 32).decode("ascii", "replace").strip()
    report = Report(str(file.path), LOCK_KIND, {"process": int(text) if text.isdecimal() else text})
    report.notes.append("held: a node is running" if lock_holder(file.path) else "not held, as far as can be seen here")
    return report


def _named_kind(name: str) -> str:
    name = name.removesuffix(".new")
    return segments.KIND if name.endswith(".wal") else _NAMES.get(name, "")


def _stranger(file: DataFile, start: bytes) -> Report:
    report = Report(str(file.path), "unknown", {"size_bytes": file.size})
    if not file.size:
        what = "it is empty"
    elif not file.nonzero_end(0):
        what = f"its {file.size} bytes are all zeros"
    else:
        what = f"it starts with {start!r}"
    named = _named_kind(file.path.name)
    text = f"{what}, where every Walrus file has the magic of its kind"
    if named:
        text += f"; by its name it should be a {named}: give its node's directory to have it judged as one"
    report.add(NO_FILE_OF_OURS, 0, text)
    return report
