"""What the bugs in the copies on a disk change, and in the files under them."""

from core_node import World
from format_disk import Disk, boot, write_out
from scene import shows
from segment_copies import PATH, Copies, one
from segment_fixtures import KEY, TOPIC, members, metadata_with, sealed

from walrus.core import events as ev
from walrus.core.actions import Truncate, Write
from walrus.core.config import SECOND
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import OPEN, BeginSealing, ChangeSet
from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, AppendAck, FenceReply, Hold, Holding
from walrus.core.segment.repair import Repairs
from walrus.core.segment.replica import LOST, READY
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import BLOCK_HEADER_BYTES, FILE_HEADER_BYTES
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_PATH
from walrus.core.storage.recordlog import RecordLog, RecoveryError, recover
from walrus.core.wire import encode_frame


def said(copies: Copies, kind: type) -> list[object]:
    """The messages of one kind since the last call."""
    return [message for _, message in copies.said() if isinstance(message, kind)]


def reopened(copies: Copies) -> Copies:
    """The next process lifetime has read the copy."""
    copies.start()
    copies.store.open(copies.replica)
    copies.settle()
    copies.said()
    return copies


@shows("fence-not-durable", sound=[], broken=[FenceReply(TOPIC, 1, 1, ACCEPTED, 0)])
def a_fence_arrives_and_the_disk_has_done_nothing_yet() -> object:
    copies = Copies()
    copies.fence(1)
    return said(copies, FenceReply)


@shows("excess-dropped-early", sound=2, broken=1)
def a_copy_of_two_batches_is_fenced() -> object:
    copies = Copies().filled(b"a", b"b")
    copies.fence(1)
    copies.settle()
    return copies.replica.length


@shows("lost-copy-counted", sound=[UNTRUSTED], broken=[ACCEPTED])
def a_copy_whose_file_is_gone_is_fenced() -> object:
    copies = Copies().filled(b"a")
    del copies.files[PATH]
    copies.start()
    copies.fence(1)
    copies.settle()
    return [reply.status for reply in said(copies, FenceReply)]  # type: ignore[attr-defined]


@shows("fenced-copy-admits", sound=0, broken=1)
def a_batch_of_a_lower_epoch_comes_to_a_fenced_copy() -> object:
    copies = Copies()
    copies.fence(1)
    copies.settle()
    copies.append(0, one(0, b"a"), epoch=0)
    return copies.replica.length


@shows("fence-before-drain", sound=[], broken=[FenceReply(TOPIC, 1, 1, ACCEPTED, 0)])
def a_fence_is_durable_while_a_batch_is_being_written() -> object:
    copies = Copies()
    copies.append(0, one(0, b"a"))
    copies.fence(1)
    for _ in range(2):
        copies.complete(CATALOGUE_PATH)
    return said(copies, FenceReply)


@shows("copy-not-durable", sound=0, broken=1)
def a_batch_arrives_and_the_disk_has_done_nothing_yet() -> object:
    copies = Copies()
    copies.append(0, one(0, b"a"))
    return len(said(copies, AppendAck))


@shows("note-after-acknowledgement", sound=0, broken=1)
def a_batch_is_durable_and_its_copy_is_not_noted_yet() -> object:
    copies = Copies()
    copies.append(0, one(0, b"a"))
    copies.complete(PATH)
    return len(said(copies, AppendAck))


@shows("spare-drops-fence", sound=True, broken=False)
def a_fenced_spare_looks_at_a_set_that_does_not_name_it() -> object:
    copies = Copies(metadata_with(1, 2, 3, copies=(1, 3)))
    copies.fence(1)
    copies.append(0, one(0, b"a"), epoch=1)
    copies.settle()
    assert copies.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 1, 1)) == ""
    copies.store.reconcile(copies.replica, copies.metadata.topics[TOPIC].last)
    copies.settle()
    return KEY in copies.store.replicas


@shows("dropped-at-replay", sound=True, broken=False)
def a_copy_taken_on_under_version_2_meets_version_1_of_its_set() -> object:
    copies = Copies(metadata_with(1, 2, 3, copies=(1, 3)))
    copies.append(0, one(0, b"a"), version=2)
    copies.settle()
    copies.store.reconcile(copies.replica, copies.metadata.topics[TOPIC].last)
    copies.settle()
    return KEY in copies.store.replicas


def complete_copy() -> tuple[Copies, Repairs]:
    """Node 2 holds all of a sealed segment, and knows it."""
    copies = Copies().filled(b"a")
    sealed(copies.metadata, 1)
    liveness = Liveness(0)
    liveness.told((1, 2, 3), 0)
    copies.store.reconcile(copies.replica, copies.metadata.topics[TOPIC].segments[0])
    copies.settle()
    assert copies.replica.complete
    return copies, Repairs(copies.wire.out, copies.store, liveness, 1 << 30)


@shows("hold-not-noted", sound=0, broken=1)
def a_complete_copy_is_to_be_held_under_another_set() -> object:
    copies, repairs = complete_copy()
    repairs.hold(3, Hold(TOPIC, 1, 1, 5), 0)
    return len(said(copies, Holding))


@shows("removed-member-pulls", sound=0, broken=1)
def a_node_that_pulls_records_is_taken_out_of_the_set() -> object:
    copies = Copies()
    segment = sealed(copies.metadata, 3)
    liveness = Liveness(0)
    liveness.told((1, 2, 3), 0)
    repairs = Repairs(copies.wire.out, copies.store, liveness, 1 << 30)
    repairs.sealed(KEY, segment)
    repairs.tick(0)
    repairs.tick(0)
    assert copies.metadata.apply(ChangeSet(TOPIC, 1, segment.state, 0, segment.version, members(1, 3))) == ""
    for _ in range(3):
        repairs.tick(0)
    return min(repairs.waiting, 1)


