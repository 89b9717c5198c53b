"""Watches the replicated state on every node and shows what changed in it to the checkers of its properties."""

from walrus.core.metadata.state import Topic
from walrus.sim import probe
from walrus.sim.checkers.clean_stops import CleanStops
from walrus.sim.checkers.cursor_bounds import CursorBounds
from walrus.sim.checkers.leases import Leases
from walrus.sim.checkers.one_writer import OneWriter
from walrus.sim.checkers.sealed_counts import SealedCounts
from walrus.sim.checkers.segment_chain import check_chain
from walrus.sim.host import Host
from walrus.sim.powercuts import PowerCuts


class ReplicatedState:
    """After a turn in which a node applied something: its cursors, and the segments that were not SEALED the last time.
    At the end of a process: all.
    """

    def __init__(
        self, counts: SealedCounts, leases: Leases, cursors: CursorBounds, stops: CleanStops, cuts: PowerCuts
    ) -> None:
        self._cuts = cuts
        self._counts = counts
        self._leases = leases
        self._cursors = cursors
        self._stops = stops
        self._writers = OneWriter()
        self._looked: dict[int, tuple[int, int]] = {}  # node -> life, applied index
        self._first_unsealed: dict[tuple[int, int, str], int] = {}

    def after_turn(self, host: Host) -> None:
        """Look at the newest segments of a node that applied something."""
        raft = probe.raft(host)
        if raft is None or self._looked.get(host.node_id) == (host.life, raft.applied_index):
            return
        self._looked[host.node_id] = (host.life, raft.applied_index)
        state = probe.metadata(host)
        if state is None:
            return
        for name, topic in state.topics.items():
            key = (host.node_id, host.life, name)
            start = max(0, self._first_unsealed.get(key, 0) - topic.first.number)
            self._first_unsealed[key] = topic.last.number
            self._look(host, topic, start)

    def on_crash(self, host: Host) -> None:
        """Look at everything that a node has applied."""
        state = probe.metadata(host)
        if state is not None:
            for topic in state.topics.values():
                self._look(host, topic, 0)

    def _look(self, host: Host, topic: Topic, start: int) -> None:
        self._cursors.topic(host, topic)
        self._stops.topic(host, topic)
        check_chain(host, topic.name, topic.segments, start)
        for segment in topic.segments[start:]:
            self._writers.segment(host, topic.name, segment)
            self._counts.segment(host, topic.name, segment)
            self._cuts.segment(topic.name, segment)
            self._leases.segment(host, topic.name, segment)
