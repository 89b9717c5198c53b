"""How walrus-cli shows JSON: as it came in a pipe, laid out for reading on a terminal."""

import json
import sys
from typing import Any

_INLINE_COLUMNS = 80


def pretty_json(raw: bytes) -> bytes:
    """``raw`` with one member of the outermost value a line, inner ones inline where they fit.

    What is not JSON comes back as it is.
    """
    try:
        value = json.loads(raw)
    except ValueError:
        return raw
    return _lines(value, "").encode("utf-8", "surrogatepass")


def print_json(raw: bytes) -> None:
    """Print a reply that is JSON."""
    output = sys.stdout.buffer
    output.write((pretty_json(raw) if sys.stdout.isatty() else raw) + b"\n")
    output.flush()


def _lines(value: Any, indent: str) -> str:
    """``value`` over several lines if it is an object or array with members."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        members = [f"{_scalar(key)}: {_fitted(member, inner)}" for key, member in value.items()]
        opening, closing = "{}"
    elif isinstance(value, list) and value:
        members = [_fitted(member, inner) for member in value]
        opening, closing = "[]"
    else:
        return _inline(value)
    return f"{opening}\n" + ",\n".join(inner + member for member in members) + f"\n{indent}{closing}"


def _fitted(value: Any, indent: str) -> str:
    """``value`` on one line, or on several if one would be too long."""
    inline = _inline(value)
    return inline if len(indent) + len(inline) <= _INLINE_COLUMNS else _lines(value, indent)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        members = ", ".join(f"{_scalar(key)}: {_inline(member)}" for key, member in value.items())
        return f"{{ {members} }}" if members else "{}"
    if isinstance(value, list):
        return f"[{', '.join(_inline(member) for member in value)}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
