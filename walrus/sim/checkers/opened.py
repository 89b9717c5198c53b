"""Opens messages for checkers: several listen to the same one, which is decoded once."""

from functools import lru_cache

from walrus.core.codec import AnyMessage, decode_message
from walrus.core.peer import Envelope


@lru_cache(maxsize=32)
def opened(data: bytes) -> tuple[Envelope, AnyMessage]:
    """Envelope and message of bytes that a node has sent."""
    decoded = decode_message(data)
    assert decoded is not None, "what a node of this version sends can be read"
    return decoded


def body(data: bytes) -> AnyMessage:
    """The message alone."""
    return opened(data)[1]
