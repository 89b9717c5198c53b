"""What changes where a clause of the data path's rules is taken out."""

from scene import shows
from scenes_segments import KEY, Recovering, refusals, wrote
from segment_copies import Copies, one
from segment_fixtures import TOPIC, Wire, leading_raft, member, members, metadata_with, proposed, sealed, settings
from segment_writing import Writing

from walrus.core.lease import LeaseTable
from walrus.core.metadata.commands import OPEN, SEALING, BeginSealing, ChangeSet, CommitCursors, CursorCommit
from walrus.core.metadata.state import Metadata
from walrus.core.segment.messages import UNKNOWN, UNTRUSTED, FenceReply
from walrus.core.segment.recovery import Recoveries
from walrus.core.wallclock import WallClock


@shows("gap-admitted", sound=0, broken=2)
def a_batch_starts_behind_the_end_of_a_copy() -> object:
    copies = Copies()
    copies.append(1, one(1, b"b"))
    return copies.replica.length


@shows("duplicate-truncates", sound=2, broken=1)
def the_first_of_two_batches_comes_again() -> object:
    copies = Copies().filled(b"a", b"b")
    copies.append(0, one(0, b"a"))
    return copies.replica.length


@shows("stopped-writer-silent", sound=[(UNKNOWN, [b"a"])], broken=[])
def a_writer_with_a_record_under_way_sees_its_segment_sealing() -> object:
    writing = wrote()
    writing.writer.stop()
    return writing.results()


def sealing() -> Metadata:
    """Node 2 recovers logs:1 at epoch 1."""
    metadata = metadata_with(1, 2, 3)
    assert metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 2, 1)) == ""
    return metadata


@shows("set-changes-while-sealing", sound=members(1, 2, 3), broken=members(1, 2))
def a_set_change_comes_late() -> object:
    metadata = sealing()
    metadata.apply(ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 2)))
    return metadata.topics[TOPIC].last.members


@shows("recovery-of-an-earlier-set", sound=members(1, 2), broken=members(1, 2, 3))
def the_set_changes_between_a_recoverers_proposal_and_its_commitment() -> object:
    metadata = metadata_with(1, 2, 3)
    raft = leading_raft(2, (1, 2, 3))
    recoveries = Recoveries(Wire(2).out, settings(2), metadata, raft, LeaseTable(settings(2)), WallClock())
    recoveries.tick(0)
    assert metadata.apply(ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 2))) == ""
    assert metadata.apply(proposed(raft)[-1]) == ""
    recoveries.changed(TOPIC, metadata.topics[TOPIC].last, 0)
    return recoveries._running[KEY].frozen


@shows("epoch-reused", sound=2, broken=1)
def a_second_recoverer_takes_over() -> object:
    metadata = sealing()
    assert metadata.apply(BeginSealing(TOPIC, 1, SEALING, 1, 3, 2)) == ""
    return metadata.topics[TOPIC].last.epoch


@shows("own-copy-unfenced", sound=0, broken=1)
def a_batch_of_its_own_node_comes_to_a_fenced_copy() -> object:
    copies = Copies()
    copies.fence(1)
    copies.settle()
    copies.append(0, one(0, b"a"), sender=2)
    return copies.replica.length


@shows("tail-from-the-shortest", sound=3, broken=1)
def two_copies_of_different_length_answer_the_fence() -> object:
    recovering = Recovering()
    recovering.answer(2, 3)
    recovering.answer(3, 1)
    return recovering.recoveries._running[KEY].tail


@shows("seal-during-set-change", sound=False, broken=True)
def a_segment_is_told_to_roll_while_its_set_change_is_proposed() -> object:
    writing = Writing(1)
    writing.writer.begin_change(members(1, 2))
    assert writing.writer.propose_change() is not None
    writing.writer.roll()
    return writing.writer.ready_to_seal


@shows("lost-copy-trusted", sound={}, broken={member(3): 0})
def a_member_answers_that_its_copy_is_lost() -> object:
    recovering = Recovering()
    recovering.recoveries.answered(member(3), FenceReply(TOPIC, 1, 1, UNTRUSTED, 0), 0)
    return recovering.recoveries._running[KEY].lengths


@shows("cursor-commit-unconditional", sound=[True], broken=[False])
def a_cursor_is_committed_for_a_segment_that_is_sealed() -> object:
    metadata = metadata_with(1, 2, 3)
    writer = metadata.topics[TOPIC].last.writer
    sealed(metadata, 2)
    return refusals(metadata, CommitCursors(writer, (CursorCommit(TOPIC, 1, 1, 1),)), 1)
