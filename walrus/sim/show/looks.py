"""How things look in the picture: which family a kind of message belongs to, which sign stands for a mark."""

import re
from typing import Final

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "elections": ("RequestVote", "VoteReply", "TimeoutNow"),
    "replication": ("AppendEntries", "AppendReply"),
    "heartbeats": ("Heartbeat", "HeartbeatReply", "Ping"),
    "records": ("Append", "AppendAck"),
    "sealing and repair": ("Fence", "FenceReply", "Repair", "Hold", "Holding"),
    "forwarded requests": (
        *("ForwardPuts", "PutsDone", "ForwardGet", "GetDone", "GetDelivered"),
        *("ReadBlocks", "ReadBlocksReply"),
    ),
    "metadata": ("Propose", "ProposeReply", "ReadIndex", "ReadIndexReply", "JoinRequest", "JoinReply", "Farewell"),
}
"""A family shares a colour and a sign. Within it, answers have open arrowheads."""

OTHER: Final = "other"
HEARTBEATS: Final = "heartbeats"

_FAMILY_OF: Final = {kind: family for family, kinds in FAMILIES.items() for kind in kinds}
_ANSWER: Final = re.compile(r"(Reply|Ack|Done|Holding|Delivered)$")

# The first line that a mark matches decides. The end of a trouble comes first: its text names the trouble too.
_SIGNS: Final = (
    ("end", re.compile(r"\b(again|mended|goes on|reads on|heal)")),
    ("crash", re.compile(r"\b(crash|for good|is lost|lost power|dies)")),
    ("start", re.compile(r"\bstart")),
    ("stop", re.compile(r"\b(asked to stop|stop|shut)")),
    ("pause", re.compile(r"\b(stands still|pause)")),
    ("slow", re.compile(r"\b(slow|clog)")),
    ("disk", re.compile(r"\bdisk")),
    ("clock", re.compile(r"\b(clock|calendar)")),
    ("client", re.compile(r"\bclient")),
    ("cut", re.compile(r"\b(cut|partition|network|breaks)")),
)


def family_of(kind: str) -> str:
    """The family of a kind of message; of one that is not known here, ``other``."""
    return _FAMILY_OF.get(kind, OTHER)


def is_answer(kind: str) -> bool:
    """Whether messages of this kind answer another."""
    return bool(_ANSWER.search(kind))


def sign_of(kind: str, text: str) -> str:
    """The sign that stands for a mark, by its kind and by the words it is told with."""
    said = f"{kind} {text}".lower()
    return next((sign for sign, words in _SIGNS if words.search(said)), OTHER)
