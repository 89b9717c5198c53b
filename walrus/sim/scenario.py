"""Scenarios: a run as a file, every deed with its time, which replays without the dice that once drew it.

What is left to the seed is only what nobody decides: how long a message or a write takes within its bounds, and the
nodes' own randomness. The file is JSON, one deed per line, so that it reads from top to bottom like a story.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec

from walrus.sim.client import Link
from walrus.sim.cluster import Cluster
from walrus.sim.deeds import AnyDeed, Ask, Dial, Hangup, MessageFate, ResetConnection
from walrus.sim.history import History
from walrus.sim.setup import Setup

FORMAT: Final = 1


class Step(msgspec.Struct, frozen=True):
    """A deed and when it is done, in nanoseconds from the start."""

    at_ns: int
    deed: AnyDeed


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. ``expect`` is "clean", or how the violation begins that it shows."""

    title: str
    expect: str
    seed: int
    setup: Setup
    steps: tuple[Step, ...]
    format: int = FORMAT


class ScenarioError(Exception):
    """A scenario file cannot be used; the text says which, where and why."""


def encode(scenario: Scenario) -> str:
    """The file's text."""
    plain: dict[str, Any] = msgspec.to_builtins(scenario)
    steps = plain.pop("steps")
    head = ",\n".join(f" {json.dumps(name)}: {json.dumps(plain[name])}" for name in ("format", *_but_format(plain)))
    lines = [f'  {{"at_ns": {step["at_ns"]}, "deed": {json.dumps(step["deed"])}}}' for step in steps]
    return "{\n" + head + ',\n "steps": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def decode(text: str, name: str) -> Scenario:
    """Read a file's text; ``name`` is what errors call it. Raises ScenarioError."""
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise ScenarioError(f"{name}: not a whole scenario file: {error}") from error
    found = plain.get("format") if isinstance(plain, dict) else None
    if found != FORMAT:
        raise ScenarioError(f"{name}: scenario format {found!r}, this program reads {FORMAT}")
    try:
        scenario = msgspec.convert(plain, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{name}: {error}") from error
    _check(scenario, name)
    return scenario


def _but_format(plain: dict[str, Any]) -> list[str]:
    return [key for key in plain if key != "format"]


def _check(scenario: Scenario, name: str) -> None:
    """What the types do not say."""
    nodes = scenario.setup.nodes
    if len(scenario.setup.node_setups) != nodes:
        raise ScenarioError(f"{name}: {nodes} nodes, but setups for {len(scenario.setup.node_setups)}")
    for number, step in enumerate(scenario.steps, start=1):
        strangers = [node for node in step.deed.nodes if not 1 <= node <= nodes]
        if strangers:
            raise ScenarioError(f"{name}: step {number} names node {strangers[0]}, there are 1 to {nodes}")


class Script:
    """Does what a scenario says (see :class:`walrus.sim.runner.Load`)."""

    def __init__(self, cluster: Cluster, history: History, scenario: Scenario) -> None:
        self._cluster = cluster
        self._scenario = scenario
        for step in scenario.steps:
            if isinstance(step.deed, Dial | Ask | Hangup | ResetConnection):
                cluster.clients.setdefault(
                    step.deed.client, Link(step.deed.client, cluster.world, cluster.streams, history)
                )

    def start(self) -> None:
        """Fates of messages are planned at once, everything else in its time."""
        self._cluster.world.note(self._scenario.title)
        do: Callable[[Any], None] = self._cluster.do
        for step in self._scenario.steps:
            if isinstance(step.deed, MessageFate):
                self._cluster.network.plan(step.deed)
            else:
                self._cluster.world.at(step.at_ns, do, step.deed)

    def start_faults(self) -> None:
        """They have their times."""

    def stop_faults(self) -> None:
        """They have their times."""

    def stop(self) -> None:
        """Clients have asked what they were to ask."""

    def leave(self) -> None:
        """Close all connections."""
        for client in self._cluster.clients.values():
            client.leave()