@shows("hold-not-read", sound=0, broken=1)
def a_copy_that_rotted_while_its_node_was_down_is_to_be_held() -> object:
    copies, _ = complete_copy()
    copies.files[PATH][-1] ^= 1
    copies.start()
    liveness = Liveness(0)
    liveness.told((1, 2, 3), 0)
    repairs = Repairs(copies.wire.out, copies.store, liveness, 1 << 30)
    repairs.hold(3, Hold(TOPIC, 1, 1, 2), 0)
    copies.settle()
    repairs.hold(3, Hold(TOPIC, 1, 1, 2), 0)
    return len(said(copies, Holding))


@shows("mark-ignored", sound=LOST, broken=READY)
def the_last_batch_of_a_file_has_rotted_that_is_noted_as_durable() -> object:
    copies = Copies(mark_interval_ns=1).filled(b"a", b"b")
    copies.mark()
    copies.files[PATH][-1] ^= 1
    return reopened(copies).replica.state


@shows("cut-before-mark", sound=["Write user_data/replicas.log"], broken=["Truncate user_data/logs:1.wal"])
def a_copy_holds_more_than_is_counted() -> object:
    copies = Copies(mark_interval_ns=1).filled(b"a", b"b")
    copies.mark()
    copies.store.reconcile(copies.replica, sealed(copies.metadata, 1))
    copies.store.flush()
    return copies.waiting()


@shows("mark-before-durable", sound=1, broken=2)
def time_goes_by_while_a_batch_is_being_written() -> object:
    copies = Copies(mark_interval_ns=1).filled(b"a")
    copies.append(1, one(1, b"b"))
    copies.store.notes.tick(1 << 60)
    copies.store.flush()
    return copies.replica.marked


@shows("refilled-in-place", sound=True, broken=False)
def a_damaged_copy_is_being_filled_again() -> object:
    copies, _ = complete_copy()
    copies.files[PATH][-1] ^= 1
    before = bytes(copies.files[PATH])
    copies = reopened(copies)
    copies.store.reset(copies.replica)
    copies.settle()
    assert copies.store.admit_pulled(copies.replica, one(0, b"a"))
    copies.settle()
    return bytes(copies.files[PATH]) == before


@shows("torn-tail-kept", sound=True, broken=False)
def a_file_ends_in_part_of_a_batch() -> object:
    copies = Copies().filled(b"a", b"b")
    sound = len(copies.files[PATH])
    copies.files[PATH] += one(2, b"c")[:30]
    replica = reopened(copies).replica
    assert (replica.state, replica.length, replica.appender is not None) == (READY, 2, True)
    return replica.appender.durable_end == sound  # type: ignore[union-attr]


@shows("middle-taken-for-tail", sound=LOST, broken=READY)
def a_batch_in_the_middle_of_a_file_has_rotted() -> object:
    copies = Copies().filled(b"a", b"b", b"c")
    copies.files[PATH][FILE_HEADER_BYTES + BLOCK_HEADER_BYTES + 4] ^= 1
    return reopened(copies).replica.state


@shows("journal-hole-cut", sound="refused", broken=1)
def a_record_below_the_durable_mark_has_rotted() -> object:
    log = RecordLog.create("j", b"WALRAFT\n", 1, 2, Tokens())
    data = b""
    for payload in (b"one", b"two", b"three"):
        log.append(payload)
        write = log.appender.flush()
        assert write is not None
        data += write.data
        log.appender.completed(write.token)
    rotten = data.replace(b"two", b"twO")
    try:
        found = recover("j", b"WALRAFT\n", rotten)
    except RecoveryError:
        return "refused"
    assert found is not None
    return len(found.payloads)


@shows("torn-journal-kept", sound=1, broken=0)
def a_journal_ends_in_part_of_a_record() -> object:
    disk = Disk()
    write_out(disk, boot(disk))
    disk.files[JOURNAL_PATH] += b"WREC torn"
    boot(disk)
    return sum(isinstance(action, Truncate) for action in disk.done)


@shows("roomless-write-believed", sound=[], broken=[b"OK"])
def a_write_finds_no_room() -> object:
    world = World().start().sleep(SECOND)
    world.handle(ev.ClientConnected(1))
    world.handle(ev.ClientDataReceived(1, encode_frame(b"PUT logs a"), 0))
    world.handle(ev.PollFinished())
    write = next(action for action in world.disk if isinstance(action, Write))
    world.disk.clear()
    world.handle(ev.SpaceRanOut(write, "ENOSPC: No space left on device"))
    world.run()
    return world.replies(1)


@shows("rot-passed-over", sound=True, broken=False)
def a_sealed_copy_rots_unread() -> object:
    world = World(max_segment_entries=3, scrub_interval_ns=SECOND).start().sleep(SECOND)
    world.ask(*[b"PUT logs %d" % number for number in range(4)])
    rotten = bytearray(world.files["user_data/logs:1.wal"])
    rotten[-1] ^= 1
    world.files["user_data/logs:1.wal"] = bytes(rotten)
    world.sleep(3 * SECOND)
    return any("found unsound" in text for _, text in world.logged())


@shows("failed-sync-believed", sound=True, broken=False)
def a_write_fails() -> object:
    world = World().start()
    world.handle(ev.ClientConnected(1))
    world.handle(ev.ClientDataReceived(1, encode_frame(b"REGISTER more"), 0))
    world.handle(ev.PollFinished())
    write = next(action for action in world.disk if isinstance(action, Write))
    world.handle(ev.WriteFailed(write.token, write.path, "EIO: Input/output error"))
    return world.stopped is not None
