"""A Raft group and all that can happen to it next; the segment scopes take from here that there is one log.

What can happen, each in every order with all the rest: a message in flight arrives, or never does; a write to a journal
completes; a voter's election timer fires; a leader's heartbeat is due, with a quorum in touch or without; a command is
proposed; a node is added (and promoted once it has caught up); leadership is handed over; a node crashes, any part of
its unfinished write reaching the disk, and starts again.

Invariants (the Raft paper, figure 3): election safety, log matching, leader completeness, state machine safety; and the
machine's own assertions.
"""

from typing import Any, Final, NamedTuple

from fuzz.explore.machine import BROKEN
from fuzz.explore.raft_machine import Event, RaftMachine, RaftMachines, RaftView, info_of, packed, unpacked
from fuzz.explore.raft_scope import RaftScope
from walrus.core.peer import (
    ENTRY_CONFIG,
    AppendReply,
    Entry,
    HeartbeatReply,
    VoteReply,
)
from walrus.core.raft.membership import Membership
from walrus.core.raft.output import HardState

State = tuple[int, ...]
Label = tuple[Any, ...]


class RaftRest(NamedTuple):
    """What a state holds besides machines and messages: what is left of the bounds, and what was ever seen."""

    timeouts: int
    heartbeats: int
    abandoned: int
    transfers: int
    proposals: int
    learners: int
    crashes: int
    committed: tuple[Entry, ...]
    leaders: tuple[tuple[int, int], ...]  # (term, node)


class RaftStep(NamedTuple):
    """Something that can happen, the state after it, and "" or what it violates."""

    label: Label
    state: State
    problem: str
    fault: bool


