"""What a metadata snapshot's file holds. The verdict is that of snapshotfile.decode_file, which a test compares."""

import struct
import zlib
from typing import Final

from walrus.cli.inspection.datafile import DataFile
from walrus.cli.inspection.report import DAMAGED, NEWER, Listing, Report, identity, newer_format, shortened
from walrus.core.metadata.commands import STATE_NAMES
from walrus.core.metadata.settings import settings_text
from walrus.core.metadata.snapshot import Snapshot, SnapshotError, TopicRow
from walrus.core.metadata.snapshot import decode as decode_body
from walrus.core.storage.snapshotfile import FORMAT_VERSION, HEADER_BYTES, SNAPSHOT_MAGIC

KIND: Final = "snapshot"
_HEADER: Final = struct.Struct("<8sHHIQQI")
_U32: Final = struct.Struct("<I")
_WHAT: Final = "a node whose journal holds all entries does without it, another one stops"


def inspect(file: DataFile, listing: Listing | None) -> tuple[Report, Snapshot | None]:
    """Judge a snapshot file; the snapshot, where it is sound. Raises OSError."""
    report = Report(str(file.path), KIND, {"size_bytes": file.size})
    header = file.at(0, HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        text = f"cut short at byte {len(header)} of the {HEADER_BYTES} of its header: {_WHAT}"
        report.add(DAMAGED, len(header), text)
        return report, None
    if zlib.crc32(header[:-4]) != _U32.unpack_from(header, HEADER_BYTES - 4)[0]:
        report.add(DAMAGED, 0, f"corrupt header: {_WHAT}")
        return report, None
    magic, version, _, node, storage, length, crc = _HEADER.unpack_from(header)
    if magic != SNAPSHOT_MAGIC:
        report.add(DAMAGED, 0, f"starts with {magic!r}, not {SNAPSHOT_MAGIC!r}: {_WHAT}")
        return report, None
    if version != FORMAT_VERSION:
        report.facts["version"] = version
        report.add(NEWER, len(magic), newer_format(version, FORMAT_VERSION))
        return report, None
    report.facts = {
        "version": version, "node": node, "storage": identity(storage), "size_bytes": file.size, "body_bytes": length,
    }  # fmt: skip
    body = file.at(HEADER_BYTES, length)
    if len(body) < length:
        report.add(DAMAGED, file.size, f"cut short, of {HEADER_BYTES + length} bytes: {_WHAT}")
    elif zlib.crc32(body) != crc:
        report.add(DAMAGED, HEADER_BYTES, f"corrupt body, somewhere in its {length} bytes: {_WHAT}")
    else:
        _note_rest(report, file, HEADER_BYTES + length)
        try:
            snapshot = decode_body(body)
        except SnapshotError as error:
            report.add(DAMAGED, HEADER_BYTES, f"a sound body, but {error}: if a newer version wrote it, run that one")
        else:
            _describe(report, snapshot, listing)
            return report, snapshot
    return report, None


def _note_rest(report: Report, file: DataFile, end: int) -> None:
    if file.size > end:
        kind = "zeros" if file.nonzero_end(end) == end else "bytes"
        report.notes.append(f"{file.size - end} {kind} behind the body are ignored")


def _describe(report: Report, snapshot: Snapshot, listing: Listing | None) -> None:
    segments = [segment for topic in snapshot.topics for segment in topic.segments]
    report.facts |= {
        "cluster": identity(snapshot.cluster),
        "log_index": snapshot.index,
        "log_term": snapshot.term,
        "voters": list(snapshot.membership.voters),
        "learners": list(snapshot.membership.learners),
        "nodes": [{"node": row.node, "address": row.address} for row in snapshot.nodes],
        "topics": len(snapshot.topics),
        "segments": len(segments),
        "sealed_records": sum(segment.count for segment in segments),
    }
    if snapshot.recoveries:
        report.facts["former_clusters"] = [identity(cluster) for cluster in snapshot.former_clusters]
    report.notes.extend(str(recovery) for recovery in snapshot.recoveries)
    if listing is not None:
        for row in snapshot.nodes:
            listing({"node": row.node, "content": shortened(row)})
        for topic in snapshot.topics:
            _list_topic(topic, listing)
        for name, following in snapshot.deleted:
            listing({"topic": name, "deleted_below_segment": following})


def _list_topic(topic: TopicRow, listing: Listing) -> None:
    listing(
        {
            "topic": topic.name,
            "cursor": topic.cursor,
            "cursor_generation": topic.cursor_generation,
            "settings": settings_text(topic.settings),
        }
    )
    for number, segment in enumerate(topic.segments, topic.first):
        listing(
            {
                "segment": f"{topic.name}:{number}",
                "state": STATE_NAMES[segment.state],
                "epoch": segment.epoch,
                "records": segment.count,
                "writer": segment.writer[0],
                "members": [node for node, _ in segment.members],
                "set_version": segment.version,
            }
        )
