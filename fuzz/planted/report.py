"""What a measurement found, as lines of text, as JSON and as a Markdown table."""

import json
import math
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import msgspec

from fuzz.planted.bounds import seeds_for, seeds_for_share, share_within
from fuzz.planted.bug import Bug
from fuzz.planted.measure import Finding
from fuzz.planted.shrinking import Small, figure

_WITHIN_TEXTBOOK: Final = 50
_WITHIN_ALL: Final = 10_000
_SHOWN_PROPERTIES: Final = 2
_PROPERTY_WIDTH: Final = 70


def count(number: float) -> str:
    """A number of seeds."""
    return "∞" if math.isinf(number) else f"{number:,.0f}"


def of(bug: Bug) -> str:
    """Where a bug comes from."""
    return str(bug.number) if bug.number else "own"


def caught_by(finding: Finding) -> str:
    """The properties that were seen broken, most frequent first; crashes of nodes say so."""
    named = [(_short(name), times) for name, times in finding.caught_by]
    shown = [f"{name} ({times})" for name, times in named[:_SHOWN_PROPERTIES]]
    rest = sum(times for _, times in named[_SHOWN_PROPERTIES:])
    return "; ".join([*shown, *([f"others ({rest})"] if rest else [])])


def _short(name: str) -> str:
    name = name.replace("liveness: the cluster does not become well after the faults", "liveness")
    name = name.replace("exception in a node", "crash")
    return name if len(name) <= _PROPERTY_WIDTH else name[:_PROPERTY_WIDTH].rstrip() + "..."


def line(finding: Finding) -> str:
    """One bug on one line."""
    bug, found = finding.bug, len(finding.sightings)
    low, high = finding.bounds
    text = f"{of(bug):>3}  {bug.name:28} {found:3} in {finding.seeds:6,} seeds"
    if not found:
        text += f"  not found; takes at least {count(seeds_for(0.5, high))} seeds at the median"
    else:
        text += (
            f"  expected {count(1 / finding.chance)} ({count(1 / high)} to {count(1 / low)}), "
            f"95 % within {count(seeds_for(0.95, finding.chance))}; {caught_by(finding)}"
        )
    if finding.noise:
        text += f"; {len(finding.noise)} seeds fail without the bug as well"
    return text if finding.done else text + "; not finished"


def figures(findings: Sequence[Finding]) -> list[str]:
    """The figures that the simulator is measured by, as far as these bugs give them."""
    tried = [finding for finding in findings if finding.seeds]
    lines = []
    textbook = [finding.chance for finding in tried if finding.bug.textbook]
    if textbook:
        lines.append(
            f"textbook bugs: {sum(p > 0 for p in textbook)} of {len(textbook)} found; median "
            f"{count(seeds_for_share(0.5, textbook))} seeds, {share_within(_WITHIN_TEXTBOOK, textbook):.1%} within "
            f"{_WITHIN_TEXTBOOK}; half of the bugs take {count(median(seeds_for(0.5, p) for p in textbook))} or fewer"
        )
    if tried:
        chances = [finding.chance for finding in tried]
        sightings = [sighting for finding in tried for sighting in finding.sightings]
        crashed = sum(sighting.crashed for sighting in sightings)
        lines += [
            f"all bugs: {sum(p > 0 for p in chances)} of {len(chances)} found; median "
            f"{count(seeds_for_share(0.5, chances))} seeds, {share_within(_WITHIN_ALL, chances):.1%} within "
            f"{_WITHIN_ALL:,}",
            f"found by a crash of a node instead of a checker: {crashed} of {len(sightings)} sightings",
        ]
    return lines


def holes(findings: Sequence[Finding]) -> list[Finding]:
    """Bugs that were looked for to the end and not found."""
    return [finding for finding in findings if finding.done and not finding.sightings]


