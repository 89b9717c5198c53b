"""The mmap driver: what it promises about bytes, sizes, errors and descriptors."""

import errno
import os
import select
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from walrus.core.actions import Change, Delete, Read, Rename, Truncate, Write
from walrus.core.events import Event, ReadCompleted, ReadFailed, SpaceRanOut, WriteCompleted, WriteFailed
from walrus.io.storage import Changed, StorageAction, ThreadedStorage
from walrus.io.storage_mmap import MappedFiles

KIB = 1024
MIB = 1024 * KIB


@pytest.fixture
def files(tmp_path: Path) -> Iterator[MappedFiles]:
    mapped = MappedFiles(tmp_path)
    yield mapped
    mapped.close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[ThreadedStorage]:
    threaded = ThreadedStorage(MappedFiles(tmp_path))
    yield threaded
    threaded.close()


def run(storage: ThreadedStorage, actions: list[StorageAction]) -> list[Event]:
    """Submit and wait for as many completions."""
    storage.submit(actions)
    done: list[Event] = []
    while len(done) < len(actions):
        assert select.select([storage.fileno()], [], [], 20)[0], f"only {done} completed"
        done += storage.on_ready(0)
    return done


def read_all(files: MappedFiles, path: str) -> bytes:
    result = files.read(Read(path, 0, 64 * MIB, 1))
    assert isinstance(result, ReadCompleted)
    return result.data


def apply(files: MappedFiles, batch: list[Change]) -> list[Changed]:
    """What becomes of each change, first of those that need no sync."""
    return [done for part in files.apply(batch) for done in part]


def test_what_was_written_is_read_back_and_the_rest_of_the_file_is_zero(files: MappedFiles) -> None:
    assert apply(files, [Write("a", 0, b"one", 1), Write("a", 3, b"two", 2)]) == [WriteCompleted(1), WriteCompleted(2)]
    content = read_all(files, "a")
    assert content == b"onetwo".ljust(64 * KIB, b"\0")


def test_a_write_may_replace_earlier_bytes_and_leave_a_gap(files: MappedFiles) -> None:
    apply(files, [Write("a", 0, b"xxxx", 1), Write("a", 1, b"yy", 2), Write("a", 10, b"z", 3)])
    assert read_all(files, "a")[:12] == b"xyyx\0\0\0\0\0\0z\0"


def test_an_empty_write_creates_the_file(files: MappedFiles, tmp_path: Path) -> None:
    assert apply(files, [Write("a", 0, b"", 1)]) == [WriteCompleted(1)]
    assert (tmp_path / "a").exists()


def test_a_directory_on_the_way_has_to_exist(files: MappedFiles) -> None:
    (failed,) = apply(files, [Write("nowhere/a", 0, b"x", 1)])
    assert isinstance(failed, WriteFailed)
    assert failed.error.startswith("ENOENT")


def test_a_read_is_short_only_at_the_end_of_the_file(files: MappedFiles) -> None:
    apply(files, [Write("a", 0, b"0123456789", 1), Truncate("a", 10, 2)])
    assert files.read(Read("a", 4, 3, 5)) == ReadCompleted(5, b"456")
    assert files.read(Read("a", 8, 100, 6)) == ReadCompleted(6, b"89")
    assert files.read(Read("a", 50, 100, 7)) == ReadCompleted(7, b"")


def test_reading_a_missing_file_says_so(files: MappedFiles) -> None:
    assert files.read(Read("none", 0, 1, 5)) == ReadFailed(5, "none", "ENOENT: No such file or directory")


def test_files_grow_in_doubling_steps_that_end_at_8_mib(files: MappedFiles, tmp_path: Path) -> None:
    sizes = []
    for end in (1, 64 * KIB + 1, 128 * KIB + 1, 9 * MIB, 20 * MIB, 29 * MIB):
        apply(files, [Write("a", end - 1, b"x", 1)])
        sizes.append((tmp_path / "a").stat().st_size)
    assert sizes == [64 * KIB, 128 * KIB, 256 * KIB, 9 * MIB, 20 * MIB, 29 * MIB - 29 * MIB % KIB]
    apply(files, [Write("a", 29 * MIB, b"x", 1)])
    assert (tmp_path / "a").stat().st_size == 37 * MIB


