"""What may be damaged or broken for good, and the end of the faults: a random core that is a quorum heals.

What a node outside the core alone holds is then out of reach, not lost; what was damaged on one disk is lost unless
others hold it. :func:`out_of_reach` computes for which segments that is so, from the ledgers of the disks
(:mod:`walrus.sim.damage`). Nothing else is excused.
"""

from collections.abc import Sequence
from typing import Any, Final

from walrus.core.metadata.commands import SEALED
from walrus.core.metadata.durability import ALWAYS
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.segment.replica import LOST, READY, segment_path
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.damage import records_on, segment_of
from walrus.sim.deeds.processes import DEAD, BreakForGood
from walrus.sim.host import Host
from walrus.sim.rng import Rng
from walrus.sim.world import SECOND

_TARGET_REPLICAS: Final = 3
_REPLACED_SOON_NS: Final = 3 * SECOND


def break_for_good(cluster: Cluster, rng: Rng) -> None:
    """Break as many nodes as the setup says, each in its manner, but never so many that Raft has no quorum."""
    for manner in cluster.setup.broken:
        candidates = [host.node_id for host in cluster.core if can_be_spared(cluster, host.node_id)]
        if candidates:
            cluster.do(BreakForGood(rng.choice(candidates), manner))
            cluster.world.labels["node broken for good"] += 1


def bury(cluster: Cluster) -> None:
    """Nodes that are down and cannot start on what their disk holds are broken for good: replacing them is up to an
    operator.
    """
    for host in cluster.core:
        if not host.up and host.disk.damage.fatal:
            host.dead = True
            cluster.broken[host.node_id] = DEAD
        elif _is_outside(host) and _waits_for_operator(cluster, host):
            cluster.world.labels["replacement left to the operator"] += 1
            cluster.broken[host.node_id] = DEAD
    for host in cluster.hosts:
        if cluster.broken.get(host.node_id) == DEAD and host.up and not _is_outside(host):
            del cluster.broken[host.node_id]  # the proof came later, and it was let in after all


def _waits_for_operator(cluster: Cluster, host: Host) -> bool:
    """Whether a node has lost a disk of whose copies nothing proves that others have all they held: it is not taken in
    again by itself, in case the disk is found.
    """
    state = newest_metadata(cluster.core)
    for topic in state.topics.values() if state is not None else ():
        for segment in topic.segments:
            members = [member for member in segment.members if member not in cluster.lost_members]
            if host.node_id not in [node for node, _ in segment.members if (node, _) not in members]:
                continue
            if sum(node not in cluster.broken for node, _ in members) < _quorums(segment)[1]:
                return True
    return False


def can_be_spared(cluster: Cluster, node: int) -> bool:
    """Whether the others that can be healed are a quorum of every configuration that some node may be using, and can
    all still join.
    """
    left = [
        host.node_id for host in cluster.core if not _is_dead(host) and not _is_outside(host) and host.node_id != node
    ]
    members: list[int] = []
    for host in cluster.hosts:
        view = probe.raft(host)
        voters = view.membership.voters if view is not None else cluster.last_voters.get(host.node_id, ())
        if not _is_quorum(left, voters) or not _is_quorum(left, [n for n in voters if n not in cluster.leaving]):
            return False
        members += voters
    return all(other in members for other in left)


def _is_quorum(left: Sequence[int], voters: Sequence[int]) -> bool:
    return not voters or 2 * sum(node in left for node in voters) > len(voters)


# --- which damage the design survives ---


def may_be_damaged(cluster: Cluster) -> list[Host]:
    """The nodes on whose disks damage may be done: of 3 or 4 nodes one, of more two, of fewer none."""
    count = len(cluster.hosts)
    if count < _TARGET_REPLICAS:
        return []
    damaged = [host for host in cluster.hosts if host.disk.damage.hurt or host.disk.damage.fatal]
    pool = damaged if len(damaged) >= (1 if count < 5 else 2) else cluster.hosts
    return [host for host in pool if not _is_dead(host) and host.node_id not in cluster.broken]


def may_lose_journal(cluster: Cluster, host: Host) -> bool:
    """Whether the cluster goes on without a node: Raft does, and replica sets are filled up again in time."""
    replaced = len(cluster.hosts) == _TARGET_REPLICAS or cluster.setup.replace_after_ns <= _REPLACED_SOON_NS
    return replaced and can_be_spared(cluster, host.node_id)


