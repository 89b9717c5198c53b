"""Nodes that were removed: no segment depends on one that left in order, and a removed node leads nobody any more."""

from walrus.core.metadata.commands import LEAVING
from walrus.core.metadata.placement import endangered
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import LEADER
from walrus.sim import probe
from walrus.sim.host import Host
from walrus.sim.world import Violation


class Departures:
    """Looks at each removal once, at the first node that knows it to be committed."""

    def __init__(self) -> None:
        self._known = 0  # removals seen
        self._term_of: dict[tuple[int, int], int] = {}  # removed member -> term in which its removal was known

    def after_turn(self, host: Host) -> None:
        """Is there a removal, or a removed node that leads?"""
        raft = probe.raft(host)
        if raft is None:
            return
        membership = raft.committed_membership
        if len(membership.removed) > self._known:
            self._look_at(host, raft.term, membership)
        if self._term_of and raft.role is LEADER:
            term = self._term_of.get((host.node_id, probe.storage(host)))
            if term is not None and raft.term > term:
                raise Violation(f"departures: node {host.node_id} leads in term {raft.term}, was removed in {term}")

    def _look_at(self, host: Host, term: int, membership: Membership) -> None:
        """This node is the first to know of the last removals."""
        state = probe.metadata(host)
        assert state is not None
        everybody = tuple(member.node for member in membership.members)
        for member in membership.removed[self._known :]:
            self._term_of[member] = term
            host.note(f"knows node {member[0]} to be removed", "node removed")
            info = state.nodes.get(member[0])
            if info is not None and info.member == member and info.state == LEAVING:
                lost = endangered(state, everybody, everybody, member)
                if lost:
                    raise Violation(f"departures: node {member[0]} was removed, and {lost} need its copies")
        self._known = len(membership.removed)

    def on_crash(self, host: Host) -> None:
        """Nothing."""
