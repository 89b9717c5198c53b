"""Up to where copies are noted as durable, the catalogue that is written anew, and the file beside a damaged one."""

import itertools
import zlib

import pytest
from segment_copies import PATH, Copies, one
from segment_fixtures import KEY, TOPIC, sealed

from fuzz.samples import catalogue_of_version_1
from walrus.core.actions import Rename, Write
from walrus.core.segment.messages import ACCEPTED, AppendAck, Fence
from walrus.core.segment.replica import LOST, READY, REFILL_SUFFIX
from walrus.core.storage.catalogue import (
    CATALOGUE_NEW_PATH,
    CATALOGUE_PATH,
    CATALOGUE_VERSION,
    CopyState,
    Held,
    recover_catalogue,
)
from walrus.core.storage.recordlog import recover

NEW_PATH = PATH + REFILL_SUFFIX


def noted(copies: Copies) -> CopyState:
    """What the catalogue on the disk says of logs:1."""
    found = recover_catalogue(bytes(copies.files[CATALOGUE_PATH]), 2, 1002)
    assert found is not None
    return found.copies[KEY]


def marking(*payloads: bytes, rewrite_bytes: int = 1 << 20) -> Copies:
    return Copies(mark_interval_ns=100, rewrite_bytes=rewrite_bytes).filled(*payloads)


def reopened(copies: Copies) -> Copies:
    copies.start()
    copies.store.open(copies.replica)
    copies.settle()
    return copies


# --- marks ---


def test_a_batch_is_acknowledged_before_and_without_its_mark() -> None:
    copies = marking(b"a")
    copies.append(1, one(1, b"b"))
    copies.complete(PATH)
    assert [m.length for _, m in copies.said() if isinstance(m, AppendAck) and m.status == ACCEPTED] == [2]
    assert copies.waiting() == []
    assert noted(copies).length <= 1


def test_a_mark_is_noted_once_an_interval_and_covers_all_that_is_durable_then() -> None:
    copies = marking(b"a", b"b", b"c")
    copies.store.notes.tick(1000)
    assert copies.waiting() == []
    copies.store.flush()
    assert copies.waiting() == [f"Write {CATALOGUE_PATH}"]
    copies.settle()
    assert noted(copies).length == 3
    copies.filled(b"d")
    copies.store.notes.tick(1099)
    copies.store.flush()
    assert copies.waiting() == []
    copies.store.notes.tick(1100)
    copies.settle()
    assert noted(copies).length == 4


def test_a_copy_that_stays_as_it_is_is_noted_once() -> None:
    copies = marking(b"a", b"b")
    copies.mark()
    size = len(copies.files[CATALOGUE_PATH])
    for _ in range(3):
        copies.mark()
    assert len(copies.files[CATALOGUE_PATH]) == size


def test_a_fence_takes_the_mark_with_it() -> None:
    copies = marking(b"a", b"b", b"c")
    copies.store.fence(3, Fence(TOPIC, 1, 1))
    copies.settle()
    assert (noted(copies).fence_epoch, noted(copies).length) == (1, 3)


def test_a_batch_that_is_being_written_is_not_marked() -> None:
    copies = marking(b"a")
    copies.append(1, one(1, b"b"))
    copies.store.notes.tick(1 << 60)
    copies.store.flush()
    assert copies.waiting() == [f"Write {PATH}"]
    assert (copies.replica.marked, noted(copies).length) == (1, 1)


@pytest.mark.parametrize("end", ["rotten", "zeros", "cut off"])
def test_a_copy_whose_last_batch_was_durable_is_lost_without_it(end: str) -> None:
    copies = marking(b"a", b"b", b"c")
    copies.mark()
    data, size = copies.files[PATH], len(one(2, b"c"))
    if end == "rotten":
        data[-1] ^= 1
    else:
        data[-size:] = bytes(size) if end == "zeros" else b""
    before = bytes(data)
    assert reopened(copies).replica.state == LOST
    assert copies.replica.durable_length == 2, "a reader may have what is sound"
    assert bytes(copies.files[PATH]) == before


