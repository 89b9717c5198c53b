"""Which kind of message the bytes between nodes are: their tag stands at a fixed place, so nothing is decoded."""

from typing import Any, Final

from walrus.core import peer
from walrus.core.peer import ENVELOPE_BYTES, Message
from walrus.core.segment import messages

TAG_AT: Final = ENVELOPE_BYTES + 2  # a message begins with the head of an array and of a string
TAG_END: Final = TAG_AT + 2
SAID_AT: Final = ENVELOPE_BYTES + 1
SAID_END: Final = SAID_AT + 12
"""Tag and first fields of a message, which name what it is about: those of a repeated one are the same."""

_UNKNOWN: Final = "?"


def _tags() -> dict[str, bytes]:
    tags: dict[str, bytes] = {}
    for module in (peer, messages):
        for name, kind in sorted(vars(module).items()):
            if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message:
                config: Any = kind.__struct_config__
                tags[name] = config.tag.encode()
    return tags


TAGS: Final = _tags()
"""Name of a kind to the tag its messages carry."""

NAMES: Final = {tag: name for name, tag in TAGS.items()}
"""The other way round."""


def name_of(tag: bytes) -> str:
    """Name of the kind with this tag; of one that the nodes do not know, a question mark and the tag."""
    return NAMES.get(tag) or _UNKNOWN + tag.decode("latin-1")


def tag_of(name: str) -> bytes:
    """The tag of a kind, by what :func:`name_of` calls it."""
    return name[1:].encode("latin-1") if name.startswith(_UNKNOWN) else TAGS[name]


def kind_of(data: bytes) -> str:
    """Name of the kind of a message with its envelope."""
    return name_of(data[TAG_AT:TAG_END])
