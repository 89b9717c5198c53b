"""The bytes of a backup: whatever is cut off or changed is found out, and named."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walrus.cli.backup.errors import Damaged
from walrus.cli.backup.format import (
    Manifest,
    ObjectKey,
    ObjectRow,
    SegmentRow,
    TopicRow,
    backup_of,
    contradictions,
    decode_manifest,
    decode_object,
    encode_manifest,
    encode_object,
    manifest_name,
    row_of,
)

KEY = ObjectKey(0x1234, "logs", 3, 70)
PAYLOADS = [b"one", b"", b"\x00\xff three"]
OBJECTS = [ObjectRow(0, 2, 90, "aa"), ObjectRow(2, 1, 80, "bb")]
SEGMENTS = [SegmentRow(3, 3, True, OBJECTS), SegmentRow(4, 0, True, []), SegmentRow(5, 1, False, OBJECTS[:0])]


def manifest(*segments: SegmentRow, cursor: int = 0) -> Manifest:
    topic = TopicRow("logs", cursor, {"retention_ms": 5}, list(segments))
    return Manifest("20260101T000000Z", "00000000000000aa", "then", "later", [topic])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20))
def test_an_object_holds_the_bytes_that_were_put_in(payloads: list[bytes]) -> None:
    data = encode_object(KEY, payloads)
    assert decode_object(KEY, data) == payloads
    assert row_of(KEY, len(payloads), data).size == len(data)


def test_an_object_that_was_cut_off_anywhere_is_named_as_damaged() -> None:
    data = encode_object(KEY, PAYLOADS)
    for end in range(len(data)):
        with pytest.raises(Damaged, match="records/logs/0000000003/000000000070: "):
            decode_object(KEY, data[:end])


def test_an_object_with_any_bit_flipped_is_named_as_damaged() -> None:
    data = encode_object(KEY, PAYLOADS)
    for at in range(len(data)):
        for bit in range(8):
            changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises(Damaged, match="records/logs/0000000003/000000000070: "):
                decode_object(KEY, changed)


@pytest.mark.parametrize("change", [{"cluster": 5}, {"topic": "log"}, {"segment": 4}, {"first": 71}])
def test_an_object_of_another_place_in_the_log_is_refused(change: dict[str, object]) -> None:
    data = encode_object(KEY, PAYLOADS)
    with pytest.raises(Damaged, match="holds logs:3 from record 70 of cluster 0000000000001234 instead"):
        decode_object(msgspec.structs.replace(KEY, **change), data)


def test_a_manifest_comes_back_as_it_was_and_its_name_tells_the_backup() -> None:
    whole = manifest(SEGMENTS[0], cursor=3)
    name = manifest_name(whole.id)
    assert backup_of(name) == whole.id
    assert decode_manifest(whole.id, encode_manifest(whole)) == whole
    assert (backup_of("backups/x.json.new"), backup_of("records/x.json")) == ("", "")


def test_a_manifest_that_was_cut_off_or_changed_anywhere_is_no_backup() -> None:
    whole = manifest(SEGMENTS[0])
    data = encode_manifest(whole)
    broken = [data[:end] for end in range(len(data))]
    broken += [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]
    for each in broken:
        with pytest.raises(Damaged, match=re.escape(manifest_name(whole.id))):
            decode_manifest(whole.id, each)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (manifest(SegmentRow(1, 3, True, OBJECTS), SegmentRow(3, 0, True, [])), "logs:3 follows logs:1"),
        (manifest(SegmentRow(1, 1, True, OBJECTS[1:])), "logs:1: 1 records from 2 on follow the first 0"),
        (manifest(SegmentRow(1, 4, True, OBJECTS)), "logs:1: has 4 records, its objects 3"),
        (manifest(SegmentRow(1, 3, True, OBJECTS), cursor=4), "logs: the cursor is at 4 of 3 records"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(made: Manifest, told: str) -> None:
    assert contradictions(made)[0] == told
    with pytest.raises(Damaged, match=told):
        decode_manifest(made.id, encode_manifest(made))


def test_a_manifest_of_a_newer_format_is_refused_with_its_version() -> None:
    data = encode_manifest(manifest()).replace(b'"format":1', b'"format":2')
    with pytest.raises(Damaged, match="has format version 2; this walrus-cli reads 1"):
        decode_manifest("20260101T000000Z", data)