def test_a_torn_batch_behind_the_mark_is_cut_and_the_copy_counts() -> None:
    copies = marking(b"a", b"b")
    copies.mark()
    sound = bytes(copies.files[PATH])
    copies.files[PATH] += one(2, b"c")[:-1]
    assert (reopened(copies).replica.state, copies.replica.durable_length) == (READY, 2)
    assert bytes(copies.files[PATH]) == sound


def test_what_is_found_behind_the_mark_is_marked() -> None:
    copies = marking(b"a", b"b")
    assert noted(copies).length < 2
    reopened(copies).mark()
    assert noted(copies).length == 2


def test_a_copy_is_cut_below_its_mark_only_once_the_lower_one_is_durable() -> None:
    copies = marking(b"a", b"b", b"c")
    copies.mark()
    copies.store.reconcile(copies.replica, sealed(copies.metadata, 2))
    copies.store.flush()
    assert copies.waiting() == [f"Write {CATALOGUE_PATH}"]
    copies.complete(CATALOGUE_PATH)
    assert noted(copies).length == 2
    assert copies.waiting() == [f"Truncate {PATH}"]
    copies.settle()
    assert reopened(copies).replica.state == READY


def test_a_crash_between_the_lower_mark_and_the_cut_leaves_a_copy_that_is_cut_again() -> None:
    copies = marking(b"a", b"b", b"c")
    copies.mark()
    segment = sealed(copies.metadata, 2)
    copies.store.reconcile(copies.replica, segment)
    copies.store.flush()
    copies.complete(CATALOGUE_PATH)
    reopened(copies)
    assert (copies.replica.state, copies.replica.length) == (READY, 3)
    copies.store.reconcile(copies.replica, segment)
    copies.settle()
    assert copies.replica.length == 2


def test_a_copy_that_was_given_up_and_taken_on_again_begins_without_a_mark() -> None:
    copies = marking(b"a", b"b")
    copies.mark()
    copies.store._give_up(copies.replica)
    copies.settle()
    copies.filled(b"x")
    assert noted(copies).length <= 1
    assert reopened(copies).replica.state == READY


# --- the catalogue anew ---


def test_a_catalogue_that_has_grown_is_written_anew_and_says_the_same() -> None:
    copies = marking(b"a", b"b", rewrite_bytes=300)
    copies.fence(1)
    copies.settle()
    sizes = []
    for base in range(2, 40):
        copies.append(base, one(base, b"x"), epoch=1)
        copies.settle()
        copies.mark()
        sizes.append(len(copies.files[CATALOGUE_PATH]))
    assert max(sizes) < 1000
    assert any(after < before for before, after in itertools.pairwise(sizes))
    assert CATALOGUE_NEW_PATH not in copies.files
    assert noted(copies) == CopyState(held=True, version=1, fence_epoch=1, length=40)
    assert (reopened(copies).replica.state, copies.replica.fence_durable) == (READY, 1)


def being_written_anew() -> Copies:
    """A copy fenced at some epoch, whose catalogue is to be written anew by the next thing that the disk does."""
    copies = marking(b"a", rewrite_bytes=1)
    for epoch in range(1, 30):
        copies.fence(epoch)
        while copies.waiting() and f"Write {CATALOGUE_NEW_PATH}" not in copies.waiting():
            copies.complete(copies.disk[0].path)
        if copies.waiting():
            return copies
    raise AssertionError("the catalogue is never written anew")


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_crash_while_it_is_written_anew_leaves_the_old_one_or_the_new_one(steps: int) -> None:
    copies = being_written_anew()
    before = noted(copies)
    for path in (CATALOGUE_NEW_PATH, CATALOGUE_NEW_PATH)[:steps]:
        copies.complete(path)
    assert (CATALOGUE_NEW_PATH in copies.files) == (steps == 1)
    assert noted(copies) == before
    assert reopened(copies).replica.state == READY


def test_what_is_noted_while_it_is_written_anew_waits_and_is_in_the_new_one() -> None:
    copies = being_written_anew()
    copies.fence(50)
    assert copies.waiting() == [f"Write {CATALOGUE_NEW_PATH}"]
    copies.complete(CATALOGUE_NEW_PATH)
    assert isinstance(copies.disk[0] if copies.waiting() else None, Rename)
    assert copies.replica.fence_durable < 50
    copies.settle()
    assert (copies.replica.fence_durable, noted(copies).fence_epoch) == (50, 50)


