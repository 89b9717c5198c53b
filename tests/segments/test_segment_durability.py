"""Copies that acknowledge without a sync: when they sync after all, and what counts after a loss of power."""

import pytest
from segment_copies import PATH, Copies, bytes_of, one
from segment_fixtures import KEY, TOPIC, block, member, members, sealed, writer_of
from segment_writing import Writing
from test_segment_recovery import LAPSED_NS, Recovering

from walrus.core.actions import Write
from walrus.core.config import MS
from walrus.core.metadata.commands import OPEN, BeginSealing, ConfigureTopic, CreateTopic, Seal
from walrus.core.metadata.durability import (
    ALWAYS,
    INTERVAL_MS_MAX,
    NEVER,
    DurabilityError,
    durability_text,
    parse_durability,
)
from walrus.core.metadata.settings import TopicSettings
from walrus.core.metadata.state import Metadata
from walrus.core.segment.messages import ACCEPTED, UNTRUSTED, Append, AppendAck, FenceReply, Repair
from walrus.core.segment.recovery import RESEND_NS
from walrus.core.segment.repair import Repairs
from walrus.core.segment.replica import LOST, READY
from walrus.core.storage.blocks import FILE_HEADER_BYTES
from walrus.core.storage.catalogue import CATALOGUE_PATH, recover_catalogue


def weak(*payloads: bytes, mode: int = NEVER) -> Copies:
    """A copy of these records, one batch each; all but the first were written without a sync."""
    copies = Copies()
    for base, payload in enumerate(payloads):
        copies.append(base, one(base, payload), durability=mode)
        copies.settle()
    copies.said()
    return copies


def noted(copies: Copies) -> str | None:
    """Under which boot the catalogue says that the copy acknowledged without a sync."""
    state = recover_catalogue(bytes(copies.files[CATALOGUE_PATH]), *member(2))
    assert state is not None
    return state.copies[KEY].unsynced


def acks(copies: Copies) -> list[tuple[int, int]]:
    """(length, unsynced) of the acknowledgements since the last call."""
    return [(m.length, m.unsynced) for _, m in copies.said() if isinstance(m, AppendAck) and m.status == ACCEPTED]


def restarted(copies: Copies, boot_id: str) -> Copies:
    copies.boot_id = boot_id
    copies.start()
    return copies


def fence_replies(copies: Copies, epoch: int = 1) -> list[FenceReply]:
    copies.fence(epoch)
    copies.settle()
    return [message for _, message in copies.said() if isinstance(message, FenceReply)]


# --- modes ---


@pytest.mark.parametrize(("text", "mode"), [("always", 0), ("interval:1", 1), ("interval:86400000", 86_400_000)])
def test_a_mode_is_a_number_of_milliseconds(text: str, mode: int) -> None:
    assert parse_durability(text) == mode
    assert durability_text(mode) == text


def test_never_is_weaker_than_every_interval() -> None:
    assert parse_durability("never") > INTERVAL_MS_MAX
    assert durability_text(parse_durability("never")) == "never"


@pytest.mark.parametrize("text", ["", "Always", "interval", "interval:", "interval:0", "interval:-1", "interval:1.5",
                                  "interval:86400001", "interval:1s", "5", "interval:²"])  # fmt: skip
def test_anything_else_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(DurabilityError, match="always, interval:<ms> with 1 to 86400000 milliseconds, or never"):
        parse_durability(text)


# --- one copy ---


def test_the_first_batch_is_synced_and_later_ones_are_not_until_they_are_to_be() -> None:
    copies = Copies()
    copies.append(0, one(0, b"a"), durability=NEVER)
    assert copies.syncs() == [True], "the note that something is deferred is not durable yet"
    copies.settle()
    assert acks(copies) == [(1, 0)]
    copies.append(1, one(1, b"b"), durability=NEVER)
    assert copies.syncs() == [False]
    copies.settle()
    assert acks(copies) == [(2, 1)]
    assert noted(copies) == "first boot"


def test_a_copy_under_always_is_synced_with_every_batch() -> None:
    copies = Copies()
    for base in range(3):
        copies.append(base, one(base, b"x"))
        assert copies.syncs() == [True]
        copies.settle()
    assert noted(copies) is None


