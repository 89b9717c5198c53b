"""Data directory, lock and log file."""

import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

from walrus.io.datadir import DataDirectory
from walrus.io.errors import StartError
from walrus.io.logs import LogWriter, timestamp

_HOLDER = """
import sys
from pathlib import Path
from walrus.io.datadir import DataDirectory
held = DataDirectory(Path(sys.argv[1]), 1)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_fresh_directory_gets_the_documented_folders(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "data", 7)
    assert directory.path == tmp_path / "data" / "node_7"
    assert sorted(entry.name for entry in directory.path.iterdir()) == ["lock", "raft_meta", "user_data"]
    assert directory.files() == {}
    directory.close()


def test_files_lists_relative_paths_and_sizes_but_not_the_lock(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path, 1)
    (directory.path / "user_data" / "logs:1.wal").write_bytes(b"12345")
    (directory.path / "raft_meta" / "entries.log").write_bytes(b"1")
    (directory.path / "identity").write_bytes(b"")
    expected = {"identity": 0, "raft_meta/entries.log": 1, "user_data/logs:1.wal": 5}
    assert directory.files() == expected
    directory.close()


def test_a_second_process_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StartError, match=rf"node_1 is in use by another walrus-node \(process {holder.pid}\)"):
            DataDirectory(tmp_path, 1)
        DataDirectory(tmp_path, 2).close()
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    DataDirectory(tmp_path, 1).close()


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    with pytest.raises(StartError, match=r"cannot use data directory .*/data/node_1: ENOTDIR"):
        DataDirectory(tmp_path / "data", 1)


def test_a_directory_without_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(StartError, match="EACCES"):
        DataDirectory(tmp_path / "data", 1)


def test_timestamps_are_utc_with_milliseconds() -> None:
    assert timestamp(1_767_225_600_007_999_999) == "2026-01-01T00:00:00.007Z"


def test_lines_have_time_level_and_node_and_lower_levels_are_left_out(tmp_path: Path) -> None:
    log = LogWriter(3, "info", tmp_path / "logs" / "node.log")
    log.log("debug", "hidden")
    log.log("info", "Added learner 2")
    log.log("error", "broken")
    log.close()
    lines = (tmp_path / "logs" / "node.log").read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO  Node 3: Added learner 2", lines[0])
    assert lines[1].endswith("Z ERROR Node 3: broken")
    assert len(lines) == 2


def test_reopening_after_a_rename_starts_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = LogWriter(1, "info", path)
    log.log("info", "first")
    path.rename(tmp_path / "node.log.1")
    log.reopen()
    log.log("info", "second")
    log.close()
    assert (tmp_path / "node.log.1").read_text().endswith("first\n")
    assert path.read_text().endswith("second\n")
    assert path.read_text().count("\n") == 1


def test_a_log_file_that_cannot_be_opened_is_a_plain_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"cannot open log file .*: EISDIR: Is a directory"):
        LogWriter(1, "info", tmp_path)


def test_a_stalled_reader_of_the_log_does_not_hold_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr("walrus.io.logs._STDOUT_FD", writer)
    log = LogWriter(1, "info", None)
    for number in range(30_000):
        log.log("info", f"line {number} " + "x" * 100)
    received = b""
    while b"log lines were lost" not in received:
        assert select.select([reader], [], [], 20)[0]
        received += os.read(reader, 1 << 20)
    assert b"line 0 " in received
    log.close()
    os.close(reader)
    os.close(writer)
