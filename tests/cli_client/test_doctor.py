"""What ``walrus-cli doctor`` says of clusters that are well and of clusters that are not."""

import copy
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from walrus.cli.client import main
from walrus.cli.doctor.findings import NOTE, OK, WARNING, WRONG, Answer, Finding, Seen, disk_finding, judge

GIB = 1 << 30
AT_S = 1_700_000_000.0
Metrics = dict[str, Any]
Change = Callable[[Metrics], object]


def metrics(node: int) -> Metrics:
    """What a node of a well cluster of three says."""
    membership = {"configs": [[1, 2, 3]], "nodes": {str(n): {"addr": f"10.0.0.{n}:6001"} for n in (1, 2, 3)}}
    return {
        "id": node,
        "state": "Leader" if node == 1 else "Follower",
        "current_leader": 1,
        "last_applied": 10,
        "cluster": "c1",
        "membership_config": {"membership": membership},
        "lease_valid": True,
        "stuck_segments": {},
        "time_s": AT_S,
        "build": {"version": "0.1.0", "storage_driver": "io_uring", "storage_reason": ""},
        "loop": {"stalls": 0, "stalled_s": 0.0},
        "driver": {"disk_free_bytes": 50 * GIB, "disk_size_bytes": 100 * GIB},
    }


def seen(change: Change | None = None, node: int = 2, dialled: dict[str, str] | None = None) -> Seen:
    """A well cluster, in which ``node`` says something else."""
    told = {n: copy.deepcopy(metrics(n)) for n in (1, 2, 3)}
    if change is not None:
        change(told[node])
    reached = {f"10.0.0.{n}:6001": "" for n in (1, 2, 3)}
    return Seen([Answer(f"10.0.0.{n}:9091", told[n], AT_S, AT_S + 0.01) for n in told], reached | (dialled or {}))


def bad(found: Seen) -> list[tuple[str, str, str]]:
    return [(f.level, f.subject, f.text) for f in judge(found) if f.level != OK]


def test_a_cluster_that_is_well_gives_nothing_but_ok() -> None:
    findings = judge(seen())
    assert {finding.level for finding in findings} == {OK}
    subjects = {finding.subject for finding in findings}
    assert subjects == {"address", "leader", "port", "members", "clock", "version", "disk", "driver"}


@pytest.mark.parametrize(
    ("change", "level", "subject", "words"),
    [
        (lambda m: m.update(current_leader=None), WRONG, "leader", "node 2 knows no raft leader: fewer than"),
        (lambda m: m.update(current_leader=3), WARNING, "leader", "different leaders, 1, 3"),
        (lambda m: m.update(lease_valid=False), WRONG, "lease", "node 2 holds no lease"),
        (lambda m: m.update(cluster="c2"), WRONG, "cluster", "c1: node 1, 3; c2: node 2"),
        (lambda m: m.update(stuck_segments={"t:4": "start node 3"}), WRONG, "segment", "t:4 cannot be sealed: start"),
        (lambda m: m.update(time_s=AT_S + 0.7), WARNING, "clock", "node 2 is 0.7 s ahead of"),
        (lambda m: m.update(time_s=AT_S - 60), WRONG, "clock", "node 2 is 60.0 s behind"),
        (lambda m: m["build"].update(version="0.2.0"), WARNING, "version", "node 1: 0.1.0, node 2: 0.2.0"),
        (lambda m: m["driver"].update(disk_free_bytes=GIB), WRONG, "disk", "1.0 GiB of the disk of node 2 are free, 1"),
        (lambda m: m["driver"].update(disk_free_bytes=9 * GIB), WARNING, "disk", "9%: make room"),
        (lambda m: m.update(driver=None), NOTE, "disk", "node 2 has not looked at its disk yet"),
        (
            lambda m: m["build"].update(storage_driver="mmap", storage_reason="the kernel refuses"),
            NOTE, "driver", "node 2 writes through mmap: the kernel refuses",
        ),
        (lambda m: m["loop"].update(stalls=4, stalled_s=2.0), WARNING, "process", "stood still 4 times"),
    ],
)  # fmt: skip
def test_what_is_amiss_on_a_node_is_named(change: Change, level: str, subject: str, words: str) -> None:
    ((found_level, found_subject, text),) = bad(seen(change))
    assert (found_level, found_subject) == (level, subject)
    assert words in text


