"""``backup create``: copy what a running cluster holds, and only what the place has not got yet.

1. Look at every topic: its sealed segments, how many records its open one shows, its cursor, its settings.
2. For each piece of a segment, object by object: take what an earlier backup has, else what a backup that was cut off
   left, if it is sound, else copy from the cluster.
3. When everything is on stable storage, write the manifest.
"""

from collections.abc import Collection
from datetime import UTC, datetime

import msgspec

from walrus.cli.backup.errors import BackupError, Damaged
from walrus.cli.backup.flow import Uploads
from walrus.cli.backup.format import (
    RECORDS,
    Manifest,
    ObjectKey,
    ObjectRow,
    SegmentRow,
    TopicRow,
    decode_object,
    encode_manifest,
    encode_object,
    manifest_name,
    row_of,
)
from walrus.cli.backup.places import Place
from walrus.cli.backup.progress import Progress
from walrus.cli.backup.shelf import Shelf, read_shelf
from walrus.cli.backup.source import Piece, Source, View
from walrus.client import ServerError

OBJECT_BYTES = 8 * 1024 * 1024  # an object is complete once its payloads come to so much
_TRIMMED = "no such record of "  # how a node says that retention removed it
_UNKNOWN = "unknown topic "


class Created(msgspec.Struct):
    """What came of it. ``copied`` are objects copied now, ``kept`` those that were there; sizes in bytes."""

    manifest: Manifest
    copied: int
    copied_size: int
    kept: int


def create(source: Source, place: Place, topics: Collection[str]) -> Created:
    """Back up these topics, or all if there are none given. Raises BackupError, WalrusError."""
    cluster = source.cluster()
    shelf = read_shelf(place)
    for manifest in shelf.manifests:
        if manifest.cluster != cluster:
            raise BackupError(
                f"backup {manifest.id} there is of cluster {manifest.cluster}, this is cluster {cluster}: "
                "give each cluster a place of its own"
            )
    started = datetime.now(UTC)
    views = [view for name in topics or source.topics() if (view := _view(source, name, must_exist=bool(topics)))]
    copy = _Copy(source, place, int(cluster, 16), shelf, Progress("copying", sum(view.count for view in views)))
    rows = copy.topics(views)
    backup = _new_id(started, {manifest.id for manifest in shelf.manifests} | set(shelf.damaged))
    finished = datetime.now(UTC)
    manifest = Manifest(backup, cluster, _told(started), _told(finished), rows)
    place.write(manifest_name(backup), encode_manifest(manifest))
    return Created(manifest, copy.copied, copy.copied_size, copy.kept)


def _view(source: Source, name: str, *, must_exist: bool) -> View | None:
    try:
        return source.view(name)
    except ServerError as error:
        if must_exist or not error.text.startswith(_UNKNOWN):
            raise
        return None  # deleted since the topics were listed


def _told(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _new_id(moment: datetime, taken: Collection[str]) -> str:
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    return next(name for n in range(len(taken) + 1) if (name := f"{stamp}-{n + 1}" if n else stamp) not in taken)


class _Copy:
    """Brings the objects of one backup together."""

    def __init__(self, source: Source, place: Place, cluster: int, shelf: Shelf, progress: Progress) -> None:
        self._source = source
        self._place = place
        self._cluster = cluster
        self._progress = progress
        self._known = shelf.rows()
        self._sizes = place.names(RECORDS)
        self.copied = 0
        self.copied_size = 0
        self.kept = 0

    def topics(self, views: list[View]) -> list[TopicRow]:
        with Uploads(self._place) as uploads:
            rows = [row for view in views if (row := self._topic(uploads, view))]
            uploads.finish()
        return rows

    def _topic(self, uploads: Uploads, view: View) -> TopicRow | None:
        """All of a topic; None if it is deleted meanwhile."""
        done: dict[int, SegmentRow] = {}
        while True:
            try:
                for piece in view.pieces:
                    if piece.number not in done or done[piece.number].count != piece.count:
                        done[piece.number] = self._segment(uploads, view.name, piece)
            except ServerError as error:
                if not error.text.startswith((_TRIMMED, _UNKNOWN)):
                    raise
                found = _view(self._source, view.name, must_exist=False)
                if found is None:
                    return None
                view = found  # retention went over it: what is left now is the backup
                continue
            segments = [done[piece.number] for piece in view.pieces]
            return TopicRow(view.name, min(view.cursor, view.count), view.settings, segments)

    def _segment(self, uploads: Uploads, topic: str, piece: Piece) -> SegmentRow:
        rows: list[ObjectRow] = []
        at = 0
        while at < piece.count:
            key = ObjectKey(self._cluster, topic, piece.number, at)
            row = self._there(key, piece) or self._copied(uploads, key, piece)
            rows.append(row)
            at += row.count
        return SegmentRow(piece.number, piece.count, piece.sealed, rows)

    def _there(self, key: ObjectKey, piece: Piece) -> ObjectRow | None:
        """The object with this key, if the place has it."""
        row = self._known.get(key.name)
        if row is not None:
            if key.first + row.count > piece.count:
                raise BackupError(
                    f"{key.topic}:{piece.number} has {piece.count} records, an earlier backup of it "
                    f"{key.first + row.count}: the cluster has lost records; give another place to back up what is left"
                )
            if self._sizes.get(key.name) != row.size:
                return None
        elif key.name in self._sizes:
            try:
                data = self._place.read(key.name)
                row = row_of(key, len(decode_object(key, data)), data)
            except Damaged:
                return None
            if key.first + row.count > piece.count or not row.count:
                return None
        if row is not None:
            self.kept += 1
            self._progress.add(key.topic, row.count, 0)
        return row

    def _copied(self, uploads: Uploads, key: ObjectKey, piece: Piece) -> ObjectRow:
        """Copy the object with this key from the cluster."""
        known = self._known.get(key.name)
        end = piece.count if known is None else key.first + known.count
        payloads: list[bytes] = []
        size = 0
        for run in self._source.read(key.topic, key.segment, key.first, end):
            payloads += run
            size += sum(map(len, run))
            if known is None and size >= OBJECT_BYTES:
                break
        data = encode_object(key, payloads)
        row = row_of(key, len(payloads), data)
        if known is not None and row != known:
            raise BackupError(f"{key.name}: is gone or cut off, and the cluster shows other records than it held")
        uploads.write(key.name, data)
        self.copied += 1
        self.copied_size += len(data)
        self._progress.add(key.topic, row.count, size)
        return row
