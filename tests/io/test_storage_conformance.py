"""What every storage driver, and the simulated disk, promises the core: the same tests for mmap, io_uring and it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from storage_worlds import DRIVERS, KIB, MIB, RealStore, SimulatedStore, Store, fuse_disk, small_tmpfs

from walrus.core.actions import Delete, Read, Rename, Truncate, Write
from walrus.core.events import Event, ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.io.storage import StorageAction

MISSING = "ENOENT: No such file or directory"
DISK_FULL = "ENOSPC: No space left on device"
DISK_ERROR = "EIO: Input/output error"


@pytest.fixture(params=[*DRIVERS, "simulated"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = SimulatedStore() if request.param == "simulated" else RealStore(request.param, tmp_path)
    yield made
    made.finish()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Callable[[Path], RealStore]:
    """What makes a real driver over a directory."""
    return lambda root: RealStore(request.param, root)


def run(store: Store, *actions: StorageAction) -> list[Event]:
    store.submit(actions)
    return store.collect(len(actions))


def content(store: Store, path: str, length: int) -> bytes:
    """The first bytes of a file."""
    (event,) = run(store, Read(path, 0, length, 1_000_000))
    assert isinstance(event, ReadCompleted), event
    return event.data


def completed(*tokens: int) -> list[WriteCompleted]:
    return [WriteCompleted(token) for token in tokens]


# --- bytes ---


def test_what_was_written_is_there_for_the_next_process(store: Store) -> None:
    assert run(store, Write("a", 0, b"one", 1), Write("a", 3, b"two", 2)) == completed(1, 2)
    store.reopen()
    assert content(store, "a", 6) == b"onetwo"
    assert run(store, Write("a", 6, b"!", 3)) == completed(3)
    assert content(store, "a", 7) == b"onetwo!"


def test_an_empty_write_creates_the_file(store: Store) -> None:
    assert run(store, Write("a", 0, b"", 1), Truncate("a", 0, 2)) == completed(1, 2)
    assert content(store, "a", 5) == b""


def test_a_gap_that_a_write_leaves_is_zero(store: Store) -> None:
    run(store, Write("a", 0, b"x", 1), Write("a", 200 * KIB, b"y", 2))
    assert content(store, "a", 200 * KIB + 1) == b"x" + bytes(200 * KIB - 1) + b"y"


def test_writes_to_one_file_take_effect_in_the_order_given(store: Store) -> None:
    """Each of 300 writes of one turn covers half of the one before it; so do their completions come."""
    writes = [Write("a", 2 * number, b"%04d" % number, number + 1) for number in range(300)]
    assert run(store, *writes) == completed(*range(1, 301))
    expected = b"".join(b"%02d" % (number // 100) for number in range(300))
    assert content(store, "a", 600) == expected


def test_many_small_writes_to_many_files_in_one_turn_each_complete_once(store: Store) -> None:
    actions = [Write(f"f{number % 40}", number // 40, b"%d" % (number % 10), number + 1) for number in range(2000)]
    done = run(store, *actions)
    assert sorted(event.token for event in done if isinstance(event, WriteCompleted)) == list(range(1, 2001))
    for file in range(40):
        own = [event.token for event in done if isinstance(event, WriteCompleted) and (event.token - 1) % 40 == file]
        assert own == sorted(own)
        assert content(store, f"f{file}", 50) == b"%d" % (file % 10) * 50
    assert not store.has_completions()


def test_large_writes_arrive_whole(store: Store) -> None:
    """Several MiB, of lengths that are no multiple of anything, one behind the other and side by side."""
    pieces = [bytes([65 + number]) * (5 * MIB + 4097 + number) for number in range(3)]
    offsets = [0, len(pieces[0]), len(pieces[0]) + len(pieces[1])]
    in_a = [Write("a", offset, piece, 1 + n) for n, (offset, piece) in enumerate(zip(offsets, pieces, strict=True))]
    others = [Write(f"b{n}", 7, piece, 11 + n) for n, piece in enumerate(pieces)]
    done = run(store, *in_a, *others)
    assert {event.token for event in done if isinstance(event, WriteCompleted)} == {1, 2, 3, 11, 12, 13}
    assert content(store, "a", 16 * MIB)[: sum(map(len, pieces))] == b"".join(pieces)
    for number, piece in enumerate(pieces):
        assert content(store, f"b{number}", 7 + len(piece)) == bytes(7) + piece


def test_files_written_side_by_side_do_not_mix(store: Store) -> None:
    for turn in range(5):
        writes = [Write(f"f{n}", turn * 3, b"%03d" % (n + turn), turn * 100 + n + 1) for n in range(60)]
        assert len(run(store, *writes)) == 60
    for number in range(60):
        assert content(store, f"f{number}", 15) == b"".join(b"%03d" % (number + turn) for turn in range(5))


# --- reads ---


def test_a_read_is_short_only_where_the_file_ends(store: Store) -> None:
    run(store, Write("a", 0, b"0123456789", 1), Truncate("a", 10, 2))
    assert run(store, Read("a", 4, 3, 5)) == [ReadCompleted(5, b"456")]
    assert run(store, Read("a", 8, 100, 6)) == [ReadCompleted(6, b"89")]
    assert run(store, Read("a", 10, 100, 7)) == [ReadCompleted(7, b"")]
    assert run(store, Read("a", 5000, 100, 8)) == [ReadCompleted(8, b"")]


def test_many_reads_at_once_are_each_answered(store: Store) -> None:
    data = bytes(range(256)) * 4096
    run(store, Write("a", 0, data, 1))
    reads = [Read("a", number * 1000, 3000, 10 + number) for number in range(700)]
    done = {event.token: event.data for event in run(store, *reads) if isinstance(event, ReadCompleted)}
    assert done == {read.token: data[read.offset : read.offset + 3000] for read in reads}


def test_a_read_of_a_missing_file_names_file_and_errno(store: Store) -> None:
    assert run(store, Read("none", 0, 1, 5)) == [ReadFailed(5, "none", MISSING)]
    assert run(store, Write("none", 0, b"x", 6)) == completed(6)
    assert content(store, "none", 1) == b"x"


def test_a_write_is_not_failed_by_a_read_that_found_no_file(store: Store) -> None:
    """The read is on its way to ENOENT when the write comes; whether it still sees the file is a matter of time."""
    for number in range(30):
        store.submit([Read(f"f{number}", 0, 1, 1)])
        store.submit([Write(f"f{number}", 0, b"x", 2)])
        done = store.collect(2)
        assert WriteCompleted(2) in done
        assert content(store, f"f{number}", 1) == b"x"


# --- names and sizes ---


def test_a_cut_file_ends_there_and_grows_again_with_zeros(store: Store) -> None:
    run(store, Write("a", 0, b"hello world", 1))
    assert run(store, Truncate("a", 4, 2)) == completed(2)
    assert content(store, "a", 100) == b"hell"
    run(store, Write("a", 6, b"!", 3))
    assert content(store, "a", 7) == b"hell\0\0!"


def test_a_change_of_a_missing_file_names_file_and_errno(store: Store) -> None:
    assert run(store, Truncate("none", 0, 3)) == [WriteFailed(3, "none", MISSING)]
    assert run(store, Rename("none", "other", 4)) == [WriteFailed(4, "none", MISSING)]


def test_a_removed_file_is_gone_and_one_that_is_missing_counts_as_removed(store: Store) -> None:
    run(store, Write("a", 0, b"old", 1))
    assert run(store, Delete("a", 2)) == completed(2)
    assert run(store, Read("a", 0, 1, 3)) == [ReadFailed(3, "a", MISSING)]
    assert run(store, Delete("a", 4)) == completed(4)
    run(store, Write("a", 0, b"n", 5))
    assert content(store, "a", 3).rstrip(b"\0") == b"n"


def test_a_renamed_file_replaces_what_had_its_new_name(store: Store) -> None:
    run(store, Write("new", 0, b"new", 1), Write("old", 0, b"old one", 2))
    assert run(store, Rename("new", "old", 3)) == completed(3)
    assert content(store, "old", 7).rstrip(b"\0") == b"new"
    assert run(store, Read("new", 0, 1, 4)) == [ReadFailed(4, "new", MISSING)]
    store.reopen()
    assert content(store, "old", 3) == b"new"


def test_a_file_may_be_renamed_to_its_own_name(store: Store) -> None:
    run(store, Write("a", 0, b"same", 1))
    assert run(store, Rename("a", "a", 2), Write("a", 4, b"!", 3)) == completed(2, 3)
    assert content(store, "a", 5) == b"same!"


def test_changes_of_all_kinds_to_one_file_take_effect_in_order(store: Store) -> None:
    """All in one turn: each change meets what the one before it left."""
    done = run(
        store,
        Write("a", 0, b"first", 1),
        Truncate("a", 2, 2),
        Write("a", 2, b"re", 3),
        Rename("a", "b", 4),
        Write("a", 0, b"second", 5),
        Truncate("b", 4, 6),
        Rename("b", "c", 7),
        Rename("a", "b", 8),
        Write("b", 6, b"!", 9),
        Delete("c", 10),
        Rename("b", "c", 11),
        Write("c", 7, b"?", 12),
        Truncate("c", 8, 13),
    )
    assert sorted(event.token for event in done if isinstance(event, WriteCompleted)) == list(range(1, 14))
    assert content(store, "c", 100) == b"second!?"
    for gone in ("a", "b"):
        assert run(store, Read(gone, 0, 1, 20)) == [ReadFailed(20, gone, MISSING)]


def test_finishing_with_changes_in_flight_carries_them_out(store: Store) -> None:
    store.submit([Write(f"f{number % 20}", number // 20, b"%d" % (number % 10), number + 1) for number in range(400)])
    store.submit([Truncate(f"f{number}", 20, 1000 + number) for number in range(20)])
    store.reopen()
    for number in range(20):
        assert content(store, f"f{number}", 100) == b"%d" % (number % 10) * 20


# --- without a sync ---


def test_what_was_written_without_a_sync_is_read_and_is_there_for_the_next_process(store: Store) -> None:
    done = run(store, Write("a", 0, b"one", 1, sync=False), Write("a", 3, b"two", 2, sync=False))
    assert done == completed(1, 2)
    assert content(store, "a", 6) == b"onetwo"
    store.reopen()
    assert content(store, "a", 6) == b"onetwo"
    assert run(store, Write("a", 6, b"", 3), Write("a", 6, b"!", 4, sync=False)) == completed(3, 4)
    assert content(store, "a", 7) == b"onetwo!"


def test_writes_with_and_without_a_sync_to_one_file_take_effect_and_complete_in_order(store: Store) -> None:
    writes = [Write("a", number, b"%d" % (number % 10), number + 1, sync=number % 3 == 0) for number in range(100)]
    assert run(store, *writes) == completed(*range(1, 101))
    assert content(store, "a", 100) == b"0123456789" * 10


def test_a_write_without_a_sync_completes_while_another_file_is_being_synced(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    """Both in one turn, so that a driver which syncs a turn's files together has both before it."""
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        run(store, Write("a", 0, b"x", 1), Write("b", 0, b"x", 2))
        disk.order("hold fsync")
        disk.requests.clear()
        store.submit([Write("a", 1, b"y", 3), Write("b", 1, b"y", 4, sync=False)])
        disk.until("fsync a")
        assert store.collect(1) == completed(4)
        assert not store.has_completions()
        disk.order("release fsync")
        assert store.collect(1) == completed(3)
        assert "fsync b" not in disk.requests
        store.finish()


