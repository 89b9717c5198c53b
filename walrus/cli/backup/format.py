"""The bytes of a backup: objects of records, and the manifest that says which of them are a backup.

FORMATS.md describes both. An object holds some records of one segment that lie one after the other. They never change
(an acknowledged record stays at its offset, in an open segment too), so an object is written once and any number of
manifests name it. A manifest is written last. Both carry a SHA-256 over all their bytes, so what was cut off anywhere
is never taken for whole.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from walrus.cli.backup.errors import Damaged
from walrus.core.wire import topic_name

OBJECT_MAGIC: Final = b"WALBKUP\n"
FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 48
DIGEST_BYTES: Final = 32
RECORDS: Final = "records/"
MANIFESTS: Final = "backups/"

_HEADER: Final = struct.Struct("<8sHHIQQQI")
_CRC: Final = struct.Struct("<I")
_LENGTH_BYTES: Final = 4
_MANIFEST_NAME: Final = re.compile(rf"{MANIFESTS}([0-9A-Za-z-]+)\.json")


class ObjectKey(msgspec.Struct, frozen=True):
    """Where an object's records come from: ``first`` counts from the start of the segment."""

    cluster: int
    topic: str
    segment: int
    first: int

    @property
    def name(self) -> str:
        return f"{RECORDS}{self.topic}/{self.segment:010d}/{self.first:012d}"


class ObjectRow(msgspec.Struct, frozen=True):
    """An object as a manifest knows it. ``size``: of the whole object, bytes; ``sha256``: its digest, hexadecimal."""

    first: int
    count: int
    size: int
    sha256: str


class SegmentRow(msgspec.Struct, frozen=True):
    """``count`` records of a segment: all of a sealed one, of an open one those acknowledged at the time."""

    number: int
    count: int
    sealed: bool
    objects: list[ObjectRow]


class TopicRow(msgspec.Struct, frozen=True):
    """``cursor``: how many of these records the GET cursor has behind it. ``settings``: those that were set."""

    name: str
    cursor: int
    settings: dict[str, int | str]
    segments: list[SegmentRow]

    @property
    def count(self) -> int:
        return sum(segment.count for segment in self.segments)


class Manifest(msgspec.Struct, frozen=True):
    """One backup. Times are UTC, ISO 8601; ``cluster`` is the cluster id as METRICS tells it."""

    id: str
    cluster: str
    started: str
    finished: str
    topics: list[TopicRow]

    @property
    def count(self) -> int:
        return sum(topic.count for topic in self.topics)

    @property
    def size(self) -> int:
        """Bytes of all its objects."""
        return sum(row.size for topic in self.topics for segment in topic.segments for row in segment.objects)

    def key(self, topic: TopicRow, segment: SegmentRow, row: ObjectRow) -> ObjectKey:
        return ObjectKey(int(self.cluster, 16), topic.name, segment.number, row.first)


class _Envelope(msgspec.Struct, frozen=True):
    format: int
    sha256: str
    backup: msgspec.Raw


def encode_object(key: ObjectKey, payloads: Sequence[bytes]) -> bytes:
    """The object that holds ``payloads``; the same records are always the same bytes."""
    topic = key.topic.encode("ascii")
    fields = (OBJECT_MAGIC, FORMAT_VERSION, len(topic), len(payloads), key.cluster, key.segment, key.first, 0)
    head = _HEADER.pack(*fields)
    lengths = struct.pack(f"<{len(payloads)}I", *map(len, payloads))
    body = b"".join([head, _CRC.pack(zlib.crc32(head)), topic, lengths, *payloads])
    return body + hashlib.sha256(body).digest()


def row_of(key: ObjectKey, count: int, data: bytes) -> ObjectRow:
    """How a manifest names an object that :func:`encode_object` made or :func:`decode_object` found sound."""
    return ObjectRow(key.first, count, len(data), data[-DIGEST_BYTES:].hex())


