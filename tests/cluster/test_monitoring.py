"""Metrics and health of real nodes, as Prometheus, an orchestrator and the original's scripts ask for them."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest
from cluster import Cluster, Start, eventually
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from walrus.core.prometheus import FAMILIES

WHEN_KNOWN = {"walrus_raft_follower_lag_entries", "walrus_replication_lag_records"}  # on a leader; of a copy behind


def fetch(cluster: Cluster, node: int, path: str, accept: str = "*/*") -> tuple[int, str]:
    """Status and body of a GET on a node's client port."""
    request = urllib.request.Request(f"http://{cluster.client_address(node)}{path}", headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError as error:  # it does not listen yet
        return 0, str(error)


def scrape(cluster: Cluster, node: int) -> dict[str, Metric]:
    """The families that a node exports, as Prometheus's parser reads them."""
    status, text = fetch(cluster, node, "/metrics", "text/plain")
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """The one sample of this name and these labels."""
    samples = [sample for family in families.values() for sample in family.samples if sample.name == name]
    found = [sample.value for sample in samples if labels.items() <= sample.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


def is_measured(families: dict[str, Metric]) -> bool:
    """The driver has measured, and since it was connected with the two other nodes."""
    measured = families["walrus_disk_used_bytes"].samples and families["walrus_peer_connections"].samples
    return bool(measured) and value(families, "walrus_peer_connections") >= 2


def test_prometheus_reads_what_every_node_exports(start: Start) -> None:
    """Every family of the table has samples once the driver has measured; both forms hold the same families."""
    cluster = start(3, WALRUS_MAX_SEGMENT_ENTRIES="10")
    with cluster.client(2) as client:
        for number in range(25):
            client.put("logs", b"%d" % number)
        for _ in range(3):
            client.get("logs")
    for node in cluster.node_ids:
        eventually(lambda node=node: is_measured(scrape(cluster, node)), f"measures of node {node}")
        families = scrape(cluster, node)
        assert list(families) == [family.name.removesuffix("_total") for family in FAMILIES]
        assert {name for name, family in families.items() if not family.samples} <= WHEN_KNOWN
        status, text = fetch(cluster, node, "/metrics", "application/openmetrics-text")
        assert status == 200
        assert [family.name for family in open_metrics_families(text)] == list(families)
        assert value(families, "walrus_raft_leader") == 1
        assert value(families, "walrus_lease_valid") == 1
        assert value(families, "walrus_raft_voters") == 3
        assert value(families, "walrus_sync_latency_seconds_count") > 0
        assert value(families, "process_open_fds") > 0
    every = {node: scrape(cluster, node) for node in cluster.node_ids}
    puts = {
        route: sum(value(families, "walrus_put_latency_seconds_count", route=route) for families in every.values())
        for route in ("local", "forwarded")
    }
    assert sum(puts.values()) == 25
    assert puts["forwarded"] > 0, "node 2 does not lead the first segment"
    gets = [value(every[2], "walrus_get_latency_seconds_count", route=route) for route in ("local", "forwarded")]
    assert sum(gets) == 3
    rollovers = sum(value(families, "walrus_rollover_duration_seconds_count") for families in every.values())
    assert rollovers == 2, "25 records of 10 a segment"
    assert value(every[1], "walrus_raft_follower_lag_entries", member="2") >= 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_curl_as_the_deployment_document_writes_it_gets_json_from_every_node(start: Start) -> None:
    cluster = start(3)
    for node in cluster.node_ids:
        address = cluster.client_address(node).replace("127.0.0.1", "localhost")
        printed = subprocess.run(
            ["curl", "-sS", f"http://{address}/metrics"], capture_output=True, check=True, timeout=60
        ).stdout
        told = json.loads(printed)
        assert told["id"] == node
        assert told["current_leader"] == 1
        assert sorted(told["membership_config"]["membership"]["nodes"]) == ["1", "2", "3"]
        assert set(told) == set(cluster.metrics(node)), "the same as METRICS"


def test_a_node_without_a_majority_lives_and_says_why_it_is_not_ready(start: Start) -> None:
    """It names both reasons, and is ready again when the others are back."""
    cluster = start(3)
    for node in cluster.node_ids:
        assert fetch(cluster, node, "/healthz") == (200, "ok\n")
        eventually(lambda node=node: fetch(cluster, node, "/readyz") == (200, "ready\n"), f"node {node} ready")
    cluster.kill(2)
    cluster.kill(3)
    eventually(lambda: "no raft leader is known" in fetch(cluster, 1, "/readyz")[1], "node 1 without a leader")
    status, text = fetch(cluster, 1, "/readyz")
    assert status == 503
    assert "fewer than a majority of the nodes run" in text
    assert "holds no lease" in text
    assert fetch(cluster, 1, "/healthz") == (200, "ok\n")
    assert value(scrape(cluster, 1), "walrus_lease_losses_total") == 1
    cluster.start_node(2)
    cluster.start_node(3)
    eventually(lambda: fetch(cluster, 1, "/readyz")[0] == 200, "node 1 ready again")


def test_a_node_that_waits_to_join_is_not_ready(start: Start) -> None:
    cluster = start(1)
    cluster.join(2, through=3)  # where nobody listens
    eventually(lambda: "not joined a cluster yet" in fetch(cluster, 2, "/readyz")[1], "node 2 tells that it waits")
    assert fetch(cluster, 2, "/readyz")[0] == 503
    assert fetch(cluster, 2, "/healthz")[0] == 200
