"""Is the cluster well again? What is still missing, and what is left over.

Two questions. *Well*: one Raft leader, everyone a voter with everything applied, every segment open or SEALED
with a full replica set, every member of a SEALED one with all its records durable. *Nothing left over*, once
the clients have gone: no request, proposal, repair or held-back message waits for anything.
"""

from typing import Any, Final

from walrus.core.metadata.commands import OPEN, SEALED, STATE_NAMES
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.raft.output import Role
from walrus.core.storage import blocks
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.world import Violation

_TARGET_REPLICAS: Final = 3


def unsettled(cluster: Cluster) -> str:
    """What is still missing for a healthy cluster; empty if nothing is.

    Raises :class:`Violation` where a copy is said to be complete and its file says otherwise.
    """
    for host in cluster.hosts:
        if not host.up:
            return f"node {host.node_id} is down"
    views = []
    for host in cluster.hosts:
        view, state = probe.raft(host), probe.metadata(host)
        if view is not None and state is not None:
            views.append((host, view, state))
    if not views:
        return ""
    if len(views) < len(cluster.hosts):
        return "a node has not begun"
    leaders = [host.node_id for host, view, _ in views if view.role is Role.LEADER]
    if len(leaders) != 1:
        return f"Raft leaders: {leaders}"
    everyone = tuple(host.node_id for host in cluster.hosts)
    for host, view, _ in views:
        if view.membership.voters != everyone:
            return f"voters on node {host.node_id} are {view.membership.voters}, not {everyone}"
        if view.applied_index != views[0][1].applied_index or view.applied_index != view.log.last_index:
            return f"node {host.node_id} has applied {view.applied_index} of {view.log.last_index} entries"
    return _unsettled_segments(cluster, views[0][2])


def _unsettled_segments(cluster: Cluster, state: Metadata) -> str:
    """Everyone has applied the same, so one node's state is everybody's."""
    size = min(_TARGET_REPLICAS, len(cluster.hosts))
    for topic in state.topics.values():
        for segment in topic.segments:
            where = f"segment {topic.name}:{segment.number}"
            if segment.state not in (OPEN, SEALED):
                return f"{where} is {STATE_NAMES[segment.state]} at epoch {segment.epoch}"
            if len(segment.members) != size:
                return f"{where} has the replica set {segment.members}, not {size} members"
            if segment.state == SEALED and (why := _incomplete(cluster, topic.name, segment)):
                return f"{where}: {why}"
    return ""


def _incomplete(cluster: Cluster, topic: str, segment: Segment) -> str:
    for node, _ in segment.members:
        host = cluster.host(node)
        replica = probe.replica(host, topic, segment.number)
        if replica is None or not replica.complete:
            return f"the copy on node {node} is not known to hold all {segment.count} records"
    return ""


def check_copies(cluster: Cluster) -> None:
    """What nodes believe of SEALED copies must be true of their disks: read the files.

    Raises :class:`Violation`. Only for a cluster that is well.
    """
    for state in [probe.metadata(host) for host in cluster.hosts[:1]]:
        for topic in state.topics.values() if state is not None else ():
            for segment in topic.segments[:-1]:
                for node, _ in segment.members:
                    found = _records_on_disk(cluster.host(node), topic.name, segment.number)
                    if found != segment.count:
                        raise Violation(
                            f"copies: node {node} believes its copy of {topic.name}:{segment.number} complete, "
                            f"and its file holds {found} of {segment.count} records"
                        )


def _records_on_disk(host: Host, topic: str, number: int) -> int:
    data = bytes(host.disk.files.get(f"user_data/{topic}:{number}.wal", b""))
    position, records = blocks.FILE_HEADER_BYTES, 0
    while (block := blocks.block_at(data, position)) is not None and block.base == records:
        records += block.count
        position += block.size
    return records


def left_over(cluster: Cluster) -> str:
    """What waits for something although the faults are over and no client is there; empty if nothing does."""
    for host in cluster.hosts:
        if host.held_back:
            return f"node {host.node_id} holds {host.held_back} messages back for writes that never come"
        running: Any = getattr(host.node, "running", None)
        if running is None:
            continue
        for what, count in (
            ("requests of clients", running.waiting()),
            ("proposals", running.proposals.waiting),
            ("reads of records", running.fetcher.waiting),
            ("repairs of copies", running.repairs.waiting),
        ):
            if count:
                return f"node {host.node_id} still has {count} {what} waiting"
        if stuck := running.recoveries.stuck():
            return f"node {host.node_id} cannot seal {stuck}"
    return ""
