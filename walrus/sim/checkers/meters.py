"""What METRICS counts is so: no number that contradicts itself, no request answered that was not counted.

Every process is looked at before it ends. A client's OK was counted by the node that gave it before it left, so all
nodes together have counted at least what all clients have received.
"""

from typing import Any

from walrus.core.prometheus import render
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.history import History
from walrus.sim.host import Host
from walrus.sim.world import Violation

_NEVER_NEGATIVE = ("commit_lag", "apply_lag", "lease_remaining_s", "replication_lag_max", "requests_waiting")


class Meters:
    """Adds up what processes have counted, by verb."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self._cluster = cluster
        self._history = history
        self._counted: dict[tuple[int, int], dict[str, int]] = {}  # node and life -> verb -> answered

    def after_turn(self, host: Host) -> None:
        """Nothing: who asks, asks seldom."""

    def on_crash(self, host: Host) -> None:
        """A process ends: look at its report, and compare what all have counted so far with what clients were told."""
        report = probe.report(host)
        if report is None:
            return
        _check(host, report)
        for other in self._cluster.hosts:
            if (answered := probe.answered(other)) is not None:
                self._counted[other.node_id, other.life] = answered
        self._counted[host.node_id, host.life] = {
            verb: report[verb]["local"]["count"] + report[verb]["forwarded"]["count"] for verb in ("put", "get")
        }
        for verb, told in (("put", sum(self._history.acknowledged.values())), ("get", self._history.got)):
            counted = sum(each[verb] for each in self._counted.values())
            if counted < told:
                raise Violation(f"meters: clients got {told} answers to {verb}, and nodes counted {counted}")


def _check(host: Host, report: dict[str, Any]) -> None:
    """One report makes sense by itself, and so does its text."""
    for key in _NEVER_NEGATIVE:
        if report[key] < 0:
            raise Violation(f"meters: on node {host.node_id} {key} is {report[key]}")
    histograms = {"rollovers": report["rollovers"], "loop": report["loop"]["lag"]}
    for verb in ("put", "get"):
        histograms |= {f"{verb} {route}": report[verb][route] for route in ("local", "forwarded")}
    for name, value in histograms.items():
        upto = list(value["le"].values())
        if upto != sorted(upto) or upto[-1] != value["count"] or value["sum_s"] < 0:
            raise Violation(f"meters: on node {host.node_id} the histogram of {name} contradicts itself: {value}")
    samples = [
        line.rpartition(" ")[0] for line in render(report, open_metrics=False).decode().splitlines() if line[0] != "#"
    ]
    if len(set(samples)) != len(samples):
        raise Violation(f"meters: node {host.node_id} exports a sample twice")
