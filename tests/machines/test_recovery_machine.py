"""Segments under every order of messages, writes, crashes and recoverers: what is acknowledged survives every seal."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machine_sizes import sized
from power_disk import PREFIXES, Fate
from segment_process import NODES
from segment_world import SegmentWorld

PICK = st.integers(0, 40)
NODE = st.sampled_from(NODES)
MASK = st.one_of(st.just(0), st.integers(0, 15))
TICKS = st.sampled_from((1, 1, 3, 9, 25))


def some(mask: int) -> frozenset[int]:
    """The nodes of a mask."""
    return frozenset(node for node in NODES if mask & 1 << node - 1)


class RecoveryMachine(RuleBasedStateMachine):
    """Copies of one topic on four disks, three of them in each set."""

    def __init__(self) -> None:
        super().__init__()
        self.world: SegmentWorld
        self.puts = 0

    @initialize(frail=NODE)
    def begin(self, frail: int) -> None:
        self.world = SegmentWorld(frail)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()

    def payloads(self, count: int) -> list[bytes]:
        """Records that nobody else puts."""
        self.puts += count
        return [b"%d" % number for number in range(self.puts - count, self.puts)]

    @invariant()
    def copies_are_beginnings_of_one_log(self) -> None:
        if hasattr(self, "world"):
            self.world.ledger.check_copies()

    # --- clients and operators ---

    @rule(count=st.integers(1, 6), pick=PICK)
    def records_are_put(self, count: int, pick: int) -> None:
        """To whoever takes itself for the writer: the last one, or one that was sealed and has not heard of it."""
        for node in sorted(self.world.processes, key=lambda node: (node + pick) % len(NODES)):
            if self.world.processes[node].put(self.payloads(count)):
                return

    @rule(node=NODE)
    def a_writer_is_told_to_roll(self, node: int) -> None:
        if node in self.world.processes:
            self.world.processes[node].roll()

    # --- time, and what is under way ---

    @rule(ticks=TICKS, cut_off=MASK, slow=MASK, commits=st.booleans())
    def a_while_passes(self, ticks: int, cut_off: int, slow: int, commits: bool) -> None:
        """Some hear nothing and are not heard; what some write stays under way; perhaps nothing commits."""
        self.world.calm(ticks, some(~cut_off), some(slow), commits=commits)

    @precondition(lambda self: self.world.in_flight)
    @rule(pick=PICK, again=st.booleans())
    def a_message_arrives(self, pick: int, again: bool) -> None:
        position = pick % len(self.world.in_flight)
        if again:
            self.world.in_flight.append(self.world.in_flight[position])
        self.world.deliver(position)

    @precondition(lambda self: self.world.in_flight)
    @rule(node=NODE, backwards=st.booleans())
    def all_messages_for_a_node_arrive(self, node: int, backwards: bool) -> None:
        letters = [letter for letter in self.world.in_flight if letter.to == node]
        for letter in reversed(letters) if backwards else letters:
            if letter in self.world.in_flight:
                self.world.deliver(self.world.in_flight.index(letter))

    @precondition(lambda self: self.world.in_flight)
    @rule(mask=st.integers(1, 15))
    def all_messages_for_some_are_lost(self, mask: int) -> None:
        lost = some(mask)
        self.world.in_flight = [letter for letter in self.world.in_flight if letter.to not in lost]

    @rule(node=NODE, pick=PICK)
    def a_write_completes(self, node: int, pick: int) -> None:
        flying = list(self.world.disks[node].flying)
        if node in self.world.processes and flying:
            self.world.processes[node].completed(flying[pick % len(flying)])

    @rule(count=st.integers(1, 6), unheard=MASK, slow=MASK, fate=PREFIXES, cut_off=MASK, ticks=TICKS)
    def a_writer_dies_in_the_middle(
        self, count: int, unheard: int, slow: int, fate: Fate, cut_off: int, ticks: int
    ) -> None:  # fmt: skip
        """What it wrote last has reached some; another node is elected, and does not reach all."""
        writers = [node for node in self.world.processes if self.world.processes[node].put(self.payloads(count))]
        if not writers:
            return
        self.world.calm(1, some(~unheard) | {writers[-1]}, some(slow), commits=False)
        self.world.crash(writers[-1], fate)
        heirs = [node for node in self.world.processes if node not in some(cut_off)]
        if heirs:
            self.world.whims.suspected = frozenset({writers[-1]})
            self.world.elect(heirs[count % len(heirs)], 0)
            self.world.calm(ticks, some(~cut_off), some(slow), commits=True)

    # --- the metadata ---

    @precondition(lambda self: self.world.pending)
    @rule()
    def a_command_commits(self) -> None:
        self.world.commit()

    @rule(node=NODE, count=st.integers(1, 4))
    def a_node_applies_what_committed(self, node: int, count: int) -> None:
        process = self.world.processes.get(node)
        while process is not None and count and process.applied < len(self.world.log):
            process.apply()
            count -= 1

    @rule(node=NODE, kept=st.integers(0, 3), suspects=MASK)
    def a_node_is_elected(self, node: int, kept: int, suspects: int) -> None:
        """It may suspect anybody, rightly or not. Others hear of it when time passes for them."""
        self.world.whims.suspected = some(suspects)
        if node in self.world.processes:
            self.world.elect(node, kept)

    @rule(suspects=MASK, without=MASK)
    def leases_end_or_are_granted(self, suspects: int, without: int) -> None:
        self.world.whims.suspected, self.world.whims.without = some(suspects), some(without)

    # --- processes and disks ---

    @rule(node=NODE, fate=PREFIXES, again=st.booleans())
    def a_node_crashes(self, node: int, fate: Fate, again: bool) -> None:
        if node in self.world.processes:
            self.world.crash(node, fate)
            if again:
                self.world.start(node)

    @rule(node=NODE)
    def a_node_starts(self, node: int) -> None:
        if node not in self.world.processes:
            self.world.start(node)

    @rule(number=st.integers(1, 4))
    def a_file_of_the_frail_node_is_lost(self, number: int) -> None:
        self.world.lose_file(number)


TestRecovery = RecoveryMachine.TestCase
TestRecovery.settings = sized(60, 40)
