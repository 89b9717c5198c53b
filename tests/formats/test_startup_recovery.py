"""A node's start: fresh, again, after a crash, and from a directory that it must not use."""

import pytest
from format_disk import Disk, boot, write_out

from walrus.core.actions import Truncate, Write
from walrus.core.peer import Entry
from walrus.core.raft.output import HardState
from walrus.core.storage import journal
from walrus.core.storage.catalogue import CATALOGUE_PATH, Fenced, encode_record
from walrus.core.storage.journal import JOURNAL_PATH, encode_raft
from walrus.core.storage.recordlog import RecoveryError


def used_disk() -> Disk:
    """What one lifetime left that joined, voted, logged two entries and promised a fence, one write each."""
    disk = Disk()
    ready = boot(disk)
    ready.journal_log.append(journal.encode_record(journal.Cluster(77)))
    write_out(disk, ready)
    for record in (HardState(1, 1), Entry(1, 1, 0, b"one"), Entry(2, 1, 0, b"two")):
        ready.journal_log.append(encode_raft(record))
        write_out(disk, ready)
    for epoch in (1, 2):
        ready.catalogue_log.append(encode_record(Fenced("logs", 1, epoch)))
        write_out(disk, ready)
    disk.done.clear()
    return disk


def test_a_fresh_node_notes_its_disk_and_its_first_lifetime_before_it_speaks() -> None:
    disk = Disk()
    ready = boot(disk)
    assert (ready.incarnation, ready.journal, ready.copies) == (1, None, None)
    assert ready.storage > 0
    steps = [(type(action), getattr(action, "path", "")) for action in disk.done]
    assert steps == [(Write, JOURNAL_PATH), (Write, CATALOGUE_PATH)]


def test_every_restart_is_a_new_lifetime_of_the_same_disk() -> None:
    disk = Disk()
    lives = [boot(disk, seed=seed) for seed in range(4)]
    assert [life.incarnation for life in lives] == [1, 2, 3, 4]
    assert {life.storage for life in lives} == {lives[0].storage}


def test_another_seed_gives_another_disk() -> None:
    assert boot(Disk(), seed=1).storage != boot(Disk(), seed=2).storage


def test_what_was_durable_is_there_after_two_restarts() -> None:
    disk = used_disk()
    boot(disk)
    ready = boot(disk)
    assert ready.incarnation == 3
    assert ready.journal is not None
    assert ready.journal.hard_state == HardState(1, 1)
    assert [entry.data for entry in ready.journal.entries] == [b"one", b"two"]
    assert ready.copies is not None
    assert ready.copies.copies["logs", 1].fence_epoch == 2


@pytest.mark.parametrize("path", [JOURNAL_PATH, CATALOGUE_PATH])
def test_a_torn_tail_is_cut_before_anything_is_appended(path: str) -> None:
    disk = used_disk()
    disk.files[path] = disk.files[path][:-2]
    ready = boot(disk)
    log = ready.journal_log if path == JOURNAL_PATH else ready.catalogue_log
    cuts = [action for action in disk.done if isinstance(action, Truncate)]
    assert [cut.path for cut in cuts] == [path]
    assert log.appender.durable_end >= cuts[0].size
    disk.done.clear()
    again = boot(disk)
    assert again.incarnation == 3
    assert not [action for action in disk.done if isinstance(action, Truncate)]
    assert again.journal is not None
    assert again.copies is not None
    assert len(again.journal.entries) == (1 if path == JOURNAL_PATH else 2)
    assert again.copies.copies["logs", 1].fence_epoch == (2 if path == JOURNAL_PATH else 1)


@pytest.mark.parametrize("path", [JOURNAL_PATH, CATALOGUE_PATH])
@pytest.mark.parametrize("at", [3, 20, 90])
def test_damage_below_the_durable_mark_stops_the_node(path: str, at: int) -> None:
    disk = used_disk()
    damaged = bytearray(disk.files[path])
    damaged[at] ^= 1
    disk.files[path] = bytes(damaged)
    with pytest.raises(RecoveryError, match=path):
        boot(disk)


def test_a_crash_at_any_byte_of_the_first_write_leaves_a_fresh_node() -> None:
    disk = Disk()
    boot(disk)
    first = disk.files[JOURNAL_PATH]
    for cut in range(len(first)):
        disk = Disk()
        disk.files[JOURNAL_PATH] = first[:cut]
        assert boot(disk, seed=2).incarnation == 1
        assert boot(disk).incarnation == 2


def test_the_directory_of_another_node_is_refused() -> None:
    with pytest.raises(RecoveryError, match="belongs to node 1, not to node 2"):
        boot(used_disk(), node=2)


def test_the_catalogue_of_another_disk_is_refused_at_the_start() -> None:
    disk = used_disk()
    other = Disk()
    boot(other, seed=9)
    disk.files[JOURNAL_PATH] = other.files[JOURNAL_PATH]
    with pytest.raises(RecoveryError, match="do not mix data directories"):
        boot(disk)


@pytest.mark.parametrize("journal", [None, b"", bytes(100)])
@pytest.mark.parametrize("path", [CATALOGUE_PATH, "user_data/logs:1.wal"])
def test_user_data_without_a_journal_is_refused(journal: bytes | None, path: str) -> None:
    disk = Disk()
    disk.files[path] = b"something"
    if journal is not None:
        disk.files[JOURNAL_PATH] = journal
    with pytest.raises(RecoveryError, match="missing or empty, but user_data holds files"):
        boot(disk)


def test_segment_files_without_their_catalogue_are_refused_because_promises_are_forgotten() -> None:
    disk = used_disk()
    del disk.files[CATALOGUE_PATH]
    disk.files["user_data/logs:1.wal"] = bytearray(b"x")
    with pytest.raises(RecoveryError, match="what this node promised is forgotten"):
        boot(disk)
