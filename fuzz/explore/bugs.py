"""Clauses of the design's data path taken out in turn, and the scope that catches each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fuzz.explore.run import explore
from fuzz.explore.scopes import AnyScope
from fuzz.explore.search import Outcome
from fuzz.planted.bug import Bug
from fuzz.planted.catalogue import BUGS

RULES: Final[dict[str, tuple[str, ...]]] = {
    "2 dense replicas": (
        "gap-admitted", "duplicate-truncates", "fenced-copy-admits", "refusal-counted", "lost-copy-counted",
    ),
    "3 acknowledgement": ("one-copy-acknowledges", "copy-not-durable", "moved-after-sent", "stopped-writer-silent"),
    "4 failover": (
        "recovery-of-an-earlier-set", "set-changes-while-sealing", "epoch-reused", "tail-from-one-fence",
        "own-copy-unfenced", "fence-before-drain", "fence-not-durable", "tail-from-the-shortest",
        "publish-before-repair", "excess-dropped-early",
    ),
    "5 rollover": ("seal-before-drain", "moved-after-sent", "seal-during-set-change", "rollover-unconditional"),
    "8 trust": ("lost-copy-counted", "lost-copy-trusted", "note-after-acknowledgement"),
    "9 set changes": (
        "set-change-too-early", "no-joint-quorum", "set-change-given-up", "set-change-unconditional",
        "old-stay-counted", "dropped-at-replay",
        "sealed-set-change-unproved",
    ),
    "11 cursors": ("cursor-commit-unconditional", "cursor-past-outstanding", "dirty-read"),
}  # fmt: skip
"""Rules of design section 4, and the bugs that take a clause out of each."""


@dataclass(frozen=True)
class Catch:
    """What a scope made of a bug."""

    bug: str
    rules: tuple[str, ...]
    outcome: Outcome

    @property
    def caught(self) -> bool:
        """The scope found a violation."""
        return bool(self.outcome.problem)


def bug_of(name: str) -> Bug:
    """The planted bug of this name; raises KeyError."""
    return {bug.name: bug for bug in BUGS if bug.edits}[name]


def rules_of(name: str) -> tuple[str, ...]:
    """The rules of which a bug takes out a clause."""
    return tuple(rule for rule, names in RULES.items() if name in names)


def table(scopes: Sequence[AnyScope], most_states: int, progress: Callable[[str], None]) -> list[Catch]:
    """Each scope with each bug that it is to catch."""
    catches = []
    for scope in scopes:
        for name in scope.catches:
            outcome = explore(scope, most_states, bug=bug_of(name))
            found = Catch(name, rules_of(name), outcome)
            catches.append(found)
            progress(f"{scope.name} {'catches' if found.caught else 'misses'} {name} ({outcome.seconds:.1f} s)")
    return catches
