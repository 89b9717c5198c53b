"""``backup verify``: read every object of the backups at a place, and name what is not as it should be."""

from collections.abc import Collection, Iterator

import msgspec

from walrus.cli.backup.errors import BackupError, Damaged
from walrus.cli.backup.flow import read_ahead
from walrus.cli.backup.format import RECORDS, Manifest, ObjectKey, ObjectRow, TopicRow, decode_object, row_of
from walrus.cli.backup.places import Place
from walrus.cli.backup.progress import Progress
from walrus.cli.backup.shelf import read_shelf

Users = dict[str, tuple[ObjectKey, ObjectRow]]
"""Objects by name, and what a manifest says of them."""


class Verdict(msgspec.Struct):
    """``wrong`` has one sentence for each thing amiss; ``unused`` objects belong to no sound backup."""

    backups: int = 0
    objects: int = 0
    size: int = 0
    unused: int = 0
    wrong: list[str] = []


def verify(place: Place, backups: Collection[str] = ()) -> Verdict:
    """Look at these backups, or all. Raises BackupError where a place cannot be read, or has none of them."""
    shelf = read_shelf(place)
    manifests = [shelf.chosen(backup) for backup in backups if backup not in shelf.damaged] or shelf.manifests
    verdict = Verdict(len(manifests))
    verdict.wrong += [shelf.damaged[backup] for backup in backups or shelf.damaged if backup in shelf.damaged]
    if not manifests and not verdict.wrong:
        raise BackupError("there is no backup there")
    users = {name: row for manifest in manifests for name, row in _objects(manifest.topics, manifest)}
    verdict.objects = len(users)
    verdict.size = sum(row.size for _, row in users.values())
    verdict.wrong += _damage(place, users)
    verdict.unused = len(place.names(RECORDS).keys() - shelf.rows().keys())
    return verdict


def refuse_damaged(place: Place, manifest: Manifest, topics: Collection[TopicRow]) -> None:
    """Raises Damaged, which names every object of these topics that is not as it was written."""
    if wrong := _damage(place, dict(_objects(topics, manifest))):
        raise Damaged("\n".join(wrong))


def decode_row(key: ObjectKey, row: ObjectRow, data: bytes) -> list[bytes]:
    """The records of an object that a manifest names. Raises Damaged, which names it."""
    payloads = decode_object(key, data)
    if row != row_of(key, len(payloads), data):
        raise Damaged(f"{key.name}: holds other records than the backup says")
    return payloads


def _damage(place: Place, users: Users) -> list[str]:
    """One sentence for each object that is damaged, missing or cannot be read."""
    wrong = []
    progress = Progress("verifying", sum(row.count for _, row in users.values()))
    for (key, row), reading in read_ahead(place, sorted(users.items())):
        try:
            decode_row(key, row, reading.result())
        except BackupError as error:
            wrong.append(str(error))
        progress.add(key.topic, row.count, row.size)
    return wrong


def _objects(topics: Collection[TopicRow], manifest: Manifest) -> Iterator[tuple[str, tuple[ObjectKey, ObjectRow]]]:
    for topic in topics:
        for segment in topic.segments:
            for row in segment.objects:
                key = manifest.key(topic, segment, row)
                yield key.name, (key, row)
