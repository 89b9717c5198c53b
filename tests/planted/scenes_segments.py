"""What the bugs in writing, sealing and recovering segments change, and those in leases."""

from core_node import World
from scene import shows
from segment_fixtures import (
    KEY,
    TOPIC,
    Wire,
    leading_raft,
    member,
    members,
    metadata_with,
    pending,
    proposed,
    raft_of,
    register,
    sealed,
    settings,
    writer_of,
)
from segment_owner import Owner
from segment_writing import Writing

from walrus.core.config import MS, SECOND
from walrus.core.lease import Lease, LeaseTable
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import OPEN, ChangeSet, CommitCursors, Seal
from walrus.core.metadata.state import Metadata
from walrus.core.segment.messages import ACCEPTED, DONE, GAP, MOVED, REFUSED, UNKNOWN, AppendAck, FenceReply
from walrus.core.segment.recovery import SPARES_AFTER_NS, Recoveries
from walrus.core.segment.upkeep import Upkeep
from walrus.core.segment.writers import Writers
from walrus.core.wallclock import WallClock

# --- leases ---


def heard() -> Lease:
    """A holder whose answer of 100 ns was confirmed at 5,000 ns."""
    lease = Lease(settings(1), raft_of(2, (1, 2, 3)))
    lease.heartbeat(2, 1, 0, 100)
    lease.heartbeat(2, 2, 1, 5000)
    return lease


@shows("lease-from-receipt", sound=100, broken=5000)
def an_answer_is_confirmed() -> object:
    return heard().until_ns(5000) - settings(1).lease_ns


@shows("endless-lease", sound=False, broken=True)
def a_lease_was_granted_long_ago() -> object:
    return heard().valid(60 * SECOND)


@shows("impatient-leader", sound=False, broken=True)
def a_leader_was_elected_just_now() -> object:
    table = LeaseTable(settings(1))
    table.elected(0)
    return table.lapsed(2, 1 * MS)


@shows("no-drift-margin", sound=False, broken=True)
def a_lease_has_just_ended_by_the_leaders_own_clock() -> object:
    table = LeaseTable(settings(1))
    table.answered(2, 0)
    return table.lapsed(2, settings(1).lease_ns)


@shows("pause-prolongs-lease", sound=False, broken=True)
def a_process_stood_still() -> object:
    running = World().start().node.running
    assert running is not None
    before = running.lease._until_ns
    running.notice_stall(10 * SECOND)
    return running.lease._until_ns > before


@shows("reads-without-lease", sound=0, broken=1)
def a_get_comes_to_a_writer_without_a_lease() -> object:
    owner = Owner(b"a", lease=False)
    owner.get(1)
    return len(owner.reads())


# --- the writer ---


def wrote(*nodes: int) -> Writing:
    """A writer whose one record its own copy holds, and no other."""
    writing = Writing(*nodes)
    writing.put(b"a")
    writing.ack(1, 1)
    return writing


@shows("seal-before-drain", sound=False, broken=True)
def a_segment_is_told_to_roll_while_a_record_is_under_way() -> object:
    writing = wrote()
    writing.writer.roll()
    return writing.writer.ready_to_seal


@shows("one-copy-acknowledges", sound=[], broken=[(DONE, [b"a"])])
def one_copy_of_three_holds_a_record() -> object:
    return wrote().results()


@shows("refusal-counted", sound=[], broken=[(DONE, [b"a"])])
def a_copy_refuses_a_batch_because_of_a_gap() -> object:
    writing = wrote()
    writing.ack(2, 1, GAP)
    return writing.results()


@shows("no-joint-quorum", sound=[], broken=[(DONE, [b"a"])])
def a_record_is_written_while_a_set_change_is_proposed() -> object:
    writing = Writing(1)
    writing.writer.begin_change(members(1, 2, 3))
    assert writing.writer.propose_change() is not None
    writing.put(b"a")
    writing.ack(1, 1)
    return writing.results()


@shows("set-change-too-early", sound=False, broken=True)
def a_new_member_holds_nothing_yet() -> object:
    writing = wrote(1)
    writing.writer.begin_change(members(1, 2))
    return writing.writer.propose_change() is not None


@shows("old-stay-counted", sound=0, broken=1)
def a_copy_answers_under_the_set_before() -> object:
    writing = wrote()
    writing.writer.begin_change(members(1, 2, 4))
    ack = AppendAck(TOPIC, 1, 0, ACCEPTED, 1, 0, 1)
    writing.writer.acknowledged(member(4), ack, 0)
    return writing.writer.targets[4].match


@shows("moved-after-sent", sound=[(UNKNOWN, [b"a"])], broken=[(MOVED, [b"a"])])
def a_writer_stops_while_a_record_is_under_way() -> object:
    writing = wrote()
    writing.writer.stop()
    return writing.results()


@shows("timeout-called-refusal", sound=[(UNKNOWN, [b"a"])], broken=[(REFUSED, [b"a"])])
def a_record_that_was_sent_is_not_acknowledged_in_time() -> object:
    writing = Writing()
    writing.writer.put(pending(b"a", 10))
    writing.writer.flush(0, 0, lease=True)
    writing.writer.tick(20)
    return writing.results()


