"""Copies on a disk: dense appends, fences durable before they are answered, acknowledgements after the note."""

import pytest
from segment_copies import PATH, Copies, bytes_of, one
from segment_fixtures import block, metadata_with, sealed

from walrus.core.actions import Write
from walrus.core.metadata.commands import OPEN, BeginSealing
from walrus.core.segment.messages import (
    ACCEPTED,
    CLOSED,
    FENCED,
    GAP,
    MISMATCH,
    UNTRUSTED,
    AppendAck,
    FenceReply,
)
from walrus.core.storage.blocks import split_blocks
from walrus.core.storage.catalogue import CATALOGUE_PATH, recover_catalogue


def ack(length: int, status: int = ACCEPTED, *, epoch: int = 0, fence: int = 0) -> AppendAck:
    return AppendAck("logs", 1, epoch, status, length, fence, 1)


def fenced(length: int, status: int = ACCEPTED, *, epoch: int = 1) -> FenceReply:
    return FenceReply("logs", 1, epoch, status, length, bytes_of(length))


# --- appends ---


def test_a_batch_is_acknowledged_only_when_it_is_durable_and_the_copy_is_noted() -> None:
    copies = Copies()
    copies.append(0, block(0, b"a", b"b"))
    assert copies.waiting() == [f"Write {PATH}", f"Write {CATALOGUE_PATH}"]
    copies.complete(PATH)
    assert copies.said() == []
    copies.complete(CATALOGUE_PATH)  # only the file's header: the note follows the batch
    assert copies.said() == []
    copies.complete(CATALOGUE_PATH)
    assert copies.said() == [(1, ack(2))]


def test_the_note_names_the_version_of_the_set_under_which_the_copy_was_admitted() -> None:
    copies = Copies()
    copies.append(0, one(0, b"a"), version=4)
    copies.settle()
    known = recover_catalogue(bytes(copies.files[CATALOGUE_PATH]), 2, 1002)
    assert known is not None
    copy = known.copies["logs", 1]
    assert (copy.held, copy.version) == (True, 4)


def test_a_noted_copy_acknowledges_its_next_batch_as_soon_as_that_is_durable() -> None:
    copies = Copies().filled(b"a")
    copies.append(1, one(1, b"b"))
    assert copies.waiting() == [f"Write {PATH}"]
    copies.complete(PATH)
    assert copies.said() == [(1, ack(2))]


def test_batches_that_come_during_a_write_go_together_with_the_next() -> None:
    copies = Copies().filled(b"a")
    for base, payload in enumerate((b"b", b"c", b"d"), start=1):
        copies.append(base, one(base, payload))
    assert copies.waiting() == [f"Write {PATH}"]
    copies.complete(PATH)
    assert copies.said() == [(1, ack(2))]
    assert copies.waiting() == [f"Write {PATH}"]
    copies.complete(PATH)
    assert copies.said() == [(1, ack(4))]


def test_a_batch_beyond_the_length_is_refused_with_the_length() -> None:
    copies = Copies().filled(b"a")
    copies.append(2, one(2, b"c"))
    assert copies.said() == [(1, ack(1, GAP))]
    assert copies.waiting() == []


def test_the_same_batch_again_is_acknowledged_and_not_written_again() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.append(0, one(0, b"a"))
    assert copies.said() == [(1, ack(2))]
    assert copies.waiting() == []


def test_a_duplicate_whose_bytes_differ_is_refused_and_truncates_nothing() -> None:
    copies = Copies().filled(b"a", b"b")
    before = bytes(copies.files[PATH])
    copies.append(0, one(0, b"A"))
    copies.append(1, block(1, b"b", b"c"))
    assert copies.said() == [(1, ack(2, MISMATCH)), (1, ack(2, MISMATCH))]
    assert copies.waiting() == []
    assert (copies.replica.length, bytes(copies.files[PATH])) == (2, before)


def test_of_batches_partly_known_the_new_ones_are_written() -> None:
    copies = Copies().filled(b"a")
    copies.append(0, one(0, b"a") + one(1, b"b"))
    copies.settle()
    assert copies.said() == [(1, ack(2))]
    blocks = split_blocks(bytes(copies.files[PATH][512:]))
    assert blocks is not None
    assert [found.base for found in blocks] == [0, 1]


