"""Scenes: small plays with one part of the core, each of which comes out otherwise with a certain bug in it."""

from collections.abc import Callable
from typing import Final

import msgspec

Play = Callable[[], object]


class Scene(msgspec.Struct, frozen=True):
    """``play`` returns ``sound`` from the core as it is, and ``broken`` from one with the bug in it."""

    bug: str
    play: Play
    sound: object
    broken: object


SCENES: Final[dict[str, Scene]] = {}


def shows(bug: str, *, sound: object, broken: object) -> Callable[[Play], Play]:
    """Mark a function as the scene that shows a bug."""

    def register(play: Play) -> Play:
        assert bug not in SCENES, f"{bug} has a scene already"
        SCENES[bug] = Scene(bug, play, sound, broken)
        return play

    return register