def test_truncation_cuts_preallocation_and_releases_the_descriptor(files: MappedFiles, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    apply(files, [Write("a", 0, b"hello", 1)])
    assert apply(files, [Truncate("a", 5, 2)]) == [WriteCompleted(2)]
    assert (tmp_path / "a").read_bytes() == b"hello"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_truncated_file_can_be_written_again(files: MappedFiles, tmp_path: Path) -> None:
    apply(files, [Write("a", 0, b"hello", 1), Truncate("a", 2, 2), Write("a", 2, b"y", 3)])
    assert read_all(files, "a")[:6] == b"hey\0\0\0"


def test_truncating_a_missing_file_fails(files: MappedFiles) -> None:
    assert apply(files, [Truncate("none", 0, 3)]) == [WriteFailed(3, "none", "ENOENT: No such file or directory")]


def test_deletion_is_complete_and_a_missing_file_counts_as_deleted(files: MappedFiles, tmp_path: Path) -> None:
    apply(files, [Write("a", 0, b"old", 1)])
    assert apply(files, [Delete("a", 2), Delete("b", 3)]) == [WriteCompleted(2), WriteCompleted(3)]
    assert not (tmp_path / "a").exists()
    apply(files, [Write("a", 0, b"n", 4)])
    assert read_all(files, "a")[:4] == b"n\0\0\0"


def test_a_renamed_file_replaces_the_other_and_is_written_on_under_its_new_name(
    files: MappedFiles, tmp_path: Path
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    apply(files, [Write("a", 0, b"old and long", 1), Write("a.new", 0, b"new", 2)])
    assert apply(files, [Rename("a.new", "a", 3)]) == [WriteCompleted(3)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert os.listdir(tmp_path) == ["a"]
    assert read_all(files, "a")[:12] == b"new".ljust(12, b"\0")
    apply(files, [Write("a", 3, b"er", 4), Write("a.new", 0, b"next", 5)])
    assert read_all(files, "a")[:6] == b"newer\0"
    assert read_all(files, "a.new")[:5] == b"next\0"


def test_renaming_a_missing_file_fails_and_leaves_the_other(files: MappedFiles) -> None:
    apply(files, [Write("a", 0, b"old", 1)])
    assert apply(files, [Rename("b", "a", 2)]) == [WriteFailed(2, "b", "ENOENT: No such file or directory")]
    assert read_all(files, "a")[:4] == b"old\0"


def test_a_renaming_is_not_durable_before_its_directory_is(files: MappedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_sync(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    apply(files, [Write("a", 0, b"x", 1)])
    monkeypatch.setattr("walrus.io.files.sync_directory", broken_sync)
    assert apply(files, [Rename("a", "b", 2)]) == [WriteFailed(2, "a", "EIO: Input/output error")]
    (failed,) = apply(files, [Rename("b", "a", 3)])
    assert isinstance(failed, WriteFailed)
    assert "an earlier write or sync of" in failed.error


def test_a_file_whose_sync_failed_gets_no_other_name(files: MappedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_sync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken_sync)
        apply(files, [Write("a.new", 0, b"y", 1)])
    (failed,) = apply(files, [Rename("a.new", "a", 2)])
    assert isinstance(failed, WriteFailed)
    assert "an earlier write or sync of a.new failed" in failed.error


def test_a_reopened_file_keeps_its_bytes_whatever_its_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"torn preallocation"[:7])
    files = MappedFiles(tmp_path)
    assert apply(files, [Write("a", 7, b"!", 1)]) == [WriteCompleted(1)]
    files.close()
    again = MappedFiles(tmp_path)
    assert apply(again, [Write("a", 8, b"?", 1)]) == [WriteCompleted(1)]
    assert read_all(again, "a")[:10] == b"torn pr!?\0"
    again.close()


def test_many_files_keep_a_bounded_number_of_descriptors(files: MappedFiles) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(0, 400, 50):
        apply(files, [Write(f"f{n}", 0, b"x", n) for n in range(number, number + 50)])
    assert len(os.listdir("/proc/self/fd")) - before <= 256
    apply(files, [Write("f0", 1, b"y", 1)])
    assert read_all(files, "f0")[:3] == b"xy\0"


def test_a_failed_sync_fails_its_writes_and_is_never_retried(
    files: MappedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(files, [Write("a", 0, b"x", 1)])
    calls: list[int] = []

    def broken_sync(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken_sync)
        assert apply(files, [Write("a", 1, b"y", 2)]) == [WriteFailed(2, "a", "EIO: Input/output error")]
    (failed,) = apply(files, [Write("a", 1, b"y", 3)])
    assert isinstance(failed, WriteFailed)
    assert "an earlier write or sync of a failed (EIO" in failed.error
    assert len(calls) == 1
    assert apply(files, [Write("b", 0, b"z", 4)]) == [WriteCompleted(4)]


def test_a_new_file_is_not_durable_before_its_directory_is(files: MappedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_sync(path: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("walrus.io.files.sync_directory", broken_sync)
    assert apply(files, [Write("a", 0, b"x", 1)]) == [WriteFailed(1, "a", "EIO: Input/output error")]


def test_one_batch_syncs_each_file_once(files: MappedFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def counting(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", counting)
    apply(files, [Write(f"f{n % 7}", n, b"x", n) for n in range(70)])
    assert len(synced) == len(set(synced)) == 7


def test_a_full_disk_refuses_the_write_keeps_reads_and_recovers(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs takes root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode()}")
    try:
        files = MappedFiles(tmp_path)
        assert apply(files, [Write("a", 0, b"kept", 1)]) == [WriteCompleted(1)]
        (tmp_path / "ballast").write_bytes(bytes(900 * KIB))
        refused = Write("b", 0, bytes(200 * KIB), 2)
        assert apply(files, [refused]) == [SpaceRanOut(refused, "ENOSPC: No space left on device")]
        assert apply(files, [Write("a", 4, b"!", 3)]) == [WriteCompleted(3)]
        assert apply(files, [Write("c", 0, b"fits in a page", 4)]) == [WriteCompleted(4)]
        assert read_all(files, "a")[:6] == b"kept!\0"
        (tmp_path / "ballast").unlink()
        assert apply(files, [Write("b", 0, bytes(200 * KIB), 5)]) == [WriteCompleted(5)]
        files.close()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_completions_come_through_the_descriptor_in_order(storage: ThreadedStorage) -> None:
    done = run(storage, [Write("a", n, b"x", n + 1) for n in range(200)])
    assert done == [WriteCompleted(n + 1) for n in range(200)]
    assert run(storage, [Read("a", 0, 200, 900)]) == [ReadCompleted(900, b"x" * 200)]


def test_a_read_does_not_wait_behind_a_sync(storage: ThreadedStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    run(storage, [Write("a", 0, b"hello", 1)])
    release = threading.Event()

    def slow_sync(fd: int) -> None:
        assert release.wait(20)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", slow_sync)
        storage.submit([Write("a", 5, b"x", 2)])
        assert run(storage, [Read("a", 0, 5, 3)]) == [ReadCompleted(3, b"hello")]
        release.set()
        assert run(storage, []) == []
        assert select.select([storage.fileno()], [], [], 20)[0]
        assert storage.on_ready(0) == [WriteCompleted(2)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_storage_thread_ends_the_loop_instead_of_hanging_it(tmp_path: Path) -> None:
    class Broken(MappedFiles):
        def apply(self, batch: object) -> list[WriteCompleted | WriteFailed]:
            raise AssertionError("bug")

    storage = ThreadedStorage(Broken(tmp_path))
    storage.submit([Write("a", 0, b"x", 1)])
    assert select.select([storage.fileno()], [], [], 20)[0]
    with pytest.raises(RuntimeError, match="storage thread"):
        storage.on_ready(0)
    storage.close()