def test_an_interval_ends_with_a_sync_of_what_was_written_in_it() -> None:
    copies = weak(b"a", b"b", mode=20)
    syncs = copies.store.syncs
    syncs.schedule(100 * MS)
    assert syncs.next_ns == 120 * MS
    syncs.tick(120 * MS - 1)
    copies.store.flush()
    assert copies.syncs() == []
    syncs.tick(120 * MS)
    copies.store.flush()
    copies.requests()
    assert copies.disk == [Write(PATH, bytes_of(2), b"", copies.disk[0].token)]
    copies.settle()
    assert copies.replica.unsynced == 0
    assert noted(copies) == "first boot", "the next write is not synced again"
    copies.append(2, one(2, b"c"), durability=20)
    syncs.schedule(200 * MS)
    assert syncs.next_ns == 220 * MS


def test_a_batch_that_comes_when_a_sync_is_due_takes_the_sync_along() -> None:
    copies = weak(b"a", b"b", mode=20)
    copies.store.syncs.schedule(0)
    copies.store.syncs.tick(20 * MS)
    copies.append(2, one(2, b"c"), durability=20)
    assert copies.syncs() == [True]
    copies.settle()
    assert copies.replica.synced_length == 3


def test_never_has_no_deadline() -> None:
    copies = weak(b"a", b"b")
    copies.store.syncs.schedule(0)
    copies.store.syncs.tick(1 << 62)
    copies.store.flush()
    assert copies.syncs() == []


def test_a_writer_that_asks_for_a_sync_at_the_end_is_told_when_all_is_synced_and_noted() -> None:
    copies = weak(b"a", b"b")
    copies.append(2, b"", durability=ALWAYS)
    assert acks(copies) == [(2, 1)]
    assert copies.syncs() == [True]
    copies.settle()
    assert acks(copies) == [(2, 0)]
    assert noted(copies) is None
    copies.append(2, one(2, b"late"), durability=NEVER)
    assert copies.syncs() == [True], "a batch that was under way before changes nothing"


def test_a_fence_is_answered_once_the_copy_is_synced_and_noted() -> None:
    copies = weak(b"a", b"b")
    copies.fence(1)
    assert [message for _, message in copies.said() if isinstance(message, FenceReply)] == []
    copies.complete(PATH)
    copies.complete(CATALOGUE_PATH)  # the fence
    assert [message for _, message in copies.said() if isinstance(message, FenceReply)] == []
    copies.settle()
    (reply,) = [message for _, message in copies.said() if isinstance(message, FenceReply)]
    assert (reply.status, reply.length, reply.power_cut) == (ACCEPTED, 2, False)
    assert noted(copies) is None


def test_a_sealed_copy_is_synced_before_it_is_noted_as_complete() -> None:
    copies = weak(b"a", b"b")
    copies.store.reconcile(copies.replica, sealed(copies.metadata, 2))
    copies.store.flush()
    assert copies.syncs() == [True]
    assert not copies.replica.complete
    copies.settle()
    copies.store.reconcile(copies.replica, copies.metadata.existing(*KEY))
    copies.settle()
    assert copies.replica.complete
    assert noted(copies) is None


def test_a_clean_stop_syncs_copies_and_notes_it() -> None:
    copies = weak(b"a", b"b")
    assert not copies.store.syncs.rest()
    copies.settle()
    assert copies.store.syncs.rest()
    assert noted(copies) is None
    (reply,) = fence_replies(restarted(copies, "second boot"))
    assert (reply.status, reply.length) == (ACCEPTED, 2)


def test_while_a_node_stops_nothing_is_deferred_any_more() -> None:
    copies = weak(b"a", b"b")
    copies.store.syncs.rest()
    copies.append(2, one(2, b"c"), durability=NEVER)
    assert copies.syncs() == [True]
    copies.settle()
    assert noted(copies) is None


def test_a_full_disk_takes_the_sync_with_the_batch_and_it_is_asked_for_again() -> None:
    copies = weak(b"a", b"b")
    copies.append(2, one(2, b"c"), sender=1, durability=ALWAYS)
    copies.requests()
    (write,) = [action for action in copies.disk if isinstance(action, Write)]
    assert write.sync
    copies.disk.clear()
    assert copies.store.space_ran_out(write)
    copies.store.flush()
    copies.requests()
    assert [(action.data, action.sync) for action in copies.disk if isinstance(action, Write)] == [(b"", True)]
    copies.settle()
    assert copies.replica.unsynced == 0


# --- trust ---


