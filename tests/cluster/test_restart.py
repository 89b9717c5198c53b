"""Restarts of all nodes: metadata, records and cursors come back, again and again."""

import pytest
from cluster import SMALL_SEGMENTS, Cluster, Start, eventually
from traffic import judge_counts

TOPIC = "kept"
ORDERS = ((3, 1, 2), (2, 3, 1))


def cursor_is(cluster: Cluster, offset: int) -> None:
    eventually(lambda: cluster.state(TOPIC)["cursor"] == offset, f"a committed cursor of {offset}")


@pytest.mark.parametrize("cleanly", [True, False], ids=["stopped", "killed"])
def test_records_and_cursor_survive_two_restarts_of_all_nodes(start: Start, cleanly: bool) -> None:
    """A second restart replays everything too; counts are of records, not of what this lifetime saw."""
    cluster = start(**SMALL_SEGMENTS)
    cluster.register(TOPIC)
    written: list[bytes] = []
    taken = 0
    for order in ORDERS:
        with cluster.client() as client:
            for number in range(len(written), len(written) + 35):
                client.put(TOPIC, b"%d" % number)
                written.append(b"%d" % number)
            for _ in range(12):
                assert client.get(TOPIC) == written[taken]
                taken += 1
        cursor_is(cluster, taken)
        if cleanly:
            cluster.stop()
        else:
            cluster.kill_all()
        for node in order:
            cluster.start_node(node)
        cluster.until_formed()
        judge_counts(cluster, TOPIC, written)
        for node in (1, 2, 3):
            assert cluster.read_all(TOPIC, node) == written
    with cluster.client(3) as client:
        assert [client.get(TOPIC) for _ in range(len(written) - taken)] == written[taken:]
        assert client.get(TOPIC) is None


def test_a_killed_writers_segment_is_sealed_with_what_it_really_holds(start: Start) -> None:
    cluster = start()
    cluster.register(TOPIC)
    cluster.until_replicated(TOPIC)
    with cluster.client() as client:
        assert client.put_many(TOPIC, [b"%d" % number for number in range(7)]) == 7
    cluster.kill_all()
    for node in (1, 2, 3):
        cluster.start_node(node)
    cluster.until_formed()
    eventually(lambda: cluster.state(TOPIC)["sealed_segments"] == {"1": 7}, "segment 1 sealed at 7")
