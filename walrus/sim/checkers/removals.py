"""Only what may go is removed: by DELETE, or by retention exactly as far as the topic's settings allow it then (design
4.10; :func:`walrus.sim.checkers.metadata_model.may_go` has the arithmetic).

What retention removed is read from the disks at that moment, so that the end-to-end checkers know every record that is
gone: all others must be there.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import TrimTopic
from walrus.core.segment.replica import segment_path
from walrus.sim.checkers.metadata_model import Lifetime, ModelSegment, ModelTopic
from walrus.sim.checkers.replica_prefixes import records_of
from walrus.sim.world import MS, Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class Removals:
    """``records``: what retention removed of each topic, from its first record on; None where no disk had it whole."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self.records: dict[Lifetime, list[bytes] | None] = {}

    def trimmed(self, topic: ModelTopic, gone: list[ModelSegment], command: TrimTopic) -> None:
        """These segments were removed by retention, rightly."""
        if command.wall_ms > max(host.clock.latest_ns for host in self._cluster.hosts) // MS:
            raise Violation(f"retention: {command} names a time that no node's clock has shown yet")
        for segment in gone:
            self._cluster.world.labels["segment removed by retention"] += 1
            self._keep(topic, segment)

    def _keep(self, topic: ModelTopic, segment: ModelSegment) -> None:
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
