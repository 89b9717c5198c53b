"""Raft under every order of arrivals, losses, crashes and late writes that Hypothesis thinks of; and its leases."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from machine_sizes import sized
from raft_world import RaftWorld

from walrus.core.config import MS

PICK = st.integers(0, 40)
NODE = st.integers(1, 5)
MASK = st.one_of(st.just(0), st.integers(0, 31))
TIME_MS = st.one_of(st.integers(1, 60), st.sampled_from((100, 200, 400, 401, 450, 700, 1_000)))
DRIFT_PPM = st.integers(-30_000, 30_000)  # what one lease and its margin allow for: 1.03 / 0.97 <= 850 / 800


class RaftMachine(RuleBasedStateMachine):
    """Rules for what may befall a cluster; safety is checked within, and at the end everything heals."""

    def __init__(self) -> None:
        super().__init__()
        self.world: RaftWorld

    def found(self, rates_ppm: list[int], formed: bool) -> None:
        """Begin with a cluster of one, or with everybody let in."""
        self.world = RaftWorld(rates_ppm)
        if formed:
            self.world.heal()

    @initialize(nodes=st.integers(2, 5), formed=st.booleans())
    def begin(self, nodes: int, formed: bool) -> None:
        self.found([0] * nodes, formed)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()

    def node(self, number: int) -> int:
        """One of those there are."""
        return (number - 1) % len(self.world.hosts) + 1

    def nodes(self, mask: int) -> frozenset[int]:
        """Some of those there are."""
        return frozenset(node for node in self.world.hosts if mask & 1 << node - 1)

    # --- time, and what is under way ---

    @rule(time_ms=TIME_MS, deaf=MASK, mute=MASK, slow=MASK)
    def a_while_passes(self, time_ms: int, deaf: int, mute: int, slow: int) -> None:
        """What is sent to some, or by some, stays under way, and so does what some write."""
        hears, speaks = self.nodes(~deaf), self.nodes(~mute)
        self.world.calm(
            time_ms * MS, lambda letter: letter.to in hears and letter.sender in speaks, self.nodes(slow)
        )  # fmt: skip

    @rule(mask=st.integers(1, 31), time_ms=st.sampled_from((450, 700, 1_000, 1_400)), slow=MASK)
    def the_cluster_falls_apart_for_a_while(self, mask: int, time_ms: int, slow: int) -> None:
        """Long enough for the greater part to elect somebody."""
        part = self.nodes(mask)
        self.world.calm(
            time_ms * MS, lambda letter: (letter.sender in part) == (letter.to in part), self.nodes(slow)
        )  # fmt: skip

    @rule(time_ms=TIME_MS)
    def nothing_arrives_for_a_while(self, time_ms: int) -> None:
        self.world.pass_time(time_ms * MS)

    @precondition(lambda self: self.world.in_flight)
    @rule(pick=PICK, again=st.booleans())
    def a_message_arrives(self, pick: int, again: bool) -> None:
        position = pick % len(self.world.in_flight)
        if again:
            self.world.in_flight.append(self.world.in_flight[position])
        self.world.deliver(position)

    @precondition(lambda self: self.world.in_flight)
    @rule(number=NODE, backwards=st.booleans())
    def all_messages_for_a_node_arrive(self, number: int, backwards: bool) -> None:
        node = self.node(number)
        letters = [letter for letter in self.world.in_flight if letter.to == node]
        if self.world.hosts[node].paused_ns < 0:
            for letter in reversed(letters) if backwards else letters:
                self.world.deliver(self.world.in_flight.index(letter))

    @precondition(lambda self: self.world.in_flight)
    @rule(mask=st.integers(1, 31))
    def all_messages_for_some_are_lost(self, mask: int) -> None:
        lost = self.nodes(mask)
        self.world.in_flight = [letter for letter in self.world.in_flight if letter.to not in lost]

    @precondition(lambda self: any(host.batches for host in self.world.awake))
    @rule(pick=PICK)
    def a_write_completes(self, pick: int) -> None:
        writing = [host.node for host in self.world.awake if host.batches]
        self.world.wrote(writing[pick % len(writing)])

    # --- processes ---

    @precondition(lambda self: self.world.running)
    @rule(pick=PICK, kept=st.integers(0, 5), again=st.booleans())
    def a_node_crashes(self, pick: int, kept: int, again: bool) -> None:
        """It may be started again at once."""
        node = self.world.running[pick % len(self.world.running)].node
        self.world.crash(node, kept)
        if again:
            self.world.start(node)

    @precondition(lambda self: len(self.world.running) < len(self.world.hosts))
    @rule(pick=PICK)
    def a_node_starts(self, pick: int) -> None:
        down = [host.node for host in self.world.hosts.values() if host.raft is None]
        self.world.start(down[pick % len(down)])

    @precondition(lambda self: self.world.running)
    @rule(pick=PICK)
    def a_process_stands_still_or_goes_on(self, pick: int) -> None:
        host = self.world.running[pick % len(self.world.running)]
        (self.world.pause if host.paused_ns < 0 else self.world.go_on)(host.node)

    # --- requests, to whoever takes itself for the leader: the newest, or one that was deposed ---

    @precondition(lambda self: self.world.leaders)
    @rule(deposed=st.booleans(), count=st.integers(1, 3))
    def commands_are_proposed(self, deposed: bool, count: int) -> None:
        for _ in range(count):
            self.world.propose(self.world.leaders[0 if deposed else -1])

    @precondition(lambda self: self.world.leaders)
    @rule(deposed=st.booleans())
    def a_read_is_asked_for(self, deposed: bool) -> None:
        self.world.read(self.world.leaders[0 if deposed else -1])

    @precondition(lambda self: self.world.leaders)
    @rule(number=NODE, deposed=st.booleans())
    def a_node_asks_to_be_let_in(self, number: int, deposed: bool) -> None:
        self.world.join(self.world.leaders[0 if deposed else -1], self.node(number))

    @precondition(lambda self: self.world.leaders)
    @rule()
    def leadership_is_handed_over(self) -> None:
        self.world.hand_over(self.world.leaders[-1])


class LeaseMachine(RaftMachine):
    """The same with clocks that run fast or slow, as far as the margin allows."""

    @initialize(rates_ppm=st.lists(DRIFT_PPM, min_size=2, max_size=5), formed=st.just(value=True))
    def begin(self, rates_ppm: list[int], formed: bool) -> None:
        self.found(rates_ppm, formed)


TestRaft = RaftMachine.TestCase
TestRaft.settings = sized(40, 40)
TestLeases = LeaseMachine.TestCase
TestLeases.settings = sized(40, 40)
