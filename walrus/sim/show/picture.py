"""A recording as columns of numbers, small enough to travel in a page of 50,000 messages.

Strings that repeat are numbered, times are differences to the row before, and long texts are kept apart, so that the
diagram can be drawn before they are unpacked.
"""

import base64
import re
import zlib
from typing import Any, Final

import msgspec

from walrus.sim.recording import Mark, Recording
from walrus.sim.show import looks

_CLIENT: Final = re.compile(r"\bclient (\d+)")
_ARRIVED: Final = "arrived"

Columns = dict[str, list[Any]]


class _Numbered:
    """Gives each string a number, counted from 0 in the order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self.numbers.setdefault(text, len(self.numbers))


class Picture:
    """All that the page's script needs: ``drawn`` for the diagram, ``texts`` for the contents of its events."""

    def __init__(self, recording: Recording) -> None:
        self._names = _Numbered()
        self._texts = _Numbered()
        tables = {
            "messages": self._messages(recording),
            "requests": self._requests(recording),
            "marks": self._marks(recording.marks),
            "roles": self._roles(recording),
            "segments": self._segments(recording),
        }
        kinds = sorted({message.kind for message in recording.messages})
        self.drawn: dict[str, object] = {
            "end": recording.end_ns,
            "nodes": recording.nodes,
            "clients": recording.clients,
            "violation": _violation(recording),
            "families": [*looks.FAMILIES, looks.OTHER],
            "kinds": [[kind, looks.family_of(kind), looks.is_answer(kind)] for kind in kinds],
            "names": list(self._names.numbers),
            **tables,
        }
        self.texts = list(self._texts.numbers)

    def _messages(self, recording: Recording) -> Columns:
        rows = sorted(recording.messages, key=lambda message: (message.sent_ns, message.number))
        name = self._names
        return {
            "sender": [row.sender for row in rows],
            "to": [row.to for row in rows],
            "kind": [name(row.kind) for row in rows],
            "topic": [name(row.topic) for row in rows],
            "fate": [name(row.fate) for row in rows],
            "sent": _differences([row.sent_ns for row in rows]),
            "took": [row.arrived_ns - row.sent_ns if row.fate == _ARRIVED else -1 for row in rows],
            "content": [self._texts(row.content) for row in rows],
        }

    def _requests(self, recording: Recording) -> Columns:
        rows = sorted(recording.requests, key=lambda request: request.sent_ns)
        name = self._names
        return {
            "client": [row.client for row in rows],
            "node": [row.node for row in rows],
            "verb": [name(row.verb) for row in rows],
            "topic": [name(row.topic) for row in rows],
            "outcome": [name(row.outcome) for row in rows],
            "sent": _differences([row.sent_ns for row in rows]),
            "took": [row.done_ns - row.sent_ns if row.done_ns >= 0 else -1 for row in rows],
            "request": [self._texts(row.request) for row in rows],
            "reply": [self._texts(row.reply) for row in rows],
        }

    def _marks(self, marks: list[Mark]) -> Columns:
        rows = sorted(marks, key=lambda mark: mark.at_ns)
        return {
            "at": _differences([row.at_ns for row in rows]),
            "lasts": [max(0, row.until_ns - row.at_ns) for row in rows],
            "kind": [self._names(row.kind) for row in rows],
            "sign": [self._names(looks.sign_of(row.kind, row.text)) for row in rows],
            "nodes": [list(row.nodes) for row in rows],
            "clients": [_clients(row) for row in rows],
            "text": [row.text for row in rows],
        }

    def _roles(self, recording: Recording) -> Columns:
        rows = sorted(recording.roles, key=lambda span: (span.from_ns, span.node))
        return {
            "node": [row.node for row in rows],
            "at": _differences([row.from_ns for row in rows]),
            "lasts": [row.to_ns - row.from_ns for row in rows],
            "role": [self._names(row.role) for row in rows],
            "term": [row.term for row in rows],
        }

    def _segments(self, recording: Recording) -> Columns:
        rows = sorted(recording.segments, key=lambda span: (span.from_ns, span.node))
        return {
            "node": [row.node for row in rows],
            "at": _differences([row.from_ns for row in rows]),
            "lasts": [row.to_ns - row.from_ns for row in rows],
            "segment": [self._names(row.segment) for row in rows],
            "state": [self._names(row.state) for row in rows],
            "part": [self._names(row.part) for row in rows],
        }


def packed(value: object) -> str:
    """A value as JSON, deflated, in base64: letters and digits only, whatever a record may hold."""
    return base64.b64encode(zlib.compress(msgspec.json.encode(value), 9)).decode("ascii")


def _violation(recording: Recording) -> dict[str, object] | None:
    if recording.verdict == "clean" and not recording.violation:
        return None
    nodes = list(recording.violation_nodes)
    return {"at": recording.violation_ns, "nodes": nodes, "text": recording.violation}


def _clients(mark: Mark) -> list[int]:
    """A mark names no clients but in its text."""
    return [int(number) for number in _CLIENT.findall(mark.text)] if not mark.nodes else []


def _differences(times: list[int]) -> list[int]:
    return [time - before for before, time in zip([0, *times], times, strict=False)]
