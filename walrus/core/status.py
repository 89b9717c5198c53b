"""What the node tells about itself: STATE of a topic, METRICS, the health page."""

from typing import Any

import msgspec

from walrus.core.config import NodeConfig
from walrus.core.metadata.commands import OPEN, SEALED, STATE_NAMES
from walrus.core.metadata.durability import durability_text
from walrus.core.metadata.overrides import UnsafeRecovery
from walrus.core.metadata.settings import DURABILITY, NAMES, TopicSettings
from walrus.core.metadata.state import Topic
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import Role
from walrus.core.raft.raft import Raft

_ROLE_NAMES = {
    Role.LEADER: "Leader",
    Role.FOLLOWER: "Follower",
    Role.PRE_CANDIDATE: "Candidate",
    Role.CANDIDATE: "Candidate",
    Role.LEARNER: "Learner",
}


def to_json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def topic_state(topic: Topic, recoveries: tuple[UnsafeRecovery, ...] = ()) -> dict[str, Any]:
    """The original's five keys, and what replication adds. Map keys are strings; segments start at 1."""
    last = topic.last
    sealed = {str(s.number): s.count for s in topic.segments if s.state == SEALED}
    return {
        "current_segment": last.number,
        "leader_node": last.writer[0],
        "last_sealed_entry_offset": last.base,
        "sealed_segments": sealed,
        "segment_leaders": {str(s.number): s.writer[0] for s in topic.segments},
        "segment_replicas": {str(s.number): [m[0] for m in s.members] for s in topic.segments},
        "segment_state": STATE_NAMES[last.state],
        "epoch": last.epoch,
        "cursor": topic.cursor,
        "earliest_segment": topic.first.number,
        "earliest_offset": topic.first.base,
        **settings(topic.settings),
        "unsafe_recoveries": unsafe_recoveries(recoveries, topic.name),
        "current_durability": durability_text(last.durability),
        "power_cut_segments": [s.number for s in topic.segments if s.power_cut],
    }


def unsafe_recoveries(recoveries: tuple[UnsafeRecovery, ...], topic: str = "") -> list[dict[str, Any]]:
    """Each time that an operator overrode a lost majority, the oldest first; records lost of one topic, or of all."""
    return [
        {
            "term": recovery.term,
            "index": recovery.index,
            "time_ms": recovery.wall_ms,
            "by": recovery.by,
            "node": recovery.node,
            "nodes_given_up": list(recovery.given_up),
            "sealed_records_lost": sum(records for name, _, records in recovery.lost if topic in ("", name)),
        }
        for recovery in recoveries
    ]


def settings(of_topic: TopicSettings) -> dict[str, Any]:
    """null: no limit."""
    limits = {name: getattr(of_topic, name) or None for name in NAMES if name != DURABILITY}
    return {**limits, DURABILITY: durability_text(of_topic.durability)}


def topic_info(topic: Topic) -> dict[str, Any]:
    """INFO: the settings, and what retention goes by. Records and bytes are those of sealed segments."""
    sealed = topic.segments[:-1]
    return {
        "topic": topic.name,
        **settings(topic.settings),
        "sealed_segments": len(sealed),
        "sealed_records": sum(segment.count for segment in sealed),
        "sealed_bytes": sum(segment.size_bytes for segment in sealed),
        "oldest_sealed_ms": sealed[0].sealed_ms if sealed else None,
        "earliest_segment": topic.first.number,
        "earliest_offset": topic.first.base,
        "current_segment": topic.last.number,
        "power_cut_segments": [s.number for s in topic.segments if s.power_cut],
    }


def _membership(membership: Membership) -> dict[str, Any]:
    return {
        "membership": {
            "configs": [list(membership.voters)],
            "nodes": {str(m.node): {"addr": m.address} for m in membership.members},
        }
    }


def raft_metrics(raft: Raft, config: NodeConfig) -> dict[str, Any]:
    """The keys of the original, from this node's own view."""
    leads = raft.role is Role.LEADER
    replication: dict[str, Any] | None = None
    if leads:
        replication = {str(node): {"index": progress.match_index} for node, progress in raft.progress.items()}
        replication[str(raft.node_id)] = {"index": raft.log.last_index}
        replication = dict(sorted(replication.items(), key=lambda item: int(item[0])))
    return {
        "id": raft.node_id,
        "state": _ROLE_NAMES[raft.role],
        "current_leader": raft.leader or None,
        "current_term": raft.term,
        "last_log_index": raft.log.last_index,
        "commit_index": raft.commit_index,
        "last_applied": raft.applied_index,
        "snapshot_index": raft.snapshot.index if raft.snapshot is not None else 0,
        "first_log_index": raft.log.first_index,
        "membership_config": _membership(raft.committed_membership),
        "replication": replication,
        "version": config.version,
    }


def open_segments(topics: dict[str, Topic]) -> int:
    return sum(topic.last.state == OPEN for topic in topics.values())


def durabilities(topics: dict[str, Topic]) -> dict[str, int]:
    """How many topics have which mode; intervals of all lengths are one."""
    found = {"always": 0, "interval": 0, "never": 0}
    for topic in topics.values():
        found[durability_text(topic.settings.durability).partition(":")[0]] += 1
    return found