def writers_of(owner: Owner, incarnation: int = 1) -> Writers:
    """Those of node 1's process lifetime ``incarnation``."""
    return Writers(
        owner.wire.out, owner.config, writer_of(1, incarnation), owner.metadata, owner.raft, owner.lease,
        owner.liveness, owner.proposals, owner.cursors,
    )  # fmt: skip


@shows("restarted-writer-resumes", sound=(0, 0), broken=(1, 3))
def a_node_starts_again_on_an_open_segment_of_which_it_holds_three_records() -> object:
    owner = Owner()
    assert owner.metadata.apply(register(1, 2)) == ""
    writers = writers_of(owner, 2)
    writers.tick(0)
    writers.acknowledged(member(1), AppendAck(TOPIC, 1, 0, ACCEPTED, 3, 0, 1), 0)
    writer = writers.get(KEY)
    return writers.count, writer.acked if writer is not None else 0


@shows("set-change-given-up", sound=True, broken=False)
def a_proposed_set_change_takes_long() -> object:
    owner = Owner()
    writers = writers_of(owner)
    writers.changed(TOPIC, owner.metadata.topics[TOPIC].last)
    writer = writers.get(KEY)
    assert writer is not None
    writer.begin_change(members(1, 2, 4))
    writers.flush(0, 0)
    assert writer.joint
    writers.tick(400 * MS)
    return writer.joint


# --- recovery, upkeep, metadata ---


class Recovering:
    """Node 2 leads, and recovers logs:1, whose writer's lease has lapsed; ``copies`` are all to be fenced."""

    def __init__(self, copies: tuple[int, ...] = (1, 2, 3)) -> None:
        self.metadata = metadata_with(1, 2, 3, copies=copies)
        self.raft = leading_raft(2, (1, 2, 3))
        self.leases = LeaseTable(settings(2))
        self.recoveries = Recoveries(Wire(2).out, settings(2), self.metadata, self.raft, self.leases, WallClock())
        self.recoveries.tick(0)
        assert self.metadata.apply(proposed(self.raft)[-1]) == ""
        self.recoveries.changed(TOPIC, self.metadata.topics[TOPIC].last, 0)

    def answer(self, node: int, length: int) -> None:
        self.recoveries.answered(member(node), FenceReply(TOPIC, 1, 1, ACCEPTED, length), 0)

    def sealed_at(self) -> list[int]:
        """The counts proposed."""
        return [command.count for command in proposed(self.raft) if isinstance(command, Seal)]


@shows("tail-from-one-fence", sound=-1, broken=3)
def one_of_three_copies_answers_the_fence() -> object:
    recovering = Recovering()
    recovering.answer(2, 3)
    return recovering.recoveries._running[KEY].tail


@shows("publish-before-repair", sound=[], broken=[3])
def one_of_two_fenced_copies_holds_the_tail() -> object:
    recovering = Recovering()
    recovering.answer(2, 3)
    recovering.answer(3, 1)
    return recovering.sealed_at()


@shows("spare-for-ever", sound=[members(2, 3), members(1, 2)], broken=[members(2, 3), members(2, 3)])
def a_spare_dies_and_the_member_that_it_stands_in_for_comes_back() -> object:
    recovering = Recovering(copies=(1, 2))
    recovering.answer(2, 3)
    seen = []
    for live, at_ns in ((3, SPARES_AFTER_NS), (1, SPARES_AFTER_NS + 2 * SECOND)):
        recovering.leases.answered(live, at_ns)
        recovering.recoveries.tick(at_ns)
        seen.append(recovering.recoveries._running[KEY].members)
    return seen


@shows("sealed-set-change-unproved", sound=[], broken=[members(1, 2, 3)])
def a_sealed_segment_is_to_get_two_more_members() -> object:
    metadata = metadata_with(1, 2, 3, copies=(1,))
    sealed(metadata, 5)
    raft = leading_raft(1, (1, 2, 3))
    liveness = Liveness(0)
    liveness.told((1, 2, 3), 0)
    Upkeep(Wire(1).out, settings(1), metadata, raft, liveness).tick(0)
    return [command.members for command in proposed(raft) if isinstance(command, ChangeSet)]


def refusals(metadata: Metadata, command: Seal | ChangeSet | CommitCursors, times: int) -> list[bool]:
    return [metadata.apply(command) != "" for _ in range(times)]


@shows("rollover-unconditional", sound=[False, True], broken=[False, False])
def a_rollover_is_proposed_twice() -> object:
    seal = Seal(TOPIC, 1, OPEN, 0, 2, members(1, 2, 3), writer_of(2), members(1, 2, 3), None)
    return refusals(metadata_with(1, 2, 3), seal, 2)


@shows("set-change-unconditional", sound=[False, True], broken=[False, False])
def a_set_change_is_proposed_twice() -> object:
    return refusals(metadata_with(1, 2, 3), ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 2)), 2)