def test_the_end_of_a_process_leaves_a_copy_trusted_and_it_is_synced_when_it_is_fenced() -> None:
    copies = restarted(weak(b"a", b"b"), "first boot")
    copies.fence(1)
    copies.complete(PATH)  # the scan
    assert copies.syncs() == [True]
    copies.settle()
    (reply,) = [message for _, message in copies.said() if isinstance(message, FenceReply)]
    assert (reply.status, reply.length) == (ACCEPTED, 2)


def test_after_a_loss_of_power_a_copy_tells_what_is_left_and_counts_for_nothing() -> None:
    copies = weak(b"a", b"b", b"c")
    del copies.files[PATH][bytes_of(2) :]
    restarted(copies, "second boot")
    (reply,) = fence_replies(copies)
    assert (reply.status, reply.length, reply.power_cut) == (UNTRUSTED, 2, True)
    copies.append(2, one(2, b"c"), epoch=1, durability=NEVER)
    (refusal,) = [message for _, message in copies.said() if isinstance(message, AppendAck)]
    assert (refusal.status, refusal.power_cut) == (UNTRUSTED, True)


@pytest.mark.parametrize("boot_id", ["", "third boot"])
def test_a_copy_stays_doubtful_and_is_so_where_the_boot_is_not_known(boot_id: str) -> None:
    copies = restarted(restarted(weak(b"a", b"b"), "second boot"), boot_id)
    assert [reply.status for reply in fence_replies(copies)] == [UNTRUSTED]


def test_a_copy_of_which_all_was_synced_is_trusted_after_a_loss_of_power() -> None:
    copies = restarted(Copies().filled(b"a", b"b"), "second boot")
    assert [(reply.status, reply.length) for reply in fence_replies(copies)] == [(ACCEPTED, 2)]


def test_a_hole_that_a_loss_of_power_left_is_cut_and_not_taken_for_rot() -> None:
    copies = weak(b"a", b"b", b"c")
    start = bytes_of(1)
    copies.files[PATH][start : bytes_of(2)] = bytes(bytes_of(2) - start)
    restarted(copies, "second boot")
    (reply,) = fence_replies(copies)
    assert (reply.status, reply.length, reply.power_cut) == (UNTRUSTED, 1, True)
    assert len(copies.files[PATH]) == bytes_of(1)


def test_a_missing_file_is_lost_also_in_a_topic_that_is_not_synced() -> None:
    copies = weak(b"a", b"b")
    del copies.files[PATH]
    restarted(copies, "second boot")
    (reply,) = fence_replies(copies)
    assert (reply.status, reply.power_cut) == (UNTRUSTED, False)
    assert copies.replica.state == LOST


class Filled:
    """A doubtful copy of one record, to be filled up to a tail by a recoverer at epoch 1."""

    def __init__(self, left: int = 1) -> None:
        self.copies = weak(b"a", b"b")
        del self.copies.files[PATH][bytes_of(left) :]
        restarted(self.copies, "second boot")
        fence_replies(self.copies)
        self.repairs = Repairs(self.copies.wire.out, self.copies.store, None, 1 << 30)  # type: ignore[arg-type]

    def order(self, tail: int, source: int = 1) -> None:
        self.repairs.ordered(3, Repair(TOPIC, 1, 1, tail, source), 0)

    def settle(self) -> None:
        self.copies.settle()
        progressed, self.copies.store.progressed = self.copies.store.progressed, {}
        for key in progressed:
            self.repairs.progressed(key, 0)
        self.copies.settle()

    def replies(self) -> list[tuple[int, int]]:
        return [(m.status, m.length) for _, m in self.copies.said() if isinstance(m, FenceReply)]


def test_a_doubtful_copy_that_has_the_tail_counts_once_that_is_noted() -> None:
    filled = Filled()
    filled.order(1, source=2)
    assert filled.replies() == []
    filled.settle()
    filled.settle()
    assert filled.replies() == [(ACCEPTED, 1)]
    assert noted(filled.copies) is None
    assert [reply.status for reply in fence_replies(restarted(filled.copies, "third boot"), 2)] == [ACCEPTED]


def test_a_doubtful_copy_that_lacks_records_counts_once_it_has_them_synced() -> None:
    filled = Filled()
    filled.order(2)
    filled.copies.said()
    filled.settle()
    assert filled.copies.replica.doubtful
    assert filled.copies.store.admit_pulled(filled.copies.replica, block(1, b"b"))
    filled.copies.store.flush()
    assert filled.copies.syncs() == [True]
    filled.settle()
    filled.settle()
    assert filled.replies() == [(ACCEPTED, 2)]


