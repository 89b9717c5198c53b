"""The framing between nodes.

A frame is a ``u32`` little-endian length and that many bytes, 1 to 64 MiB. The first frame of each side is
its hello, 13 bytes::

    offset  size  field
    0       8     magic, the bytes WLRSPEER
    8       1     version of the transport, 1
    9       4     node id of the sender, u32 little-endian; 0xFFFFFFFF if it has none

The side that dialled says hello first; the other answers only a good hello, so a stranger learns nothing.
Every later frame is one peer message (:mod:`walrus.core.peer`), which the transport does not look into.
"""

import struct
from typing import Final

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
NO_NODE: Final = 0xFFFF_FFFF
TRANSPORT_VERSION: Final = 1

LENGTH: Final = struct.Struct("<I")
_MAGIC: Final = b"WLRSPEER"
_HELLO: Final = struct.Struct("<8sBI")
HELLO_BYTES: Final = _HELLO.size


class BadFrame(Exception):
    """The other side does not speak this protocol; the text says what came instead."""


def encode_hello(node: int) -> bytes:
    """Return the hello frame of ``node``, length included."""
    return LENGTH.pack(HELLO_BYTES) + _HELLO.pack(_MAGIC, TRANSPORT_VERSION, node)


def decode_hello(frame: bytes) -> int:
    """Return the sender's node id.

    Raises:
        BadFrame: no hello, or one of another version.
    """
    if len(frame) != HELLO_BYTES:
        raise BadFrame(f"a first frame of {len(frame)} bytes instead of a hello of {HELLO_BYTES}")
    magic, version, node = _HELLO.unpack(frame)
    if magic != _MAGIC:
        raise BadFrame(f"a first frame that begins with {magic!r} instead of {_MAGIC!r}")
    if version != TRANSPORT_VERSION:
        raise BadFrame(f"transport version {version}, but this node speaks {TRANSPORT_VERSION}")
    return int(node)


class FrameReader:
    """Cuts a byte stream into frames. Holds at most one incomplete frame, and only bytes that really arrived.

    Until ``greeted`` is set it hands out one frame, of a hello's size at most, and keeps what follows.
    """

    __slots__ = ("_rest", "greeted")

    def __init__(self) -> None:
        self.greeted = False
        self._rest = bytearray()

    def feed(self, data: memoryview) -> list[bytes]:
        """Return the frames that ``data`` completes.

        Raises:
            BadFrame: a length of zero or beyond the limit; the reader is of no use afterwards.
        """
        rest = self._rest
        if rest:
            rest += data
            with memoryview(rest) as view:
                frames, used = self._cut(view)
            del rest[:used]
        else:
            frames, used = self._cut(data)
            rest += data[used:]
        return frames

    def _cut(self, data: memoryview) -> tuple[list[bytes], int]:
        frames: list[bytes] = []
        limit = FRAME_BYTES_MAX if self.greeted else HELLO_BYTES
        start, available = 0, len(data)
        while available - start >= 4 and (self.greeted or not frames):
            (length,) = LENGTH.unpack_from(data, start)
            if not 0 < length <= limit:
                raise BadFrame(f"a frame length of {length} bytes, allowed are 1 to {limit}")
            end = start + 4 + length
            if end > available:
                break
            frames.append(bytes(data[start + 4 : end]))
            start = end
        return frames, start
