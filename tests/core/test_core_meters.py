"""What a node counts about itself, and how METRICS and its text for Prometheus show it."""

from typing import Any

import pytest
from core_node import World
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from walrus.core import events as ev
from walrus.core.actions import Reply
from walrus.core.config import MS, SECOND
from walrus.core.http_head import HttpHead, parse_head, preferred
from walrus.core.meters import LATENCY_BOUNDS_NS, Histogram, RequestMeter, histogram_value
from walrus.core.pages import JSON, page
from walrus.core.prometheus import FAMILIES, OPEN_METRICS, TEXT, render
from walrus.core.report import report
from walrus.core.requests import Pending
from walrus.core.wire import encode_frame

PROMETHEUS = (
    b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;"
    b"version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
FORMS = {JSON: ("application/json", "*/*"), "text": ("text/plain",), "open": ("application/openmetrics-text",)}


def pendings(*deadlines_ns: int) -> list[Pending]:
    return [Pending("logs", b"", deadline_ns) for deadline_ns in deadlines_ns]


def test_a_bound_of_a_histogram_belongs_to_the_bucket_below_it() -> None:
    histogram = Histogram()
    histogram.observe(1 * MS, 3)
    histogram.observe(1 * MS + 1)
    histogram.observe(60 * SECOND)
    value = histogram_value(histogram.counts, histogram.sum_ns)
    assert (value["le"]["0.0005"], value["le"]["0.001"], value["le"]["0.0025"]) == (0, 3, 4)
    assert (value["le"]["10.0"], value["le"]["+Inf"], value["count"]) == (4, 5, 5)
    assert value["sum_s"] == pytest.approx(60.004, abs=1e-6)


def test_requests_of_one_batch_count_one_by_one_from_their_own_arrival() -> None:
    """Deadlines lie one time-out behind the arrival: two came at 0, one at 9 ms, and all are answered at 10 ms."""
    meter = RequestMeter(5 * SECOND, "unknown")
    meter.answered(pendings(5 * SECOND, 5 * SECOND, 5 * SECOND + 9 * MS), 10 * MS, forwarded=True)
    value = meter.value()
    assert value["local"]["count"] == 0
    assert (value["forwarded"]["le"]["0.001"], value["forwarded"]["le"]["0.01"]) == (1, 3)
    assert value["forwarded"]["sum_s"] == pytest.approx(0.021)
    assert value["failed"] == {"unknown": 0}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (b"", JSON),
        (b"*/*", JSON),
        (b"text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        (b"text/plain", "text"),
        (b"TEXT/Plain; version=0.0.4", "text"),
        (b"application/json;q=0.5, text/plain;q=0.9", "text"),
        (b"application/json, text/plain", JSON),
        (b"text/plain;q=0, */*;q=0.1", JSON),
        (b"text/plain;q=many", JSON),
        (b"text/plain;q=1.5", JSON),
        (b"image/png", JSON),
        (b"\xff;;q=1,,", JSON),
        (PROMETHEUS, "open"),
    ],
)
def test_the_form_that_an_accept_header_likes_best_is_given(accept: bytes, form: str) -> None:
    assert preferred(accept, FORMS) == form


def test_the_accept_headers_of_a_request_count_together_whatever_their_case() -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: a\r\naccept: text/plain;q=0.5\r\nACCEPT:application/json\r\n\r\n"
    assert parse_head(head) == HttpHead("/metrics", False, b"text/plain;q=0.5,application/json")


# --- a node ---


@pytest.fixture
def world() -> World:
    """A cluster of node 1 alone that serves, with a record written and read."""
    made = World().start()
    made.sleep(1 * SECOND)
    assert made.ask(b"PUT logs a") == [b"OK"]
    assert made.ask(b"GET logs", b"GET logs") == [b"OK a", b"EMPTY"]
    return made


def of(world: World) -> dict[str, Any]:
    assert world.node.running is not None
    return report(world.node.running, world.now_ns)


def text_of(world: World, accept: bytes) -> tuple[str, str]:
    found = page("/metrics", accept, world.node.running, world.now_ns)
    assert found.status == 200
    return found.content_type, found.body.decode()


def test_a_node_counts_what_it_answers_itself_as_local(world: World) -> None:
    told = of(world)
    assert told["put"]["local"]["count"] == 1
    assert told["get"]["local"]["count"] == 2
    assert told["put"]["forwarded"]["count"] == told["get"]["forwarded"]["count"] == 0


def test_a_node_alone_has_followed_one_leader_and_holds_the_lease(world: World) -> None:
    told = of(world)
    assert (told["leader_changes"], told["lease_valid"], told["lease_losses"]) == (1, True, 0)
    assert (told["commit_lag"], told["apply_lag"], told["replication_lag_max"]) == (0, 0, 0)