def test_a_probe_of_an_empty_copy_is_answered_with_length_0() -> None:
    copies = Copies()
    copies.append(0, b"")
    assert copies.said() == [(1, ack(0))]
    assert f"Write {PATH}" not in copies.waiting()


def test_a_probe_is_answered_with_what_is_durable_and_not_with_what_was_admitted() -> None:
    copies = Copies().filled(b"a")
    copies.append(1, one(1, b"b"))
    copies.append(1, b"")
    assert copies.said() == [(1, ack(1))]


def test_a_corrupt_batch_is_refused_with_a_log_line_and_no_answer() -> None:
    copies = Copies()
    copies.append(0, one(0, b"abc")[:-1] + b"X")
    assert copies.said() == []
    [(level, text)] = copies.wire.lines
    assert (level, text) == ("error", "Node 2: node 1 sent a corrupt batch for logs:1; refused")
    assert copies.replica.length == 0


def test_a_sealed_segment_takes_nothing() -> None:
    copies = Copies().filled(b"a")
    sealed(copies.metadata, 1)
    copies.append(1, one(1, b"b"))
    assert copies.said() == [(1, ack(1, CLOSED))]


def test_a_batch_below_the_epoch_in_the_metadata_is_refused_though_no_fence_came() -> None:
    copies = Copies().filled(b"a")
    copies.metadata.apply(BeginSealing("logs", 1, OPEN, 0, 3, 2))
    copies.append(1, one(1, b"b"))
    assert copies.said() == [(1, ack(1, FENCED))]


# --- fences ---


def test_a_fence_is_answered_with_the_length_once_it_is_durable() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.fence(1)
    assert copies.said() == []
    assert copies.waiting() == [f"Write {CATALOGUE_PATH}"]
    copies.complete(CATALOGUE_PATH)
    assert copies.said() == [(3, fenced(2))]


def test_a_fence_waits_for_the_writes_that_were_admitted_before_it() -> None:
    copies = Copies().filled(b"a")
    copies.append(1, one(1, b"b"))
    copies.fence(1)
    copies.complete(CATALOGUE_PATH)
    assert copies.said() == []
    copies.complete(PATH)
    assert copies.said() == [(3, fenced(2))]


def test_what_was_admitted_before_a_fence_is_not_acknowledged_after_it() -> None:
    copies = Copies().filled(b"a")
    copies.append(1, one(1, b"b"))
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, fenced(2))]


def test_from_the_receipt_of_a_fence_nothing_lower_is_admitted_though_it_is_not_durable() -> None:
    copies = Copies().filled(b"a")
    copies.fence(1)
    copies.append(1, one(1, b"b"))
    assert copies.said() == [(1, ack(1, FENCED, fence=1))]
    assert copies.replica.length == 1


def test_a_lower_fence_is_refused_with_the_one_that_holds() -> None:
    copies = Copies().filled(b"a")
    copies.fence(2)
    copies.settle()
    copies.said()
    copies.fence(1, sender=1)
    assert copies.said() == [(1, fenced(1, FENCED, epoch=2))]


def test_who_waits_for_a_fence_that_is_overtaken_is_refused() -> None:
    copies = Copies().filled(b"a")
    copies.fence(1, sender=1)
    copies.fence(2, sender=3)
    copies.settle()
    assert copies.said() == [(1, fenced(1, FENCED, epoch=2)), (3, fenced(1, epoch=2))]


def test_a_repeated_fence_is_answered_again_without_another_note() -> None:
    copies = Copies().filled(b"a")
    copies.fence(1)
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, fenced(1))]
    copies.fence(1)
    assert copies.waiting() == []
    assert copies.said() == [(3, fenced(1))]


def test_a_copy_that_never_held_anything_promises_a_fence_with_length_0() -> None:
    copies = Copies()
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, fenced(0))]


# --- after a restart ---


def test_a_fence_holds_after_a_restart() -> None:
    copies = Copies().filled(b"a")
    copies.fence(3)
    copies.settle()
    copies.start()
    copies.append(1, one(1, b"b"))
    copies.settle()
    assert copies.said() == [(1, ack(1, FENCED, fence=3))]


def test_a_copy_goes_on_behind_its_last_durable_batch_after_a_restart() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.start()
    copies.append(2, one(2, b"c"))
    assert copies.waiting() == [f"Read {PATH}"]
    copies.settle()
    assert copies.said() == [(1, ack(2)), (1, ack(3))]