def decode_object(key: ObjectKey, data: bytes) -> list[bytes]:
    """The records of an object that must be the one of ``key``. Raises Damaged, which names it."""

    def damaged(what: str) -> Damaged:
        return Damaged(f"{key.name}: {what}")

    if len(data) < HEADER_BYTES + DIGEST_BYTES:
        raise damaged(f"cut off: {len(data)} bytes are less than its header and checksum")
    head = data[: _HEADER.size]
    magic, version, topic_bytes, count, cluster, segment, first, _ = _HEADER.unpack(head)
    if magic != OBJECT_MAGIC or _CRC.unpack_from(data, _HEADER.size)[0] != zlib.crc32(head):
        raise damaged("its header is not that of a Walrus backup object, or damaged")
    if version != FORMAT_VERSION:
        raise damaged(f"has format version {version}; this walrus-cli reads {FORMAT_VERSION}")
    if hashlib.sha256(memoryview(data)[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise damaged("its checksum is wrong: some of its bytes have changed, or it was cut off")
    topic = data[HEADER_BYTES : HEADER_BYTES + topic_bytes].decode("ascii", "replace")
    if ObjectKey(cluster, topic, segment, first) != key:
        raise damaged(f"holds {topic}:{segment} from record {first} of cluster {cluster:016x} instead")
    at = HEADER_BYTES + topic_bytes + count * _LENGTH_BYTES
    lengths = struct.unpack_from(f"<{count}I", data, HEADER_BYTES + topic_bytes)
    if at + sum(lengths) + DIGEST_BYTES != len(data):
        raise damaged("its records are not as long as it says")
    payloads = []
    for length in lengths:
        payloads.append(data[at : at + length])
        at += length
    return payloads


def manifest_name(backup: str) -> str:
    return f"{MANIFESTS}{backup}.json"


def backup_of(name: str) -> str:
    """The id of the backup whose manifest has this name; empty if it is no manifest's."""
    found = _MANIFEST_NAME.fullmatch(name)
    return found[1] if found else ""


def encode_manifest(manifest: Manifest) -> bytes:
    raw = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Envelope(FORMAT_VERSION, hashlib.sha256(raw).hexdigest(), msgspec.Raw(raw)))


def decode_manifest(backup: str, data: bytes) -> Manifest:
    """The manifest of ``backup``. Raises Damaged where it is not whole, or contradicts itself."""
    name = manifest_name(backup)
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        if envelope.format != FORMAT_VERSION:
            raise Damaged(f"{name}: has format version {envelope.format}; this walrus-cli reads {FORMAT_VERSION}")
        if hashlib.sha256(envelope.backup).hexdigest() != envelope.sha256:
            raise Damaged(f"{name}: its checksum is wrong: some of its bytes have changed")
        manifest = msgspec.json.decode(envelope.backup, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"{name}: no whole manifest of a backup: {error}") from None
    if wrong := contradictions(manifest):
        raise Damaged(f"{name}: {wrong[0]}")
    if manifest.id != backup:
        raise Damaged(f"{name}: is the manifest of backup {manifest.id}")
    return manifest


def contradictions(manifest: Manifest) -> list[str]:
    """What cannot be so in a backup: gaps in the segments or offsets of a topic, counts that do not add up."""
    wrong = []
    for topic in manifest.topics:
        if not topic_name(topic.name.encode("utf-8", "surrogateescape")):
            wrong.append(f"{topic.name!r} is no topic name")
        for number, segment in enumerate(topic.segments, topic.segments[0].number if topic.segments else 1):
            where = f"{topic.name}:{segment.number}"
            if segment.number != number:
                wrong.append(f"{where} follows {topic.name}:{number - 1}")
            at = 0
            for row in segment.objects:
                if row.first != at or row.count < 1:
                    wrong.append(f"{where}: {row.count} records from {row.first} on follow the first {at}")
                at = row.first + row.count
            if at != segment.count:
                wrong.append(f"{where}: has {segment.count} records, its objects {at}")
        if not 0 <= topic.cursor <= topic.count:
            wrong.append(f"{topic.name}: the cursor is at {topic.cursor} of {topic.count} records")
    return wrong
