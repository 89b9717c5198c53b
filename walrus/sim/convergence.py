"""Is the cluster well again? What is still missing, and what is left over.

Two questions. *Well*: one Raft leader, everyone a voter with everything applied, every segment open or SEALED
with a full replica set, every member of a SEALED one with all its records durable; damage of those must have been
found, whether anybody reads them or not, and repaired. *Nothing left over*, once the clients have gone: no request,
proposal, repair or held-back message waits for anything.
"""

from typing import Any, Final

from walrus.core.metadata.commands import DRAINING, LEAVING, NODE_STATE_NAMES, OPEN, SEALED, STATE_NAMES
from walrus.core.metadata.placement import holdings, staying
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.raft.output import Role
from walrus.core.segment.replica import LOST, segment_key, segment_path
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.damage import records_on
from walrus.sim.healing import bury, is_lost
from walrus.sim.host import Host
from walrus.sim.world import Violation

_TARGET_REPLICAS: Final = 3
_HELD_MOST: Final = 5  # a slow follower holds back four times what may lie between two snapshots
_HELD_SLACK: Final = 100  # entries that came in one go while a snapshot was being written


def unsettled(cluster: Cluster, excused: dict[str, int]) -> str:
    """What is still missing for a healthy cluster; empty if nothing is. ``excused``: see :mod:`walrus.sim.healing`.

    Raises :class:`Violation` where a node runs that cannot, or judges a copy lost that is not.
    """
    bury(cluster)
    core = cluster.core
    for host in core:
        if not host.up:
            return f"node {host.node_id} is down"
        if probe.is_full(host):
            return f"node {host.node_id} says that its disk is full"
        if host.disk.damage.fatal and probe.raft(host) is not None:
            raise Violation(f"recovery: node {host.node_id} runs in spite of {host.disk.damage.fatal}")
    views = []
    for host in core:
        view, state = probe.raft(host), probe.metadata(host)
        if view is not None and state is not None:
            views.append((host, view, state))
    if not any(hasattr(host.node, "raft") for host in core):
        return ""  # the small nodes of the tests
    if len(views) < len(core):
        return "a node has not begun"
    leaders = [host.node_id for host, view, _ in views if view.role is Role.LEADER]
    if len(leaders) != 1:
        return f"Raft leaders: {leaders}"
    for host, view, _ in views:
        voters = view.membership.voters
        if any(other.node_id not in voters for other in core) or voters != views[0][1].membership.voters:
            return f"voters on node {host.node_id} are {voters}, not all that run"
        if view.applied_index != views[0][1].applied_index or view.applied_index != view.log.last_index:
            return f"node {host.node_id} has applied {view.applied_index} of {view.log.last_index} entries"
    return _unsettled_segments(cluster, views[0][2], views[0][1].membership.voters, excused) or _kept_files(
        cluster, views[0][2]
    )


def _kept_files(cluster: Cluster, state: Metadata) -> str:
    """Files of segments that are gone."""
    for host in cluster.core:
        for path in host.disk.files:
            key = segment_key(path)
            if key is not None and state.is_gone(*key):
                return f"node {host.node_id} still has {path}, whose segment is gone"
    return ""


def _unsettled_segments(cluster: Cluster, state: Metadata, voters: tuple[int, ...], excused: dict[str, int]) -> str:
    """Everyone has applied the same, so one node's state is everybody's."""
    running = [host.node_id for host in cluster.core]
    if why := _still_there(cluster, state, excused):
        return why
    size = min(_TARGET_REPLICAS, len(staying(state.nodes, voters)), len(running))
    for topic in state.topics.values():
        for segment in topic.segments:
            if segment.base >= excused.get(topic.name, segment.base + 1):
                break
            _check_lost(cluster, topic.name, segment)
            where = f"segment {topic.name}:{segment.number}"
            if segment.state not in (OPEN, SEALED):
                return f"{where} is {STATE_NAMES[segment.state]} at epoch {segment.epoch}"
            if segment.state == OPEN and not _has_writer(cluster, segment):
                return f"{where} is OPEN, and its writer {segment.writer} does not run"
            if sum(node in running for node, _ in segment.members) < size:
                return f"{where} has the replica set {segment.members}, not {size} members that run"
            if segment.state == SEALED and (why := _incomplete(cluster, topic.name, segment)):
                return f"{where}: {why}"
    return ""


