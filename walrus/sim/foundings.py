"""There is one cluster. An empty node 1 founds another beside it only where nobody told it of the one, and stops when
somebody does.

What it is while it stands beside is kept from the checkers of everything else, which know one log, and from clients:
their requests there stay unanswered. That it does not go on for ever is for convergence to see.
"""

from typing import TYPE_CHECKING

from walrus.core.codec import decode_message
from walrus.core.peer import JoinReply
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.world import MS, Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster

_NO_LEAD_NS = 1 * MS  # a turn may come a little before the patience is over by the node's own clock


class Foundings:
    """Told of every answer that reaches a node and of every turn of one."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._main = 0  # id of the one cluster
        self._belongs: dict[int, int] = {}  # node -> id of the cluster it was last seen in, on the disk it has
        self._began_ns: dict[tuple[int, int], int] = {}  # (node, life) -> when it was first seen, by its own clock
        self._told: dict[tuple[int, int], int] = {}  # (node, life) -> a cluster that it was told of
        self._know_none: dict[tuple[int, int], dict[int, bool]] = {}  # (node, life) -> who told it that he knows none
        cluster.network.when_received("JoinReply", self._replied)

    def _replied(self, sender: int, to: int, data: bytes) -> None:
        """An answer reaches a node, which takes it in its next turn."""
        host = self._cluster.host(to)
        decoded = decode_message(data)
        assert decoded is not None
        envelope, reply = decoded
        assert isinstance(reply, JoinReply)
        if envelope.recipient_storage != probe.storage(host):
            return
        if reply.cluster and (reply.lists or not probe.cluster(host)):
            self._told[to, host.life] = reply.cluster
        elif not reply.cluster:
            self._know_none.setdefault((to, host.life), {})[sender] = True

    def after_turn(self, host: Host) -> None:
        """Say whether the node stands beside the one cluster; raises :class:`Violation` where it must not."""
        lifetime = (host.node_id, host.life)
        self._began_ns.setdefault(lifetime, host.now_ns())
        own = probe.cluster(host)
        if not own or own == self._belongs.get(host.node_id):
            if host.beside and self._told.get(lifetime, own) != own:
                raise Violation(
                    f"founding: node {host.node_id} goes on with {own:016x} and was told of {self._told[lifetime]:016x}"
                )
            host.beside = host.beside or (bool(host.config.initial_peers) and own not in (0, self._main))
            return
        self._belongs[host.node_id] = own
        if not host.config.initial_peers:
            return  # it founds none, but where it is told to join none
        others = [cluster for node, cluster in self._belongs.items() if node != host.node_id]
        if self._main not in others:
            self._main = own  # the first one, or the first anew: a crash tore off its beginning
        host.beside = own != self._main
        if host.beside:
            self._judge(host, own, lifetime)

    def _judge(self, host: Host, own: int, lifetime: tuple[int, int]) -> None:
        host.note(f"founds cluster {own:016x} beside {self._main:016x}", "founded beside")
        if lifetime in self._told:
            raise Violation(
                f"founding: node {host.node_id} founds a cluster, and was told of {self._told[lifetime]:016x} before"
            )
        waited_ns = host.now_ns() - self._began_ns[lifetime]
        silent = len(host.config.initial_peers) - len(self._know_none.get(lifetime, {}))
        if silent > 0 and waited_ns < host.config.found_after_ns - _NO_LEAD_NS:
            raise Violation(
                f"founding: node {host.node_id} founds a cluster {waited_ns} ns after its start, and {silent} of its "
                "peers have not answered"
            )

    def told(self, host: Host) -> int:
        """The cluster that the process was told of, or 0."""
        return self._told.get((host.node_id, host.life), 0)

    def exchanged(self, host: Host) -> None:
        """A node has got an empty disk."""
        self._belongs.pop(host.node_id, None)
