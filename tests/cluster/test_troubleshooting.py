"""The rows of the deployment document's troubleshooting table: each arises, says cause and next step, and heals."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cluster import Start, eventually

from walrus.client.errors import ServerError

SHORT_WAIT = {"WALRUS_RPC_TIMEOUT_MS": "300"}


def test_no_raft_leader_known_names_cause_and_next_step_and_ends_with_a_second_node(start: Start) -> None:
    cluster = start(3, **SHORT_WAIT)
    cluster.kill(2)
    cluster.kill(3)
    eventually(lambda: cluster.metrics(1)["current_leader"] is None, "the end of the majority")
    with cluster.client(1) as client:
        with pytest.raises(ServerError) as refused:
            client.register("orders")
        assert refused.value.text == (
            "no raft leader known: fewer than a majority of the nodes run or can reach each other; "
            "METRICS on each node shows what it knows"
        )
        assert client.metrics()["leaderless_requests"] >= 1
        cluster.start_node(2)
        eventually(lambda: client.register("orders") is None, "two of three nodes to be enough")


def test_not_leader_for_partition_names_cause_and_next_step_and_ends_by_itself(start: Start) -> None:
    """The others cannot be reached, so node 1 has no lease for what it leads; once they are back, PUTs go on."""
    cluster = start(3, **SHORT_WAIT)
    topic = cluster.topic_led_by(lambda node: node == 1)
    cluster.pause(2)
    cluster.pause(3)
    eventually(lambda: not cluster.metrics(1)["lease_valid"], "the end of node 1's lease")
    with cluster.client(1) as client:
        with pytest.raises(ServerError) as refused:
            client.put(topic, b"x")
        name, _, rest = refused.value.text.partition("; ")
        assert name == f"NotLeaderForPartition: {topic}:1"
        assert rest == (
            f"no node holds a lease for it at the moment: try again in a second, STATE {topic} shows who leads"
        )
        assert client.metrics()["put"]["failed"]["refused"] == 1
        cluster.go_on(2)
        cluster.go_on(3)

        def goes_on() -> bool:
            client.put(topic, b"y")
            return True

        eventually(goes_on, "PUTs to go on")


def test_failed_to_join_names_the_address_and_what_to_look_at_and_ends_when_a_member_listens_there(
    start: Start,
) -> None:
    cluster = start(1)
    cluster.join(2, through=3)  # where nobody listens yet
    contact = f"127.0.0.1:{cluster.raft_port + 2}"
    complaint = (
        f"Failed to join cluster through {contact} so far: no answer (give --join the raft port of a member that runs "
        "and that this machine can reach); still trying"
    )
    eventually(lambda: complaint in cluster.log_text(2), "a complaint of node 2")
    cluster.join(3, through=1)

    def is_member() -> bool:
        return "2" in cluster.metrics(1)["membership_config"]["membership"]["nodes"]

    eventually(is_member, "node 2 to join through node 3")


@pytest.mark.parametrize("flag", ["--client-port", "--raft-port"])
def test_a_port_in_use_names_the_command_that_shows_who_has_it(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", "from walrus.cli.node import main; main(prog_name='walrus-node')"]
        command += ["--data-dir", str(tmp_path), "--client-port", "0", "--raft-port", "0", flag, str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    purpose = flag.removeprefix("--").replace("-", " ")
    assert ended.stderr == (
        f"walrus-node: {purpose} 127.0.0.1:{port} is already in use; `lsof -i :{port}` shows which process has it: "
        "stop that one (make cluster-down, where it is a container) or choose another port\n"
    )


def doctor(*arguments: str) -> tuple[int, str]:
    """Exit code and output of ``walrus-cli doctor``."""
    command = [sys.executable, "-m", "walrus.cli.client", *arguments, "doctor"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


def test_the_doctor_asks_all_nodes_though_told_of_one_and_finds_the_one_that_died(start: Start) -> None:
    cluster = start(3)
    eventually(lambda: all(cluster.metrics(node)["driver"] for node in cluster.node_ids), "all nodes to have measured")
    code, output = doctor("--addr", cluster.client_address(2))
    for node in cluster.node_ids:
        assert f"ok      address  {cluster.client_address(node)}: node {node}, " in output
        assert f"of node {node} can be reached from here" in output
    assert "ok      leader   node 1, and every node that answers knows it" in output
    assert "ok      members  voters 1, 2, 3" in output
    assert "ok      clock    " in output
    full = " GiB of the disk" in output and "make room now" in output
    assert (code, output.splitlines()[-1]) == ((1, "3 wrong") if full else (0, "nothing is wrong"))
    cluster.kill(3)
    code, output = doctor("--addr", cluster.client_address(2))
    assert code == 1
    assert f"wrong   address  {cluster.client_address(3)}: nobody listens there" in output
    assert f"wrong   port     raft port 127.0.0.1:{cluster.raft_port + 2} of node 3: nobody listens there" in output
    cluster.kill(1)
    eventually(lambda: "knows no raft leader" in doctor("--addr", cluster.client_address(2))[1], "node 2 left alone")
