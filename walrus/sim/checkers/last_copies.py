"""A sound copy of a sealed segment is given up only where a quorum of the set that takes its place holds one.

Looked at when a node that could read its copy begins to delete it because of a change of the segment's set, not because
the segment is gone. Then Q members of the set in force have all records that count in their files, byte for byte as on
their disks. One whose file is damaged counts only where it could not know: the damage came after the change of the set
was begun, or beneath a process that had read the copy, and that or a later one was asked to hold it. One whose disk is
gone counts likewise.
"""

from walrus.core.actions import Delete
from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.state import Segment, quorums
from walrus.core.peer import Member
from walrus.core.segment.replica import Key
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.damage import is_segment, records_on, segment_of
from walrus.sim.healing import newest_metadata
from walrus.sim.host import Host
from walrus.sim.world import Violation

Begun = tuple[int, dict[int, int]]
"""When a change of a set was first seen, and which life each node was in then."""


class LastCopies:
    """Drops because of changes that the Raft leaders' upkeep began; a recovery chooses its set from what it fenced."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._begun: dict[tuple[Key, int], Begun] = {}  # (segment, version that the set is to have)
        self._judged: dict[int, int] = {}  # node -> token of the last drop seen
        self.drops = 0

    def after_turn(self, host: Host) -> None:
        """Has a change of a set begun, or a drop?"""
        for key, version in probe.set_changes(host):
            if (key, version) not in self._begun:
                lives = {other.node_id: other.life for other in self._cluster.hosts}
                self._begun[key, version] = host.world_ns, lives
        if not host.disk.busy:
            return
        for action in host.disk.in_flight():
            is_drop = isinstance(action, Delete) and is_segment(action.path)
            if is_drop and self._judged.get(host.node_id, 0) < action.token:
                self._judged[host.node_id] = action.token
                self._drops(host, action.path)

    def on_crash(self, host: Host) -> None:
        """The tokens of the next process begin anew."""
        self._judged.pop(host.node_id, None)

    def _drops(self, host: Host, path: str) -> None:
        key, state = segment_of(path), newest_metadata(self._cluster.hosts)
        mine = probe.metadata(host)
        if mine is None or state is None or state.is_gone(*key) or mine.is_gone(*key) or key[0] not in mine.topics:
            return
        segment = mine.topics[key[0]].segment(key[1])
        if segment is None or segment.state != SEALED or state.existing(*key).version != segment.version:
            return
        begun = self._begun.get((key, segment.version))
        if begun is None or records_on(bytes(host.disk.files.get(path, b""))) < segment.count:
            return
        self.drops += 1
        self._cluster.world.labels["sound copy of a sealed segment given up"] += 1
        holding = [member for member in segment.members if self._holds(member, path, segment, begun)]
        needed = quorums(len(segment.members))[0]
        if len(holding) < needed:
            nodes, members = [node for node, _ in holding], [node for node, _ in segment.members]
            raise Violation(
                f"last copies: node {host.node_id} gives up its sound copy {path} of {segment.count} records, and of "
                f"nodes {members} only {nodes} hold all of them, not {needed}"
            )

    def _holds(self, member: Member, path: str, segment: Segment, begun: Begun) -> bool:
        host, since_ns = self._cluster.host(member[0]), begun[0]
        if member in self._cluster.lost_members or host.dead or host.disk.damage.fatal:
            return True
        if records_on(bytes(host.disk.files.get(path, b""))) >= segment.count:
            return True
        wounds = [wound for wound in host.disk.damage.wounds if wound.path == path]
        life = begun[1][member[0]]
        return bool(wounds) and all(wound.at_ns >= since_ns or wound.read_by >= max(life, 1) for wound in wounds)
