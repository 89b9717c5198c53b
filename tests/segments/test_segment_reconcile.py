"""A copy follows the metadata: cut to a SEALED count, kept or dropped by the version of the set."""

from segment_copies import PATH, Copies, one
from segment_fixtures import KEY, members, metadata_with, sealed

from walrus.core.metadata.commands import OPEN, SEALED, BeginSealing, ChangeSet
from walrus.core.metadata.state import Segment
from walrus.core.segment.replica import LOST, READY
from walrus.core.storage.catalogue import CATALOGUE_PATH, recover_catalogue


def first(copies: Copies) -> Segment:
    return copies.metadata.topics["logs"].segments[0]


def reconcile(copies: Copies) -> None:
    copies.store.reconcile(copies.replica, first(copies))
    copies.settle()


def noted_complete(copies: Copies) -> bool:
    known = recover_catalogue(bytes(copies.files[CATALOGUE_PATH]), 2, 1002)
    assert known is not None
    return known.copies[KEY].complete


def test_nothing_is_cut_from_a_segment_that_is_not_sealed() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.metadata.apply(BeginSealing("logs", 1, OPEN, 0, 3, 2))
    copies.store.reconcile(copies.replica, first(copies))
    assert (copies.waiting(), copies.replica.length) == ([], 2)


def test_what_lies_above_a_sealed_count_is_cut() -> None:
    copies = Copies().filled(b"a", b"b", b"c")
    sealed(copies.metadata, 2)
    copies.store.reconcile(copies.replica, first(copies))
    assert copies.waiting() == [f"Truncate {PATH}"]
    copies.settle()
    assert (copies.replica.length, copies.replica.state) == (2, READY)
    assert len(copies.files[PATH]) == 512 + len(one(0, b"a")) + len(one(1, b"b"))


def test_a_copy_of_which_nothing_counts_keeps_its_header_and_is_no_lost_one_after_a_crash() -> None:
    copies = Copies().filled(b"a")
    sealed(copies.metadata, 0)
    reconcile(copies)
    assert len(copies.files[PATH]) == 512
    copies.start()
    copies.store.open(copies.replica)
    copies.settle()
    assert (copies.replica.held, copies.replica.state, copies.replica.length) == (True, READY, 0)


def test_a_copy_with_all_counted_records_is_noted_as_complete() -> None:
    copies = Copies().filled(b"a", b"b")
    sealed(copies.metadata, 2)
    reconcile(copies)
    assert (copies.replica.complete, noted_complete(copies)) == (True, True)


def test_a_copy_cut_to_the_count_is_complete_at_the_next_look() -> None:
    copies = Copies().filled(b"a", b"b", b"c")
    sealed(copies.metadata, 2)
    reconcile(copies)
    reconcile(copies)
    assert noted_complete(copies)


def test_a_short_copy_is_not_complete() -> None:
    copies = Copies().filled(b"a")
    sealed(copies.metadata, 2)
    reconcile(copies)
    assert (copies.replica.complete, copies.replica.length) == (False, 1)


def test_a_copy_with_a_write_under_way_waits() -> None:
    copies = Copies().filled(b"a")
    copies.append(1, one(1, b"b"))
    sealed(copies.metadata, 1)
    copies.store.reconcile(copies.replica, first(copies))
    assert copies.waiting() == [f"Write {PATH}"]
    copies.settle()
    reconcile(copies)
    assert copies.replica.length == 1


def test_a_copy_that_its_set_does_not_name_is_dropped_and_forgotten() -> None:
    copies = Copies(metadata_with(1, 2, 3, 4)).filled(b"a")
    assert copies.metadata.apply(ChangeSet("logs", 1, OPEN, 0, 1, members(1, 3, 4))) == ""
    copies.store.reconcile(copies.replica, first(copies))
    assert f"Delete {PATH}" in copies.waiting()
    copies.settle()
    assert (PATH in copies.files, copies.store.replicas) == (False, {})


def test_a_dropped_copy_is_no_lost_copy_after_a_restart() -> None:
    copies = Copies(metadata_with(1, 2, 3, 4)).filled(b"a")
    copies.metadata.apply(ChangeSet("logs", 1, OPEN, 0, 1, members(1, 3, 4)))
    reconcile(copies)
    copies.start()
    copies.filled(b"a")
    assert copies.replica.length == 1


def test_a_copy_admitted_under_a_newer_set_is_not_dropped_on_the_word_of_an_older_one() -> None:
    copies = Copies(metadata_with(1, 2, 3, copies=(1, 3)))
    copies.append(0, one(0, b"a"), version=2)
    copies.settle()
    reconcile(copies)
    assert (PATH in copies.files, copies.replica.length) == (True, 1)


