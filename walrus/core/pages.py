"""What the client port answers over HTTP: ``/metrics``, ``/healthz`` and ``/readyz``."""

from typing import TYPE_CHECKING, Final

import msgspec

from walrus.core import prometheus
from walrus.core.http_head import preferred
from walrus.core.report import report
from walrus.core.status import to_json

if TYPE_CHECKING:
    from walrus.core.running import Running

PLAIN: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

_FORMS: Final = {
    JSON: ("application/json", "application/*", "*/*"),
    prometheus.TEXT: ("text/plain", "text/*"),
    prometheus.OPEN_METRICS: ("application/openmetrics-text",),
}
_STARTING: Final = "the node is reading its data directory; this takes seconds, the log tells how far it is"


class Page(msgspec.Struct, frozen=True):
    """One response of HTTP."""

    status: int
    content_type: str
    body: bytes


def page(path: str, accept: bytes, node: "Running | None", now_ns: int) -> Page:
    """The page at ``path``; ``accept`` is the request's header, ``node`` None until recovery is done.

    METRICS are JSON, as the original's scripts expect, unless the header prefers a form of Prometheus's.
    """
    if path == "/healthz":
        return Page(200, PLAIN, b"ok\n")
    if path == "/readyz":
        amiss = not_ready(node, now_ns)
        text = "".join(f"not ready: {reason}\n" for reason in amiss) or "ready\n"
        return Page(503 if amiss else 200, PLAIN, text.encode("utf-8"))
    if path != "/metrics":
        return Page(404, PLAIN, b"not found: try /metrics, /healthz or /readyz\n")
    if node is None:
        return Page(503, PLAIN, f"no metrics yet: {_STARTING}\n".encode())
    found = report(node, now_ns)
    form = preferred(accept, _FORMS)
    if form == JSON:
        return Page(200, JSON, to_json(found))
    return Page(200, form, prometheus.render(found, open_metrics=form == prometheus.OPEN_METRICS))


def not_ready(node: "Running | None", now_ns: int) -> list[str]:
    """Why this node cannot serve everything that clients may ask of it; empty if it can."""
    if node is None:
        return [_STARTING]
    amiss = []
    if node.leaving.begun:
        amiss.append("the node is shutting down")
    if not node.raft.membership.members:
        amiss.append("the node has not joined a cluster yet; the log says what the address given with --join answered")
    elif not node.raft.leader:
        amiss.append(
            "no raft leader is known: fewer than a majority of the nodes run or can reach each other; "
            "METRICS on each node shows what it knows"
        )
    if not node.lease.valid(now_ns):
        amiss.append(
            "the node holds no lease, because the leader has not confirmed its answers lately; "
            "it comes by itself within a second once this node and a majority can reach the leader"
        )
    return amiss
