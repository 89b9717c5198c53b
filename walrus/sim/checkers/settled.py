"""SET and DELETE are told only once no node can serve as if they had not been (design 4.6, 4.10).

When the Raft leader tells who asked, every node has applied the command or has no lease; and none that had not gets a
lease before it has. Only where clocks are as far off as leases allow for.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import ConfigureTopic, RemoveTopic
from walrus.core.peer import ProposeReply
from walrus.sim import probe
from walrus.sim.checkers.opened import opened
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.checkers.commands import Commands
    from walrus.sim.cluster import Cluster

SETTLED = (ConfigureTopic, RemoveTopic)


class Settled:
    """``commands`` knows what stands at which index."""

    def __init__(self, cluster: "Cluster", commands: "Commands") -> None:
        self._cluster = cluster
        self._commands = commands
        self._owing: dict[int, int] = {}  # node -> what it must have applied before it has a lease
        cluster.network.when_sent("ProposeReply", self._told)

    def _told(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        if not isinstance(reply := decoded[1], ProposeReply):
            return
        if not isinstance(self._commands.at.get(reply.index), SETTLED):
            return
        for host in self._cluster.hosts:
            if self._is_behind(host, reply.index):
                self._owing[host.node_id] = max(reply.index, self._owing.get(host.node_id, 0))
                self._check(host)

    def after_turn(self, host: Host) -> None:
        """Does one that is behind have a lease?"""
        if host.node_id in self._owing:
            if self._is_behind(host, self._owing[host.node_id]):
                self._check(host)
            else:
                del self._owing[host.node_id]

    def on_crash(self, host: Host) -> None:
        """Whoever starts anew may be behind, and has no lease."""

    @staticmethod
    def _is_behind(host: Host, index: int) -> bool:
        raft = probe.raft(host)
        return raft is None or raft.applied_index < index

    def _check(self, host: Host) -> None:
        if self._cluster.clocks_within_margin and probe.raft(host) is not None and probe.holds_lease(host):
            index = self._owing[host.node_id]
            raise Violation(
                f"settled: {self._commands.at[index]} at index {index} was told, and node {host.node_id}, which "
                f"has not applied it, has a lease"
            )
