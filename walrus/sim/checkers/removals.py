"""Only what may go is removed: by DELETE, or by retention exactly as far as the topic's settings allow it then.

Replays the committed entries and looks at each removal by itself, with its own arithmetic. What retention removed is
read from the disks at that moment, so that the end-to-end checkers know every record that is gone: all others must be
there.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import RemoveTopic, TrimTopic, decode
from walrus.core.metadata.state import Metadata, Segment, Topic
from walrus.core.peer import ENTRY_NORMAL, Entry
from walrus.core.segment.replica import segment_path
from walrus.sim.checkers.replica_prefixes import records_of
from walrus.sim.world import MS, Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

Lifetime = tuple[str, int]
"""(name of a topic, number of its first segment ever)."""


class Removals:
    """``records``: what retention removed of each topic, from its first record on; None where no disk had it whole."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._state = Metadata()
        self.records: dict[Lifetime, list[bytes] | None] = {}

    def committed(self, entry: Entry) -> None:
        """The next entry of the log is committed."""
        if entry.kind != ENTRY_NORMAL:
            return
        command = decode(entry.data)
        topic = self._state.topics.get(command.topic) if isinstance(command, TrimTopic) else None
        before = list(topic.segments) if topic is not None else []
        applied = not self._state.apply(command)
        self._state.drain()
        if applied and isinstance(command, RemoveTopic):
            self._cluster.world.labels["topic deleted"] += 1
        if applied and isinstance(command, TrimTopic) and topic is not None:
            self._trimmed(topic, before, command)

    def _trimmed(self, topic: Topic, before: list[Segment], command: TrimTopic) -> None:
        gone = [segment for segment in before if segment.number < topic.first.number]
        if command.wall_ms > max(host.clock.latest_ns for host in self._cluster.hosts) // MS:
            raise Violation(f"retention: {command} names a time that no node's clock has shown yet")
        for segment in gone:
            if not self._may_go(topic, segment, before[:-1], command.wall_ms):
                raise Violation(
                    f"retention: {topic.name}:{segment.number} was removed at {command.wall_ms} ms, and its settings "
                    f"{topic.settings} keep it: {segment}"
                )
            self._cluster.world.labels["segment removed by retention"] += 1
            self._keep(topic, segment)

    @staticmethod
    def _may_go(topic: Topic, segment: Segment, sealed: list[Segment], wall_ms: int) -> bool:
        settings = topic.settings
        rest = [other for other in sealed if other.number > segment.number]
        return (
            0 < settings.retention_ms <= wall_ms - segment.sealed_ms
            or 0 < settings.retention_bytes <= sum(other.size_bytes for other in rest)
            or 0 < settings.retention_records <= sum(other.count for other in rest)
        )

    def _keep(self, topic: Topic, segment: Segment) -> None:
        lifetime = (topic.name, topic.born)
        known = self.records.setdefault(lifetime, [])
        path = segment_path((topic.name, segment.number))
        copies = [records_of(bytes(host.disk.files.get(path, b""))) for host in self._cluster.hosts]
        whole = [copy for copy in copies if len(copy) >= segment.count]
        if known is not None and (whole or not segment.count):
            known += whole[0][: segment.count] if whole else []
        else:
            self.records[lifetime] = None
            self._cluster.world.labels["removed by retention, and on no disk whole"] += 1
