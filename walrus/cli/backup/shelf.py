"""What a place holds: its backups, and what stands there without belonging to one."""

import msgspec

from walrus.cli.backup.errors import BackupError, Damaged
from walrus.cli.backup.format import MANIFESTS, Manifest, ObjectRow, backup_of, decode_manifest
from walrus.cli.backup.places import Place


class Shelf(msgspec.Struct):
    """``manifests`` are sound, the oldest first; ``damaged`` says of other backups, by id, what is wrong."""

    manifests: list[Manifest]
    damaged: dict[str, str]

    def rows(self) -> dict[str, ObjectRow]:
        """Every object that a sound manifest names, by its name."""
        return {
            manifest.key(topic, segment, row).name: row
            for manifest in self.manifests
            for topic in manifest.topics
            for segment in topic.segments
            for row in segment.objects
        }

    def chosen(self, backup: str | None) -> Manifest:
        """The backup with this id, or the newest. Raises BackupError."""
        if backup is None:
            if self.damaged:
                wrong = "; ".join(self.damaged.values())
                raise BackupError(f"which backup is the newest cannot be told: {wrong}; name one with --backup")
            if not self.manifests:
                raise BackupError("there is no backup there")
            return self.manifests[-1]
        for manifest in self.manifests:
            if manifest.id == backup:
                return manifest
        if backup in self.damaged:
            raise BackupError(self.damaged[backup])
        there = ", ".join(manifest.id for manifest in self.manifests) or "none"
        raise BackupError(f"there is no backup {backup}; there are: {there}")


def read_shelf(place: Place) -> Shelf:
    """Read all manifests. Raises PlaceError."""
    manifests: list[Manifest] = []
    damaged: dict[str, str] = {}
    for name in sorted(place.names(MANIFESTS)):
        backup = backup_of(name)
        if not backup:
            continue
        try:
            manifests.append(decode_manifest(backup, place.read(name)))
        except Damaged as error:
            damaged[backup] = str(error)
    # Of two in one second the later has a number behind its id.
    manifests.sort(key=lambda manifest: (manifest.started, len(manifest.id), manifest.id))
    return Shelf(manifests, damaged)