def test_a_fence_that_finds_a_copy_unread_is_answered_after_the_scan() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.start()
    copies.fence(1)
    assert copies.said() == []
    copies.settle()
    assert copies.said() == [(3, fenced(2))]


def test_a_torn_tail_is_cut_before_the_copy_is_used() -> None:
    copies = Copies().filled(b"a", b"b")
    whole = len(copies.files[PATH])
    copies.files[PATH] += one(2, b"torn")[:-2]
    copies.start()
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, fenced(2))]
    assert len(copies.files[PATH]) == whole


def lost_copy() -> Copies:
    """A copy that is noted in the catalogue, but whose file is gone."""
    copies = Copies().filled(b"a")
    del copies.files[PATH]
    copies.start()
    return copies


def test_a_noted_copy_whose_file_is_missing_is_unknown_and_not_empty() -> None:
    copies = lost_copy()
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, fenced(0, UNTRUSTED))]
    assert copies.wire.lines == [
        ("error", f"Node 2: {PATH}: noted in the catalogue, but missing; its copy counts in no quorum")
    ]


def test_a_lost_copy_refuses_batches_as_untrusted() -> None:
    copies = lost_copy()
    copies.append(0, one(0, b"a"))
    assert copies.said() == [(1, ack(0, UNTRUSTED))]


@pytest.mark.parametrize("held", [True, False])
def test_damage_in_the_middle_is_never_taken_for_a_torn_tail(held: bool) -> None:
    copies = Copies().filled(b"a", b"b", b"c")
    copies.files[PATH][512 + len(one(0, b"a")) + 20] ^= 0xFF
    if not held:
        del copies.files[CATALOGUE_PATH]
    copies.start()
    copies.fence(1)
    copies.settle()
    assert copies.said() == [(3, fenced(0, UNTRUSTED))]


def test_a_copy_whose_note_was_lost_with_the_process_is_noted_before_it_acknowledges() -> None:
    copies = Copies(metadata_with(1, 2, 3))
    copies.append(0, one(0, b"a"))
    copies.complete(PATH)
    copies.complete(CATALOGUE_PATH)
    copies.start()
    copies.append(0, one(0, b"a"))
    copies.complete(PATH)
    copies.complete(PATH)
    assert copies.said() == []
    copies.complete(CATALOGUE_PATH)
    assert copies.said() == [(1, ack(1))]


def test_a_set_is_noted_before_an_acknowledgement_names_it_while_an_older_note_is_on_its_way_too() -> None:
    """Found by the simulator (seed 102174 of 3 nodes): the copy was to be held under a new set just then."""
    copies = Copies(metadata_with(1, 2, 3))
    copies.append(0, one(0, b"a"))
    copies.complete(PATH)
    assert copies.replica.held_token
    copies.store.admitted_under(copies.replica, 2)
    copies.store.flush()
    while not copies.said():
        noted = copies.replica.held_version
        copies.complete(CATALOGUE_PATH)
    assert noted == 2


def test_what_a_killed_process_may_have_left_in_memory_only_is_synced_before_it_counts() -> None:
    """Found by the simulator (seed 70088 of 3 nodes) as soon as a write of a killed process could be lost later."""
    copies = Copies(metadata_with(1, 2, 3), mark_interval_ns=1)
    copies.append(0, one(0, b"a"))
    copies.complete(PATH)
    copies.complete(CATALOGUE_PATH)  # with the mark
    copies.files[PATH].extend(one(1, b"b"))  # written, and not known to be synced when the process was killed
    copies.start()
    copies.fence(1)
    copies.complete(PATH)  # is read
    copies.requests()
    [sync] = [action for action in copies.disk if isinstance(action, Write) and action.path == PATH]
    assert (sync.offset, sync.data, sync.sync) == (len(copies.files[PATH]), b"", True)
    assert copies.said() == []
    copies.complete(PATH)
    copies.complete(CATALOGUE_PATH)
    [(_, told)] = copies.said()
    assert isinstance(told, FenceReply)
    assert told.length == 2
    copies.start()
    copies.store.open(copies.replica)
    copies.complete(PATH)
    assert copies.replica.length == 2
    assert copies.waiting() == [], "what is marked was synced"
