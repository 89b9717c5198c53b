"""A small cluster and all that can happen to it next.

A state is a tuple of small numbers: one per machine, one for the messages in flight, one for the rest (:class:`Rest`).
Each number stands for a value kept once, so a step of a machine is computed by the real code once, however many states
of the cluster it is taken in.

What can happen, each in every order with all the rest:

- a message in flight arrives (or never does: nothing ever has to happen);
- a write in flight completes; a node applies the next committed entry;
- a proposal in flight is committed;
- the client sends its next record, or asks for one, to a node that takes itself for the writer;
- a node crashes: of its writes in flight any may have got through, its segment files may be lost; it starts again;
- a Raft leader is elected; the leader, or a writer, believes rightly or wrongly that a node is gone;
- timers fire: those that begin something at any time, those that only say again what was said when nothing else is left
  to happen, or as often at any time as the scope allows.

Messages are a set: what is sent again while it is in flight arrives once, and again if it is sent again afterwards; a
scope may let some arrive twice.

What makes this finite and quick: steps of machines are kept; request numbers that nobody knows are given again
(:mod:`fuzz.explore.machine`); a message that can change nothing any more is taken out (:mod:`fuzz.explore.network`).
Nodes are not taken for interchangeable: the core chooses by their numbers. Not explored: clocks (a lease never ends
here, so that only fences keep a writer from what it must not do), rotten bytes, a disk that comes back empty under its
node's number, operator's commands.
"""

from fuzz.explore.describe import describe
from fuzz.explore.effects import NOTHING, Effect, Label, State, Step, noted, subsets
from fuzz.explore.invariants import Invariants
from fuzz.explore.log import REFUSED, Logs, base_of
from fuzz.explore.machine import BROKEN, Event, Machine, Machines
from fuzz.explore.network import CLIENT, Posts, from_client, worthless
from fuzz.explore.rest import NODES, UNSENT, Rest, flat
from fuzz.explore.scope import Scope
from fuzz.explore.sharedlog import CLUSTER, LOG
from fuzz.explore.views import TOPIC, View
from walrus.core.codec import decode_message
from walrus.core.metadata.commands import Seal
from walrus.core.peer import Propose
from walrus.core.segment.messages import DONE, ForwardGet, ForwardPuts, GetDelivered, GetDone, PutsDone


