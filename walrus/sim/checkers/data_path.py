"""Puts together what watches the data path: copies, writers, fences, seals, changes of replica sets (design 4)."""

from typing import TYPE_CHECKING

from walrus.sim import probe
from walrus.sim.checkers.acknowledged_records import AcknowledgedRecords
from walrus.sim.checkers.committed_segments import CommittedSegments
from walrus.sim.checkers.copy_answers import CopyAnswers
from walrus.sim.checkers.durable_copies import DurableCopies
from walrus.sim.checkers.fences import Fences
from walrus.sim.checkers.kept_copies import KeptCopies
from walrus.sim.checkers.proposed_commands import ProposedCommands
from walrus.sim.checkers.segment_proposals import SegmentProposals
from walrus.sim.checkers.stopped_writers import StoppedWriters
from walrus.sim.checkers.written_once import WrittenOnce
from walrus.sim.host import Host

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class DataPath:
    """``segments`` must be told of what is committed before this looks at the node that knows it."""

    def __init__(self, cluster: "Cluster", segments: CommittedSegments) -> None:
        copies = DurableCopies(cluster)
        CopyAnswers(cluster, copies, segments)
        fences = Fences(cluster, copies, segments)
        KeptCopies(copies, segments)
        WrittenOnce(copies)
        self._acknowledged = AcknowledgedRecords(cluster, copies, segments)
        proposals = SegmentProposals(cluster, copies, segments, fences, self._acknowledged)
        self._commands = ProposedCommands(cluster, proposals.proposed)
        self._stopped = StoppedWriters()

    def after_turn(self, host: Host) -> None:
        """What was acknowledged first, then what was proposed with it."""
        writers = probe.writers(host)
        if writers:
            self._acknowledged.look(host, writers)
        self._commands.after_turn(host)
        self._stopped.look(host, writers)

    def on_crash(self, host: Host) -> None:
        """Nothing: what is not durable may go."""