def test_a_process_that_stood_still_is_counted_as_stalled(world: World) -> None:
    world.now_ns += 3 * SECOND
    world.handle(ev.TimerFired())
    world.run()
    loop = of(world)["loop"]
    assert loop["stalls"] == 1
    assert 2.9 < loop["stalled_s"] < 3.1


@pytest.mark.parametrize("limit", [1, 3])
def test_each_rollover_is_counted_and_timed(limit: int) -> None:
    made = World(max_segment_entries=limit).start()
    made.sleep(1 * SECOND)
    assert made.ask(*[b"PUT logs x"] * 6) == [b"OK"] * 6
    rolled = of(made)["rollovers"]
    assert rolled["count"] == 6 // limit
    assert rolled["le"]["+Inf"] == 6 // limit


def test_what_the_driver_measured_is_shown_and_what_it_could_not_tell_is_left_out(world: World) -> None:
    assert of(world)["driver"] is None
    buckets = (2,) + (0,) * len(LATENCY_BOUNDS_NS)
    world.handle(ev.DriverMeasured(disk_free_bytes=7, processor_ns=SECOND, sync_counts=buckets, sync_sum_ns=MS))
    _, text = text_of(world, b"text/plain")
    assert "walrus_disk_free_bytes 7\n" in text
    assert "process_cpu_seconds_total 1.0\n" in text
    assert "walrus_sync_latency_seconds_count 2\n" in text
    assert "\nwalrus_disk_used_bytes " not in text


def test_prometheus_reads_both_forms_and_finds_the_same_in_them(world: World) -> None:
    world.handle(ev.DriverMeasured(disk_free_bytes=7, sync_counts=(0,) * (len(LATENCY_BOUNDS_NS) + 1)))
    plain_type, plain = text_of(world, b"text/plain")
    open_type, opened = text_of(world, PROMETHEUS)
    assert (plain_type, open_type) == (TEXT, OPEN_METRICS)
    assert opened.endswith("# EOF\n")
    old = list(text_string_to_metric_families(plain))
    new = list(open_metrics_families(opened))
    assert [family.name for family in old] == [family.name for family in new]
    assert [family.name for family in new] == [family.name.removesuffix("_total") for family in FAMILIES]
    assert [family.type for family in new] == [family.kind for family in FAMILIES]
    samples = [(s.name, s.labels, s.value) for family in new for s in family.samples]
    assert samples == [(s.name, s.labels, s.value) for family in old for s in family.samples]


def test_label_values_are_escaped(world: World) -> None:
    told = of(world) | {"build": {"version": 'a"b\\c\nd', "python": "", "storage_driver": ""}}
    families = text_string_to_metric_families(render(told, open_metrics=False).decode())
    (build,) = [family for family in families if family.name == "walrus_build_info"]
    assert build.samples[0].labels["version"] == 'a"b\\c\nd'


def test_the_samples_do_not_grow_with_the_topics() -> None:
    """Copies are named one by one only up to a bound, those farthest behind first."""
    made = World().start()
    made.sleep(1 * SECOND)
    made.ask(*[b"REGISTER t%d" % number for number in range(60)], wait_ns=2 * SECOND)
    frames = [b"PUT t%d %d" % (number, copy) for number in range(60) for copy in range(1 + number % 3)]
    made.handle(ev.ClientConnected(1))
    made.handle(ev.ClientDataReceived(1, b"".join(map(encode_frame, frames)), 0))
    made.handle(ev.PollFinished())
    lags = of(made)["replication_lag"]
    assert len(lags) == 20
    assert [lag["records"] for lag in lags] == [3] * 20
    assert of(made)["replication_lag_max"] == 3


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/other", 404)])
def test_pages_are_plain_text(world: World, path: str, status: int) -> None:
    found = page(path, b"*/*", world.node.running, world.now_ns)
    assert (found.status, found.content_type) == (status, "text/plain; charset=utf-8")


def test_a_node_that_reads_its_directory_lives_but_is_not_ready() -> None:
    assert page("/healthz", b"", None, 0).status == 200
    for path in ("/readyz", "/metrics"):
        found = page(path, b"", None, 0)
        assert found.status == 503
        assert b"reading its data directory" in found.body


def test_a_node_that_shuts_down_is_not_ready(world: World) -> None:
    world.handle(ev.ShutdownRequested())
    found = page("/readyz", b"", world.node.running, world.now_ns)
    assert (found.status, found.body) == (503, b"not ready: the node is shutting down\n")


def test_http_is_answered_before_recovery_is_done() -> None:
    made = World()
    made.boot()
    made.handle(ev.ClientConnected(5))
    made.handle(ev.ClientDataReceived(5, b"GET /healthz HTTP/1.1\r\n\r\n", 0))
    (reply,) = [action for action in made.handle(ev.PollFinished()) if isinstance(action, Reply)]
    assert reply.data.startswith(b"HTTP/1.1 200 OK\r\n")