class World:
    """The state space of one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.nodes = scope.nodes
        self.place = {node: place for place, node in enumerate(scope.nodes)}
        self.machines = Machines(scope.prompt_disks)
        self.views = self.machines.views
        self.logs = Logs(base_of(scope))
        self.posts = Posts()
        self.rests: list[Rest] = []
        self._rests_known: dict[Rest, int] = {}
        self.invariants = Invariants(scope, self.logs)
        self._steps: dict[tuple[int, Event, int], tuple[int, Effect, str]] = {}
        self._worth: dict[tuple[int, int, int, bool], bool] = {}
        self._checked: dict[tuple[int, ...], str] = {}
        self._healthy: dict[tuple[int, ...], bool] = {}

    def rest_number(self, rest: Rest) -> int:
        """The number of this value."""
        found = self._rests_known.get(rest)
        if found is None:
            found = self._rests_known[rest] = len(self.rests)
            self.rests.append(rest)
        return found

    # --- the beginning ---

    def initial(self) -> State:
        """All nodes run, have applied everything, and nothing is in flight."""
        scope = self.scope
        machines = []
        for node in scope.nodes:
            machine = Machine(node, scope.segment_entries)
            machine.take(("start", *self.logs.base))
            if node == scope.leader:
                machine.take(("lead", 1, 0))
            machines.append(self.machines.add(machine))
        return (*machines, self.posts.net(()), self.rest_number(Rest.first(scope)))

    # --- for the search ---

    def healthy(self, state: State) -> bool:
        """Nothing is left to get well from."""
        key = (*map(self.machines.faces.__getitem__, state[:-2]), state[-1])
        found = self._healthy.get(key)
        if found is None:
            faces = tuple(self.views[number].face for number in state[:-2])
            found = self._healthy[key] = self.invariants.healthy(faces, self.rests[state[-1]])
        return found

    def describe(self, label: Label) -> str:
        """A step in words."""
        return describe(label, self.posts.posted)

    # --- what can happen ---

    def successors(self, state: State) -> list[Step]:
        """All that can happen next."""
        steps: list[Step] = []
        rest = self.rests[state[-1]]
        views = [self.views[number] for number in state[:-2]]
        busy = False
        for number in self.posts.nets[state[-2]].messages:
            post = self.posts.posted[number]
            if post.to == LOG:
                busy = True
                self._commit(steps, state, rest, number)
            elif post.to == CLIENT:
                busy = True
                self._receive(steps, state, rest, number)
            elif views[self.place[post.to]].face.up:
                busy = True
                place, event = self.place[post.to], ("message", post.data)
                self._step(steps, state, place, ("deliver", number), event, taken=number)
                if rest.repeats:
                    now = rest._replace(repeats=rest.repeats - 1)
                    self._step(steps, state, place, ("repeat", number), event, rest=now, fault=True)
        entries = self.logs.logs[rest.log].entries
        applied_before = len(self.logs.base)
        for place, view in enumerate(views):
            node = self.nodes[place]
            if not view.face.up:
                if node not in rest.dead:
                    busy = True
                    self._step(steps, state, place, ("start", node), ("start", *self.logs.base))
                continue
            for path in view.writes:
                busy = True
                self._step(steps, state, place, ("wrote", node, path), ("wrote", path))
            done = view.applied - applied_before
            if done < len(entries):
                busy = True
                self._step(steps, state, place, ("apply", node, entries[done]), ("apply", entries[done]))
        self._requests(steps, state, rest, views)
        self._crashes(steps, state, rest, views)
        self._elections(steps, state, rest, views)
        self._ticks(steps, state, rest, views, quiet=not busy)
        return steps

    def _machine_step(self, number: int, event: Event, rid: int) -> tuple[int, Effect, str]:
        key = (number, event, rid)
        found = self._steps.get(key)
        if found is None:
            try:
                after, sent = self.machines.step(number, event, rid)
                found = (after, self._effect(sent), "")
            except BROKEN as error:
                found = (number, NOTHING, f"the node contradicts itself: {type(error).__name__}: {error}")
            self._steps[key] = found
        return found

    def _effect(self, sent: list[tuple[int, bytes]]) -> Effect:
        messages, proposals, answers = set(), set(), []
        for to, data in sent:
            decoded = decode_message(data)
            says = decoded[1] if decoded is not None else None
            if to == CLIENT and isinstance(says, PutsDone):
                answers.append(says)
            elif to == LOG:
                again = isinstance(says, Propose)
                proposals.add(self.posts.post(LOG, says.command if again else data, again=again))
            else:
                messages.add(self.posts.post(to, data))
        if not (messages or proposals or answers):
            return NOTHING
        return Effect(tuple(sorted(messages)), tuple(sorted(proposals)), tuple(answers))

    def _floor(self, state: State, place: int) -> int:
        """The greatest request number of a node that others know of."""
        node = self.nodes[place]
        floor = self.posts.nets[state[-2]].floors.get(node, 0)
        for number in state[:-2]:
            for who, rid in self.views[number].asked:
                if who == node and rid > floor:
                    floor = rid
        return floor

    def _step(
        self, steps: list[Step], state: State, place: int, label: Label, event: Event, taken: int = -1,
        rest: Rest | None = None, *, fault: bool = False,
    ) -> None:  # fmt: skip
        """A machine takes an event; ``taken`` is the message that it was, ``rest`` what else it changed."""
        number = state[place]
        after, effect, problem = self._machine_step(number, event, self._floor(state, place))
        now = rest or self.rests[state[-1]]
        before, view = self.views[number].face, self.views[after].face
        if effect.answers or view.writing != before.writing:
            now = noted(now, view, effect)
        machines = (*state[:place], after, *state[place + 1 : -2])
        net = state[-2]
        if taken >= 0 or effect is not NOTHING or after != number or now.crashes != self.rests[state[-1]].crashes:
            messages = set(self.posts.nets[net].messages)
            messages.discard(taken)
            messages.update(effect.messages)
            messages.update(p for p in effect.proposals if self._may_commit(now, p))
            net = self._net(machines, now, messages)
        found = (*machines, net, self.rest_number(now))
        if found != state or problem:
            steps.append(Step(label, found, problem or self._check(found), fault))

    def _net(self, machines: tuple[int, ...], rest: Rest, messages: set[int]) -> int:
        """The messages that are worth delivering."""
        kept = []
        restarts = rest.crashes > 0
        for number in messages:
            post = self.posts.posted[number]
            if post.to not in (LOG, CLIENT):
                if post.to in rest.dead:
                    continue
                to = machines[self.place[post.to]]
                sender = machines[self.place[post.sender]] if post.sender != CLIENT else -1
                key = (number, to, sender, restarts)
                worth = self._worth.get(key)
                if worth is None:
                    who = self.views[sender] if sender >= 0 else None
                    worth = self._worth[key] = not worthless(post, self.views[to], who, restarts=restarts)
                if not worth:
                    continue
            kept.append(number)
        return self.posts.net(tuple(sorted(kept)))

    def _check(self, state: State) -> str:
        """What the invariants say of a state."""
        key = (*map(self.machines.faces.__getitem__, state[:-2]), state[-1])
        found = self._checked.get(key)
        if found is None:
            faces = tuple(self.views[number].face for number in state[:-2])
            found = self._checked[key] = self.invariants.check(faces, self.rests[state[-1]])
        return found

    def _may_commit(self, rest: Rest, proposal: int) -> bool:
        return self.logs.commit(rest.log, self.posts.posted[proposal].data, rest.term) != REFUSED

    def _receive(self, steps: list[Step], state: State, rest: Rest, number: int) -> None:
        """An answer to a GET reaches the client, who tells that it did."""
        post = self.posts.posted[number]
        done: GetDone = post.says
        messages = set(self.posts.nets[state[-2]].messages) - {number}
        problem = ""
        if done.status == DONE:
            known = flat(rest, self.logs.logs[rest.log].metadata)
            if known[done.offset : done.offset + 1] != (done.payload,):
                problem = f"GET handed out {done.payload!r} as record {done.offset}; acknowledged: {known!r}"
            rest = rest._replace(handed=tuple(sorted({*rest.handed, done.offset})))
            told = GetDelivered(TOPIC, done.segment, done.offset, True)
            messages.add(self.posts.post(post.sender, from_client(CLUSTER, post.sender, told)))
        found = (*state[:-2], self._net(state[:-2], rest, messages), self.rest_number(rest))
        steps.append(Step(("receive", number), found, problem or self._check(found), fault=False))

    def _commit(self, steps: list[Step], state: State, rest: Rest, number: int) -> None:
        log = self.logs.commit(rest.log, self.posts.posted[number].data, rest.term)
        assert log != REFUSED
        now = rest._replace(log=log)
        command = self.logs.command(log)
        if isinstance(command, Seal):
            # From here on what the segment holds is what it held when its count was published.
            copies = [self.views[n].face.holds(command.segment)[: command.count] for n in state[:-2]]
            longest = max((*copies, *rest.acked[command.segment - 1 : command.segment]), key=len)
            acked = [*rest.acked, *[()] * (command.segment - len(rest.acked))]
            acked[command.segment - 1] = longest
            now = now._replace(acked=tuple(acked))
        problem = self.invariants.committed(rest, now)
        # What may have been sent, and so committed, again is refused then as a rule, and of no account any more.
        posted = self.posts.posted
        messages = {
            n for n in self.posts.nets[state[-2]].messages
            if posted[n].to != LOG or ((n != number or posted[n].again) and self._may_commit(now, n))
        }  # fmt: skip
        found = (*state[:-2], self._net(state[:-2], now, messages), self.rest_number(now))
        steps.append(Step(("commit", number), found, problem or self._check(found), fault=False))

    def _requests(self, steps: list[Step], state: State, rest: Rest, views: list[View]) -> None:
        record = rest.records.index(UNSENT) if UNSENT in rest.records else -1
        if record < 0 and not rest.gets:
            return
        sends = rest.sends + 1
        payload = b"%c" % (97 + record)
        for place, view in enumerate(views):
            node = self.nodes[place]
            rid = sends * NODES + node
            for writing in view.face.writing:
                segment = writing.segment
                if segment > self.scope.last_segment:
                    continue
                if record >= 0:
                    data = from_client(CLUSTER, node, ForwardPuts(rid, TOPIC, segment, [payload]))
                    records = (*rest.records[:record], rid, *rest.records[record + 1 :])
                    now = rest._replace(records=records, sends=sends)
                    label = ("put", payload, node, segment)
                    self._step(steps, state, place, label, ("message", data), rest=now, fault=True)
                if rest.gets:
                    data = from_client(CLUSTER, node, ForwardGet(rid, TOPIC, segment))
                    now = rest._replace(gets=rest.gets - 1, sends=sends)
                    self._step(
                        steps, state, place, ("get", node, segment), ("message", data), rest=now, fault=True
                    )  # fmt: skip

    def _crashes(self, steps: list[Step], state: State, rest: Rest, views: list[View]) -> None:
        if not rest.crashes and not rest.kills:
            return
        for place, view in enumerate(views):
            node = self.nodes[place]
            if not view.face.up or (self.scope.crashing and node not in self.scope.crashing):
                continue
            files = [f"user_data/{TOPIC}:{segment}.wal" for segment, _ in view.face.durable]
            for landed in subsets(view.writes):
                for lost in ((), tuple(files)) if rest.lost_files and files else ((),):
                    event = ("crash", landed, lost)
                    now = rest.without(node)._replace(lost_files=rest.lost_files - bool(lost))
                    if lost:
                        burnt = [(view.face.member, segment, len(held)) for segment, held in view.face.durable]
                        now = now._replace(burnt=tuple(sorted({*rest.burnt, *burnt})))
                    if rest.crashes:
                        after = now._replace(crashes=rest.crashes - 1)
                        label = ("crash", node, landed, lost)
                        self._step(steps, state, place, label, event, rest=after, fault=True)
                    if rest.kills and not lost:
                        after = now._replace(kills=rest.kills - 1, dead=tuple(sorted((*rest.dead, node))))
                        self._step(steps, state, place, ("kill", node, landed), event, rest=after, fault=True)

    def _elections(self, steps: list[Step], state: State, rest: Rest, views: list[View]) -> None:
        leading = views[self.place[rest.leader]]
        alive = leading.face.up and leading.leads == rest.term
        if alive and not rest.elections:
            return
        for place, view in enumerate(views):
            node = self.nodes[place]
            if not view.face.up or (alive and node == rest.leader):
                continue
            if self.scope.electable and node not in self.scope.electable:
                continue
            term = rest.term + 1
            now = rest._replace(term=term, leader=node, elections=rest.elections - alive)
            event = ("lead", term, len(self.logs.base) + len(self.logs.logs[rest.log].entries))
            self._step(steps, state, place, ("elect", node, term), event, rest=now, fault=alive)

    def _ticks(self, steps: list[Step], state: State, rest: Rest, views: list[View], *, quiet: bool) -> None:
        live = tuple(node for node, view in zip(self.nodes, views, strict=True) if view.face.up)
        for place, view in enumerate(views):
            node = self.nodes[place]
            if not view.face.up:
                continue
            if quiet:
                self._step(steps, state, place, ("tick", node, live), ("tick", live))
            else:
                self._beginning(steps, state, place, live, rest)
            if rest.ticks and not quiet:
                now = rest._replace(ticks=rest.ticks - 1)
                self._step(steps, state, place, ("tick", node, live), ("tick", live), rest=now, fault=True)
            for who, whom in rest.suspicions:
                if node == who and whom in live:
                    now = rest._replace(suspicions=tuple(s for s in rest.suspicions if s != (who, whom)))
                    self._beginning(steps, state, place, tuple(n for n in live if n != whom), now, fault=True)

    def _beginning(
        self, steps: list[Step], state: State, place: int, live: tuple[int, ...], rest: Rest, *, fault: bool = False
    ) -> None:  # fmt: skip
        """A tick that begins something."""
        number = state[place]
        after, _, problem = self._machine_step(number, ("tick", live), self._floor(state, place))
        if problem or self.views[after].begun != self.views[number].begun:
            label = ("tick", self.nodes[place], live)
            self._step(steps, state, place, label, ("tick", live), rest=rest, fault=fault)
