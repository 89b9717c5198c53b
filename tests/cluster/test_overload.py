"""Too much at once costs time, never an error and never a failover."""

import threading

from cluster import SMALL_SEGMENTS, Cluster, Start, eventually

from walrus.client.calls import put

CLIENTS = 100
PUTS_EACH = 25
SEALED = {"1": 10, "2": 10}


def payloads(topic: str) -> list[bytes]:
    return [b"%s %d" % (topic.encode(), number) for number in range(PUTS_EACH)]


def write(cluster: Cluster, topic: str, node: int, errors: list[str]) -> None:
    """One client with one request at a time; whatever is not OK is an error."""
    with cluster.client(node, timeout_s=120.0) as client:
        for payload in payloads(topic):
            reply = client.call(put(topic, payload))
            if reply != b"OK":
                errors.append(f"{topic}: {reply!r}")


def test_a_hundred_clients_on_a_hundred_topics_get_no_error_and_cause_no_failover(start: Start) -> None:
    cluster = start(**SMALL_SEGMENTS)
    term = cluster.metrics(1)["current_term"]
    topics = [f"topic-{number}" for number in range(CLIENTS)]
    for topic in topics:
        cluster.register(topic)
    errors: list[str] = []
    threads = [
        threading.Thread(target=write, args=(cluster, topic, number % 3 + 1, errors))
        for number, topic in enumerate(topics)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert cluster.recoveries() == []
    assert {cluster.metrics(node)["current_term"] for node in (1, 2, 3)} == {term}
    eventually(lambda: all(cluster.state(topic)["sealed_segments"] == SEALED for topic in topics), "sealed segments")
    for number, topic in enumerate(topics):
        assert cluster.read_all(topic, number % 3 + 1) == payloads(topic)
