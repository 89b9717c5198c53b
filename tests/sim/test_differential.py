"""The same history gives the same actions in both worlds, byte for byte.

From the simulator to the runtime: lives recorded in runs under faults are lived through again by a fresh node in the
shipped loop, dispatcher and storage driver, on real files. From the runtime to the simulator: real sessions over
sockets are recorded, and lived through again on a simulated disk.

Compared whole: every event with the time it is handed over at, those that the drivers make themselves
(``TimerFired``, ``PollFinished``) and the completions of the disk with their bytes included; every action; what the
drivers let out, and in which order, where messages wait for writes; the files at the end. Not compared: what sockets do
(how bytes are cut and which messages are lost is what the history says), failures of a disk (a real one that fails on
demand is not to be had: the faults that need one are left out), and names in the log.
"""

from pathlib import Path

import pytest
from real_lives import RealNode, held_ports, real_nodes
from two_worlds import Handled, Life, lived_in_the_runtime, lived_in_the_simulator, simulated

from walrus.client.errors import PutManyFailed
from walrus.client.sync import WalrusClient
from walrus.core.actions import Read, Stop
from walrus.core.events import (
    MessageReceived,
    PollFinished,
    ReadCompleted,
    ShutdownRequested,
    Started,
    TimerFired,
    WriteCompleted,
)
from walrus.io.holdback import Holdback
from walrus.io.storage_mmap import MappedFiles
from walrus.sim.options import Options

FAULTS = ("crash", "power-loss", "torn-write", "pause", "partition", "drop", "duplicate", "delay", "clock-drift",
          "clock-jump", "shutdown", "client-reset", "slow-disk")  # fmt: skip
RUNS = [(3, 1), (3, 2), (3, 5), (1, 3), (5, 4)]


def heading(handled: Handled) -> tuple[int, str]:
    """When, and what sort of event."""
    return handled[0], type(handled[1]).__name__


def assert_same(found: list[Handled], expected: list[Handled]) -> None:
    """Name the first difference."""
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        assert heading(one) == heading(other), f"event {number}"
        assert one[1] == other[1], f"event {number}"
        assert one[2] == other[2], f"actions after event {number}, {one[1]}"
    assert len(found) >= len(expected)
    # Once it has said Stop a node answers nothing more, however many events the turn still had.
    assert all(not actions for _, _, actions in found[len(expected) :])


@pytest.mark.parametrize(("nodes", "seed"), RUNS)
def test_lives_of_the_simulator_are_the_same_in_the_runtime(nodes: int, seed: int, tmp_path: Path) -> None:
    lives = [life for life in simulated(seed, Options(nodes=nodes, faults=FAULTS)) if not life.gathered_at_birth]
    seen = {type(event) for life in lives for _, event, _ in life.history}
    assert {Started, WriteCompleted, ReadCompleted, TimerFired, PollFinished} <= seen
    compared = 0
    for number, life in enumerate(lives):
        again = lived_in_the_runtime(life, tmp_path / str(number))
        assert_same(again.history, life.history)
        assert again.let_out == life.let_out
        if life.at_rest is not None:
            compared += 1
            assert again.at_rest == {path: data.rstrip(b"\0") for path, data in life.at_rest.items()}
    assert compared > 0


@pytest.mark.parametrize(("nodes", "seed"), RUNS)
def test_lives_of_the_simulator_are_the_same_again_in_a_fresh_node(nodes: int, seed: int) -> None:
    for life in simulated(seed, Options(nodes=nodes, faults=FAULTS)):
        assert_same(lived_in_the_simulator(life), life.history)


def taken_whole(client: WalrusClient, payloads: list[bytes]) -> bool:
    """Put these records; False where not all were taken for certain."""
    try:
        client.put_many("logs", payloads)
    except PutManyFailed:
        return False
    return True


def session(directory: Path, ports: list[int], seed: int) -> list[Life]:
    """Real nodes, a client, PUTs, GETs and FETCHes through several of them, a clean stop; returns the lives."""
    with real_nodes() as running:
        started: list[RealNode] = []
        for node_id, port in enumerate(ports, start=1):
            join = started[0].config.advertise_address if started else ""
            started.append(running.start(RealNode(directory, node_id, seed + node_id, port, join)))
        addresses = running.formed()
        with WalrusClient(addresses[-1:]) as last, WalrusClient(addresses[:1]) as first:
            last.register("logs")
            put = [b"%d" % number for number in range(70)]
            while not taken_whole(last, put):  # while the segments of the session before are being sealed
                pass
            for _ in range(10):  # the last of an earlier session may come again: two of three nodes had gone before
                assert first.get("logs") in put
            record = last.fetch("logs", 1, 5)
            assert record is not None
            assert record.payload in put
    return [node.life for node in started]


@pytest.mark.parametrize("nodes", [1, 3])
def test_lives_of_the_runtime_are_the_same_in_the_manner_of_the_simulator(nodes: int, tmp_path: Path) -> None:
    """Twice on the same directories: the second time the nodes start on what the first has left."""
    with held_ports(nodes) as ports:
        lives = session(tmp_path, ports, 10) + session(tmp_path, ports, 20)
    seen = {type(event) for life in lives for _, event, _ in life.history}
    assert {Started, WriteCompleted, ReadCompleted, TimerFired, PollFinished, ShutdownRequested} <= seen
    assert (MessageReceived in seen) == (nodes > 1)
    for life in lives:
        assert any(isinstance(action, Stop) for _, _, actions in life.history for action in actions)
        assert_same(lived_in_the_simulator(life), life.history)


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_real_loop_fires_the_timer_only_when_it_is_due(nodes: int, tmp_path: Path) -> None:
    with held_ports(nodes) as ports:
        lives = session(tmp_path, ports, 30)
    for life in lives:
        node, fired = life.fresh_node(), 0
        for now_ns, event, _ in life.history:
            if isinstance(event, TimerFired):
                deadline = node.next_deadline()
                assert deadline is not None
                assert deadline.at_ns <= now_ns
                fired += 1
            node.handle(event, now_ns)
        assert fired


# --- the comparison finds drivers that are wrong ---


def test_a_driver_that_sends_before_the_write_is_durable_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = simulated(1, Options(nodes=3, faults=()))
    follower = next(life for life in lives if life.config.node_id == 2 and not life.gathered_at_birth)
    monkeypatch.setattr(Holdback, "holds", lambda self, action: False)
    again = lived_in_the_runtime(follower, tmp_path)
    assert_same(again.history, follower.history)  # the node cannot know
    assert again.let_out != follower.let_out


def test_a_driver_that_reads_other_bytes_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = simulated(1, Options(nodes=3, faults=("crash",)))
    restarted = next(life for life in lives if life.files and not life.gathered_at_birth)
    sound = MappedFiles.read

    def short(self: MappedFiles, action: Read) -> object:
        return sound(self, Read(action.path, action.offset, action.length - 1, action.token))

    monkeypatch.setattr(MappedFiles, "read", short)
    with pytest.raises(AssertionError, match=r"event \d+|never asked for"):
        assert_same(lived_in_the_runtime(restarted, tmp_path).history, restarted.history)