def test_a_new_file_has_its_entry_on_the_disk_though_its_bytes_are_not_synced(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        disk.order("hold fsyncdir")
        store.submit([Write("a", 0, b"x", 1, sync=False)])
        disk.until("fsyncdir")
        assert not store.has_completions()
        disk.order("release fsyncdir")
        assert store.collect(1) == completed(1)
        disk.order("report requests")
        assert "fsync a" not in disk.requests
        store.finish()


def test_an_empty_write_syncs_what_was_written_before_it_and_fails_where_that_does(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        assert run(store, Write("a", 0, b"xy", 1, sync=False)) == completed(1)
        disk.requests.clear()
        assert run(store, Write("a", 2, b"", 2)) == completed(2)
        assert run(store, Write("a", 2, b"z", 3, sync=False)) == completed(3)
        disk.order("fail fsync 5")
        assert run(store, Write("a", 3, b"", 4)) == [WriteFailed(4, "a", DISK_ERROR)]
        (failed,) = run(store, Write("a", 3, b"", 5))
        assert isinstance(failed, WriteFailed)
        assert "an earlier write or sync of a failed (EIO: " in failed.error
        disk.order("report requests")
        store.finish()
    assert disk.requests.count("fsync a") == 2


def test_a_file_written_without_a_sync_is_synced_before_it_gets_another_name(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        assert run(store, Write("a", 0, b"x", 1, sync=False)) == completed(1)
        disk.order("fail fsync 5")
        (failed,) = run(store, Rename("a", "b", 2))
        assert isinstance(failed, WriteFailed)
        assert "EIO: " in failed.error
        store.finish()


def test_a_file_is_synced_before_it_is_closed_for_another_and_a_failure_is_not_forgotten(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    """The kernel tells of a failed write-back only whoever has the file open."""
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        assert run(store, Write("first", 0, b"x", 1, sync=False)) == completed(1)
        disk.order("fail fsync 5")
        token = 2
        while "fsync first" not in disk.requests:
            assert token < 1000
            assert run(store, Write(f"f{token}", 0, b"x", token, sync=False)) == completed(token)
            disk.order("report requests")
            token += 1
        disk.order("fail fsync 0")
        (failed,) = run(store, Write("first", 1, b"x", token, sync=False))
        assert isinstance(failed, WriteFailed)
        assert "an earlier write or sync of first failed (EIO: " in failed.error
        store.finish()


# --- a full disk, a failing one, one that takes its time ---


def full_disk(store: Store, room: Callable[[int], None]) -> None:
    """The same on a tmpfs and on the simulated disk; ``room`` sets how many KiB more fit."""
    assert run(store, Write("a", 0, b"kept", 1), Truncate("a", 4, 2)) == completed(1, 2)
    assert run(store, Write("log", 0, b"begun", 20, 64 * KIB)) == completed(20)
    room(100)
    refused = Write("b", 0, b"y" * 200 * KIB, 3)
    assert run(store, refused) == [SpaceRanOut(refused, DISK_FULL)]
    longer = Write("a", 4, b"y" * 200 * KIB, 9)
    assert run(store, longer) == [SpaceRanOut(longer, DISK_FULL)]
    assert content(store, "a", 10) == b"kept", "nothing of what found no room is there"
    room(0)
    assert run(store, Write("log", 5, b"z" * 30 * KIB, 21, 64 * KIB)) == completed(21), "it was reserved ahead"
    assert content(store, "log", 10) == b"begunzzzzz"
    room(100)
    assert run(store, Delete("b", 4), Write("c", 0, b"fits", 5)) == completed(4, 5)
    assert content(store, "c", 4) == b"fits"
    room(800)
    assert run(store, refused) + run(store, longer) == completed(3, 9)
    assert content(store, "b", 200 * KIB) == b"y" * 200 * KIB
    assert content(store, "a", 8) == b"keptyyyy"


def test_a_full_disk_refuses_a_write_serves_reads_and_goes_on_when_there_is_room(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with small_tmpfs(tmp_path):
        store = driver(tmp_path)
        ballast = tmp_path / "ballast"

        def room(kib: int) -> None:
            """Ballast leaves so much of the MiB, besides what the files take."""
            ballast.write_bytes(b"")
            free = os.statvfs(tmp_path)
            ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - kib * KIB))

        full_disk(store, room)
        store.finish()


def test_the_simulated_disk_is_full_in_the_same_way() -> None:
    store = SimulatedStore()

    def room(kib: int) -> None:
        store.disk.room_bytes = kib * KIB

    full_disk(store, room)


def test_the_simulated_disks_failed_sync_names_file_and_errno() -> None:
    store = SimulatedStore()
    run(store, Write("a", 0, b"x", 1))
    store.disk.fail_sync("a", 0)
    assert run(store, Write("a", 1, b"y", 2)) == [WriteFailed(2, "a", DISK_ERROR)]


@pytest.mark.parametrize("what", ["write", "fsync"])
def test_a_disk_error_fails_the_write_names_file_and_errno_and_is_never_tried_again(
    driver: Callable[[Path], RealStore], tmp_path: Path, what: str
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        assert run(store, Write("a", 0, b"x", 1)) == completed(1)
        disk.order(f"fail {what} 5")
        disk.requests.clear()
        assert run(store, Write("a", 1, b"y", 2)) == [WriteFailed(2, "a", DISK_ERROR)]
        (failed,) = run(store, Write("a", 1, b"y", 3))
        assert isinstance(failed, WriteFailed)
        assert failed.path == "a"
        assert "an earlier write or sync of a failed (EIO: " in failed.error
        assert run(store, Write("b", 0, b"z", 4)) == completed(4)
        disk.order("report requests")
        store.finish()
    syncs = [request for request in disk.requests if request == "fsync a"]
    writes = [request for request in disk.requests if request.startswith("write a ")]
    assert (len(writes), len(syncs)) == ((1, 0) if what == "write" else (1, 1)), (
        "the sync follows a write that succeeded"
    )


def test_a_read_that_the_disk_fails_names_file_and_errno_and_is_answered_once_the_disk_can(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        assert run(store, Write("a", 0, b"what it holds", 1)) == completed(1)
        store.finish()
        store = driver(tmp_path)  # another process has nothing of it in memory
        disk.order("refuse read 5 a")
        assert run(store, Read("a", 0, 100, 2)) == [ReadFailed(2, "a", DISK_ERROR)]
        assert run(store, Read("a", 0, 100, 3)) == [ReadFailed(3, "a", DISK_ERROR)]
        disk.order("allow read")
        (read,) = run(store, Read("a", 0, 13, 4))
        assert (read.token, read.data) == (4, b"what it holds")
        assert run(store, Write("a", 13, b"!", 5)) == completed(5), "a failed read says nothing of writes"
        store.finish()


def test_a_new_file_fails_when_its_directory_cannot_be_synced(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        disk.order("fail fsyncdir 5")
        assert run(store, Write("a", 0, b"x", 1)) == [WriteFailed(1, "a", DISK_ERROR)]
        (refused,) = run(store, Write("b", 0, b"x", 2))
        assert isinstance(refused, WriteFailed)
        assert "an earlier write or sync of . failed (EIO: " in refused.error
        store.finish()


def test_a_write_completes_only_once_its_sync_has(driver: Callable[[Path], RealStore], tmp_path: Path) -> None:
    """While the disk takes its time over the sync, reads are answered and the write is not."""
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        run(store, Write("a", 0, b"w", 1), Write("other", 0, b"here", 2))
        disk.order("hold fsync")
        store.submit([Write("a", 1, b"x", 3)])
        disk.until("fsync a")
        for token in range(4, 20):
            assert run(store, Read("other", 0, 4, token)) == [ReadCompleted(token, b"here")]
        assert not store.has_completions()
        disk.order("release fsync")
        assert store.collect(1) == completed(3)
        store.finish()


def test_a_new_file_is_complete_only_once_its_entry_is_on_the_disk(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        disk.order("hold fsyncdir")
        store.submit([Write("a", 0, b"x", 1)])
        disk.until("fsyncdir")
        assert not store.has_completions()
        disk.order("release fsyncdir")
        assert store.collect(1) == completed(1)
        store.finish()


def test_what_the_simulated_disk_completed_survives_a_crash_and_what_it_did_not_may_be_lost() -> None:
    store = SimulatedStore()
    run(store, Write("a", 0, b"durable", 1))
    store.submit([Write("a", 7, b"lost", 2)])
    store.disk.crash(0, torn=False)
    assert bytes(store.disk.files["a"]) == b"durable"


def test_a_power_cut_on_the_simulated_disk_loses_what_was_not_synced_and_the_end_of_a_process_does_not() -> None:
    store = SimulatedStore()
    run(store, Write("a", 0, b"synced", 1), Write("b", 0, b"old", 2), Write("a", 6, b"?", 3, sync=False))
    run(store, Write("b", 3, b"new", 4, sync=False), Write("b", 6, b"", 5))
    store.disk.crash(0, torn=False)
    assert bytes(store.disk.files["a"]) == b"synced?"
    lost = store.disk.cut_power(0, torn=False)
    assert bytes(store.disk.files["a"]).rstrip(b"\0") == b"synced"
    assert bytes(store.disk.files["b"]) == b"oldnew"
    assert {path: before for path, (before, _) in lost.items()} == {"a": b"synced?"}
    store.disk.cut_power(0, torn=False)
    assert bytes(store.disk.files["a"]).rstrip(b"\0") == b"synced"


def test_a_power_cut_on_the_simulated_disk_keeps_and_tears_writes_in_any_combination() -> None:
    seen = set()
    for seed in range(60):
        store = SimulatedStore(seed)
        run(store, *[Write("a", 2 * number, b"%02d" % number, number + 1, sync=False) for number in range(3)])
        store.disk.cut_power(500_000, torn=True)
        seen.add(bytes(store.disk.files["a"]).ljust(6, b"\0"))
    assert {b"000102", b"0001\0\0", b"\0\0\0\00" + b"2", b"\0\0\00" + b"102"} & seen
    assert any(b"\0" in data.rstrip(b"\0") for data in seen), "a hole before what was written later"
    assert len(seen) > 8


def test_a_sync_of_one_file_holds_up_no_other(driver: Callable[[Path], RealStore], tmp_path: Path) -> None:
    """io_uring keeps the paths apart; mmap syncs a turn's files together, so its next turn waits."""
    with fuse_disk(tmp_path) as disk:
        store = driver(tmp_path)
        if store.driver.name == "mmap":
            store.finish()
            pytest.skip("mmap syncs in batches")
        run(store, Write("a", 0, b"x", 1), Write("b", 0, b"x", 2))
        disk.order("hold fsync")
        store.submit([Write("a", 1, b"y", 3)])
        disk.until("fsync a")
        store.submit([Write("b", 1, b"y", 4)])
        disk.until("fsync b")
        disk.order("release fsync")
        assert sorted(event.token for event in store.collect(2) if isinstance(event, WriteCompleted)) == [3, 4]
        store.finish()


# --- descriptors ---


def test_ten_thousand_files_one_after_the_other_keep_few_descriptors(
    driver: Callable[[Path], RealStore], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    memory = Path("/dev/shm")
    root = tmp_path
    if memory.is_dir() and os.access(memory, os.W_OK):  # where 10,000 syncs cost nothing
        root = memory / f"walrus-test-{os.getpid()}-{tmp_path.name}"
        root.mkdir()
    try:
        store = driver(root)
        before = len(os.listdir("/proc/self/fd"))
        most = 0
        for number in range(0, 10_000, 100):
            done = run(store, *[Write(f"f{n}", 0, b"%05d" % n, n + 1) for n in range(number, number + 100)])
            assert all(isinstance(event, WriteCompleted) for event in done)
            most = max(most, len(os.listdir("/proc/self/fd")) - before)
        assert most <= 300
        assert content(store, "f7", 5) == b"00007"
        assert run(store, Write("f7", 5, b"!", 20_000)) == completed(20_000)
        assert content(store, "f7", 6) == b"00007!"
        store.finish()
    finally:
        if root != tmp_path:
            for path in root.iterdir():
                path.unlink()
            root.rmdir()


def test_more_files_at_once_than_may_be_open_are_all_written(
    driver: Callable[[Path], RealStore], tmp_path: Path
) -> None:
    store = driver(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    store.submit([Write(f"f{number}", 0, b"%05d" % number, number + 1) for number in range(500)])
    store.submit([Read(f"f{number}", 0, 0, 1000 + number) for number in range(0, 500, 7)])
    done = store.collect(500 + 72)
    assert sum(isinstance(event, WriteCompleted) for event in done) == 500
    assert len(os.listdir("/proc/self/fd")) - before <= 300
    for number in (0, 250, 499):
        assert content(store, f"f{number}", 5) == b"%05d" % number
    store.finish()


def test_a_driver_that_is_done_leaves_no_descriptor_behind(driver: Callable[[Path], RealStore], tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    store = driver(tmp_path)
    run(store, *[Write(f"f{number}", 0, b"x", number + 1) for number in range(20)])
    store.finish()
    assert len(os.listdir("/proc/self/fd")) == before
