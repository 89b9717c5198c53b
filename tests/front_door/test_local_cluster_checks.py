"""What ``make run`` says where it cannot start: a plain sentence, exit 1, and nothing changed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from walrus.cli.processes import ClusterError, check_data_directory, check_port_is_free, describe_exit


def launch(directory: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "walrus.cli.local_cluster", "--data-dir", str(directory), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_directory_that_something_else_uses_is_left_alone(tmp_path: Path) -> None:
    """The sentence names what does not belong there; the directory stays as it was."""
    (tmp_path / "thesis.tex").write_text("years of work")
    result = launch(tmp_path)
    assert result.returncode == 1
    assert "'thesis.tex'" in result.stderr
    assert "Traceback" not in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The sentence names the port and how to see who has it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ClusterError, match=rf"Port {port} cannot be used.*lsof -i :{port}"):
            check_port_is_free(port)


def test_the_launcher_does_not_start_a_single_node_where_a_port_is_in_use(tmp_path: Path) -> None:
    """All ports are looked at before the first start."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        result = launch(tmp_path / "data", "--nodes", "1", "--client-port", str(port), "--raft-port", "6001")
    assert result.returncode == 1
    assert f"Port {port} cannot be used" in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path) -> None:
    """``--data-dir`` names a directory."""
    (tmp_path / "data").write_text("")
    with pytest.raises(ClusterError, match="is not a directory"):
        check_data_directory(tmp_path / "data")


def test_a_local_clusters_own_data_is_accepted(tmp_path: Path) -> None:
    """Node directories and logs, rotated ones too, and a fourth node's, are what is expected there."""
    for node in (1, 2, 3, 4):
        (tmp_path / f"node_{node}").mkdir()
        (tmp_path / f"node_{node}.log").write_text("")
    (tmp_path / "node_1.log.1").write_text("")
    check_data_directory(tmp_path)


def test_data_without_node_1_is_refused(tmp_path: Path) -> None:
    """A new node 1 would start a second cluster beside the data of the first."""
    (tmp_path / "node_2").mkdir()
    with pytest.raises(ClusterError, match="holds node_2 but not node_1"):
        check_data_directory(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The operating system's no comes before the first node starts, as a sentence."""
    tmp_path.chmod(0o500)
    with pytest.raises(ClusterError, match="You may not write"):
        check_data_directory(tmp_path)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--nodes", "0"), "--nodes 0: 1 to 9 are possible"),
        (("--client-port", "65535"), "--client-port 65535: 1 to 65533"),
        (("--raft-port", "x"), "invalid int value: 'x'"),
    ],
)
def test_an_impossible_flag_is_refused_with_what_would_do(
    tmp_path: Path, flags: tuple[str, str], complaint: str
) -> None:
    """Exit 2, as for every wrong use, naming the value."""
    result = launch(tmp_path, *flags)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_exit_codes_are_put_into_words() -> None:
    """Whoever reads the report does not know subprocess's conventions."""
    assert describe_exit(3) == "ended with exit code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
