"""A bug, and how it gets into the core and out again.

An :class:`Edit` names a function of the core and changes a piece of its source. The function is compiled anew with its
own module's names, and its code is exchanged in place: whoever holds the function, under whatever name, runs the new
code. The piece must stand in the function exactly once. So a bug cannot go stale unseen: where the core has moved on,
planting fails and says so.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import CodeType, FunctionType
from typing import Any

Where = Callable[..., Any] | property
"""A function, a method as its class shows it, or a property (its getter is meant)."""


class CannotPlant(AssertionError):
    """The code that a bug changes is not what it was: look at the bug again."""


@dataclass(frozen=True)
class Edit:
    """In the function ``where`` the one piece ``was`` becomes ``now``, indented as from the function's first line."""

    where: Where
    was: str
    now: str


@dataclass(frozen=True)
class Bug:
    """``number`` is that of the research note, 0 for our own. ``says``: the mistake in one sentence; ``seen``: where it
    was met.

    ``textbook``: it breaks a classic clause of Raft or of segments, such as every account of them has. ``waits_for`` is
    set where the code that has the bug is still to come. ``lost_majority``: it shows only in runs in which all disks
    but one are lost.
    """

    name: str
    number: int
    says: str
    seen: str
    textbook: bool
    edits: tuple[Edit, ...] = ()
    waits_for: str = ""
    lost_majority: bool = False

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the bug in the core; raises :class:`CannotPlant` where the core is not what the bug was written for."""
        if not self.edits:
            raise CannotPlant(f"{self.name} waits for {self.waits_for}")
        changed = changed_code(self)
        sound = {function: function.__code__ for function in changed}
        try:
            for function, code in changed.items():
                function.__code__ = code
            yield
        finally:
            for function, code in sound.items():
                function.__code__ = code


@cache
def changed_code(bug: Bug) -> dict[FunctionType, CodeType]:
    """The functions that a bug changes, with their new code. To be asked for before the sources change on the disk."""
    pieces: dict[FunctionType, list[Edit]] = {}
    for edit in bug.edits:
        pieces.setdefault(_function(edit.where), []).append(edit)
    return {function: _compiled(bug, function, edits) for function, edits in pieces.items()}


def _function(where: Where) -> FunctionType:
    function = where.fget if isinstance(where, property) else where
    if not isinstance(function, FunctionType):
        raise CannotPlant(f"{where!r} is no function in Python")
    return function


def _compiled(bug: Bug, function: FunctionType, edits: list[Edit]) -> CodeType:
    sound = function.__code__
    source = textwrap.dedent(inspect.getsource(function))
    for edit in edits:
        found = source.count(edit.was)
        if found != 1:
            raise CannotPlant(
                f"{bug.name}: {function.__module__}.{function.__qualname__} has changed: "
                f"{edit.was!r} stands in it {found} times, not once"
            )
        source = source.replace(edit.was, edit.now)
    head = 0
    if "__class__" in sound.co_freevars:  # it says super(), which means something within a class only
        source = "class _:\n" + textwrap.indent(source, "    ")
        head = 1
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise CannotPlant(f"{bug.name}: {function.__qualname__} is no Python any more: {error}") from error
    ast.increment_lineno(tree, sound.co_firstlineno - 1 - head)
    code = _named(compile(tree, sound.co_filename, "exec"), function.__name__)
    if (code.co_freevars, _parameters(code)) != (sound.co_freevars, _parameters(sound)):
        raise CannotPlant(f"{bug.name}: {function.__qualname__} takes other parameters than it did")
    return code.replace(co_qualname=function.__qualname__)


def _named(module: CodeType, name: str) -> CodeType:
    """The code of the function that a module, or the class in it, defines."""
    inner = [value for value in module.co_consts if isinstance(value, CodeType)]
    for code in inner:
        if code.co_name == name:
            return code
    return _named(inner[0], name)


def _parameters(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