def may_lose_copy(cluster: Cluster, host: Host, path: str) -> bool:
    """Whether enough other members of its set have a sound copy of a segment to go on without this one."""
    topic, number = segment_of(path)
    state = newest_metadata(cluster.hosts)
    segment = state.topics[topic].segment(number) if state is not None and topic in state.topics else None
    if segment is None or host.node_id not in [node for node, _ in segment.members]:
        return False
    members = [member for member in segment.members if member not in cluster.lost_members]
    others = [cluster.host(node) for node, _ in members if node != host.node_id]
    if segment.state == SEALED:
        return any(_holds_all(other, topic, segment) for other in others if not _is_dead(other))
    if segment.durability != ALWAYS:
        return False  # losses of power may take what the others have
    sound = sum(not _is_dead(other) and path not in other.disk.damage.hurt for other in others)
    return sound >= _quorums(segment)[1]


def _is_outside(host: Host) -> bool:
    """Whether it has another disk than the one that it votes with, as the others may believe."""
    view = probe.raft(host)
    return bool(host.disk.exchanged) and (view is None or host.node_id not in view.membership.voters)


def _is_dead(host: Host) -> bool:
    return host.dead or bool(host.disk.damage.fatal)


# --- what may be excused ---


def newest_metadata(hosts: list[Host]) -> Metadata | None:
    """The replicated state of the one of these nodes that has applied most."""
    states = []
    for host in hosts:
        view, state = probe.raft(host), probe.metadata(host)
        if view is not None and state is not None:
            states.append((view.applied_index, state))
    return max(states, key=lambda found: found[0], default=(0, None))[1]


def out_of_reach(cluster: Cluster) -> dict[str, int]:
    """Topics whose records from a global offset on may be unreadable, because too few sound copies of a segment are on
    nodes that run: topic to that offset.
    """
    newest = newest_metadata(cluster.core)
    if newest is None:
        return {}
    return {name: offset for name in newest.topics if (offset := _reach(cluster, newest, name)) >= 0}


def _reach(cluster: Cluster, state: Metadata, topic: str) -> int:
    for segment in state.topics[topic].segments:
        if _is_out_of_reach(cluster, topic, segment):
            return segment.base
    return -1


def _is_out_of_reach(cluster: Cluster, topic: str, segment: Segment) -> bool:
    """A SEALED segment needs one whole copy. Any other needs a seal quorum of its set to find its end, and to go on a
    quorum, in which others may stand in for the dead.
    """
    path = segment_path((topic, segment.number))
    usable = [
        host
        for host in cluster.core
        if not is_lost(host, topic, segment.number) and (segment.state == SEALED or not host.disk.damage.on(path))
    ]
    there = [node for node, storage in segment.members if (node, storage) not in cluster.lost_members]
    members = [host for host in usable if host.node_id in there]
    if segment.state == SEALED:
        return not any(_holds_all(host, topic, segment) for host in members)
    acknowledge, seal = _quorums(segment)
    sure = [host for host in members if not is_doubtful(host, topic, segment.number)]
    if len(sure) < seal and not _all_can_tell(cluster, topic, segment, members):
        return True
    return len(members) < seal or len(usable) < acknowledge


def is_doubtful(host: Host, topic: str, number: int) -> bool:
    """Whether a copy had acknowledged without a sync before its machine lost power."""
    replica = probe.replica(host, topic, number)
    return replica is not None and bool(replica.doubtful)


def _all_can_tell(cluster: Cluster, topic: str, segment: Segment, members: list[Host]) -> bool:
    """Whether every member of a set runs, or is none of the cluster any more: only then what losses of power have left
    is gone by.
    """
    able = [host.node_id for host in members]
    able += [host.node_id for host in cluster.core if is_lost(host, topic, segment.number)]
    views: list[Any] = [view for host in cluster.core if (view := probe.raft(host)) is not None]
    for node, storage in segment.members:
        there = any((known := view.membership.get(node)) and known.storage == storage for view in views)
        if there and (node not in able or (node, storage) in cluster.lost_members):
            return False
    return segment.durability != ALWAYS


def is_lost(host: Host, topic: str, number: int) -> bool:
    """Whether a node knows that its copy is lost, and the ledger of its disk says why."""
    replica = probe.replica(host, topic, number)
    return replica is not None and replica.state == LOST and segment_path((topic, number)) in host.disk.damage.hurt


def _holds_all(host: Host, topic: str, segment: Segment) -> bool:
    """Whether its file has all records that count. Of a damaged copy that the node has begun to fill again, from a peer
    that may be damaged next, the old bytes count no more.
    """
    path, replica = segment_path((topic, segment.number)), probe.replica(host, topic, segment.number)
    given_up = replica is not None and (
        replica.state == LOST or (replica.state == READY and replica.durable_length < segment.count)
    )
    if given_up and path in host.disk.damage.hurt:
        return False
    data = host.disk.files.get(path, b"")
    return records_on(bytes(data)) >= segment.count


def _quorums(segment: Segment) -> tuple[int, int]:
    size = len(segment.members)
    return size // 2 + 1, size - size // 2
