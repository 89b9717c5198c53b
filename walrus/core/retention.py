"""Retention: the Raft leader has the oldest sealed segments of a topic removed, as far as the topic's settings allow.

The command names the leader's wall clock, and is checked against the settings again where it is applied. So a limit
that was raised while it was under way keeps what it covers.
"""

from walrus.core.config import NodeConfig
from walrus.core.metadata.commands import TrimTopic, encode
from walrus.core.metadata.state import Metadata
from walrus.core.raft.output import LEADER
from walrus.core.raft.raft import Raft
from walrus.core.wallclock import WallClock


class Retention:
    """Runs on every node, acts only while it leads Raft."""

    def __init__(self, config: NodeConfig, metadata: Metadata, raft: Raft, wall: WallClock) -> None:
        self._interval_ns = config.monitor_interval_ns
        self._metadata = metadata
        self._raft = raft
        self._wall = wall
        self._next_ns = 0

    def tick(self, now_ns: int) -> None:
        """Look at all topics once per interval; what is refused is looked at again in the next."""
        if self._raft.role is not LEADER or now_ns < self._next_ns:
            return
        self._next_ns = now_ns + self._interval_ns
        wall_ms = self._wall.milliseconds(now_ns)
        for topic in self._metadata.topics.values():
            keep, first = topic.removable(wall_ms), topic.first.number
            if keep > first:
                self._raft.propose(encode(TrimTopic(topic.name, first, keep, wall_ms)), now_ns)