def test_a_doubtful_copy_of_which_nothing_is_left_is_as_if_it_had_never_been_held() -> None:
    filled = Filled(left=0)
    filled.copies.files[PATH][:] = bytes(FILE_HEADER_BYTES)
    restarted(filled.copies, "third boot")
    fence_replies(filled.copies)
    filled.repairs = Repairs(filled.copies.wire.out, filled.copies.store, None, 1 << 30)  # type: ignore[arg-type]
    filled.order(0)
    filled.settle()
    filled.settle()
    assert filled.replies() == [(ACCEPTED, 0)]
    restarted(filled.copies, "third boot")
    assert [(r.status, r.length) for r in fence_replies(filled.copies, 2)] == [(ACCEPTED, 0)]
    assert filled.copies.replica.state == READY


# --- the writer ---


def told(writing: Writing, node: int, length: int, unsynced: int) -> None:
    ack = AppendAck(TOPIC, 1, 0, ACCEPTED, length, 0, 1, unsynced)
    writing.writer.acknowledged(member(node), ack, 0)


def weak_writing() -> Writing:
    writing = Writing(1, 2, 3)
    writing.segment.durability = 50
    writing.writer.durability = 50
    writing.put(b"a")
    return writing


def test_batches_say_how_durable_they_are_to_be_and_are_acknowledged_as_that() -> None:
    writing = weak_writing()
    assert {append.durability for _, append in writing.appends()} == {50}
    told(writing, 1, 1, 1)
    told(writing, 2, 1, 1)
    assert writing.results() == [(0, [b"a"])]


def test_a_segment_is_sealed_only_once_a_quorum_has_synced_all_of_it() -> None:
    writing = weak_writing()
    told(writing, 1, 1, 1)
    told(writing, 2, 1, 1)
    writing.appends()
    writing.writer.roll()
    writing.writer.ask_to_sync(0)
    writing.writer.ask_to_sync(0)
    asked = writing.appends()
    assert [(to, append.data, append.durability) for to, append in asked] == [(n, b"", ALWAYS) for n in (1, 2, 3)]
    told(writing, 1, 1, 0)
    assert not writing.writer.ready_to_seal
    told(writing, 2, 1, 0)
    assert writing.writer.ready_to_seal


def test_copies_that_do_not_answer_are_asked_again_for_a_sync() -> None:
    writing = weak_writing()
    told(writing, 1, 1, 1)
    told(writing, 2, 1, 1)
    told(writing, 3, 1, 1)
    writing.writer.roll()
    writing.writer.ask_to_sync(0)
    writing.appends()
    writing.writer.tick(200 * MS)
    assert [(to, append.durability) for to, append in writing.appends()] == [(2, ALWAYS), (3, ALWAYS)]


def test_a_writer_whose_set_lost_its_quorum_to_losses_of_power_hands_over_to_a_recoverer() -> None:
    writing = Writing(1, 2)
    writing.writer.durability = NEVER
    writing.put(b"a")
    refusal = AppendAck(TOPIC, 1, 0, UNTRUSTED, 1, 0, 1, 0, True)
    writing.writer.acknowledged(member(2), refusal, 0)
    assert writing.writer.needs_recovery
    assert writing.writer.propose_recovery() == BeginSealing(TOPIC, 1, OPEN, 0, 0, 0)
    assert not writing.writer.needs_recovery
    assert not writing.writer.may_change
    assert not writing.writer.readable
    assert writing.results() == [(2, [b"a"])]


def test_a_writer_that_has_a_quorum_left_seals_by_itself() -> None:
    writing = weak_writing()
    writing.writer.acknowledged(member(2), AppendAck(TOPIC, 1, 0, UNTRUSTED, 1, 0, 1, 0, True), 0)
    assert not writing.writer.needs_recovery


# --- the recoverer ---


def repairs(bench: Recovering) -> list[tuple[int, int, int]]:
    """(to, tail, source) of the orders since the last call."""
    return [(to, m.tail, m.source) for to, m in bench.wire.sent() if isinstance(m, Repair)]


def test_what_enough_members_prove_is_not_lowered_by_those_that_lost_their_ends() -> None:
    bench = Recovering(1, 2, 3, durability=NEVER).began()
    bench.answer(1, 1, UNTRUSTED, power_cut=True)
    bench.answer(2, 5)
    assert repairs(bench) == []
    bench.answer(3, 4)
    assert repairs(bench) == [(1, 5, 2), (3, 5, 2)]
    bench.answer(3, 5)
    (seal,) = bench.seals()
    assert (seal.count, seal.power_cut) == (5, False)


