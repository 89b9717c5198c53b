"""The next version of the protocol between nodes, as far as nodes of this version meet it.

It differs as :mod:`walrus.core.peer` says that a next version may: a higher version number, one more field at the end
of each message, and a kind of message that nobody knows yet.
"""

from typing import Final

import msgspec

from walrus.core.peer import ENVELOPE_BYTES, PROTOCOL_VERSION, READABLE_FROM
from walrus.sim.message_kinds import NAMES

_HEAD: Final = bytes((PROTOCOL_VERSION + 1, READABLE_FROM))
_FIELD: Final = msgspec.msgpack.encode({"new": [1, "field"]})
_NEW_KIND: Final = msgspec.msgpack.encode(["zz", 1, "a kind of message that is new"])
_NO_FIELDS: Final = 0x90  # heads of msgpack's short arrays: this and the number of elements
_MOST_FIELDS: Final = 0x9F

assert b"zz" not in NAMES, "this tag must stay unknown"


def can_rewrite(data: bytes) -> bool:
    """Whether these bytes are a message of this version with room for another field."""
    return (
        len(data) > ENVELOPE_BYTES and data[0] == PROTOCOL_VERSION and _NO_FIELDS < data[ENVELOPE_BYTES] < _MOST_FIELDS
    )


def rewrite(data: bytes) -> bytes:
    """The same message as the next version sends it."""
    head, rest = data[2:ENVELOPE_BYTES], data[ENVELOPE_BYTES + 1 :]
    return b"".join((_HEAD, head, bytes((data[ENVELOPE_BYTES] + 1,)), rest, _FIELD))


def new_kind(data: bytes) -> bytes:
    """A message of a new kind between the same nodes as ``data``, which is of the next version."""
    return data[:ENVELOPE_BYTES] + _NEW_KIND


def is_newer(data: bytes) -> bool:
    """Whether these bytes are a message of the next version."""
    return data.startswith(_HEAD)
