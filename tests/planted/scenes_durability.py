"""What the bugs in topics that acknowledge without a sync change."""

from scene import shows
from segment_copies import PATH, Copies, one
from segment_fixtures import TOPIC, member
from segment_writing import Writing
from test_segment_recovery import Recovering

from walrus.core.config import MS
from walrus.core.metadata.durability import NEVER
from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, AppendAck, FenceReply
from walrus.core.storage.catalogue import CATALOGUE_PATH


def unsynced(mode: int = NEVER) -> Copies:
    """A copy of two records, the second of which was not synced."""
    copies = Copies()
    for base in (0, 1):
        copies.append(base, one(base, b"x"), durability=mode)
        copies.settle()
    copies.said()
    return copies


def _fenced_after_a_power_cut() -> object:
    copies = unsynced()
    copies.boot_id = "second boot"
    copies.start()
    copies.fence(1)
    copies.settle()
    return [message.status for _, message in copies.said() if isinstance(message, FenceReply)]


shows("doubtful-copy-counted", sound=[UNTRUSTED], broken=[ACCEPTED])(_fenced_after_a_power_cut)
shows("boot-id-ignored", sound=[UNTRUSTED], broken=[ACCEPTED])(_fenced_after_a_power_cut)


@shows("interval-never-ends", sound=[True], broken=[])
def an_interval_is_over() -> object:
    copies = unsynced(mode=5)
    copies.store.syncs.schedule(0)
    copies.store.syncs.tick(5 * MS)
    copies.store.flush()
    return copies.syncs()


@shows("clean-mark-too-early", sound=[f"Write {PATH}"], broken=[f"Write {CATALOGUE_PATH}"])
def a_node_that_stops_syncs_its_copies() -> object:
    copies = unsynced()
    copies.store.syncs.rest()
    copies.store.flush()
    return copies.waiting()


@shows("deferred-before-it-is-noted", sound=[True], broken=[False])
def the_first_batch_of_a_segment_arrives() -> object:
    copies = Copies()
    copies.append(0, one(0, b"x"), durability=NEVER)
    return copies.syncs()


@shows("mark-of-unsynced", sound=1, broken=2)
def marks_are_noted_while_a_record_is_unsynced() -> object:
    copies = Copies(mark_interval_ns=1)
    for base in (0, 1):
        copies.append(base, one(base, b"x"), durability=NEVER)
        copies.settle()
    copies.store.notes.tick(1 << 40)
    return copies.replica.marked


@shows("sealed-unsynced", sound=False, broken=True)
def a_segment_is_told_to_roll_and_its_copies_have_synced_nothing() -> object:
    writing = Writing(1, 2, 3)
    writing.put(b"a")
    for node in (1, 2):
        ack = AppendAck(TOPIC, 1, 0, ACCEPTED, 1, 0, 1, unsynced=1)
        writing.writer.acknowledged(member(node), ack, 0)
    writing.writer.roll()
    return writing.writer.ready_to_seal


@shows("left-without-asking-all", sound=-1, broken=4)
def two_copies_lost_their_ends_and_the_third_has_not_answered() -> object:
    bench = Recovering(1, 2, 3, durability=NEVER).began()
    bench.answer(2, 3, UNTRUSTED, power_cut=True)
    bench.answer(3, 4, UNTRUSTED, power_cut=True)
    return bench.recoveries._running[TOPIC, 1].tail


@shows("memory-believed", sound=[f"Write {PATH}"], broken=[f"Write {CATALOGUE_PATH}"])
def a_killed_process_may_have_left_a_record_in_memory_only() -> object:
    copies = Copies(mark_interval_ns=1)
    copies.append(0, one(0, b"a"))
    copies.complete(PATH)
    copies.complete(CATALOGUE_PATH)  # with the mark of that record
    copies.files[PATH].extend(one(1, b"b"))
    copies.start()
    copies.store.open(copies.replica)
    copies.complete(PATH)  # is read
    return copies.waiting()
