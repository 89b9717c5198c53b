"""Nodes that were removed: no segment depends on one that left in order, and a removed node leads nobody any more."""

from walrus.core.metadata.commands import LEAVING
from walrus.core.metadata.placement import endangered
from walrus.core.raft.output import Role
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
        raft, state = probe.raft(host), probe.metadata(host)
        if raft is None or state is None:
            return
        removed = raft.committed_membership.removed
        if len(removed) > self._known:
            members = raft.committed_membership.members
            everybody = tuple(member.node for member in members)
            for member in removed[self._known :]:
                self._term_of[member] = raft.term
                host.note(f"knows node {member[0]} to be removed", "node removed")
                info = state.nodes.get(member[0])
                if info is not None and info.member == member and info.state == LEAVING:
                    lost = endangered(state, everybody, everybody, member)
                    if lost:
                        raise Violation(f"departures: node {member[0]} was removed, and {lost} need its copies")
            self._known = len(removed)
        if raft.role is Role.LEADER and self._term_of:
            term = self._term_of.get((host.node_id, probe.storage(host)))
            if term is not None and raft.term > term:
                raise Violation(f"departures: node {host.node_id} leads in term {raft.term}, was removed in {term}")

    def on_crash(self, host: Host) -> None:
        """Nothing."""
