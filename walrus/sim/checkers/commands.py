"""Each committed command does on the nodes what the rules say, and nothing where they refuse it
(:mod:`walrus.sim.checkers.metadata_model`).

State machine safety alone cannot see a rule that is missing: it is missing on all nodes. So the first node that has
applied the newest command is compared with the model, in what that command was about; and every node that ends, in all.
And who asked for a command is told what became of it.
"""

from typing import TYPE_CHECKING

from walrus.core.metadata.commands import (
    AnyCommand,
    RemoveTopic,
    TrimTopic,
    decode,
)
from walrus.core.metadata.state import Metadata, Segment, Topic
from walrus.core.peer import ENTRY_NORMAL, Entry, ProposeReply
from walrus.sim import probe
from walrus.sim.checkers.metadata_model import OF_SEGMENT, OF_TOPIC, MetadataModel, ModelSegment, ModelTopic
from walrus.sim.checkers.opened import opened
from walrus.sim.checkers.removals import Removals
from walrus.sim.host import Host
from walrus.sim.world import Violation

if TYPE_CHECKING:
    from walrus.sim.cluster import Cluster


class Commands:
    """Takes the committed entries in order. ``model``: the state after them; ``at``: the commands by index."""

    def __init__(self, cluster: "Cluster", removals: Removals) -> None:
        self.removals = removals
        self._cluster = cluster
        self.model = MetadataModel()
        self._index = 0
        self._effects: dict[int, bool] = {}  # index of a command -> whether it took effect
        self.at: dict[int, AnyCommand] = {}
        cluster.network.when_sent("ProposeReply", self._told)

    def committed(self, entry: Entry) -> None:
        """The next entry of the log is committed."""
        self._index = entry.index
        if entry.kind != ENTRY_NORMAL:
            return
        command = self.at[entry.index] = decode(entry.data)
        model, labels = self.model, self._cluster.world.labels
        topic = model.topics.get(command.topic) if isinstance(command, TrimTopic) else None
        segments = list(topic.segments) if topic is not None else []
        self._effects[entry.index] = effect = model.apply(command)
        if not effect:
            labels[f"command refused: {type(command).__name__}"] += 1
        elif isinstance(command, RemoveTopic):
            labels["topic deleted"] += 1
        elif isinstance(command, TrimTopic) and topic is not None:
            gone = [segment for segment in segments if segment.number < topic.segments[0].number]
            self.removals.trimmed(topic, gone, command)

    def applied(self, host: Host, index: int) -> None:
        """A node has applied all up to an index: compare what the newest commands touched."""
        state = probe.metadata(host)
        if state is None or index != self._index:
            return
        touched, self.model.touched = self.model.touched, {}
        for (name, number), command in touched.items():
            self._compare(host, state, name, number, command)

    def ended(self, host: Host, index: int) -> None:
        """A process ends: compare all that it knows, if it knows the newest."""
        state = probe.metadata(host)
        if state is None or index != self._index:
            return
        nodes = {info.node: (info.storage, info.incarnation, info.state) for info in state.nodes.values()}
        if nodes != self.model.nodes:
            raise Violation(f"replicated state: node {host.node_id} has nodes {nodes}, not {self.model.nodes}")
        if sorted(state.topics) != sorted(self.model.topics):
            raise Violation(
                f"replicated state: node {host.node_id} has topics {sorted(state.topics)}, not "
                f"{sorted(self.model.topics)}"
            )
        for topic in self.model.topics.values():
            self._compare(host, state, topic.name, 0, None)
            for segment in topic.segments:
                self._compare(host, state, topic.name, segment.number, None)

    def _compare(self, host: Host, state: Metadata, name: str, number: int, command: AnyCommand | None) -> None:
        topic, model = state.topics.get(name), self.model.topics.get(name)
        if number:
            there = _segment(topic.segment(number) if topic else None)
            wanted = _segment(model.find(number) if model else None)
        else:
            there, wanted = _topic(topic), _topic(model)
        if there != wanted:
            what = f"{name}:{number}" if number else name
            raise Violation(
                f"replicated state: {what} is {there} on node {host.node_id}, and by the rules {wanted}; "
                f"the newest command about it: {command}"
            )

    def _told(self, sender: int, to: int, data: bytes) -> None:
        decoded = opened(data)
        reply = decoded[1]
        if isinstance(reply, ProposeReply) and self._effects.get(reply.index, reply.applied) != reply.applied:
            raise Violation(
                f"replicated state: node {sender} tells node {to} that the command at index {reply.index} "
                f"{'took effect' if reply.applied else 'was refused'}, and it {'was not' if reply.applied else 'did'}"
            )


def _segment(segment: Segment | ModelSegment | None) -> object:
    return OF_SEGMENT(segment) if segment is not None else None


def _topic(topic: Topic | ModelTopic | None) -> object:
    return (OF_TOPIC(topic), topic.segments[0].number, topic.segments[-1].number) if topic is not None else None
