"""Puts the page together: the story as plain HTML, the picture's data, and the scripts that draw it.

Nothing in the page can reach a network or be run that is not ours: its policy forbids every request, and names each
script and style by the hash of its text.
"""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template
from typing import Final

from walrus.sim.recording import Recording
from walrus.sim.show import plain
from walrus.sim.show.picture import Picture, packed

STYLES: Final = ("page.css",)

# In the order in which they build on each other. All share one scope.
SCRIPTS: Final = (
    *("inflate.js", "unpack.js", "format.js", "dom.js", "run.js", "filter.js"),
    *("view.js", "palette.js", "diagram.js", "details.js", "controls.js", "start.js"),
)


def page(recording: Recording) -> str:
    """One HTML page that shows the run."""
    picture = Picture(recording)
    style, script = _together(STYLES), _program()
    return Template(_asset("page.html")).substitute(
        policy=f"default-src 'none'; img-src data:; script-src {_hash(script)}; style-src {_hash(style)}",
        icon=plain.icon(recording),
        title=plain.title(recording),
        style=style,
        head=plain.head(recording),
        story=plain.story(recording),
        drawn=packed(picture.drawn),
        texts=packed(picture.texts),
        script=script,
    )


@cache
def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")


@cache
def _together(names: tuple[str, ...]) -> str:
    return "\n".join(_asset(name) for name in names)


@cache
def _program() -> str:
    return f'(() => {{\n"use strict";\n{_together(SCRIPTS)}}})();\n'


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
