"""Real nodes on a network that fails: what was acknowledged stays, once, in order, and GET shows nothing else."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import Wire, eventually
from network import why_not_here
from networked import (
    FAULTS,
    NODES,
    Fault,
    NetworkedCluster,
    Role,
    Scene,
    leading_from,
    leading_to,
    networked,
    others,
    prepare,
)
from traffic import SOUND, Consumer, Writer, judge_everywhere, judge_gets, verdict

from walrus.client.calls import get, put
from walrus.client.errors import WalrusError

pytestmark = pytest.mark.skipif(bool(why_not_here()), reason=why_not_here() or "-")

Networked = Callable[..., NetworkedCluster]
PATIENT_FOR_A_SECOND = {"WALRUS_RPC_TIMEOUT_MS": "1000"}
FLAPS = 4
# What the benchmark has besides is the same thing to other nodes, or more of it.
HERE = (
    "cut off: leader of both",
    "cut off: segment leader",
    "cut off: follower",
    "hears nobody: leader of both",
    "unheard: leader of both",
    "unheard: segment leader",
    "cut between the leaders",
    "paused: Raft leader",
    "paused: segment leader",
    "20 % lost on all links",
    "1 Mbit/s: segment leader",
    "flapping: segment leader",
    "50 ms each way, all links",
)


@pytest.fixture
def start_networked(tmp_path: Path) -> Iterator[Networked]:
    """Start a formed cluster on a network of its own; both are gone after the test."""
    with ExitStack() as stack:

        def start(*, relayed: bool = False, **environment: str) -> NetworkedCluster:
            return stack.enter_context(networked(tmp_path / "data", environment, relayed))

        yield start


def has_no_lease(cluster: NetworkedCluster, node: int) -> bool:
    return not cluster.metrics(node)["lease_valid"]


def is_replaced(cluster: NetworkedCluster, scene: Scene) -> bool:
    """The others follow one of themselves, in Raft and in the segment."""
    rest = others(scene.victim)
    leaders = {cluster.metrics(node)["current_leader"] for node in rest}
    return leaders < set(rest) and cluster.state(scene.topic, *rest)["leader_node"] in rest


def last_out(cluster: NetworkedCluster, fault: Fault, scene: Scene, writers: list[Writer]) -> None:
    """Wait until the fault has had its effect, and those whom it leaves a majority have gone on nevertheless."""
    served = [writer for node, writer in zip(NODES, writers, strict=True) if not fault.isolates or node != scene.victim]
    if not fault.isolates:
        for writer in served:
            writer.until_acknowledged()
        return
    eventually(lambda: is_replaced(cluster, scene), "successors of the node that is cut off")
    if not fault.stops:
        eventually(lambda: has_no_lease(cluster, scene.victim), "the end of its lease")
    cut_off = writers[scene.victim - 1]
    before = len(cut_off.acknowledged)
    for writer in served:
        writer.until_acknowledged()
    assert len(cut_off.acknowledged) == before, "acknowledged by a minority"


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in HERE], ids=lambda fault: fault.name)
def test_no_acknowledged_record_is_lost(start_networked: Networked, fault: Fault) -> None:
    """Clients of all nodes write all the time, one reads, while the fault lasts and after it."""
    cluster = start_networked(relayed=fault.relayed)
    scene = prepare(cluster, fault.role)
    addresses = {node: cluster.client_address(node) for node in NODES}
    writers = [Writer(f"w{node}", scene.topic, [addresses[node]], record_bytes=500) for node in NODES]
    victim_first = [addresses[scene.victim], *(addresses[node] for node in others(scene.victim))]
    consumer = Consumer(scene.topic, victim_first, roams=True, patience_s=2.0)
    for thread in (*writers, consumer):
        thread.start()
    for writer in writers:
        writer.until_acknowledged()
    consumer.until_delivered()
    floors = []
    for _ in range(FLAPS if fault.flaps else 1):
        floors.append(consumer.floor(cluster))
        fault.begin(cluster, scene)
        if fault.flaps:
            writers[others(scene.victim)[0] - 1].until_acknowledged(5)
        else:
            last_out(cluster, fault, scene, writers)
        cluster.heal()
    cluster.until_formed()
    for writer in writers:
        writer.until_acknowledged()
        writer.finish()
    records = judge_everywhere(cluster, scene.topic, writers)
    eventually(lambda: records[-1] in consumer.events[-10:], "the last record by GET")
    consumer.finish()
    judge_gets(records, consumer.events, floors)


@pytest.mark.parametrize("role", [Role.BOTH, Role.FOLLOWER], ids=lambda role: role.value)
def test_the_minority_refuses_and_shows_only_what_the_majority_has(start_networked: Networked, role: Role) -> None:
    """With leases long enough that the cut off leader still admits a record: it stays unseen and unacknowledged."""
    cluster = start_networked(WALRUS_LEASE_MS="1500", WALRUS_ELECTION_TIMEOUT_MS="1500", **PATIENT_FOR_A_SECOND)
    scene = prepare(cluster, role)
    rest = others(scene.victim)
    losses = cluster.metrics(scene.victim)["lease_losses"]
    with cluster.client() as client:
        client.put_many(scene.topic, [b"before %d" % number for number in range(3)])
    with Wire(cluster.client_address(scene.victim)) as reader, Wire(cluster.client_address(scene.victim)) as writer:
        assert reader.ask(*[get(scene.topic)] * 2) == [b"OK before 0", b"OK before 1"]
        cluster.network.lose(leading_to(scene.victim) + leading_from(scene.victim))
        writer.send(put(scene.topic, b"in the cut"))
        seen = set()

        def is_refused() -> bool:
            (reply,) = reader.ask(get(scene.topic))
            seen.add(reply)
            return reply.startswith((b"ERR NotLeaderForPartition: ", b"ERR no raft leader known"))

        eventually(is_refused, "the refusal of GET")
        assert {reply for reply in seen if not reply.startswith(b"ERR ")} <= {b"OK before 2", b"EMPTY"}
        (told,) = writer.replies(1)
        assert told.startswith((b"ERR outcome unknown: ", b"ERR NotLeaderForPartition: ", b"ERR no raft leader known"))
        eventually(lambda: cluster.metrics(scene.victim)["lease_losses"] > losses, "the end of the lease")
        for number in range(3):
            (reply,) = writer.ask(put(scene.topic, b"refused %d" % number))
            assert reply.startswith((b"ERR NotLeaderForPartition: ", b"ERR no raft leader known"))
        majority = Writer("majority", scene.topic, [cluster.client_address(node) for node in rest])
        majority.start()
        majority.until_acknowledged()
        majority.finish()
        with (
            cluster.client(scene.victim) as client,
            pytest.raises(WalrusError, match=r"NotLeaderForPartition|no raft leader known"),
        ):
            client.get(scene.topic)
    cluster.heal()
    cluster.until_formed()
    records = cluster.read_all(scene.topic, scene.victim)
    assert records[:3] == [b"before 0", b"before 1", b"before 2"]
    assert verdict([record for record in records[3:] if record != b"in the cut"], [majority]) == SOUND
    assert records.count(b"in the cut") <= 1
    for node in rest:
        assert cluster.read_all(scene.topic, node) == records