def test_the_time_that_an_answer_took_is_no_fault_of_a_clock() -> None:
    """It was asked at 0 and answered after 20 s; the node's time was read somewhere between."""
    told = metrics(1) | {"time_s": AT_S + 12}
    (clock,) = [f for f in judge(Seen([Answer("a:1", told, AT_S, AT_S + 20)])) if f.subject == "clock"]
    assert clock.level == OK


def test_a_raft_port_that_cannot_be_reached_is_wrong() -> None:
    ((level, subject, text),) = bad(seen(dialled={"10.0.0.3:6001": "nobody listens there"}))
    assert (level, subject) == (WRONG, "port")
    assert text.startswith("raft port 10.0.0.3:6001 of node 3: nobody listens there; ")


def test_a_member_that_was_not_heard_is_named() -> None:
    found = seen()
    assert (WARNING, "address", "node 3 is a member, and was not heard") in bad(Seen(found.answers[:2], found.dialled))


@pytest.mark.parametrize(
    ("address", "words"),
    [("10.0.0.1:6001", "nodes 1, 2 all tell their peers 10.0.0.1:6001"), ("127.0.0.1:6001", "node 2 tells peers on")],
)
def test_an_address_that_cannot_work_is_wrong(address: str, words: str) -> None:
    told = metrics(1)
    told["membership_config"]["membership"]["nodes"]["2"]["addr"] = address
    texts = [text for level, _, text in bad(Seen([Answer("a:1", told, AT_S, AT_S)])) if level == WRONG]
    assert len(texts) == 1
    assert words in texts[0]


def test_two_voters_are_too_few() -> None:
    told = metrics(1)
    told["membership_config"]["membership"] = {"configs": [[1, 2]], "nodes": {}}
    assert [s for level, s, _ in bad(Seen([Answer("a:1", told, AT_S, AT_S)])) if level == WARNING] == ["members"]


def test_a_disk_is_full_below_three_hundredths() -> None:
    levels = [disk_finding("it", free, 100).level for free in (2, 3, 9, 10)]
    assert levels == [WRONG, WARNING, WARNING, OK]


def test_nothing_but_the_addresses_is_said_where_nobody_answers() -> None:
    assert judge(Seen([Answer("a:1", problem="nobody listens there")])) == [
        Finding(WRONG, "address", "a:1: nobody listens there")
    ]


# --- the command ---


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(main, [*arguments])
    return ended.exit_code, ended.output


def test_an_address_where_nobody_listens_and_one_that_does_not_resolve_end_with_1() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        code, output = run("--addr", f"127.0.0.1:{port}", "--addr", "no-such-host.invalid:1", "doctor")
    assert code == 1
    assert f"wrong   address  127.0.0.1:{port}: nobody listens there" in output
    assert "the name in no-such-host.invalid:1 does not resolve" in output
    assert output.endswith("2 wrong\n")


def test_somebody_else_on_the_port_is_told_from_a_node() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, output = run("--timeout", "0.2", "--addr", f"127.0.0.1:{silent.getsockname()[1]}", "doctor")
    assert code == 1
    assert "it accepts connections but does not answer as a Walrus node does" in output


def test_a_port_that_is_taken_here_is_wrong_and_a_free_one_is_not(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, output = run("doctor", "--listen", f"127.0.0.1:{port}")
        assert code == 1
        assert f"already in use; `lsof -i :{port}` shows which process has it" in output
    with socket.socket() as held:  # bound, so that nobody gets the port meanwhile, but nobody listens
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        code, output = run("doctor", "--listen", f"127.0.0.1:{port}", "--data-dir", str(tmp_path / "data"))
    assert f"ok      port     127.0.0.1:{port} is free" in output
    assert "a node here writes through" in output
    assert " GiB of the disk of " in output
    assert not (tmp_path / "data").exists(), "it only looks"


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    code, output = run("doctor", "--data-dir", str(tmp_path / "data"))
    assert code == 1
    assert "data is not a directory" in output


def test_an_address_to_listen_on_that_is_none_is_a_slip_of_the_command_line() -> None:
    code, output = run("doctor", "--listen", "9091")
    assert code == 2
    assert "expected HOST:PORT" in output
