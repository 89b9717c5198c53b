"""What of the page can be read without a script: the verdict, what was violated, how to repeat it, the story."""

import base64
from bisect import bisect_right
from html import escape
from typing import Final

from walrus.sim.recording import LogLine, Recording

_MS: Final = 1_000_000
_SECOND: Final = 1_000_000_000

_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="{colour}"/>'
    '<path d="{path}" stroke="#fff" stroke-width="2.2" fill="none"/></svg>'
)
_CROSS: Final = "M4.5 4.5l7 7M11.5 4.5l-7 7"
_TICK: Final = "M3.5 8.5l3 3l6-7"


def title(recording: Recording) -> str:
    """Of the browser's tab."""
    return escape(f"{recording.title}: {verdict(recording)}")


def verdict(recording: Recording) -> str:
    """Clean, or what was violated in a few words."""
    if is_clean(recording):
        return "clean"
    return recording.violation.split("\n")[0].split(":")[0] or recording.verdict


def is_clean(recording: Recording) -> bool:
    """Whether nothing was violated."""
    return recording.verdict == "clean" and not recording.violation


def icon(recording: Recording) -> str:
    """A tick or a cross for the browser's tab, in the page itself; without one, a browser asks a server for it."""
    colour, path = ("#00805a", _TICK) if is_clean(recording) else ("#c4002b", _CROSS)
    drawing = _ICON.format(colour=colour, path=path)
    return f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"


def head(recording: Recording) -> str:
    """Verdict, title, what there is, the command that repeats the run, and the violation."""
    clean = is_clean(recording)
    badge = f'<strong class="verdict {"clean" if clean else "violated"}">{"clean" if clean else "violation"}</strong>'
    parts = [
        f'<div class="top">{badge}<h1>{escape(recording.title)}</h1><p class="facts">{facts(recording)}</p>',
        f'<p class="command"><span class="say">Repeat it with</span> <code id="command">{escape(recording.command)}',
        "</code></p></div>",
    ]
    if not clean:
        first, _, rest = recording.violation.partition("\n")
        parts.append(f'<div class="violation" id="violation"><p>{escape(first or recording.verdict)}</p>')
        parts.append(f'<p class="where">{where(recording)}</p>')
        if rest.strip():
            parts.append(f"<details><summary>All of it</summary><pre>{escape(rest.rstrip())}</pre></details>")
        parts.append("</div>")
    return "".join(parts)


def facts(recording: Recording) -> str:
    """The run in figures."""
    lost = sum(message.arrived_ns < 0 for message in recording.messages)
    return " · ".join((
        _count(recording.nodes, "node"),
        _count(recording.clients, "client"),
        f"{recording.end_ns / _SECOND:.3f} s simulated",
        f"{_count(len(recording.messages), 'message')} ({lost:,} not arrived)",
        _count(len(recording.requests), "request"),
    ))  # fmt: skip


def where(recording: Recording) -> str:
    """When the violation was seen, and on which nodes."""
    nodes = ", ".join(map(str, recording.violation_nodes))
    place = f" on node{'s' * (len(recording.violation_nodes) > 1)} {nodes}" if nodes else ""
    return f"Seen at {_time(recording.violation_ns)}{place}." if recording.violation_ns >= 0 else ""


def story(recording: Recording) -> str:
    """The story as list items in the order of time, with the violation in its place."""
    lines = sorted(recording.lines, key=lambda line: line.at_ns)
    items = [_item(line) for line in lines]
    if not is_clean(recording):
        at_ns = recording.violation_ns if recording.violation_ns >= 0 else recording.end_ns
        place = bisect_right(lines, at_ns, key=lambda line: line.at_ns)
        text = escape(recording.violation.split("\n")[0] or recording.verdict)
        items.insert(place, f'<li class="violated" data-at="{at_ns}"><time>{_time(at_ns)}</time> {text}</li>')
    return "\n".join(items)


def _item(line: LogLine) -> str:
    node = f' data-node="{line.node}"' if line.node else ""
    return f'<li data-at="{line.at_ns}"{node}><time>{_time(line.at_ns)}</time> {escape(line.text)}</li>'


def _time(at_ns: int) -> str:
    return f"{at_ns / _MS:,.3f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
