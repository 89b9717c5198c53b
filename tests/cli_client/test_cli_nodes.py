"""walrus-cli node: what is asked of which node, and how progress and refusals are told."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_server import FakeServer

from walrus.cli import nodes
from walrus.cli.client import main


def row(node: int, **changes: Any) -> dict[str, Any]:
    plain = {
        "node": node,
        "address": f"n{node}:6001",
        "client_address": f"n{node}:9091",
        "state": "active",
        "live": True,
        "voter": True,
        "raft_leader": node == 1,
        "segments": 3,
        "writes": 1,
    }
    return {**plain, **changes}


class Answers:
    """Takes any change, and shows one list of nodes after the other."""

    def __init__(self, *lists: list[dict[str, Any]]) -> None:
        self._lists = list(lists)

    def __call__(self, frame: bytes) -> bytes | None:
        if frame == b"NODES":
            found = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
            return json.dumps(found).encode()
        if frame == b"NODE REPLACE 1":
            return b"ERR node 1 lives: drain and remove it instead of replacing it"
        return b'{"node": 3}' if b"STATUS" in frame else b"OK node 3 is on its way"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setattr(nodes, "_POLL_S", 0.0)
    return lambda server, *arguments: CliRunner().invoke(main, ["--addr", server.address, "node", *arguments])


def test_nodes_are_listed_as_a_table_or_as_they_came(run: Callable[..., Result]) -> None:
    with FakeServer(Answers([row(1), row(12, state="draining", live=False)])) as server:
        assert run(server, "ls").output == (
            "NODE  ADDRESS   CLIENT ADDRESS  STATE     LIVE  VOTER  RAFT LEADER  SEGMENTS  WRITES\n"
            "1     n1:6001   n1:9091         active    yes   yes    yes          3         1\n"
            "12    n12:6001  n12:9091        draining  no    yes    no           3         1\n"
        )
        assert [entry["node"] for entry in json.loads(run(server, "ls", "--format", "json").output)] == [1, 12]
        assert json.loads(run(server, "status", "3").output) == {"node": 3}


def test_a_drain_shows_what_is_left_until_nothing_is(run: Callable[..., Result]) -> None:
    left = [[row(3, state="draining", segments=count)] for count in (2, 2, 1, 0)]
    with FakeServer(Answers(*left)) as server:
        result = run(server, "drain", "3")
        assert (result.exit_code, server.received[0]) == (0, b"NODE DRAIN 3")
    assert result.output.splitlines() == [
        "node 3 is on its way",
        "2 segments left on node 3",
        "1 segments left on node 3",
        "node 3 has nothing any more",
    ]


def test_a_removal_is_followed_until_the_node_is_gone(run: Callable[..., Result]) -> None:
    with FakeServer(Answers([row(3, state="leaving", segments=0)], [row(1)])) as server:
        result = run(server, "remove", "3")
        assert result.output.splitlines()[1:] == ["0 segments left on node 3", "node 3 is no member any more"]
        assert run(server, "remove", "3", "--force", "--no-wait").output == "node 3 is on its way\n"
        assert server.received[-1] == b"NODE REMOVE 3 FORCE"
        assert run(server, "undrain", "3").output == "node 3 is on its way\n"
        assert server.received[-1] == b"NODE UNDRAIN 3"


def test_a_drain_that_somebody_takes_back_ends(run: Callable[..., Result]) -> None:
    with FakeServer(Answers([row(3)])) as server:
        assert run(server, "drain", "3").output.endswith("node 3 was called back by somebody else\n")


def test_a_refusal_exits_1_and_a_wrong_number_2(run: Callable[..., Result]) -> None:
    with FakeServer(Answers([row(1)])) as server:
        refused = run(server, "replace", "1")
        assert refused.exit_code == 1
        assert refused.output == "ERR node 1 lives: drain and remove it instead of replacing it\n"
        assert run(server, "drain", "0").exit_code == 2
        assert run(server, "drain", "three").exit_code == 2
