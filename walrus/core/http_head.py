"""The little HTTP that the client port speaks: one GET or HEAD, one response, close (RFC 9112, reduced)."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

PREFIXES: Final = (b"GET /", b"HEAD /")  # read as a frame's length these would be over any limit
HEAD_BYTES_MAX: Final = 8192

_REASONS: Final[dict[int, str]] = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class HttpHead(msgspec.Struct, frozen=True, gc=False):
    """What is wanted of a request: ``path`` without query, whether the response has its head only, what is accepted."""

    path: str
    head_only: bool
    accept: bytes = b""  # all Accept headers, joined by commas


def parse_head(data: bytes) -> HttpHead | int | None:
    """The request in ``data``, the status that refuses it, or None while its blank line has not come."""
    ends = [at for at in (data.find(b"\r\n\r\n"), data.find(b"\n\n")) if at >= 0]
    if not ends:
        return 431 if len(data) > HEAD_BYTES_MAX else None
    line, *headers = [each.rstrip(b"\r") for each in data[: min(ends)].split(b"\n")]
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
        return 400
    path = parts[1].split(b"?", 1)[0].decode("latin-1")
    fields = [header.partition(b":") for header in headers]
    accept = b",".join(value.strip() for name, _, value in fields if name.lower() == b"accept")
    return HttpHead(path, parts[0] == b"HEAD", accept)


def preferred(accept: bytes, offers: Mapping[str, tuple[str, ...]]) -> str:
    """The key of the offer whose media types an ``Accept`` header likes best; the first where it likes none.

    The greatest ``q`` decides, among equals what is named first in the header. What makes no sense is passed over.
    """
    best, best_q = next(iter(offers)), 0.0
    for media_range in accept.decode("latin-1").lower().split(","):
        kind, *parameters = (part.strip() for part in media_range.split(";"))
        q = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        found = next((key for key, kinds in offers.items() if kind in kinds), None)
        if found is not None and q > best_q:
            best, best_q = found, q
    return best


def _quality(text: str) -> float:
    return float(text) if re.fullmatch(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", text) else 0.0


def render_response(status: int, content_type: str, body: bytes, *, head_only: bool) -> bytes:
    """A whole HTTP/1.1 response that says it is the connection's last."""
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n"
        f"Content-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode("latin-1")
    return head if head_only else head + body