def _still_there(cluster: Cluster, state: Metadata, excused: dict[str, int]) -> str:
    """Who is drained has nothing any more, and who was to leave has left. Unless nodes are broken for good, then those
    that stay may be too few; or copies are out of reach, for they cannot be moved.
    """
    if cluster.broken or excused:
        return ""
    for info in state.nodes.values():
        if info.state >= LEAVING:
            return f"node {info.node} is {NODE_STATE_NAMES[info.state]}, and still there"
        if info.state == DRAINING and (held := holdings(state, info.member)):
            return f"node {info.node} is drained, and has segments of {held}"
    return ""


def _has_writer(cluster: Cluster, segment: Segment) -> bool:
    """Whether the process that writes the segment is one of those that run."""
    node = segment.writer[0]
    running: Any = getattr(cluster.host(node).node, "running", None)
    return node not in cluster.broken and running is not None and running.me == segment.writer


def _incomplete(cluster: Cluster, topic: str, segment: Segment) -> str:
    path = segment_path((topic, segment.number))
    for node, _ in segment.members:
        host = cluster.host(node)
        if node in cluster.broken:
            continue
        replica = probe.replica(host, topic, segment.number)
        if replica is None or not replica.complete:
            return f"the copy on node {node} is not known to hold all {segment.count} records"
        if segment.count and host.disk.damage.on(path):  # of no records none can be damaged
            return f"the copy on node {node} is damaged, and is not found or not repaired"
    return ""


def _check_lost(cluster: Cluster, topic: str, segment: Segment) -> None:
    """Only what was damaged is lost."""
    for host in [cluster.host(node) for node, _ in segment.members]:
        replica = probe.replica(host, topic, segment.number)
        if replica is not None and replica.state == LOST and not is_lost(host, topic, segment.number):
            raise Violation(
                f"recovery: node {host.node_id} judges its copy of {topic}:{segment.number} lost, and nothing befell it"
            )


def check_copies(cluster: Cluster, excused: dict[str, int]) -> None:
    """What nodes believe of SEALED copies must be true of their disks: read the files.

    Raises :class:`Violation`. Only for a cluster that is well.
    """
    for state in [probe.metadata(host) for host in cluster.core[:1]]:
        for topic in state.topics.values() if state is not None else ():
            for segment in topic.segments[:-1]:
                if segment.base >= excused.get(topic.name, segment.base + 1):
                    break
                for host in [cluster.host(node) for node, _ in segment.members if node not in cluster.broken]:
                    path = segment_path((topic.name, segment.number))
                    found = records_on(bytes(host.disk.files.get(path, b"")))
                    if found != segment.count and not host.disk.damage.on(path):
                        raise Violation(
                            f"copies: node {host.node_id} believes its copy of {topic.name}:{segment.number} complete, "
                            f"and its file holds {found} of {segment.count} records"
                        )


def _overgrown(host: Host) -> str:
    """Whether the log of a node is longer than snapshots let it become, once nothing is under way."""
    view = probe.raft(host)
    if view is None:
        return ""
    entries_max = host.config.snapshot_entries
    covered = view.snapshot.index if view.snapshot is not None else 0
    held = view.log.last_index - view.log.snapshot_index
    if view.applied_index - covered >= entries_max or held > _HELD_MOST * entries_max + _HELD_SLACK:
        return (
            f"node {host.node_id} holds {held} log entries, {view.applied_index - covered} of them behind its "
            f"snapshot, which is due every {entries_max}"
        )
    return ""


def left_over(cluster: Cluster, excused: dict[str, int]) -> str:
    """What waits for something although the faults are over and no client is there; empty if nothing does."""
    for host in cluster.core:
        if host.held_back:
            return f"node {host.node_id} holds {host.held_back} messages back for writes that never come"
        running: Any = getattr(host.node, "running", None)
        if running is None:
            continue
        for what, count in (
            ("requests of clients", running.waiting()),
            ("proposals", running.proposals.waiting),
            ("reads of records", running.fetcher.waiting),
            ("repairs of copies", 0 if excused else running.repairs.waiting),
        ):
            if count:
                return f"node {host.node_id} still has {count} {what} waiting"
        if not excused and (stuck := running.recoveries.stuck()):
            return f"node {host.node_id} cannot seal {stuck}"
        if why := _overgrown(host) or _of_gone_segment(host):
            return why
    return ""


def _of_gone_segment(host: Host) -> str:
    """A file of a segment that is gone, which nothing would ever remove once all that was under way has come."""
    state = probe.metadata(host)
    for path in host.disk.files if state is not None else ():
        key = segment_key(path)
        if key is not None and state is not None and state.is_gone(*key):
            return f"node {host.node_id} has the file {path} of a segment that is gone"
    return ""
