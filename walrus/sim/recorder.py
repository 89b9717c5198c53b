"""Watches a run closely and makes a :class:`walrus.sim.recording.Recording` of it. A watched run is the same run."""

import re
from typing import Any, Final

from walrus.core.codec import decode_message
from walrus.core.metadata.commands import SEALED, STATE_NAMES
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.raft.output import Role
from walrus.core.segment.replica import LOST
from walrus.sim import probe
from walrus.sim.cluster import Cluster
from walrus.sim.deeds import AnyDeed, Ask, BreakForGood, Dial, MessageFate
from walrus.sim.history import History
from walrus.sim.host import Host
from walrus.sim.message_kinds import kind_of
from walrus.sim.recording import ClientRequest, LogLine, Mark, Recording, RoleSpan, SegmentSpan, SentMessage
from walrus.sim.result import Result
from walrus.sim.scenario import Scenario, Step

_CONTENT_CHARACTERS: Final = 600
_NODE: Final = re.compile(r"\bnode (\d+)")
_UNDER_WAY: Final = "under way at the end"


class Recorder:
    """Give its :meth:`watch` to a run, then ask for what it saw."""

    def __init__(self) -> None:
        self._deeds: list[tuple[int, AnyDeed]] = []
        self._sent: list[list[Any]] = []  # number, sender, to, data, sent_ns, arrived_ns, fate
        self._roles: list[RoleSpan] = []
        self._segments: list[SegmentSpan] = []
        self._role_now: dict[int, tuple[int, str, int]] = {}  # node -> since when, role, term
        self._segment_now: dict[tuple[int, str], tuple[int, str, str]] = {}  # -> since when, state, part
        self._looked: dict[int, tuple[int, int]] = {}  # node -> life, applied index

    def watch(self, cluster: Cluster, history: History) -> None:
        """Attach to a run that is about to begin."""
        self._cluster, self._history = cluster, history
        cluster.deeds = self._deeds
        cluster.network.watcher = self
        cluster.network.on_fate = lambda fate: self._deeds.append((cluster.world.now_ns, fate))
        cluster.checkers.append(self)
        for host in cluster.hosts:
            self._role_now[host.node_id] = (0, "down", 0)

    def scenario(self, seed: int, title: str, expect: str) -> Scenario:
        """The run as a scenario."""
        steps = tuple(Step(at_ns, deed) for at_ns, deed in self._deeds)
        return Scenario(title=title, expect=expect, seed=seed, setup=self._cluster.setup_as_it_was(), steps=steps)

    def recording(self, result: Result, title: str, command: str) -> Recording:
        """All that was seen."""
        end_ns = result.simulated_ns
        for host in self._cluster.hosts:
            self._turn_role(host.node_id, end_ns, "", 0)
        for node, segment in list(self._segment_now):
            self._turn_segment(node, segment, end_ns, "", "")
        violated = bool(result.violation)
        return Recording(
            title=title,
            command=command,
            nodes=len(self._cluster.hosts),
            clients=max(self._cluster.clients, default=0),
            end_ns=end_ns,
            messages=[_message(number, item) for number, item in enumerate(self._sent)],
            marks=self._marks(end_ns),
            roles=self._roles,
            segments=self._segments,
            requests=[_request(op) for op in self._history.operations],
            lines=[_line(at_ns, text) for at_ns, text in result.story],
            verdict=result.verdict,
            violation=result.violation,
            violation_ns=end_ns if violated else -1,
            violation_nodes=tuple(dict.fromkeys(int(n) for n in _NODE.findall(result.violation.split("\n")[0]))),
        )

    # --- the network's watcher ---

    def sent(self, sender: int, to: int, data: bytes, extra_ns: list[int]) -> list[int]:
        """A message left."""
        first = len(self._sent)
        for _ in extra_ns or (0,):
            self._sent.append([sender, to, data, self._cluster.world.now_ns, -1, _UNDER_WAY if extra_ns else "dropped"])
        return list(range(first, len(self._sent)))

    def ended(self, number: int, fate: str) -> None:
        """A copy arrived or was lost."""
        self._sent[number][5] = fate
        if fate == "arrived":
            self._sent[number][4] = self._cluster.world.now_ns

    # --- a checker that checks nothing ---

    def after_turn(self, host: Host) -> None:
        """See what changed in a node."""
        now, raft, state = host.world_ns, probe.raft(host), probe.metadata(host)
        if raft is None or state is None:
            self._turn_role(host.node_id, now, "starting", 0)
            return
        role = "learner" if host.node_id not in raft.membership.voters else raft.role.name.lower()
        if raft.role is Role.LEADER:
            role = "leader"
        self._turn_role(host.node_id, now, role, raft.term)
        if self._looked.get(host.node_id) != (host.life, raft.applied_index):
            self._looked[host.node_id] = (host.life, raft.applied_index)
            self._look_at_segments(host, state, now)

    def on_crash(self, host: Host) -> None:
        """The process ends, or the run does: then this is cut off again."""
        self._turn_role(host.node_id, host.world_ns, "down", 0)

    def _look_at_segments(self, host: Host, state: Metadata, now: int) -> None:
        for topic in state.topics.values():
            for segment in topic.segments[-3:]:
                name = f"{topic.name}:{segment.number}"
                part = _part(host, topic.name, segment)
                self._turn_segment(host.node_id, name, now, _state(segment), part)

    def _turn_role(self, node: int, now: int, role: str, term: int) -> None:
        since, before, before_term = self._role_now[node]
        if (role, term) != (before, before_term):
            if now > since:
                self._roles.append(RoleSpan(node, since, now, before, before_term))
            self._role_now[node] = (now, role, term)

    def _turn_segment(self, node: int, segment: str, now: int, state: str, part: str) -> None:
        found = self._segment_now.get((node, segment))
        if found is not None and found[1:] == (state, part):
            return
        if found is not None and now > found[0]:
            self._segments.append(SegmentSpan(node, found[0], now, segment, found[1], found[2]))
        self._segment_now[node, segment] = (now, state, part)

    def _marks(self, end_ns: int) -> list[Mark]:
        marks: list[Mark] = []
        open_now: dict[str, int] = {}  # name of a lasting state -> its mark
        for at_ns, deed in self._deeds:
            if isinstance(deed, Ask | Dial | MessageFate):
                continue
            if deed.ends in open_now:
                began = open_now.pop(deed.ends)
                marks[began] = Mark(marks[began].at_ns, at_ns, *_what(marks[began]))
            until_ns = at_ns
            if deed.begins:
                open_now[deed.begins] = len(marks)
                healed_ns = self._cluster.healed_ns
                until_ns = end_ns if isinstance(deed, BreakForGood) or healed_ns < at_ns else healed_ns
            marks.append(Mark(at_ns, until_ns, deed.kind, deed.nodes, str(deed)))
        return marks


