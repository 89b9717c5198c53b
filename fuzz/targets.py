"""What must hold for any bytes at all: one function per reader, which raises where it does not.

Damage to a file of this node ends in RecoveryError, damage to what a stranger sends in a refusal; nothing else
may be raised. What a reader accepts must read the same again.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from fuzz.samples import HEADER, NODE, STORAGE, record_file
from walrus.core.actions import Reply
from walrus.core.clients import ClientSessions
from walrus.core.codec import decode_message, encode_message
from walrus.core.config import NodeConfig
from walrus.core.http_head import PREFIXES
from walrus.core.segment.scan import LOST, SOUND, Scan, Verdict
from walrus.core.storage.blocks import FILE_HEADER_BYTES, split_blocks
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, recover_catalogue
from walrus.core.storage.journal import JOURNAL_MAGIC, recover_journal
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.wire import HEADER as FRAME_HEADER
from walrus.core.wire import HTTP, FrameParser

CONFIG: Final = NodeConfig(node_id=NODE, advertise_address="node:1", max_frame_bytes=256, max_pending_requests=8)
READ_BYTES: Final = 100  # one small read, so that reads end inside headers and blocks
HTTP_HEAD_BYTES: Final = 8193
CONNECTION: Final = 1


def client_wire(data: bytes) -> None:
    """The first byte says how the rest is chunked; every request gets one reply, and little is held."""
    step = data[0] + 1 if data else 1
    sessions = ClientSessions(CONFIG)
    sessions.connected(CONNECTION, 0)
    replies = b""
    http = False
    stream = data[1:]
    for at in range(0, len(stream), step):
        for slot, request in sessions.received(CONNECTION, stream[at : at + step], at):
            if request.verb == HTTP:
                http = True
                sessions.answer_http(slot, 200, "text/plain", b"")
            else:
                sessions.answer(slot, b"OK")
        for action in sessions.drain():
            if isinstance(action, Reply):
                replies += action.data
                http = http or action.close
        assert sessions.buffered_bytes <= max(CONFIG.max_frame_bytes, HTTP_HEAD_BYTES)
        assert sessions.pending_requests == 0
    undecided = any(prefix.startswith(stream) for prefix in PREFIXES)  # too little to tell frames from HTTP
    if not http and not undecided and not stream.startswith(PREFIXES):
        whole = FrameParser(CONFIG.max_frame_bytes).feed(stream)
        assert len(_frames(replies)) == len(whole)


def _frames(replies: bytes) -> list[bytes]:
    frames = []
    position = 0
    while position < len(replies):
        (length,) = FRAME_HEADER.unpack_from(replies, position)
        start = position + FRAME_HEADER.size
        position = start + length
        assert position <= len(replies)
        frames.append(replies[start:position])
    return frames


def peer_codec(data: bytes) -> None:
    """What decodes is a message that another node could have sent."""
    found = decode_message(data)
    if found is not None:
        assert decode_message(encode_message(*found)) == found


def journal(data: bytes) -> None:
    """Once the torn tail is cut, the journal reads the same and is clean."""
    try:
        found = recover_journal(data)
    except RecoveryError:
        return
    if found is not None:
        assert found.end <= len(data)
        assert recover_journal(data[: found.end]) == msgspec.structs.replace(found, dirty_tail=False)


def journal_record(data: bytes) -> None:
    """The payload of a record whose checksum is right may still be anything."""
    journal(record_file(JOURNAL_MAGIC, [data])[0])


def catalogue(data: bytes) -> None:
    """Once the torn tail is cut, the catalogue reads the same and is clean."""
    try:
        found = recover_catalogue(data, NODE, STORAGE)
    except RecoveryError:
        return
    if found is not None:
        assert found.end <= len(data)
        again = recover_catalogue(data[: found.end], NODE, STORAGE)
        assert again == msgspec.structs.replace(found, dirty_tail=False)


def catalogue_record(data: bytes) -> None:
    """The payload of a record whose checksum is right may still be anything."""
    catalogue(record_file(CATALOGUE_MAGIC, [data])[0])


def segment_scan(data: bytes) -> None:
    """The verdict depends on the bytes, not on how they are read; what it keeps is whole and scans as sound."""
    for held in (False, True):
        verdict = scan(data, held=held)
        in_pieces = scan(data, held=held, read_bytes=READ_BYTES)
        assert (verdict.state, verdict.index.length) == (in_pieces.state, in_pieces.index.length)
        if verdict.state == LOST or not verdict.index.length:
            assert verdict.index.length == 0
            continue
        end = verdict.index.end_position
        blocks = split_blocks(data[FILE_HEADER_BYTES:end])
        assert blocks is not None
        assert [block.base for block in blocks] == list(verdict.index.bases)
        again = scan(data[:end], held=held)
        assert (again.state, again.index.length) == (SOUND, verdict.index.length)


def scan(data: bytes, *, held: bool, read_bytes: int = 1 << 30) -> Verdict:
    """Scan a file as if each read returned at most ``read_bytes``."""
    reader = Scan(len(data), HEADER, held=held)
    while True:
        offset, length = reader.next_read()
        verdict = reader.feed(data[offset : offset + min(length, read_bytes)])
        if verdict is not None:
            return verdict


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "client_wire": client_wire,
    "peer_codec": peer_codec,
    "journal": journal,
    "journal_record": journal_record,
    "catalogue": catalogue,
    "catalogue_record": catalogue_record,
    "segment_scan": segment_scan,
}
