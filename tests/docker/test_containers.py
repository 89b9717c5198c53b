"""The image and the compose files, with real containers: ``make test-docker``. Takes ports 9091 to 9094."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from walrus.cli.probe import voters_of, wait_until, why_not_formed
from walrus.client.errors import WalrusError
from walrus.client.sync import WalrusClient

ROOT = Path(__file__).resolve().parents[2]
CONTAINERS = ("walrus-1", "walrus-2", "walrus-3")
ADDRESSES = ["127.0.0.1:10091", "127.0.0.1:10092", "127.0.0.1:10093"]
NETWORK = "walrus-test_walrus-net"

pytestmark = pytest.mark.skipif(
    os.environ.get("WALRUS_TEST_DOCKER") != "1", reason="starts containers: make test-docker"
)


def run(*command: str, check: bool = True) -> str:
    """Run a command in the repository and return what it wrote; its stderr is shown if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def compose(*arguments: str, check: bool = True) -> str:
    program = ["docker", "compose"]
    if subprocess.run([*program, "version"], capture_output=True, check=False).returncode != 0:
        program = ["docker-compose"]
    files = ["-f", "docker-compose.yml", "-f", "docker-compose.test.yml"]
    return run(*program, "-p", "walrus-test", *files, *arguments, check=check)


