"""Commands of the replicated state from the moment at which they may be committed: as a node sends one to the leader,
or as a leader puts one into its log.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from walrus.core.metadata.commands import AnyCommand, decode
from walrus.core.peer import ENTRY_NORMAL, Propose
from walrus.core.raft.output import LEADER
from walrus.sim import probe
from walrus.sim.checkers.opened import opened
from walrus.sim.host import Host

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

Hear = Callable[[int, AnyCommand], None]
"""Told the node that proposes, and what."""


class ProposedCommands:
    """Tells of each command once, the first time."""

    def __init__(self, cluster: "Cluster", hear: Hear) -> None:
        self._hear = hear
        self._known: dict[bytes, None] = {}
        self._looked: dict[int, tuple[int, int, int]] = {}  # node -> life, term that it leads in, last index seen
        cluster.network.when_sent("Propose", self._sent)

    def _sent(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if isinstance(decoded[1], Propose):
            self._proposed(sender, decoded[1].command)

    def after_turn(self, host: Host) -> None:
        """Look at what a leader has put into its log."""
        raft = probe.raft(host)
        if raft is None or raft.role is not LEADER:
            return
        life, term, seen = self._looked.get(host.node_id, (0, 0, 0))
        last = raft.log.last_index
        if (life, term, seen) == (host.life, raft.term, last):
            return
        start = last
        while start > raft.log.snapshot_index and raft.log.term(start) == raft.term:
            if (life, term) == (host.life, raft.term) and start == seen:
                break
            start -= 1
        self._looked[host.node_id] = (host.life, raft.term, last)
        for index in range(start + 1, last + 1):
            entry = raft.log.entry(index)
            if entry.kind == ENTRY_NORMAL:
                self._proposed(host.node_id, entry.data)

    def _proposed(self, node: int, command: bytes) -> None:
        if command not in self._known:
            self._known[command] = None
            self._hear(node, decode(command))
