"""What the reactor watches: anything with a descriptor in its selector."""

import selectors
from typing import Final, Protocol

from walrus.core.events import Event

READ: Final = selectors.EVENT_READ
WRITE: Final = selectors.EVENT_WRITE

FIRST: Final = 0  # signals, completions of the disk, resolved names
PEERS: Final = 1 << 60  # other nodes: heartbeats and leases go ahead of client data
CLIENTS: Final = 1 << 61  # plus the turn in which the connection was last read, so that nobody starves


class Source(Protocol):
    """A selector key's ``data``. Within a turn sources are served in ascending ``order``."""

    order: int

    def on_ready(self, mask: int) -> list[Event]:
        """Do what the descriptor is ready for (READ, WRITE or both); return what happened, in order."""


class Ticker(Protocol):
    """A part of the driver with deadlines of its own (dial back-off, handshakes), none of them the core's."""

    deadline_ns: int | None

    def tick(self, now_ns: int) -> list[Event]:
        """Called once a turn when ``deadline_ns`` has come; return what happened, in order."""
