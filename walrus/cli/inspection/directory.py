"""All files of one node's directory, and whether they belong together.

Whether a node would start on them is not reckoned here: the node's own start-up runs on what was read, and what it
wants to write is dropped.
"""

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from walrus.cli.inspection import catalogues, journals, kinds, segments, snapshots
from walrus.cli.inspection.catalogues import Noted
from walrus.cli.inspection.datafile import DataFile, lock_holder
from walrus.cli.inspection.report import (
    DAMAGED,
    NO_FILE_OF_OURS,
    Listing,
    Listings,
    Report,
    identity,
    unreadable,
)
from walrus.core.actions import Log, Read
from walrus.core.outbox import Outbox
from walrus.core.segment.replica import REFILL_SUFFIX, segment_path
from walrus.core.space import ROOM_PATH
from walrus.core.startup import Startup
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import SegmentHeader
from walrus.core.storage.catalogue import CATALOGUE_NEW_PATH, CATALOGUE_PATH, recover_catalogue
from walrus.core.storage.journal import JOURNAL_NEW_PATH, JOURNAL_PATH, JournalState, recover_journal
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH, SNAPSHOT_PATH, decode_file

KIND: Final = "data directory"
_META: Final = {
    # The journal first: a snapshot read after it is never older than what the journal was cut behind.
    JOURNAL_PATH: journals.KIND,
    SNAPSHOT_PATH: snapshots.KIND,
    CATALOGUE_PATH: catalogues.KIND,
    JOURNAL_NEW_PATH: journals.KIND,
    SNAPSHOT_NEW_PATH: snapshots.KIND,
    CATALOGUE_NEW_PATH: catalogues.KIND,
}
_SEGMENT: Final = re.compile(r"user_data/([A-Za-z0-9._-]{1,200}):([1-9][0-9]{0,18})\.wal")
_REFILL: Final = re.compile(_SEGMENT.pattern + re.escape(REFILL_SUFFIX))
_NODE: Final = re.compile(r"node_([0-9]{1,19})")


def is_node_directory(path: Path) -> bool:
    """Whether there is anything in it that a node makes."""
    return any((path / name).exists() for name in ("raft_meta", "user_data"))


def inspect(root: Path, listings: Listings) -> Iterator[Report]:
    """A report on each file, then one on the directory. Raises OSError."""
    return _Inspection(root, listings).reports()