def test_a_catalogue_of_version_1_is_read_and_written_anew() -> None:
    copies = Copies().filled(b"a", b"b")
    copies.files[CATALOGUE_PATH] = bytearray(_of_node_2(catalogue_of_version_1(Held(TOPIC, 1, 1))))
    copies.mark_interval_ns = 100
    reopened(copies)
    copies.settle()
    found = recover(CATALOGUE_PATH, b"WALREPL\n", bytes(copies.files[CATALOGUE_PATH]), CATALOGUE_VERSION)
    assert found is not None
    assert found.version == CATALOGUE_VERSION
    copies.mark()
    assert (noted(copies).held, noted(copies).length) == (True, 2)


def _of_node_2(data: bytes) -> bytes:
    """The sample is of another node: give it this one's header."""
    head = bytearray(data[:64])
    head[12:24] = (2).to_bytes(4, "little") + (1002).to_bytes(8, "little")
    head[60:] = zlib.crc32(head[:60]).to_bytes(4, "little")
    return bytes(head) + data[64:]


# --- a damaged copy keeps its file ---


def refilling() -> Copies:
    """A sealed copy of three records whose last one rotted, about to be filled again."""
    copies = marking(b"a", b"b", b"c")
    segment = sealed(copies.metadata, 3)
    copies.store.reconcile(copies.replica, segment)
    copies.settle()
    assert copies.replica.complete
    copies.files[PATH][-1] ^= 1
    reopened(copies)
    assert copies.replica.state == LOST
    copies.store.reset(copies.replica)
    copies.settle()
    return copies


def pull(copies: Copies, base: int, payload: bytes) -> None:
    assert copies.store.admit_pulled(copies.replica, one(base, payload))
    copies.settle()


def test_the_damaged_file_stays_until_the_new_one_is_whole_and_has_its_name() -> None:
    copies = refilling()
    damaged = bytes(copies.files[PATH])
    for base, payload in enumerate((b"a", b"b", b"c")):
        assert bytes(copies.files[PATH]) == damaged
        pull(copies, base, payload)
    assert bytes(copies.files[PATH]) == damaged
    copies.store.reconcile(copies.replica, copies.metadata.topics[TOPIC].segments[0])
    assert copies.waiting() == [f"Rename {NEW_PATH}"]
    copies.settle()
    copies.store.reconcile(copies.replica, copies.metadata.topics[TOPIC].segments[0])
    copies.settle()
    assert NEW_PATH not in copies.files
    assert copies.replica.complete
    assert (reopened(copies).replica.state, copies.replica.durable_length) == (READY, 3)


def test_a_copy_that_is_being_filled_again_is_not_noted_as_durable() -> None:
    copies = refilling()
    pull(copies, 0, b"a")
    copies.mark()
    assert (noted(copies).length, noted(copies).complete) == (0, False)


def test_a_copy_that_is_given_up_while_it_is_filled_again_leaves_no_file() -> None:
    copies = refilling()
    pull(copies, 0, b"a")
    copies.store._give_up(copies.replica)
    copies.settle()
    assert list(copies.files) == [CATALOGUE_PATH]
    assert KEY not in copies.store.replicas


def test_where_there_is_no_room_to_fill_it_again_the_log_says_so_and_the_damaged_file_stays() -> None:
    copies = refilling()
    damaged = bytes(copies.files[PATH])
    assert copies.store.admit_pulled(copies.replica, one(0, b"a"))
    copies.store.flush()
    copies.requests()
    (write,) = copies.disk
    assert isinstance(write, Write)
    assert write.path == NEW_PATH
    copies.disk.clear()
    copies.store.has_no_room()
    assert copies.store.space_ran_out(write)
    texts = [action.text for action in copies.wire.out.actions if hasattr(action, "text")]
    assert any("no room to fill it again; the damaged file stays" in text for text in texts)
    assert bytes(copies.files[PATH]) == damaged
    copies.store.has_room()
    for base, payload in enumerate((b"a", b"b", b"c")):
        pull(copies, base, payload)
    assert copies.replica.durable_length == 3