def as_json(findings: Sequence[Finding], waiting: Sequence[Bug], smalls: Sequence[Small], *, finished: bool) -> str:
    """Everything, for programs; an infinite number of seeds is null."""
    rows = [_row(finding) for finding in findings if finding.seeds]
    document = {
        "bugs": rows,
        "waiting": [_bug(bug) for bug in waiting],
        "shrunk": msgspec.to_builtins(smalls),
        "finished": finished,
    }
    return json.dumps(document, indent=2)


def list_as_json(bugs: Sequence[Bug]) -> str:
    """The bugs themselves."""
    return json.dumps([_bug(bug) for bug in bugs], indent=2)


def _bug(bug: Bug) -> dict[str, Any]:
    return {
        "name": bug.name,
        "number": bug.number,
        "textbook": bug.textbook,
        "says": bug.says,
        "seen": bug.seen,
        "waits_for": bug.waits_for,
    }


def _row(finding: Finding) -> dict[str, Any]:
    low, high = finding.bounds
    chance = finding.chance
    return {
        **_bug(finding.bug),
        "seeds": finding.seeds,
        "found": len(finding.sightings),
        "found_by_crash": sum(sighting.crashed for sighting in finding.sightings),
        "first_seed": finding.sightings[0].seed if finding.sightings else None,
        "probability": chance,
        "probability_95": [low, high],
        "expected_seeds": 1 / chance if chance else None,
        "seeds_for_95_percent": seeds_for(0.95, chance) if chance else None,
        "caught_by": dict(finding.caught_by),
        "fails_without_the_bug": [sighting.seed for sighting in finding.noise],
        "done": finding.done,
    }


def markdown(findings: Sequence[Finding], waiting: Sequence[Bug], smalls: Sequence[Small], setting: str) -> str:
    """The table for the repository."""
    deeds = {small.name: str(small.deeds) for small in smalls if not small.failed}
    rows = [
        "| bug | of | textbook | seeds run | shown | expected seeds (95 %) "
        "| 95 % within | by crash | deeds | caught by |",
        "|-|-|-|-:|-:|-:|-:|-:|-:|-|",
        *(_markdown_row(finding, deeds.get(finding.bug.name, "")) for finding in findings if finding.seeds),
        *(f"| {bug.name} | {of(bug)} | {_mark(bug)} | | | | | | | waits for {bug.waits_for} |" for bug in waiting),
    ]
    return "\n".join(
        [
            "# How many seeds each planted bug takes",
            "",
            "Written by `make planted`; what each bug is, `python -m fuzz.planted --list` tells. *Expected seeds*: one",
            "over the share of seeds that showed the bug, with exact (Clopper-Pearson) bounds. *95 % within*: so many",
            "seeds show it with a probability of 95 %. *Of*: the number in the research note. *By crash*: sightings by",
            "an exception in a node instead of a checker. *Deeds*: what a sighting was shrunk to. A seed that fails",
            "without the bug as well is not counted.",
            "",
            setting,
            "",
            *(f"- {text}" for text in [*figures(findings), *([figure(smalls)] if smalls else [])]),
            "",
            *rows,
            "",
        ]
    )


def _mark(bug: Bug) -> str:
    return "●" if bug.textbook else ""


def _markdown_row(finding: Finding, deeds: str) -> str:
    bug, found, chance = finding.bug, len(finding.sightings), finding.chance
    low, high = finding.bounds
    expected = (
        f"{count(1 / chance)} ({count(1 / high)} to {count(1 / low)})" if found else f"more than {count(1 / high)}"
    )
    crashed = sum(sighting.crashed for sighting in finding.sightings)
    cells = (
        bug.name,
        of(bug),
        _mark(bug),
        f"{finding.seeds:,}",
        str(found),
        expected,
        count(seeds_for(0.95, chance)) if found else "",
        str(crashed or ""),
        deeds,
        caught_by(finding).replace("|", "\\|") or "**not found**",
    )
    return f"| {' | '.join(cells)} |"
