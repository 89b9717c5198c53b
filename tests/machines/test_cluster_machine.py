"""The whole simulated cluster under every sequence of deeds that Hypothesis thinks of, judged as every run is."""

from cluster_story import CLIENTS, FATES, Story, Weather
from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from machine_sizes import sized

from walrus.sim.deeds import (
    Clog,
    Crash,
    Cut,
    CutClients,
    Disconnect,
    Downgrade,
    Drift,
    FailSync,
    FillUp,
    GoOn,
    Hangup,
    Jump,
    LoseDisk,
    LoseFile,
    MakeRoom,
    Mend,
    MendClients,
    Misdirect,
    NormalSpeed,
    Pause,
    ReadErrors,
    ReadOn,
    ReadsAgain,
    Request,
    ResetConnection,
    Rot,
    SetCalendar,
    ShutDown,
    SlowDown,
    SlowLinks,
    StartNode,
    StopReading,
    Unclog,
    Upgrade,
    UsualLinks,
)
from walrus.sim.deeds.processes import MANNERS
from walrus.sim.disk import SECTOR_BYTES
from walrus.sim.runner import run_scenario
from walrus.sim.scenario import encode
from walrus.sim.world import MS

NODE = st.integers(1, 5)
CLIENT = st.integers(1, CLIENTS)
PICK = st.integers(0, 60)
SHARE = st.integers(0, 999)  # of a file, in thousandths
MASK = st.integers(1, 30)
WHILE_MS = st.one_of(st.integers(1, 60), st.sampled_from((100, 200, 460, 700, 1_000)))
KEEP = st.sampled_from((0, 500_000, 1_000_000))  # of the writes under way in a crash, in millionths
PATHS = st.sampled_from(("", "user_data/", "raft_meta/entries.log", "user_data/replicas.log"))
RATES_PPM = st.one_of(st.integers(-30_000, 30_000), st.sampled_from((-200_000, 1_500_000)))
JUMPS_MS = st.sampled_from((5, 20, 60, 150, 500, 5_000))
OF_A_TOPIC = st.builds(
    Request,
    st.sampled_from(("PUT", "PUT", "PUT", "GET", "GET", "FETCH", "REGISTER", "STATE")),
    st.sampled_from(("logs", "logs", "topic-1")),
    st.sampled_from(("", "x" * 40, "y" * 700)),
    st.integers(0, 40),
)
REQUESTS = st.lists(
    st.one_of(OF_A_TOPIC, st.sampled_from((Request("TOPICS"), Request("METRICS")))), min_size=1, max_size=12
)