def _what(mark: Mark) -> tuple[str, tuple[int, ...], str]:
    return mark.kind, mark.nodes, mark.text


def _state(segment: Segment) -> str:
    name = STATE_NAMES[segment.state]
    if segment.state == SEALED:
        return f"{name}({segment.count})"
    return f"{name}({segment.epoch})" if segment.epoch else name


def _part(host: Host, topic: str, segment: Segment) -> str:
    replica = probe.replica(host, topic, segment.number)
    if replica is not None and replica.state == LOST:
        return "lost replica"
    if segment.state != SEALED and segment.writer[0] == host.node_id:
        return "writer"
    return "replica" if any(node == host.node_id for node, _ in segment.members) else ""


def _message(number: int, item: list[Any]) -> SentMessage:
    sender, to, data, sent_ns, arrived_ns, fate = item
    decoded = decode_message(data)
    body = decoded[1] if decoded is not None else None
    topic = getattr(body, "topic", "")
    segment = getattr(body, "segment", 0)
    content = repr(body)
    if len(content) > _CONTENT_CHARACTERS:
        content = f"{content[:_CONTENT_CHARACTERS]}... ({len(data)} bytes)"
    named = f"{topic}:{segment}" if topic and segment else topic
    return SentMessage(number, sender, to, kind_of(data), named, sent_ns, arrived_ns, fate, content)


def _request(op: Any) -> ClientRequest:
    return ClientRequest(
        op.client, op.node, op.verb, op.topic, op.sent_ns, op.done_ns, op.outcome,
        str(op), op.reply[:_CONTENT_CHARACTERS].decode("latin-1"),
    )  # fmt: skip


def _line(at_ns: int, text: str) -> LogLine:
    found = _NODE.match(text)
    return LogLine(at_ns, int(found[1]) if found else 0, text)