def clear() -> None:
    compose("--profile", "hotjoin", "down", "--remove-orphans", check=False)
    shutil.rmtree(ROOT / "test_data_rollover", ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Three containers of a freshly built image, one cluster, with segments of ten records."""
    clear()
    compose("up", "--build", "-d")
    amiss = wait_until(lambda: why_not_formed(ADDRESSES, {1, 2, 3}), timeout_s=60.0)
    assert amiss == "", amiss + "\n" + compose("logs")
    yield
    clear()


def through(node: int) -> WalrusClient:
    return WalrusClient([ADDRESSES[node - 1]], timeout_s=15.0)


def who_is_missed() -> str:
    """Which node does not yet know all others to be live; the next segment goes to one that is known to be."""
    for node in (1, 2, 3):
        with through(node) as client:
            live = client.metrics()["live_nodes"]
        if live != [1, 2, 3]:
            return f"node {node} knows only {live} to be live"
    return ""


def records(node: int, topic: str) -> list[str]:
    """All records of a topic, read by offset through one node."""
    found: list[str] = []
    offset = 0
    with through(node) as client:
        while record := client.fetch(topic, 1, offset):
            offset = record.next_offset
            found.append(record.payload.decode())
    return found


def test_every_node_takes_writes_and_shows_the_same_records(cluster: None) -> None:
    """25 records through all nodes in turn; each node reads all of them back in order."""
    assert wait_until(who_is_missed, timeout_s=60.0) == ""
    with through(1) as client:
        client.register("turns")
    expected = [f"record {number}" for number in range(25)]
    for number, payload in enumerate(expected):
        with through(number % 3 + 1) as client:
            client.put("turns", payload.encode())
    assert [records(node, "turns") for node in (1, 2, 3)] == [expected] * 3
    with through(2) as client:
        state = client.state("turns")
    assert state["sealed_segments"] == {"1": 10, "2": 10}
    assert len(set(state["segment_leaders"].values())) == 3


def test_the_ports_of_the_plain_compose_file_stay_open_under_the_test_file(cluster: None) -> None:
    """Ports of two compose files add up."""
    for port in (9091, 9092, 9093):
        with socket.create_connection(("127.0.0.1", port), 5.0):
            pass


def test_the_node_is_process_1_and_not_root(cluster: None) -> None:
    """The entry point becomes the node, as user walrus, and owns the data it found owned by root."""
    status = run("docker", "exec", "walrus-1", "cat", "/proc/1/status")
    owner = run("docker", "exec", "walrus-1", "id", "-u", "walrus").strip()
    uids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    groups = next(line.split()[1:] for line in status.splitlines() if line.startswith("Groups:"))
    assert owner != "0"
    assert uids == [owner] * 4
    assert groups == []
    assert run("docker", "exec", "walrus-1", "stat", "-c", "%u", "/data", "/data/node_1").split() == [owner] * 2


def test_the_image_has_io_uring_built_in_and_the_compose_file_disables_it(cluster: None) -> None:
    """The driver is loaded wherever the variable does not forbid it; whether it works is the kernel's to say."""
    run("docker", "exec", "walrus-1", "/opt/walrus/bin/python", "-c", "import walrus.io.uring._liburing")
    assert "storage driver: mmap (WALRUS_DISABLE_IO_URING is set)" in run("docker", "logs", "walrus-1")
    told = run("docker", "exec", "-e", "WALRUS_DISABLE_IO_URING=", "walrus-1", "walrus-node", "--version")
    assert "storage driver: io_uring" in told or "io_uring_setup says " in told


def test_the_health_check_turns_healthy(cluster: None) -> None:
    """Docker's own view, from the image's HEALTHCHECK."""

    def is_amiss() -> str:
        health = run("docker", "inspect", "-f", "{{json .State.Health}}", "walrus-2")
        return "" if json.loads(health)["Status"] == "healthy" else health

    assert wait_until(is_amiss, timeout_s=60.0, interval_s=1.0) == ""


def test_cluster_bootstrap_finds_the_cluster(cluster: None) -> None:
    """What `make cluster-bootstrap` runs comes back at once on a formed cluster."""
    assert "are voters" in run("make", "cluster-bootstrap")


def test_docker_stop_is_a_clean_stop_and_start_goes_on(cluster: None) -> None:
    """SIGTERM reaches the node, which ends with exit code 0; all three may be down at once."""
    with through(1) as client:
        client.register("stops")
        client.put_many("stops", [b"0", b"1", b"2", b"3", b"4"])
    for container in CONTAINERS:
        run("docker", "stop", container)
        assert run("docker", "inspect", "-f", "{{.State.ExitCode}}", container).strip() == "0"
    for container in reversed(CONTAINERS):
        run("docker", "start", container)
    assert wait_until(lambda: why_not_formed(ADDRESSES, {1, 2, 3}), timeout_s=30.0) == ""
    # A connection between nodes that just started may break once more: the outcome of a PUT under way is unknown then.
    assert wait_until(lambda: "" if is_acknowledged("5", "stops") else "no PUT", timeout_s=15.0) == ""
    found = records(3, "stops")
    assert found[:5] == ["0", "1", "2", "3", "4"]
    assert set(found[5:]) == {"5"}


def test_a_node_cut_off_from_the_network_comes_back(cluster: None) -> None:
    """The other two go on. Reconnected, with another address and no name, it must dial the others itself."""
    with through(1) as client:
        client.register("cut")
        client.put("cut", b"before")
    run("docker", "network", "disconnect", NETWORK, "walrus-1")
    try:
        assert wait_until(lambda: "" if is_acknowledged("during") else "no PUT", timeout_s=15.0) == ""
    finally:
        run("docker", "network", "connect", NETWORK, "walrus-1")
    assert wait_until(lambda: why_not_formed(ADDRESSES, {1, 2, 3}), timeout_s=30.0) == ""
    found = records(1, "cut")
    assert found[0] == "before"
    assert set(found[1:]) == {"during"}


def is_acknowledged(payload: str, topic: str = "cut") -> bool:
    try:
        with through(2) as client:
            client.put(topic, payload.encode())
    except WalrusError:
        return False
    return True


def test_a_fourth_node_joins_by_profile(cluster: None) -> None:
    """`--profile hotjoin up -d node4` adds a voter within seconds."""
    compose("--profile", "hotjoin", "up", "-d", "node4")

    def is_amiss() -> str:
        with through(1) as client:
            voters = voters_of(client.metrics())
        return "" if voters == {1, 2, 3, 4} else f"voters are {sorted(voters)}"

    assert wait_until(is_amiss, timeout_s=30.0) == ""


def test_a_second_build_with_nothing_changed_is_cached(cluster: None) -> None:
    """Data, test data and virtual environments are no part of the build context."""
    image = run("docker", "inspect", "-f", "{{.Id}}", "distributed-walrus-node")
    (ROOT / "test_data_rollover" / "more").write_text("data that changes all the time")
    compose("build")
    assert run("docker", "inspect", "-f", "{{.Id}}", "distributed-walrus-node") == image


def test_the_original_projects_folders_stay_out_of_the_build_context() -> None:
    """Only what the image is made of is let in."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert {line for line in lines if line.startswith("!")} == {
        *("!pyproject.toml", "!setup.py", "!README.md", "!LICENSE", "!docker", "!walrus"),
    }
