"""Reports and listings as text for a terminal, or as one JSON object a line."""

import json
from collections.abc import Callable

from walrus.cli.inspection.report import SOUND, Report, place

Write = Callable[[str], None]
"""Takes one line."""


class TextShow:
    """Facts under the file's name, then what is wrong with it, then the verdict."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._path = ""  # of the file that is being listed

    def item(self, path: str, item: dict[str, object]) -> None:
        if path != self._path:
            self._path = path
            self._write(f"{path}:")
        inner = "payload" in item and "record" not in item  # a record within its block
        self._write(
            ("    " if inner else "  ") + ", ".join(f"{_name(name)} {_plain(value)}" for name, value in item.items())
        )

    def report(self, report: Report) -> None:
        self._write(f"{report.path}: {report.kind}")
        width = max((len(name) for name in report.facts), default=0)
        for name, value in report.facts.items():
            rows = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
            for number, row in enumerate(rows):
                self._write(f"  {'' if number else _name(name):{width}}  {_plain(row)}")
        for problem in report.problems:
            self._write(f"  {place(problem)}{problem.level}: {problem.text}")
        for note in report.notes:
            self._write(f"  note: {note}")
        verdict = report.verdict
        self._write(f"  {verdict.upper() if verdict != SOUND else verdict}")


class JsonShow:
    """Each block, record and report is an object of its own, so that a large file needs no memory."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def item(self, path: str, item: dict[str, object]) -> None:
        self._write(json.dumps({"file": path} | item))

    def report(self, report: Report) -> None:
        problems = [{"level": p.level, "position": p.position, "text": p.text} for p in report.problems]
        facts = {"file": report.path, "kind": report.kind, "facts": report.facts}
        self._write(json.dumps(facts | {"problems": problems, "notes": report.notes, "verdict": report.verdict}))


def _name(key: str) -> str:
    return key.replace("_", " ")


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_name(name)} {_plain(inner)}" for name, inner in value.items())
    if isinstance(value, tuple):  # from, to
        return " to ".join(map(str, value))
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)
