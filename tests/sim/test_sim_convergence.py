"""The check that all is well after the faults: it passes a healthy cluster, and each planted defect fails it."""

from dataclasses import dataclass

import pytest
from small_clusters import small_cluster

from walrus.core.actions import Send, Write
from walrus.core.metadata.commands import SEALED, SEALING
from walrus.core.metadata.state import Segment, Topic
from walrus.core.running import Running
from walrus.sim import probe
from walrus.sim.audit import Auditor
from walrus.sim.cluster import Cluster
from walrus.sim.convergence import check_copies, left_over, unsettled
from walrus.sim.healing import may_lose_copy
from walrus.sim.history import History
from walrus.sim.host import Host
from walrus.sim.runner import real_node
from walrus.sim.workload import Workload
from walrus.sim.world import MS, SECOND, Violation


@dataclass
class Scene:
    """A cluster that took records, is well again, and holds at least one SEALED segment with records."""

    cluster: Cluster
    auditor: Auditor

    def settle(self) -> None:
        self.auditor.settle(alone=True)

    def sealed(self) -> Segment:
        return next(segment for segment in self.topic().segments if segment.state == SEALED and segment.count)

    def topic(self) -> Topic:
        state = probe.metadata(self.cluster.hosts[0])
        assert state is not None
        return state.topics["logs"]

    def file(self, host: Host) -> bytearray:
        return host.disk.files[f"user_data/logs:{self.sealed().number}.wal"]


@pytest.fixture
def scene() -> Scene:
    cluster, history = small_cluster(3, real_node), History()
    world = cluster.world
    workload = Workload(cluster, history, clients=3)
    workload.start()
    world.run_until(3 * SECOND)
    workload.stop()
    workload.leave()
    scene = Scene(cluster, Auditor(cluster, history, world.rng.stream("auditor"), world.now_ns + 5 * SECOND))
    scene.settle()
    return scene


def test_a_healthy_cluster_is_well_and_nothing_is_left_over(scene: Scene) -> None:
    assert unsettled(scene.cluster, {}) == ""
    assert left_over(scene.cluster, {}) == ""
    check_copies(scene.cluster, {})


def test_a_node_that_is_down_is_not_well(scene: Scene) -> None:
    scene.cluster.crash(scene.cluster.host(2), "test")
    assert unsettled(scene.cluster, {}) == "node 2 is down"
    with pytest.raises(Violation, match="does not become well after the faults: node 2 is down"):
        scene.settle()


def test_an_entry_that_one_node_has_not_applied_is_not_well(scene: Scene) -> None:
    raft = scene.cluster.host(3).node.raft  # type: ignore[union-attr]
    raft.applied_index -= 1
    assert unsettled(scene.cluster, {}).startswith("node 3 has applied ")


def test_a_segment_that_is_neither_open_nor_sealed_is_not_well(scene: Scene) -> None:
    scene.topic().last.state = SEALING
    assert unsettled(scene.cluster, {}).endswith(" is SEALING at epoch 0")


def test_a_replica_set_that_is_too_small_is_not_well(scene: Scene) -> None:
    scene.sealed().members = scene.sealed().members[:2]
    assert unsettled(scene.cluster, {}).endswith(", not 3 members that run")


def test_a_member_without_all_records_of_a_sealed_segment_is_not_well(scene: Scene) -> None:
    replica = probe.replica(scene.cluster.host(2), "logs", scene.sealed().number)
    assert replica is not None
    replica.complete = False
    assert "the copy on node 2 is not known to hold all" in unsettled(scene.cluster, {})


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_copy_believed_complete_whose_file_is_not_is_a_violation(scene: Scene, damage: str) -> None:
    host = scene.cluster.host(2)
    data = scene.file(host)
    if damage == "missing":
        del host.disk.files[f"user_data/logs:{scene.sealed().number}.wal"]
    elif damage == "cut":
        del data[-1:]
    else:
        data[-1] ^= 1
    assert unsettled(scene.cluster, {}) == ""
    with pytest.raises(Violation, match=r"copies: node 2 believes its copy of logs:\d+ complete"):
        scene.settle()


@pytest.mark.parametrize(("count", "missed"), [(1, True), (0, False)])
def test_damage_of_a_copy_is_missed_where_it_holds_records_that_count(
    scene: Scene, *, count: int, missed: bool
) -> None:
    scene.cluster.host(2).disk.damage.add("bit-rot", f"user_data/logs:{scene.sealed().number}.wal", 0, 1)
    scene.sealed().count = count
    assert ("the copy on node 2 is damaged" in unsettled(scene.cluster, {})) is missed


@pytest.mark.parametrize("hurt", [True, False])
def test_a_copy_that_is_being_filled_again_is_no_reason_to_damage_another(scene: Scene, *, hurt: bool) -> None:
    number = scene.sealed().number
    path = f"user_data/logs:{number}.wal"
    for host in (scene.cluster.host(1), scene.cluster.host(3)):
        replica = probe.replica(host, "logs", number)
        assert replica is not None
        replica.durable_length = 0
        if hurt:
            host.disk.damage.add("read-error", path, 0, 1)
    assert may_lose_copy(scene.cluster, scene.cluster.host(2), path) is not hurt


def test_a_message_held_back_for_a_write_that_never_comes_is_left_over(scene: Scene) -> None:
    host = scene.cluster.host(1)
    node = host.node
    assert node is not None
    host.disk.latency_ns = (1000 * SECOND, 1000 * SECOND)
    token = 1 << 60
    handle, extra = node.handle, [Write("never", 0, b"x", token), Send(2, b"never", after=token)]
    node.handle = lambda event, now: [*handle(event, now), *(extra.pop(0) for _ in list(extra))]  # type: ignore[method-assign]
    scene.cluster.world.run_until(scene.cluster.world.now_ns + 100 * MS)
    node.handle = handle  # type: ignore[method-assign]
    assert "messages back for writes that never come" in left_over(scene.cluster, {})
    with pytest.raises(Violation, match="node 1 holds"):
        scene.settle()


def test_a_request_that_still_waits_is_left_over(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    third = scene.cluster.host(3).node.running  # type: ignore[union-attr]
    monkeypatch.setattr(Running, "waiting", lambda running: 2 if running is third else 0)
    assert left_over(scene.cluster, {}) == "node 3 still has 2 requests of clients waiting"
    with pytest.raises(Violation, match="node 3 still has 2 requests"):
        scene.settle()