class RaftWorld:
    """The state space of one scope."""

    def __init__(self, scope: RaftScope) -> None:
        self.scope = scope
        self.machines = RaftMachines()
        self.views = self.machines.views
        self._numbers: dict[Any, int] = {}
        self._values: list[Any] = []

    def _number(self, value: Any) -> int:
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self._values)
            self._values.append(value)
        return found

    def initial(self) -> State:
        """All nodes run, in term 1, with the first configuration in their logs; nobody leads."""
        scope = self.scope
        group = Membership(tuple(info_of(node, voter=True) for node in scope.voters))
        first = Entry(1, 1, ENTRY_CONFIG, group.encode())
        numbers = []
        for node in scope.nodes:
            machine = RaftMachine(node, [HardState(1, 0), first] if node in scope.voters else [])
            machine.take(("start",))
            numbers.append(self.machines.add(machine))
        rest = RaftRest(
            scope.timeouts, scope.heartbeats, scope.abandoned, scope.transfers, scope.proposals, scope.learners,
            scope.crashes, (), (),
        )  # fmt: skip
        return (*numbers, self._number(()), self._number(rest))

    def healthy(self, state: State) -> bool:
        """Safety only: elections are bounded, so a group may well end without a leader."""
        return True

    def successors(self, state: State) -> list[RaftStep]:
        """All that can happen next."""
        steps: list[RaftStep] = []
        rest: RaftRest = self._values[state[-1]]
        for post in self._values[state[-2]]:
            to, sender, data = self._values[post]
            place = self.scope.nodes.index(to)
            if self.views[state[place]].up:
                self._step(steps, state, place, ("message", sender, data), rest, taken=post)
        for place, node in enumerate(self.scope.nodes):
            view = self.views[state[place]]
            if not view.up:
                self._step(steps, state, place, ("start",), rest)
                continue
            if view.flying:
                self._step(steps, state, place, ("wrote",), rest)
            if rest.crashes and (not self.scope.crashing or node in self.scope.crashing):
                after = rest._replace(crashes=rest.crashes - 1)
                for landed in range(view.flying + 1):
                    self._step(steps, state, place, ("crash", landed), after)
            if view.leads:
                self._leading(steps, state, place, rest)
            elif rest.timeouts and view.voter and (not self.scope.standing or node in self.scope.standing):
                self._step(steps, state, place, ("timeout",), rest._replace(timeouts=rest.timeouts - 1))
        return steps

    def _leading(self, steps: list[RaftStep], state: State, place: int, rest: RaftRest) -> None:
        if rest.heartbeats:
            self._step(steps, state, place, ("heartbeat",), rest._replace(heartbeats=rest.heartbeats - 1))
        if rest.abandoned:
            self._step(steps, state, place, ("abandoned",), rest._replace(abandoned=rest.abandoned - 1))
        if rest.transfers:
            self._step(steps, state, place, ("transfer",), rest._replace(transfers=rest.transfers - 1))
        if rest.proposals:
            data = b"%c" % (96 + rest.proposals)
            self._step(steps, state, place, ("propose", data), rest._replace(proposals=rest.proposals - 1))
        if rest.learners:
            new = [node for node in self.scope.nodes if node not in self.scope.voters][-rest.learners]
            self._step(steps, state, place, ("learner", new), rest._replace(learners=rest.learners - 1))

    def _step(
        self, steps: list[RaftStep], state: State, place: int, event: Event, rest: RaftRest, taken: int = -1
    ) -> None:  # fmt: skip
        node = self.scope.nodes[place]
        problem = ""
        try:
            after, sent = self.machines.step(state[place], event)
        except BROKEN as error:
            after, sent, problem = state[place], [], f"the machine contradicts itself: {type(error).__name__}: {error}"
        machines = (*state[:place], after, *state[place + 1 : -2])
        view = self.views[after]
        posts = {post for post in self._values[state[-2]] if post != taken}
        posts.update(self._number((to, node, packed(message))) for to, message in sent if to in self.scope.nodes)
        if view.leads and (view.term, node) not in rest.leaders:
            rest = rest._replace(leaders=tuple(sorted((*rest.leaders, (view.term, node)))))
            problem = problem or self._election(view, node, rest)
        if view.commit > len(rest.committed):
            rest = rest._replace(committed=view.log[: view.commit])
        problem = problem or self._wrong(machines, place, rest)
        kept = tuple(sorted(post for post in posts if self._is_worth(post, machines, rest)))
        found = (*machines, self._number(kept), self._number(rest))
        if found != state or problem:
            steps.append(RaftStep((node, event), found, problem, fault=True))

    def _is_worth(self, post: int, machines: tuple[int, ...], rest: RaftRest) -> bool:
        """Whether a reply can still change anything. A crash may take a term back, so while one may come, any can."""
        to, _, data = self._values[post]
        message = unpacked(data)
        view = self.views[machines[self.scope.nodes.index(to)]]
        if rest.crashes or not view.up or message.term > view.term:
            return True
        if isinstance(message, AppendReply | HeartbeatReply):
            return view.leads and message.term == view.term  # a node that leads no more led its term for the only time
        if isinstance(message, VoteReply) and not message.pre:
            return not view.leads and message.term == view.term
        return True

    def _election(self, view: RaftView, node: int, rest: RaftRest) -> str:
        others = [who for term, who in rest.leaders if term == view.term and who != node]
        if others:
            return f"election safety: nodes {others[0]} and {node} both led in term {view.term}"
        if view.log[: len(rest.committed)] != rest.committed:
            return f"leader completeness: node {node} leads term {view.term} without a committed entry"
        return ""

    def _wrong(self, machines: tuple[int, ...], place: int, rest: RaftRest) -> str:
        view = self.views[machines[place]]
        if view.log[: view.commit] != rest.committed[: view.commit]:
            return f"state machine safety: node {self.scope.nodes[place]} applies another entry than was committed"
        for other, number in enumerate(machines):
            if other != place and not _match(view.log, self.views[number].log):
                return (
                    f"log matching: nodes {self.scope.nodes[place]} and {self.scope.nodes[other]} differ below a match"
                )
        return ""

    def describe(self, label: Label) -> str:
        """A step in words."""
        node, event = label
        match event:
            case ("message", sender, data):
                return f"node {node} receives from node {sender}: {unpacked(data)!r}"
            case ("crash", landed):
                return f"node {node} crashes; {landed} records of its write reached the disk"
            case ("propose", data):
                return f"node {node}, leading, is asked to commit {data.decode()!r}"
            case ("learner", new):
                return f"node {node}, leading, is asked to add node {new}"
            case _:
                return f"node {node}: {_WORDS[event[0]]}"


_WORDS: Final = {
    "start": "starts",
    "wrote": "its write is durable",
    "timeout": "its election timer fires",
    "heartbeat": "its heartbeat is due",
    "abandoned": "its heartbeat is due, and no quorum has answered for too long",
    "transfer": "is to hand over its leadership",
}


def _match(one: tuple[Entry, ...], other: tuple[Entry, ...]) -> bool:
    """Where two logs have an entry of one index and term, they are the same up to there."""
    shorter = min(len(one), len(other))
    for index in range(shorter, 0, -1):
        if one[index - 1].term == other[index - 1].term:
            return one[:index] == other[:index]
    return True
