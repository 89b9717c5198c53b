"""What the bugs in retention and deletion change."""

from core_node import World
from scene import shows
from segment_copies import Copies, one
from segment_fixtures import TOPIC, Wire, leading_raft, members, settings, writer_of

from walrus.core.config import MS
from walrus.core.lease import LeaseTable
from walrus.core.metadata.commands import ConfigureTopic, CreateTopic, RemoveTopic, Seal, TrimTopic, encode
from walrus.core.metadata.settings import TopicSettings
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Propose
from walrus.core.proposals import Proposals
from walrus.core.segment.messages import CLOSED, AppendAck


def sealed(*counts: int, keeps: int) -> Metadata:
    """A topic with sealed segments of so many records, which keeps so many."""
    metadata = Metadata()
    metadata.apply(CreateTopic(TOPIC, writer_of(1), members(1), TopicSettings(retention_records=keeps)))
    for number, count in enumerate(counts, 1):
        metadata.apply(Seal(TOPIC, number, 0, 0, count, members(1), writer_of(1), members(1), None))
    return metadata


@shows("segment-numbers-again", sound=[3], broken=[1])
def a_topic_is_made_anew() -> object:
    metadata = sealed(2, keeps=0)
    metadata.apply(RemoveTopic(TOPIC, 1))
    metadata.apply(CreateTopic(TOPIC, writer_of(1), members(1)))
    return [segment.number for segment in metadata.topics[TOPIC].segments]


@shows("retention-counts-what-goes", sound=2, broken=4)
def a_limit_that_the_last_two_of_three_segments_just_fill() -> object:
    return sealed(3, 2, 2, keeps=4).topics[TOPIC].removable(0)


@shows("trim-not-asked-again", sound=1, broken=2)
def a_limit_is_raised_while_a_removal_is_under_way() -> object:
    metadata = sealed(3, 2, 2, keeps=4)
    metadata.apply(ConfigureTopic(TOPIC, 1, 0, retention_records=100))
    metadata.apply(TrimTopic(TOPIC, 1, 2, 0))
    return metadata.topics[TOPIC].first.number


@shows("deletion-told-at-once", sound=0, broken=1)
def a_deletion_is_applied_by_the_leader_alone() -> object:
    wire, raft = Wire(1), leading_raft(1, (1, 2, 3))
    proposals, leases = Proposals(wire.out, raft), LeaseTable(settings(1))
    leases.elected(0)
    proposals.requested(2, Propose(7, encode(RemoveTopic(TOPIC, 1))), 0)
    proposals.committed(raft.log.last_index, raft.term, "")
    proposals.settle(leases, 1)
    return len(wire.sent())


@shows("deleted-records-cached", sound=[b"EMPTY"], broken=[b"OK old"])
def a_record_was_read_before_its_topic_was_deleted_and_made_anew() -> object:
    world = World().start().sleep(500 * MS)
    for request in (b"PUT logs old", b"FETCH logs 1 0", b"DELETE logs", b"REGISTER logs"):
        world.ask(request)
    return world.ask(b"GET logs")


@shows("gone-segment-admitted", sound=[(1, AppendAck(TOPIC, 1, 0, CLOSED, 0, 0, 0))], broken=[])
def a_batch_comes_after_its_topic_was_deleted() -> object:
    copies = Copies()
    copies.metadata.apply(RemoveTopic(TOPIC, 1))
    copies.append(0, one(0, b"late"))
    return copies.said()