def test_the_version_of_the_latest_admission_is_remembered_across_a_restart() -> None:
    copies = Copies(metadata_with(1, 2, 3, copies=(1, 3)))
    copies.append(0, one(0, b"a"), version=2)
    copies.settle()
    copies.start()
    reconcile(copies)
    assert PATH in copies.files


def test_no_copy_is_dropped_while_its_segment_is_being_sealed() -> None:
    copies = Copies(metadata_with(1, 2, 3, 4)).filled(b"a")
    copies.metadata.apply(ChangeSet("logs", 1, OPEN, 0, 1, members(1, 3, 4)))
    copies.metadata.apply(BeginSealing("logs", 1, OPEN, 0, 3, 2))
    reconcile(copies)
    assert PATH in copies.files


def fenced_spare() -> Copies:
    """Node 2 stands in for a dead member of logs:1, fenced and filled, and has not heard of SEALING yet."""
    copies = Copies(metadata_with(1, 2, 3, copies=(1, 3)))
    copies.fence(1)
    copies.settle()
    assert copies.store.admit_pulled(copies.replica, one(0, b"a"))
    copies.settle()
    copies.said()
    return copies


def test_a_fence_ahead_of_the_metadata_keeps_a_copy_that_its_set_does_not_name() -> None:
    copies = fenced_spare()
    reconcile(copies)
    assert (PATH in copies.files, copies.replica.fence_durable) == (True, 1)


def test_a_restart_that_replays_the_time_before_the_fence_drops_neither_copy_nor_fence() -> None:
    copies = fenced_spare()
    copies.start()
    reconcile(copies)
    copies.append(1, one(1, b"b"))
    copies.settle()
    assert (PATH in copies.files, copies.replica.fence_epoch, copies.replica.length) == (True, 1, 1)


def test_an_empty_copy_keeps_its_fence_though_its_set_does_not_name_it() -> None:
    copies = Copies(metadata_with(1, 2, 3, copies=(1, 3)))
    copies.fence(1)
    copies.settle()
    copies.start()
    reconcile(copies)
    copies.append(0, one(0, b"a"), version=2)
    assert copies.replica.length == 0


def test_a_member_replaced_by_a_later_set_drops_its_copy() -> None:
    copies = Copies(metadata_with(1, 2, 3, 4)).filled(b"a")
    sealed(copies.metadata, 1)
    reconcile(copies)
    assert copies.metadata.apply(ChangeSet("logs", 1, SEALED, 0, 1, members(1, 3, 4))) == ""
    reconcile(copies)
    assert PATH not in copies.files


def test_a_lost_copy_of_a_sealed_segment_can_be_filled_again() -> None:
    copies = Copies().filled(b"a")
    sealed(copies.metadata, 1)
    del copies.files[PATH]
    copies.start()
    copies.store.open(copies.replica)
    copies.store.reset(copies.replica)
    copies.settle()
    assert (copies.replica.state, copies.replica.length) == (READY, 0)
    assert copies.store.admit_pulled(copies.replica, one(0, b"a"))
    copies.settle()
    assert copies.replica.durable_length == 1


def test_pulled_blocks_that_do_not_continue_the_copy_are_refused() -> None:
    copies = Copies().filled(b"a")
    assert not copies.store.admit_pulled(copies.replica, one(2, b"c"))
    assert not copies.store.admit_pulled(copies.replica, one(0, b"other"))
    assert not copies.store.admit_pulled(copies.replica, one(1, b"b")[:-1])
    assert not copies.store.admit_pulled(copies.replica, b"")
    assert copies.replica.length == 1


def test_a_complete_copy_that_a_read_found_damaged_is_lost_until_it_is_whole_again() -> None:
    copies = Copies().filled(b"a", b"b")
    sealed(copies.metadata, 2)
    reconcile(copies)
    copies.store.damaged(copies.replica)
    assert (copies.replica.state, copies.replica.complete) == (LOST, False)
    copies.store.reset(copies.replica)
    copies.store.flush()
    assert copies.waiting() == [f"Write {CATALOGUE_PATH}"]
    copies.settle()
    assert copies.store.admit_pulled(copies.replica, one(0, b"a"))
    copies.settle()
    copies.start()
    assert not copies.replica.complete
    assert not noted_complete(copies)


def test_a_copy_that_is_not_known_to_be_complete_is_not_judged_by_a_read() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.store.damaged(copies.replica)
    assert copies.replica.state == READY
