"""Whoever waits for a writer is answered once it stops (design 4.3): of the PUTs that a node's own clients gave to a
segment that it writes, none is left with nobody to answer it when the writer stops or is gone.
"""

from typing import TYPE_CHECKING

from walrus.core.segment.replica import Key
from walrus.core.segment.writer import STOPPED
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.core.segment.writer import SegmentWriter


class StoppedWriters:
    """Looks at the end of the turn in which a writer stops, and of that in which it goes."""

    def __init__(self) -> None:
        self._writing: dict[int, dict[Key, int]] = {}  # node -> segment -> life, negative once stopped

    def look(self, host: Host, writers: "dict[Key, SegmentWriter]") -> None:
        """Has a writer of this node stopped?"""
        known = self._writing.setdefault(host.node_id, {})
        if not known and not writers:
            return
        for key, writer in writers.items():
            if writer.state != STOPPED:
                known[key] = host.life
            elif known.get(key) == host.life:
                known[key] = -host.life
                self._check(host, key)
        for key in [key for key in known if key not in writers]:
            if abs(known.pop(key)) == host.life:
                self._check(host, key)

    def _check(self, host: Host, key: Key) -> None:
        target, waiting = probe.own_puts(host, key[0])
        if target == key[1] and waiting:
            raise Violation(
                f"stopped writers: node {host.node_id} writes {key[0]}:{key[1]} no more, and {waiting} PUTs of its own "
                f"clients have nobody left to answer them"
            )
