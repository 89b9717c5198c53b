"""Encodes and decodes whole peer messages: envelope, then the tagged struct."""

from functools import lru_cache
from typing import Final

import msgspec

from walrus.core import peer
from walrus.core.peer import DECODE_ERRORS, ENVELOPE_BYTES, Envelope, Message, pack_envelope, unpack_envelope
from walrus.core.segment.messages import SegmentMessage

AnyMessage = (
    peer.RaftMessage
    | peer.JoinRequest
    | peer.JoinReply
    | peer.Propose
    | peer.ProposeReply
    | peer.Ping
    | peer.Farewell
    | peer.Removed
    | peer.ReadIndex
    | peer.ReadIndexReply
    | SegmentMessage
)

encode_body: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(AnyMessage)


def encode_message(envelope: Envelope, message: Message) -> bytes:
    return pack_envelope(envelope) + encode_body(message)


# A node talks with few others, so the same few envelopes come and go with every message.


@lru_cache(maxsize=1024)
def packed_envelope(cluster: int, sender: int, sender_storage: int, recipient: int, recipient_storage: int) -> bytes:
    return pack_envelope(Envelope(cluster, sender, sender_storage, recipient, recipient_storage))


@lru_cache(maxsize=1024)
def _unpacked_envelope(head: bytes) -> Envelope | None:
    return unpack_envelope(head)


def decode_message(data: bytes) -> tuple[Envelope, AnyMessage] | None:
    """A peer message, or None for bytes that are none (any bytes are allowed in), or none that this version knows.

    Fields that a newer version added at the end are ignored.
    """
    envelope = _unpacked_envelope(data[:ENVELOPE_BYTES])
    if envelope is None:
        return None
    try:
        return envelope, _decoder.decode(memoryview(data)[ENVELOPE_BYTES:])
    except DECODE_ERRORS:
        return None
