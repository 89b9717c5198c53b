"""Which copies a replica catalogue notes."""

from typing import Final

import msgspec

from walrus.cli.inspection.datafile import DataFile
from walrus.cli.inspection.records import list_record, read_records
from walrus.cli.inspection.report import DAMAGED, Listing, Report, preview, shortened
from walrus.core.peer import DECODE_ERRORS
from walrus.core.storage.catalogue import (
    CATALOGUE_MAGIC,
    CATALOGUE_VERSION,
    Complete,
    Dropped,
    Durable,
    Fenced,
    Held,
    Incomplete,
    Record,
    Synced,
    Unsynced,
    Whole,
    decode_record,
)

KIND: Final = "catalogue"


class Noted(msgspec.Struct):
    """What is noted of one copy. ``durable``: of how many records; ``complete``: likewise, None while it is not.

    ``unsynced``: boot id of the system in whose memory acknowledged records may be, None where all are synced.
    """

    held: bool = False
    version: int = 0
    fence_epoch: int = 0
    durable: int = 0
    complete: int | None = None
    unsynced: str | None = None


def inspect(file: DataFile, listing: Listing | None) -> tuple[Report, dict[tuple[str, int], Noted]]:
    """Judge a catalogue; what it notes by (topic, segment). Raises OSError."""
    report = Report(str(file.path), KIND)
    records = read_records(report, file.whole(), CATALOGUE_MAGIC, CATALOGUE_VERSION)
    copies: dict[tuple[str, int], Noted] = {}
    if records is None:
        return report, copies
    for number, record in enumerate(records.sound):
        try:
            content = decode_record(record.payload)
        except DECODE_ERRORS as error:
            text = f"a sound record that cannot be read ({error}): if a newer version wrote it, run that one"
            report.add(DAMAGED, record.position, text)
            text = preview(record.payload)
        else:
            _note(copies.setdefault((content.topic, content.segment), Noted()), content)
            text = shortened(content)
        if listing is not None:
            listing(list_record(number, record, text))
    for number, record in enumerate(records.stray, len(records.sound)):
        if listing is not None:
            listing(list_record(number, record, f"behind a hole: {preview(record.payload)}"))
    report.facts["copies"] = [_fact(key, copy) for key, copy in sorted(copies.items()) if copy.held]
    report.facts["fences_of_copies_not_held"] = [
        _fact(key, copy) for key, copy in sorted(copies.items()) if copy.fence_epoch and not copy.held
    ]
    return report, copies


def _note(copy: Noted, content: Record) -> None:
    """As :func:`walrus.core.storage.catalogue.recover_catalogue` does."""
    if isinstance(content, Complete | Incomplete | Dropped | Synced):
        copy.unsynced = None
    match content:
        case Unsynced():
            copy.unsynced = content.boot
        case Held():
            copy.held = True
            copy.version = max(copy.version, content.version)
        case Fenced():
            copy.fence_epoch = max(copy.fence_epoch, content.epoch)
        case Durable():
            copy.durable = content.length
        case Complete():
            copy.complete = copy.durable = content.count
        case Incomplete():
            copy.complete = None
            copy.durable = 0
        case Dropped():
            copy.held = False
            copy.complete = None
            copy.version = copy.durable = 0
        case Whole():
            copy.held, copy.version, copy.fence_epoch = content.held, content.version, content.epoch
            copy.durable = content.length
            copy.complete = content.length if content.complete else None
            copy.unsynced = content.unsynced


def _fact(key: tuple[str, int], copy: Noted) -> dict[str, object]:
    fact: dict[str, object] = {"segment": f"{key[0]}:{key[1]}", "set_version": copy.version}
    if copy.fence_epoch:
        fact["fence_epoch"] = copy.fence_epoch
    if copy.durable:
        fact["durable_records"] = copy.durable
    if copy.complete is not None:
        fact["complete"] = copy.complete
    if copy.unsynced is not None:
        fact["unsynced_under_boot"] = copy.unsynced
    return fact
