"""A reader of a node's files that knows only FORMATS.md: struct, zlib, msgpack and the numbers on the page."""

import hashlib
import struct
import zlib
from typing import Any, NamedTuple

import msgspec

unpack_msgpack = msgspec.msgpack.decode  # to plain lists, numbers, strings and bytes


class Header(NamedTuple):
    """What every header holds. ``more``: what only this kind of file has."""

    magic: bytes
    version: int
    node: int
    storage: int
    more: tuple[Any, ...]


def header(data: bytes, size: int) -> Header:
    assert struct.unpack_from("<I", data, size - 4)[0] == zlib.crc32(data[: size - 4])
    magic, version, zero, node, storage = struct.unpack_from("<8sHHIQ", data)
    assert zero == 0
    more: tuple[Any, ...] = ()
    if magic == b"WALRSEG\n":
        cluster, number, length = struct.unpack_from("<QQH", data, 24)
        topic = data[42 : 42 + length]
        assert not data[42 + length : 508].strip(b"\0")
        more = (cluster, topic.decode(), number)
    elif magic == b"WALSNAP\n":
        more = struct.unpack_from("<QI", data, 24)
        assert not data[36:60].strip(b"\0")
    else:
        assert magic in (b"WALRAFT\n", b"WALREPL\n")
        assert not data[24:60].strip(b"\0")
    return Header(magic, version, node, storage, more)


def segment(data: bytes) -> tuple[Header, list[bytes]]:
    """The header and all records of a sound segment file."""
    head, at = header(data, 512), 512
    records: list[bytes] = []
    while data[at : at + 4] == b"WBLK":
        crc, length, base, count, _epoch, _clock, acknowledged = struct.unpack_from("<IIQIIQQ", data, at + 4)
        end = at + 44 + length
        assert crc == zlib.crc32(data[at + 8 : end])
        assert base == len(records) >= acknowledged
        assert count >= 1
        at += 44
        for _ in range(count):
            (size,) = struct.unpack_from("<I", data, at)
            records.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        assert at == end
    assert not data[at:].strip(b"\0")
    return head, records


def record_file(data: bytes) -> tuple[Header, list[list[Any]]]:
    """The header and all records of a sound journal or catalogue."""
    head, at = header(data, 64), 64
    records = []
    while data[at : at + 4] == b"WREC":
        crc, length, mark = struct.unpack_from("<IIQ", data, at + 4)
        end = at + 20 + length
        assert crc == zlib.crc32(data[at + 8 : end])
        assert mark <= len(data)
        records.append(unpack_msgpack(data[at + 20 : end]))
        at = end
    assert not data[at:].strip(b"\0")
    return head, records


def log(records: list[list[Any]]) -> tuple[int, list[list[Any]]]:
    """Behind which entry a journal begins, and its entries, after all replacements."""
    base, entries = 0, []
    for kind, *fields in records:
        if kind == "s":
            base = fields[0]
        elif kind == "e":
            index = fields[0][0]
            assert base < index <= base + len(entries) + 1
            entries[index - base - 1 :] = [fields[0]]
    return base, entries


def snapshot(data: bytes) -> tuple[Header, list[Any]]:
    """The header and the body of a sound snapshot."""
    head = header(data, 64)
    length, crc = head.more
    body = data[64 : 64 + length]
    assert zlib.crc32(body) == crc
    return head, unpack_msgpack(body)


def backup_object(data: bytes) -> tuple[tuple[str, int, int, int], list[bytes]]:
    """(topic, cluster, segment, first record) and the payloads of an object of a backup."""
    assert struct.unpack_from("<I", data, 44)[0] == zlib.crc32(data[:44])
    magic, version, length, count, cluster, segment, first, zero = struct.unpack_from("<8sHHIQQQI", data)
    assert (magic, version, zero) == (b"WALBKUP\n", 1, 0)
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    at = 48 + length + 4 * count
    payloads = []
    for size in struct.unpack_from(f"<{count}I", data, 48 + length):
        payloads.append(data[at : at + size])
        at += size
    assert at == len(data) - 32
    return (data[48 : 48 + length].decode(), cluster, segment, first), payloads
