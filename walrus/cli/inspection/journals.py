"""What a Raft journal's records say, one after the other, and where one of them cannot follow the ones before."""

from typing import Final

import msgspec

from walrus.cli.inspection.datafile import DataFile
from walrus.cli.inspection.records import Record, list_record, read_records
from walrus.cli.inspection.report import DAMAGED, Listing, Report, identity, preview, shortened
from walrus.core.metadata.commands import decode as decode_command
from walrus.core.peer import DECODE_ERRORS, ENTRY_CONFIG, ENTRY_NOOP, ENTRY_NORMAL, Entry
from walrus.core.raft.membership import Membership
from walrus.core.storage.journal import JOURNAL_MAGIC, Base, Boot, Cluster, Hard, Logged, decode_record

KIND: Final = "journal"
_UNREADABLE: Final = "if a newer version wrote it, run that one"


def inspect(file: DataFile, listing: Listing | None) -> Report:
    """Judge a journal. Raises OSError."""
    report = Report(str(file.path), KIND)
    records = read_records(report, file.whole(), JOURNAL_MAGIC)
    if records is None:
        return report
    replay = _Replay(report)
    for number, record in enumerate(records.sound):
        text = replay.take(record)
        if listing is not None:
            listing(list_record(number, record, text))
    for number, record in enumerate(records.stray, len(records.sound)):
        if listing is not None:
            listing(list_record(number, record, f"behind a hole: {preview(record.payload)}"))
    replay.finish()
    return report


class _Replay:
    """Follows :func:`walrus.core.storage.journal.recover_journal`, but goes on behind what that refuses."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._cluster = self._incarnation = 0
        self._hard = Hard(0, 0)
        self._base = Base(0, 0)
        self._entries: list[Entry] = []
        self._replaced = 0

    def take(self, record: Record) -> str:
        """Apply one record; returns what it says."""
        try:
            content = decode_record(record.payload)
        except DECODE_ERRORS as error:
            self._report.add(DAMAGED, record.position, f"a sound record that cannot be read ({error}): {_UNREADABLE}")
            return preview(record.payload)
        match content:
            case Logged():
                return self._entry(record.position, content.entry)
            case Hard():
                self._hard = content
            case Boot():
                self._incarnation = content.incarnation
            case Cluster():
                self._cluster = content.cluster
            case Base():
                if self._entries or self._base.index:
                    text = f"begins the log anew behind entry {content.index}, in the middle of it"
                    self._report.add(DAMAGED, record.position, text)
                self._base, self._entries = content, []
        return shortened(content)

    def _entry(self, position: int, entry: Entry) -> str:
        last = self._base.index + len(self._entries)
        if self._base.index < entry.index <= last + 1:
            kept = entry.index - self._base.index - 1
            self._replaced += len(self._entries) - kept
            del self._entries[kept:]
            self._entries.append(entry)
        else:
            self._report.add(DAMAGED, position, f"holds log entry {entry.index}, which cannot follow entry {last}")
        head = f"entry {entry.index}, term {entry.term}: "
        try:
            return head + _content(entry)
        except DECODE_ERRORS as error:
            what = "membership" if entry.kind == ENTRY_CONFIG else "command"
            text = f"log entry {entry.index} holds a {what} that cannot be read ({error}): {_UNREADABLE}"
            self._report.add(DAMAGED, position, text)
            return head + preview(entry.data)

    def finish(self) -> None:
        last = self._entries[-1] if self._entries else None
        facts: dict[str, object] = {
            "cluster": identity(self._cluster) if self._cluster else "none yet",
            "process_lifetimes": self._incarnation,
            "term": self._hard.term,
            "vote": self._hard.vote or "none",
            "entries": len(self._entries),
        }
        if self._base.index:
            facts["behind_snapshot"] = {"index": self._base.index, "term": self._base.term}
        if last is not None:
            facts["log_indexes"] = (self._entries[0].index, last.index)
            facts["log_terms"] = (self._entries[0].term, last.term)
        if self._replaced:
            facts["replaced_entries"] = self._replaced
        self._report.facts |= facts


def _content(entry: Entry) -> str:
    """Raises one of DECODE_ERRORS."""
    match entry.kind:
        case kind if kind == ENTRY_NORMAL:
            return shortened(decode_command(entry.data))
        case kind if kind == ENTRY_CONFIG:
            return shortened(Membership.decode(entry.data))
        case kind if kind == ENTRY_NOOP:
            return "a new leader's first"
    raise msgspec.DecodeError(f"kind {entry.kind}")
