"""The dashboard and the alert rules ask only for what nodes export, and between them show all of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from walrus.core.prometheus import COUNTER, FAMILIES, GAUGE, HISTOGRAM

FILES = Path(__file__).resolve().parents[2] / "monitoring"
OF_THE_TARGET = {"instance", "job"}  # labels that Prometheus adds
OF_PROMETHEUS = {"up": set[str]()}  # metrics that it makes itself
FAR_ENDS = {HISTOGRAM: ("_bucket", "_sum", "_count"), GAUGE: ("",), COUNTER: ("",)}

DASHBOARD: dict[str, Any] = json.loads((FILES / "walrus-dashboard.json").read_text(encoding="utf-8"))
ALERTS: dict[str, Any] = yaml.safe_load((FILES / "walrus-alerts.yml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def exported() -> dict[str, set[str]]:
    """Names of samples -> their labels."""
    names = dict(OF_PROMETHEUS)
    for family in FAMILIES:
        for end in FAR_ENDS[family.kind]:
            names[family.name + end] = {*family.labels, *(["le"] if end == "_bucket" else [])}
    return names


def counters() -> set[str]:
    """Names of samples that only ever grow."""
    grown = {family.name for family in FAMILIES if family.kind == COUNTER}
    return grown | {family.name + end for family in FAMILIES if family.kind == HISTOGRAM for end in FAR_ENDS[HISTOGRAM]}


def parsed(expression: str) -> promql_parser.Expr:
    """As Prometheus would see it: Grafana puts a duration in place of its variable."""
    return promql_parser.parse(expression.replace("$__rate_interval", "5m"))


def nodes(expression: str) -> list[promql_parser.Expr]:
    found: list[promql_parser.Expr] = []
    promql_parser.walk(parsed(expression), lambda node: found.append(node))
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """(where, expression) of both files."""
    for rule in RULES:
        yield f"alert {rule['alert']}", rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"panel {panel['title']}", target["expr"]


def labels_left(expression: str) -> set[str]:
    """The labels of an expression's result."""
    found = nodes(expression)
    labels = set(OF_THE_TARGET)
    for node in found:
        if isinstance(node, promql_parser.VectorSelector):
            labels |= exported()[node.name]
    for node in found:
        if isinstance(node, promql_parser.AggregateExpr):
            labels &= set(node.modifier.labels if node.modifier is not None else ())
    return labels - {"le"}


EVERY = [pytest.param(expression, id=where) for where, expression in expressions()]


def amiss_in(expression: str) -> list[str]:
    """What an expression asks for that no node exports, or counts wrongly."""
    names, found = exported(), nodes(expression)
    selectors = [node for node in found if isinstance(node, promql_parser.VectorSelector)]
    amiss = [f"unknown metric {selector.name}" for selector in selectors if selector.name not in names]
    labels = OF_THE_TARGET.union(*(names.get(selector.name, set()) for selector in selectors))
    for selector in selectors:
        known = names.get(selector.name, set()) | OF_THE_TARGET
        amiss += [f"no label {m.name} of {selector.name}" for m in selector.matchers.matchers if m.name not in known]
    for node in found:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            amiss += [f"no label {label} to sum by" for label in node.modifier.labels if label not in labels]
    ranged = {node.vector_selector.name for node in found if isinstance(node, promql_parser.MatrixSelector)}
    amiss += [f"{s.name} only grows: its rate is wanted" for s in selectors if s.name in counters() - ranged]
    amiss += [f"the rate of {name}, a gauge" for name in sorted(ranged - counters())]
    return amiss


@pytest.mark.parametrize("expression", EVERY)
def test_an_expression_asks_for_what_nodes_export(expression: str) -> None:
    assert amiss_in(expression) == []


@pytest.mark.parametrize(
    ("expression", "amiss"),
    [
        ("walrus_raft_leaders == 0", "unknown metric walrus_raft_leaders"),
        ('walrus_raft_leader{node="1"}', "no label node of walrus_raft_leader"),
        ("sum by (route) (walrus_raft_term)", "no label route to sum by"),
        ("walrus_raft_leader_changes_total > 3", "walrus_raft_leader_changes_total only grows: its rate is wanted"),
        ("rate(walrus_raft_term[5m])", "the rate of walrus_raft_term, a gauge"),
    ],
)
def test_the_check_finds_what_it_should(expression: str, amiss: str) -> None:
    assert amiss_in(expression) == [amiss]


def test_an_expression_that_is_none_is_found() -> None:
    with pytest.raises(ValueError, match="unknown function"):
        parsed("increased(walrus_raft_term[5m])")


def test_the_dashboard_shows_every_metric() -> None:
    shown = {
        node.name
        for panel in PANELS
        for target in panel["targets"]
        for node in nodes(target["expr"])
        if isinstance(node, promql_parser.VectorSelector)
    }
    unseen = [f.name for f in FAMILIES if not shown & {f.name + end for end in FAR_ENDS[f.kind]}]
    assert unseen == []


def test_a_legend_names_labels_that_its_expression_leaves() -> None:
    strays = []
    for panel in PANELS:
        for target in panel["targets"]:
            labels = labels_left(target["expr"])
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            strays += [f"{panel['title']}: {label}" for label in sorted(wanted - labels)]
    assert strays == []


def test_panels_have_places_and_numbers_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len(set(numbers)) == len(numbers)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])


def test_each_alert_says_what_it_means_and_how_bad_it_is() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert len(rule["annotations"]["description"]) > 40, rule["alert"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, rule["alert"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s")), rule["alert"]


def test_the_texts_of_an_alert_use_labels_that_its_expression_leaves() -> None:
    strays = []
    for rule in RULES:
        labels = labels_left(rule["expr"])
        texts = " ".join(rule["annotations"].values())
        strays += [
            f"{rule['alert']}: {label}" for label in re.findall(r"\$labels\.(\w+)", texts) if label not in labels
        ]
        strays += [
            f"{rule['alert']}: {name}" for name in re.findall(r"walrus_\w+", texts)
            if not any(known.startswith(name) for known in exported())
        ]  # fmt: skip
    assert strays == []


def test_prometheus_is_pointed_at_the_ports_of_a_local_cluster_and_at_the_rules() -> None:
    config = yaml.safe_load((FILES / "prometheus.yml").read_text(encoding="utf-8"))
    (scrape,) = config["scrape_configs"]
    assert scrape["job_name"] == "walrus"
    assert scrape["static_configs"] == [{"targets": [f"localhost:{port}" for port in (9091, 9092, 9093)]}]
    assert [name for name in config["rule_files"] if not (FILES / name).is_file()] == []
