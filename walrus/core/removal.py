"""Segments that are gone, by retention or with their topic: every part of a node lets go of them.

Runs where the entry that removed them is applied, on every node, also on one that was down: it applies the entry, or
the snapshot in its place, when it comes back. Nothing can bring a removed segment back, since no later one of that name
has its number.
"""

from walrus.core.fetcher import Fetcher
from walrus.core.gets import Gets
from walrus.core.metadata.state import Change, Metadata
from walrus.core.puts import Puts
from walrus.core.segment.recovery import Recoveries
from walrus.core.segment.repair import Repairs
from walrus.core.segment.store import ReplicaStore
from walrus.core.segment.upkeep import Upkeep
from walrus.core.segment.writers import Writers


class Removal:
    """``apply`` goes from what stops a segment to those who wait for it, and to its file last."""

    def __init__(
        self, metadata: Metadata, store: ReplicaStore, writers: Writers, recoveries: Recoveries, upkeep: Upkeep,
        repairs: Repairs, fetcher: Fetcher, puts: Puts, gets: Gets,
    ) -> None:  # fmt: skip
        self._metadata = metadata
        self._store = store
        self._writers = writers
        self._recoveries = recoveries
        self._upkeep = upkeep
        self._repairs = repairs
        self._fetcher = fetcher
        self._puts = puts
        self._gets = gets

    def apply(self, change: Change, now_ns: int) -> None:
        """The topic's segments below ``change.below`` are gone."""
        topic, below = change.topic, change.below
        self._writers.removed(topic, below, now_ns)
        self._recoveries.removed(topic, below)
        self._upkeep.removed(topic, below)
        self._repairs.removed(topic, below)
        found = self._metadata.topics.get(topic)
        earliest = None if change.deleted or found is None else found.first.base
        self._fetcher.removed(topic, earliest)
        self._gets.removed(topic, below, earliest)
        self._puts.removed(topic)
        self._store.removed(topic, below)