class _Inspection:
    def __init__(self, root: Path, listings: Listings) -> None:
        self._root = root
        self._listings = listings
        self._paths = _files(root)
        self._report = Report(str(root), KIND)
        self._owner: JournalState | None = None  # the journal: it says whose directory this is
        self._copies: dict[tuple[str, int], Noted] = {}
        self._contents: dict[str, bytes] = {}  # of the files that a start reads whole
        self._former: tuple[int, ...] = ()  # ids that the cluster had, as the snapshot says

    def reports(self) -> Iterator[Report]:
        for path in _META:
            if path in self._paths:
                yield self._file(path, self._meta)
        self._owner = self._journal()
        self._former = self._former_clusters()
        for path in self._paths:
            if path not in _META:
                yield self._file(path, self._other)
        self._judge(self._owner)
        yield self._report

    def _file(self, path: str, judge: Callable[[str, DataFile, Listing | None], Report]) -> Report:
        name = str(self._root / path)
        try:
            with DataFile(self._root / path) as file:
                return judge(path, file, self._listings(name) if self._listings is not None else None)
        except OSError as error:
            return unreadable(name, error)

    def _meta(self, path: str, file: DataFile, listing: Listing | None) -> Report:
        if path == CATALOGUE_PATH:
            report, self._copies = catalogues.inspect(file, listing)
        else:
            report = kinds.as_kind(_META[path], file, listing)
        self._contents[path] = file.whole()
        return report

    def _other(self, path: str, file: DataFile, listing: Listing | None) -> Report:
        journal = self._owner
        named = _SEGMENT.fullmatch(path)
        if path == kinds.LOCK_NAME:
            return kinds.lock(file)
        if path == ROOM_PATH:
            report = Report(str(file.path), "scratch file", {"size_bytes": file.size})
            report.notes.append("written on a full disk to see whether there is room: the next start removes it")
            return report
        if _REFILL.fullmatch(path):
            return kinds.as_kind(segments.KIND, file, listing)
        if named is None:
            report = Report(str(file.path), "unknown", {"size_bytes": file.size})
            report.add(NO_FILE_OF_OURS, None, "no node makes a file of this name here; it is not looked at")
            return report
        if journal is None:
            return segments.inspect(file, listing)
        key = (named[1], int(named[2]))
        header = SegmentHeader(journal.node, journal.storage, journal.cluster, *key)
        copy = self._copies.get(key, Noted())
        report = segments.inspect(file, listing, segments.Owner(header, copy.held, copy.durable, self._former))
        records = report.facts.get("records", 0)
        if copy.complete is not None and records != copy.complete:
            text = f"holds {records} records, but was complete with {copy.complete}: it is filled again from its peers"
            report.add(DAMAGED, file.size, text)
        return report

    def _journal(self) -> JournalState | None:
        try:
            return recover_journal(self._contents.get(JOURNAL_PATH, b""))
        except RecoveryError:
            return None

    def _former_clusters(self) -> tuple[int, ...]:
        try:
            return decode_file(self._contents.get(SNAPSHOT_PATH, b"")).snapshot.former_clusters
        except RecoveryError:
            return ()

    def _judge(self, journal: JournalState | None) -> None:
        report = self._report
        named = _NODE.fullmatch(self._root.resolve().name)
        node = int(named[1]) if named else journal.node if journal else 1
        if journal is not None:
            report.facts = {
                "node": journal.node,
                "storage": identity(journal.storage),
                "cluster": identity(journal.cluster) if journal.cluster else "none yet",
            }
        report.facts["files"] = len(self._paths)
        for key, copy in sorted(self._copies.items()):
            path = segment_path(key)
            if copy.held and path not in self._paths:
                report.add(DAMAGED, None, f"{path} is noted in {CATALOGUE_PATH}, but missing: the copy is lost")
        refusal, incarnation = self._start(node)
        if refusal:
            report.add(DAMAGED, None, f"a node {node} would not start: {refusal}")
        else:
            report.facts["a_start_would_be"] = f"process lifetime {incarnation} of node {node}"
        if journal is not None:
            self._judge_catalogue(journal)
        holder = lock_holder(self._root / kinds.LOCK_NAME)
        if holder:
            report.notes.append(
                f"a node is running here (process {holder}): its files change while they are read, and an unfinished "
                "tail is normal; stop it to be sure"
            )

    def _judge_catalogue(self, journal: JournalState) -> None:
        """Start-up looks at the journal's owner before it comes to the catalogue; here both are told."""
        try:
            recover_catalogue(self._contents.get(CATALOGUE_PATH, b""), journal.node, journal.storage)
        except RecoveryError as error:
            if not any(str(error) in problem.text for problem in self._report.problems):
                self._report.add(DAMAGED, None, str(error))

    def _start(self, node: int) -> tuple[str, int]:
        """(why a node with this id would not start, "" if it would; the number of its process lifetime)."""
        out = Outbox(node)
        sizes = {path: len(self._contents.get(path, b"")) for path in self._paths if path != kinds.LOCK_NAME}
        try:
            startup = Startup(out, Tokens(), random.Random(0), sizes)
            while startup.ready is None:
                for action in out.drain():
                    if isinstance(action, Read):
                        startup.read_completed(action.token, self._contents.get(action.path, b""))
                    elif not isinstance(action, Log):
                        startup.write_completed(action.token)  # type: ignore[attr-defined]
        except RecoveryError as error:
            return str(error), 0
        return "", startup.ready.incarnation


def _files(root: Path) -> dict[str, None]:
    """Every file below ``root``, as paths relative to it, in order. Raises OSError."""
    found = []
    for directory, _, names in os.walk(root, onerror=_fail):
        found += [os.path.relpath(os.path.join(directory, name), root) for name in names]
    return dict.fromkeys(sorted(found, key=_order))


def _order(path: str) -> tuple[str, int]:
    """Segment 10 after segment 9."""
    named = _SEGMENT.fullmatch(path)
    return (f"user_data/{named[1]}", int(named[2])) if named else (path, 0)


def _fail(error: OSError) -> None:
    raise error
