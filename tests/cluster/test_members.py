"""Nodes leave a running cluster and come back, while a client writes on; every acknowledged record is accounted for."""

import contextlib
import os
import shutil
import subprocess
from typing import Any

from click.testing import CliRunner, Result
from cluster import PATIENCE_S, SMALL_SEGMENTS, Cluster, PortsHeld, Start, eventually
from traffic import Writer, judge_everywhere

from walrus.cli.client import main
from walrus.client import calls

TOPIC = "orders"


def cli(cluster: Cluster, asked: int, *arguments: str) -> Result:
    """What walrus-cli says when it talks to one node."""
    return CliRunner().invoke(main, ["--addr", cluster.client_address(asked), "--timeout", "60", *arguments])


def nodes(cluster: Cluster, asked: int) -> dict[int, dict[str, Any]]:
    """What a node says of all nodes."""
    with cluster.client(asked) as client:
        return {row["node"]: row for row in calls.json_of(client.call(calls.NODES))}


def test_a_drained_node_has_nothing_and_a_removed_one_that_comes_back_is_told_so(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.join(4, through=2)
    cluster.until_formed()
    cluster.register(TOPIC)
    leader = cluster.raft_leader()
    asked = next(node for node in (1, 2, 3) if node != leader)
    others = [node for node in (1, 2, 3, 4) if node != leader]
    writer = Writer("w", TOPIC, [cluster.client_address(node) for node in others])
    writer.start()
    writer.until_acknowledged(100)

    drained = cli(cluster, asked, "node", "drain", str(leader))
    assert drained.exit_code == 0, drained.output
    assert drained.output.startswith(f"node {leader} is being drained\n")
    assert drained.output.endswith(f"node {leader} has nothing any more\n")
    row = nodes(cluster, asked)[leader]
    assert (row["state"], row["segments"], row["writes"]) == ("draining", 0, 0)
    eventually(lambda: not nodes(cluster, asked)[leader]["raft_leader"], "another Raft leader")
    writer.until_acknowledged(100)
    assert nodes(cluster, asked)[leader]["segments"] == 0, "nothing new is put on it"

    removed = cli(cluster, asked, "node", "remove", str(leader))
    assert removed.exit_code == 0, removed.output
    assert removed.output.endswith(f"node {leader} is no member any more\n")
    assert cluster.exit_codes([leader]) == {leader: 1}
    assert "was removed from the cluster; start it with an empty data directory" in cluster.log_text(leader)
    writer.until_acknowledged(100)

    cluster.start_node(leader)
    assert cluster.exit_codes([leader]) == {leader: 1}, "it is told so again, and stops"
    assert sorted(nodes(cluster, asked)) == others
    writer.until_acknowledged()
    writer.finish()
    judge_everywhere(cluster, TOPIC, [writer])


def test_a_node_whose_disk_is_lost_comes_back_with_an_empty_one_and_is_refilled(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    others = [1, 2]
    writer = Writer("w", TOPIC, [cluster.client_address(node) for node in others])
    writer.start()
    writer.until_acknowledged(100)
    cluster.kill(3)
    shutil.rmtree(cluster.data_directory / "node_3")
    writer.until_acknowledged(100)
    cluster.start_node(3)
    eventually(lambda: "Removed node 3\n" in cluster.log_text(1) + cluster.log_text(2), "the removal of the old disk")
    eventually(lambda: nodes(cluster, 1).get(3, {}).get("voter"), "node 3 as a voter again")
    cluster.until_formed()
    writer.until_acknowledged(50)
    writer.finish()

    def all_on_three() -> bool:
        state = cluster.state(TOPIC)
        return all(sorted(copies) == [1, 2, 3] for copies in state["segment_replicas"].values())

    eventually(all_on_three, "copies of every segment on all three nodes")
    eventually(lambda: cluster.metrics(3)["repairs_waiting"] == 0, "node 3 to have copied everything")
    cluster.kill(1)
    judge_everywhere(cluster, TOPIC, [writer])


def test_another_node_under_the_number_of_one_that_lives_is_refused_and_stops(start: Start) -> None:
    cluster = start(2)
    command = cluster.command(2)
    elsewhere = cluster.data_directory / "elsewhere"
    with contextlib.closing(PortsHeld(2)) as ports:
        for flag, value in (
            ("--data-dir", elsewhere),
            ("--raft-port", ports.first),
            ("--client-port", ports.first + 1),
            ("--log-file", elsewhere.with_suffix(".log")),
        ):
            command[command.index(flag) + 1] = str(value)
        ended = subprocess.run(command, env=dict(os.environ), timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1
    assert "the cluster refuses node 2: node 2 lives, with another disk" in elsewhere.with_suffix(".log").read_text()
    cluster.until_formed()
    with cluster.client(2) as client:
        client.put("logs", b"still here")


def test_a_dead_node_is_replaced_by_a_new_one_and_what_cannot_be_is_refused_with_a_reason(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    writer = Writer("w", TOPIC, [cluster.client_address(node) for node in (1, 2)])
    writer.start()
    writer.until_acknowledged(50)
    refused = cli(cluster, 1, "node", "replace", "3")
    assert (refused.exit_code, refused.output) == (
        1,
        "ERR node 3 lives: drain and remove it instead of replacing it\n",
    )
    unknown = cli(cluster, 2, "node", "drain", "9")
    assert (unknown.exit_code, unknown.output) == (1, "ERR node 9 is no member: expected one of 1, 2, 3\n")
    cluster.kill(3)
    eventually(lambda: not nodes(cluster, 1)[3]["live"], "the others to miss node 3")
    eventually(lambda: nodes(cluster, 2)[2]["live"], "all others to be known to live")
    replaced = cli(cluster, 2, "node", "replace", "3")
    assert replaced.exit_code == 0, replaced.output
    cluster.join(4, through=1)
    eventually(lambda: nodes(cluster, 1).get(4, {}).get("voter"), "node 4 as a voter")

    def all_on_three() -> bool:
        state = cluster.state(TOPIC, 1)
        return all(sorted(copies) == [1, 2, 4] for copies in state["segment_replicas"].values())

    eventually(all_on_three, "copies of every segment on nodes 1, 2 and 4")
    writer.until_acknowledged(50)
    writer.finish()
    judge_everywhere(cluster, TOPIC, [writer])
    gone = cli(cluster, 4, "node", "ls")
    assert [line.split()[0] for line in gone.output.splitlines()] == ["NODE", "1", "2", "4"]