def test_a_doubtful_copy_that_was_filled_up_makes_the_quorum() -> None:
    bench = Recovering(1, 2, 3, durability=NEVER, copies=(2, 3)).began()
    bench.answer(2, 5)
    bench.answer(3, 1, UNTRUSTED, power_cut=True)
    assert bench.seals() == []
    bench.answer(3, 5)
    (seal,) = bench.seals()
    assert (seal.count, seal.members, seal.power_cut) == (5, members(2, 3), False)


def test_what_all_members_have_left_is_the_tail_where_too_few_can_prove_it_and_that_is_said() -> None:
    bench = Recovering(1, 2, 3, durability=100).began()
    bench.answer(1, 2, UNTRUSTED, power_cut=True)
    bench.answer(2, 4, UNTRUSTED, power_cut=True)
    assert repairs(bench) == []
    bench.answer(3, 3)
    assert repairs(bench) == [(2, 4, 2)], "the longest counts first"
    assert bench.seals() == []
    bench.answer(2, 4)
    assert set(repairs(bench)) == {(1, 4, 2), (3, 4, 2)}
    bench.answer(1, 4)
    (seal,) = bench.seals()
    assert (seal.count, seal.power_cut) == (4, True)
    assert bench.recoveries.power_cut_seals == 1
    assert any("power was lost on node 1, 2" in line and "interval:100" in line for _, line in bench.wire.lines)


def test_a_topic_that_is_always_synced_does_not_go_by_what_is_left() -> None:
    bench = Recovering(1, 2, 3).began()
    for node in (1, 2, 3):
        bench.answer(node, node, UNTRUSTED, power_cut=True)
    assert repairs(bench) == []


def test_a_member_that_is_gone_is_waited_for_until_it_is_given_up() -> None:
    bench = Recovering(1, 2, 3, durability=NEVER).began()
    bench.answer(2, 2, UNTRUSTED, power_cut=True)
    bench.answer(3, 3, UNTRUSTED, power_cut=True)
    bench.tick(LAPSED_NS + 20 * RESEND_NS)
    assert "node remove N --force" in bench.recoveries.stuck()["logs:1"]
    assert repairs(bench) == []
    bench.recoveries._given_up = lambda lost: lost == member(1)  # type: ignore[method-assign]
    bench.tick(LAPSED_NS + 22 * RESEND_NS)
    assert repairs(bench) == [(3, 3, 3)]


def test_rotten_copies_do_not_stand_in_for_those_that_lost_their_ends() -> None:
    bench = Recovering(1, 2, 3, durability=NEVER).began()
    bench.answer(1, 0, UNTRUSTED)
    bench.answer(2, 0, UNTRUSTED)
    bench.answer(3, 3, UNTRUSTED, power_cut=True)
    assert repairs(bench) == []


# --- the metadata ---


def topic_with(durability: int) -> Metadata:
    metadata = Metadata()
    settings = TopicSettings(durability=durability)
    assert metadata.apply(CreateTopic(TOPIC, writer_of(1), members(1, 2, 3), settings)) == ""
    metadata.drain()
    return metadata


def test_a_segment_has_its_topics_mode_of_when_it_was_opened_for_all_its_life() -> None:
    metadata = topic_with(20)
    assert metadata.apply(ConfigureTopic(TOPIC, 1, 0, durability=NEVER)) == ""
    assert [(change.topic, change.segment) for change in metadata.drain()] == [(TOPIC, 1)], "its writer is to hand over"
    assert metadata.existing(TOPIC, 1).durability == 20
    seal = Seal(TOPIC, 1, OPEN, 0, 0, members(1, 2, 3), writer_of(2), members(1, 2, 3), None)
    assert metadata.apply(seal) == ""
    assert metadata.existing(TOPIC, 2).durability == NEVER


def test_other_settings_leave_the_open_segment_alone() -> None:
    metadata = topic_with(20)
    assert metadata.apply(ConfigureTopic(TOPIC, 1, 0, retention_ms=5, durability=20)) == ""
    assert metadata.drain() == []


def test_messages_of_an_earlier_version_ask_for_a_sync() -> None:
    assert Append(TOPIC, 1, 0, 1, 0, b"").durability == ALWAYS
    assert AppendAck(TOPIC, 1, 0, ACCEPTED, 1, 0, 1).unsynced == 0
