"""Trouble for a few kinds of messages: those come late or again, all others as they are."""

from collections import Counter

from small_clusters import small_cluster

from walrus.core.node import Node
from walrus.sim.cluster import Cluster
from walrus.sim.faults.few_kinds import FewKinds
from walrus.sim.message_kinds import TAGS
from walrus.sim.world import SECOND


def troubled(seed: int, again_per_million: int) -> tuple[Cluster, Counter[str], dict[str, set[int]]]:
    """Three seconds of it in a small cluster: which kinds were hit while they were chosen, and how many copies came."""
    cluster = small_cluster(3, Node)
    fault = FewKinds(cluster, cluster.world.rng.stream(f"test {seed}"))
    fault.again_per_million, fault.per_million, fault.many = again_per_million, 1_000_000, 2
    copies: dict[str, set[int]] = {}
    hit: Counter[str] = Counter()

    def fate(what: object) -> None:
        kind, extras = what.message, what.extra_ns  # type: ignore[attr-defined]
        hit[kind] += 1
        copies.setdefault(kind, set()).add(len(extras))
        assert kind in fault.kinds

    cluster.network.on_fate = fate
    fault.start()
    cluster.world.run_until(cluster.world.now_ns + 3 * SECOND)
    fault.stop()
    assert not cluster.network.filters_by_kind
    return cluster, hit, copies


def test_only_chosen_kinds_are_hit_and_come_late() -> None:
    cluster, hit, copies = troubled(1, 0)
    assert hit
    assert set(hit) <= set(TAGS)
    assert all(numbers == {1} for numbers in copies.values())
    assert cluster.world.labels["fault: few-kinds"] == sum(hit.values())
    assert cluster.world.labels["bit: few-kinds"] > 0


def test_they_come_again() -> None:
    cluster, _, copies = troubled(2, 1_000_000)
    assert copies
    assert all(numbers == {2} for numbers in copies.values())
    assert cluster.world.labels["bit: few-kinds"] > 0