class ClusterMachine(RuleBasedStateMachine):
    """Rules are deeds; what must hold is looked at after every turn of a node, and the whole history at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.story: Story
        self.open: dict[type, list[int]] = {Cut: [], Clog: [], SlowLinks: [], CutClients: []}

    @initialize(
        nodes=st.sampled_from((3, 3, 3, 1, 2, 4, 5)),
        seed=st.integers(0, 1 << 16),
        broken=st.lists(st.sampled_from(MANNERS), max_size=1),
    )
    def a_cluster_starts(self, nodes: int, seed: int, broken: list[str]) -> None:
        self.story = Story(nodes, seed, tuple(broken) if nodes >= 3 else ())

    def teardown(self) -> None:
        if hasattr(self, "story"):
            if currently_in_test_context():
                note(f"the same as a file for walrus-sim replay:\n{encode(self.story.scenario())}")
            self.story.judge()

    def node(self, number: int) -> int:
        """One of those there are."""
        return (number - 1) % self.story.setup.nodes + 1

    def pairs(self, mask: int, back: bool) -> tuple[tuple[int, int], ...]:
        """Links from some nodes to the others; with ``back`` those the other way as well."""
        nodes = range(1, self.story.setup.nodes + 1)
        some = [node for node in nodes if mask & 1 << node - 1]
        pairs = [(a, b) for a in some for b in nodes if b not in some]
        return tuple(pairs + [(b, a) for a, b in pairs] * back)

    def number(self, kind: type) -> int:
        """A new number for something that lasts."""
        self.open[kind].append(self.story.cluster.number())
        return self.open[kind][-1]

    # --- clients, and time ---

    @rule(client=CLIENT, number=NODE, requests=REQUESTS, wait_ms=st.sampled_from((0, 0, 5, 40)))
    def a_client_asks(self, client: int, number: int, requests: list[Request], wait_ms: int) -> None:
        self.story.ask(client, self.node(number), requests)
        self.story.pass_time(wait_ms * MS)

    @rule(number=NODE, requests=REQUESTS)
    def all_clients_ask_at_once(self, number: int, requests: list[Request]) -> None:
        for client in range(1, CLIENTS + 1):
            self.story.ask(client, self.node(number + client), requests)

    @rule(first=NODE, turns=st.integers(1, 30), every_ms=st.sampled_from((1, 5, 20)), gets=st.booleans())
    def clients_are_busy_for_a_while(self, first: int, turns: int, every_ms: int, gets: bool) -> None:
        """Each asks one node over and over, several things at a time."""
        verbs = ("PUT", "GET", "PUT", "FETCH") if gets else ("PUT", "PUT")
        for turn in range(turns):
            for client in range(1, CLIENTS + 1):
                asked = [Request(verb, "logs", "", turn) for verb in verbs]
                self.story.ask(client, self.node(first + client), asked)
            self.story.pass_time(every_ms * MS)

    @rule(while_ms=WHILE_MS)
    def a_while_passes(self, while_ms: int) -> None:
        self.story.pass_time(while_ms * MS)

    @rule(client=CLIENT, breaks=st.booleans())
    def a_connection_ends(self, client: int, breaks: bool) -> None:
        self.story.do(ResetConnection(client) if breaks else Hangup(client))

    @rule(client=CLIENT, reads=st.booleans())
    def a_client_stops_reading_or_reads_on(self, client: int, reads: bool) -> None:
        self.story.do(ReadOn(client) if reads else StopReading(client))

    @rule(client=CLIENT, mask=MASK)
    def a_client_is_cut_off(self, client: int, mask: int) -> None:
        nodes = [node for node in range(1, self.story.setup.nodes + 1) if mask & 1 << node - 1]
        self.story.do(CutClients(self.number(CutClients), tuple((client, node) for node in nodes)))

    @precondition(lambda self: self.open[CutClients])
    @rule()
    def clients_reach_nodes_again(self) -> None:
        self.story.do(MendClients(self.open[CutClients].pop()))

    # --- processes ---

    @rule(number=NODE, keep=KEEP, torn=st.booleans(), again_ms=st.sampled_from((-1, 0, 30)))
    def a_node_crashes(self, number: int, keep: int, torn: bool, again_ms: int) -> None:
        """It may be started again soon."""
        self.story.do(Crash(self.node(number), "story", keep, torn))
        if again_ms >= 0:
            self.story.pass_time(again_ms * MS)
            self.story.do(StartNode(self.node(number)))

    @rule(mask=MASK, keep=KEEP, torn=st.booleans())
    def several_nodes_crash(self, mask: int, keep: int, torn: bool) -> None:
        for node in range(1, self.story.setup.nodes + 1):
            if mask & 1 << node - 1:
                self.story.do(Crash(node, "story", keep, torn))

    @rule()
    def all_nodes_that_are_down_start(self) -> None:
        for node in range(1, self.story.setup.nodes + 1):
            self.story.do(StartNode(node))

    @rule(number=NODE)
    def a_node_is_asked_to_stop(self, number: int) -> None:
        self.story.do(ShutDown(self.node(number)))

    @rule(number=NODE, goes_on=st.booleans())
    def a_process_stands_still_or_goes_on(self, number: int, goes_on: bool) -> None:
        self.story.do(GoOn(self.node(number)) if goes_on else Pause(self.node(number)))

    @rule(number=NODE, newer=st.booleans())
    def a_node_comes_back_in_another_version(self, number: int, newer: bool) -> None:
        node = self.node(number)
        self.story.do(Crash(node, "for another version"))
        self.story.do(Upgrade(node) if newer else Downgrade(node))
        self.story.do(StartNode(node))

    # --- the network ---

    @rule(mask=MASK, one_way=st.booleans(), while_ms=st.sampled_from((0, 100, 460, 1_000)))
    def nodes_are_cut_off(self, mask: int, one_way: bool, while_ms: int) -> None:
        self.story.do(Cut(self.number(Cut), self.pairs(mask, not one_way), "story"))
        self.story.pass_time(while_ms * MS)

    @rule(mask=MASK, one_way=st.booleans())
    def links_are_clogged(self, mask: int, one_way: bool) -> None:
        self.story.do(Clog(self.number(Clog), self.pairs(mask, not one_way)))

    @rule(mask=MASK, one_way=st.booleans(), extra_ms=st.sampled_from((5, 100, 400)))
    def links_become_slow(self, mask: int, one_way: bool, extra_ms: int) -> None:
        self.story.do(SlowLinks(self.number(SlowLinks), self.pairs(mask, not one_way), extra_ms * MS))

    @precondition(lambda self: self.open[Cut] or self.open[Clog] or self.open[SlowLinks])
    @rule()
    def all_links_are_as_usual(self) -> None:
        for kind, ends in ((Cut, Mend), (Clog, Unclog), (SlowLinks, UsualLinks)):
            for number in self.open[kind]:
                self.story.do(ends(number))
            self.open[kind].clear()
        self.story.cluster.network.filters.clear()

    @rule(mask=MASK, back=st.booleans(), fates=st.lists(st.sampled_from(FATES), min_size=1, max_size=4))
    def messages_on_some_links_are_lost_doubled_or_late(self, mask: int, back: bool, fates: list[str]) -> None:
        self.story.cluster.network.filters.append(Weather(self.pairs(mask, back), fates))

    @rule(number=NODE, other=NODE)
    def a_connection_between_nodes_breaks(self, number: int, other: int) -> None:
        if self.node(number) != self.node(other):
            self.story.do(Disconnect(self.node(number), self.node(other)))

    # --- disks ---

    @rule(number=NODE, slow=st.booleans())
    def a_disk_becomes_slow_or_quick(self, number: int, slow: bool) -> None:
        self.story.do(SlowDown(self.node(number), 1 * MS, 250 * MS) if slow else NormalSpeed(self.node(number)))

    @rule(number=NODE, room_bytes=st.sampled_from((-1, 0, 100, 2_000)))
    def a_disk_fills_up_or_has_room(self, number: int, room_bytes: int) -> None:
        self.story.do(FillUp(self.node(number), room_bytes) if room_bytes >= 0 else MakeRoom(self.node(number)))

    @rule(number=NODE, path=PATHS, kept_bytes=st.sampled_from((0, 60, 1 << 30)))
    def the_next_sync_fails(self, number: int, path: str, kept_bytes: int) -> None:
        self.story.do(FailSync(self.node(number), path, kept_bytes))

    @rule(pick=PICK, share=SHARE, mask=st.integers(1, 255), log=st.booleans(), restart=st.booleans())
    def a_byte_rots(self, pick: int, share: int, mask: int, log: bool, restart: bool) -> None:
        """The node may be started again, so that it is read; journals rot while nobody uses them."""
        found = self.story.logs_that_may_go() if log else self.story.copies_that_may_go()
        if found:
            node, path = found[pick % len(found)]
            if log or restart:
                self.story.do(Crash(node, "story"))
            self.story.do(Rot(node, path, self.story.size_bytes(node, path) * share // 1_000, mask))
            if restart:
                self.story.do(StartNode(node))

    @rule(pick=PICK, piece=PICK, to=PICK, sector=st.integers(0, 7), restart=st.booleans())
    def a_write_went_elsewhere(self, pick: int, piece: int, to: int, sector: int, restart: bool) -> None:
        """Of a block that others have followed, to a sector before the last block of a copy on the same disk."""
        found = self.story.copies_that_may_go()
        if not found:
            return
        node, path = found[pick % len(found)]
        here = [other for other_node, other in found if other_node == node]
        to_path = here[to % len(here)]
        pieces, kept = self.story.tellable_pieces(node, path), self.story.tellable_pieces(node, to_path)
        if pieces and kept:
            start, end = pieces[piece % len(pieces)]
            to_offset = sector % -(-kept[-1][1] // SECTOR_BYTES) * SECTOR_BYTES
            self.story.do(Misdirect(node, path, start, end - start, to_path, to_offset))
        if restart:
            self.story.do(Crash(node, "story"))
            self.story.do(StartNode(node))

    @rule(pick=PICK, first=st.integers(0, 7), log=st.booleans())
    def some_sectors_cannot_be_read(self, pick: int, first: int, log: bool) -> None:
        found = self.story.logs_that_may_go() if log else self.story.copies_that_may_go()
        if found:
            node, path = found[pick % len(found)]
            sectors = max(1, self.story.size_bytes(node, path) // SECTOR_BYTES)
            start = first % sectors * SECTOR_BYTES
            self.story.do(ReadErrors(node, path, start, start + SECTOR_BYTES))

    @rule(number=NODE)
    def a_disk_can_be_read_again(self, number: int) -> None:
        self.story.do(ReadsAgain(self.node(number)))

    @rule(pick=PICK)
    def a_file_is_gone_when_its_node_starts_again(self, pick: int) -> None:
        found = self.story.copies_that_may_go()
        if found:
            node, path = found[pick % len(found)]
            self.story.do(Crash(node, "story"))
            self.story.do(LoseFile(node, path))
            self.story.do(StartNode(node))

    @rule(pick=PICK, rarely=st.integers(0, 3))
    def a_disk_is_lost(self, pick: int, rarely: int) -> None:
        found = self.story.disks_that_may_go()
        if found and not rarely:
            self.story.do(LoseDisk(found[pick % len(found)]))

    # --- clocks ---

    @rule(number=NODE, rate_ppm=RATES_PPM)
    def a_clock_drifts(self, number: int, rate_ppm: int) -> None:
        self.story.do(Drift(self.node(number), rate_ppm))

    @rule(number=NODE, jump_ms=JUMPS_MS)
    def a_clock_jumps(self, number: int, jump_ms: int) -> None:
        self.story.do(Jump(self.node(number), jump_ms * MS))

    @rule(number=NODE, offset_s=st.sampled_from((-3_600, 0, 86_400)))
    def a_calendar_is_wrong(self, number: int, offset_s: int) -> None:
        self.story.do(SetCalendar(self.node(number), offset_s * 1_000 * MS))


TestCluster = ClusterMachine.TestCase
TestCluster.settings = sized(20, 30)


def test_a_story_replays_as_a_scenario_to_the_same_trace() -> None:
    """What the machine finds can be handed to ``walrus-sim replay`` and ``walrus-sim shrink``."""
    machine = ClusterMachine()
    machine.a_cluster_starts(3, 7, ["isolated"])
    machine.a_client_asks(1, 2, [Request("PUT", "logs"), Request("GET", "logs")] * 3, 5)
    machine.messages_on_some_links_are_lost_doubled_or_late(1, True, ["arrives", "lost", "twice", "late"])
    machine.a_node_crashes(1, 500_000, True, 30)
    machine.all_clients_ask_at_once(1, [Request("PUT", "topic-1")] * 4)
    machine.nodes_are_cut_off(2, True, 460)
    machine.all_links_are_as_usual()
    machine.a_clock_jumps(3, 20)
    machine.teardown()
    story = machine.story
    result = run_scenario(story.scenario())
    story.world.note("verdict: clean")
    assert result.violation == ""
    assert result.labels["PUT done"] >= 5
    assert result.trace_hash == story.trace.hexdigest()
