"""Full segments roll over at once, exactly at their limit, and the lead goes round."""

from cluster import SMALL_SEGMENTS, Start, eventually
from traffic import Consumer, judge_counts

ENTRIES = 10


def numbered(count: int, prefix: str = "record") -> list[bytes]:
    return [b"%s %d" % (prefix.encode(), number) for number in range(count)]


def test_a_hundred_puts_make_ten_full_segments_led_by_all_nodes_in_turn(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register("turns")
    payloads = numbered(100)
    with cluster.client() as client:
        for payload in payloads:
            client.put("turns", payload)
    eventually(lambda: cluster.state("turns")["current_segment"] == 11, "the eleventh segment")
    for node in (1, 2, 3):
        state = cluster.state("turns", node)
        assert state["sealed_segments"] == {str(number): ENTRIES for number in range(1, 11)}
        assert {state["segment_leaders"][str(number)] for number in range(1, 11)} == {1, 2, 3}
        assert cluster.read_all("turns", node) == payloads
    judge_counts(cluster, "turns", payloads)


def test_sixty_puts_make_six_sealed_segments_without_another_put(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register("six")
    with cluster.client(2) as client:
        for payload in numbered(60):
            client.put("six", payload)
    expected = {str(number): ENTRIES for number in range(1, 7)}
    eventually(lambda: cluster.state("six")["sealed_segments"] == expected, "six sealed segments of ten records")
    assert cluster.state("six")["current_segment"] == 7


def test_pipelined_puts_of_one_connection_keep_their_order_across_rollovers(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    cluster.register("pipeline")
    payloads = numbered(1000)
    with cluster.client(3) as client:
        assert client.put_many("pipeline", payloads) == len(payloads)
    eventually(lambda: cluster.state("pipeline")["current_segment"] == 101, "a hundred sealed segments")
    assert set(cluster.state("pipeline")["sealed_segments"].values()) == {ENTRIES}
    for node in (1, 2, 3):
        assert cluster.read_all("pipeline", node) == payloads


def test_every_record_is_got_once_while_the_lead_goes_round(start: Start) -> None:
    """A rollover hands the cursor over exactly: nothing twice, nothing skipped."""
    cluster = start(**SMALL_SEGMENTS)
    cluster.register("got")
    payloads = numbered(300)
    consumer = Consumer("got", [cluster.client_address(node) for node in (2, 3, 1)])
    consumer.start()
    with cluster.client(1) as client:
        for payload in payloads:
            client.put("got", payload)
    consumer.until_delivered(len(payloads) - consumer.delivered)
    consumer.finish()
    assert cluster.recoveries() == [], "the machine was so slow that leases lapsed: the cursor need not be exact"
    assert consumer.events == payloads


def test_a_segment_rolls_over_by_bytes(start: Start) -> None:
    cluster = start(WALRUS_MAX_SEGMENT_BYTES="20000")
    cluster.register("bytes")
    payloads = [bytes([number]) * 1000 for number in range(100)]
    with cluster.client() as client:
        assert client.put_many("bytes", payloads) == len(payloads)
    eventually(lambda: cluster.state("bytes")["current_segment"] >= 5, "sealed segments")
    judge_counts(cluster, "bytes", payloads)
    assert cluster.read_all("bytes", 1) == payloads
