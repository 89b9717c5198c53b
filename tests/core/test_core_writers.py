"""The segments that a process writes: whose they are, when they roll and to whom, and how their sets grow."""

from segment_fixtures import (
    TOPIC,
    Wire,
    block,
    leading_raft,
    member,
    members,
    metadata_with,
    pending,
    raft_of,
    register,
    sealed,
    settings,
    writer_of,
)

from walrus.core.cursors import Cursors
from walrus.core.fetcher import Fetcher
from walrus.core.lease import Lease
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import (
    DRAINING,
    OPEN,
    AnyCommand,
    BeginSealing,
    ChangeSet,
    CreateTopic,
    Seal,
    SetNodeState,
    decode,
)
from walrus.core.metadata.state import Metadata
from walrus.core.peer import Propose
from walrus.core.proposals import Proposals
from walrus.core.segment.messages import (
    ACCEPTED,
    DONE,
    MOVED,
    READ_OWN,
    UNKNOWN,
    UNTRUSTED,
    Append,
    AppendAck,
    ReadBlocks,
)
from walrus.core.segment.writers import Writers
from walrus.core.storage.blocks import FILE_HEADER_BYTES

KEY = (TOPIC, 1)


class Writing:
    """Node 1 leads Raft among nodes 1 to 3, all live, and writes ``logs``; the test plays the copies."""

    def __init__(
        self, metadata: Metadata, *, live: tuple[int, ...] = (1, 2, 3), lease: bool = True, entries: int = 3
    ) -> None:
        self.wire = Wire(1)
        self.metadata = metadata
        raft = leading_raft(1, (1, 2, 3))
        config = settings(1, max_segment_entries=entries)
        holder = leading_raft(1, (1,)) if lease else raft_of(1, (1, 2, 3))
        liveness = Liveness(0)
        liveness.told(live, 0)
        self.proposals = Proposals(self.wire.out, raft)
        fetcher = Fetcher(self.wire.out, config, metadata, liveness)
        self.lease = Lease(config, holder)
        self.cursors = Cursors(config, writer_of(1), metadata, self.lease, fetcher, self.proposals)
        self.writers = Writers(
            self.wire.out, config, writer_of(1), metadata, raft, self.lease, liveness, self.proposals, self.cursors
        )
        for topic in metadata.topics.values():
            self.writers.changed(topic.name, topic.last)

    def put(self, *payloads: bytes) -> None:
        """PUTs arrive, and the turn ends."""
        writer = self.writers.get(KEY)
        assert writer is not None
        for payload in payloads:
            self.writers.put(writer, pending(payload))
        self.flush()

    def flush(self, now_ns: int = 0) -> None:
        self.writers.flush(now_ns, 5)

    def ack(self, length: int, *nodes: int, status: int = ACCEPTED) -> None:
        """Copies hold ``length`` records durably, or refuse."""
        for node in nodes:
            self.writers.acknowledged(member(node), AppendAck(*KEY, 0, status, length, 0, 9), 0)
        self.flush()

    def appended(self) -> list[tuple[int, int]]:
        """(node, base) of the batches sent since the last call; nothing else was."""
        found = []
        for to, message in self.wire.sent():
            assert isinstance(message, Append)
            found.append((to, message.base))
        return found

    def proposed(self) -> list[AnyCommand]:
        """The commands submitted since the last call."""
        self.wire.sent()
        self.proposals.flush(0)
        found = []
        for to, message in self.wire.sent():
            assert to == 1
            assert isinstance(message, Propose)
            found.append(decode(message.command))
        return found

    def results(self) -> list[tuple[int, list[bytes]]]:
        """(status, payloads) of the PUTs that ended since the last call."""
        found = [(status, [p.payload for p in waited]) for _, status, waited in self.writers.results]
        self.writers.results.clear()
        return found


def three(**options: object) -> Writing:
    return Writing(metadata_with(1, 2, 3), **options)  # type: ignore[arg-type]


def test_a_process_writes_the_open_segments_of_its_own_lifetime_alone() -> None:
    metadata = metadata_with(1, 2, 3)
    metadata.apply(CreateTopic("older", writer_of(1, incarnation=2), members(1, 2, 3)))
    metadata.apply(CreateTopic("others", writer_of(2), members(1, 2, 3)))
    writing = Writing(metadata)
    assert writing.writers.count == 1
    assert writing.writers.get(("older", 1)) is None
    assert writing.writers.get(("others", 1)) is None


def test_without_a_lease_nothing_is_admitted_and_what_waits_is_sent_once_there_is_one() -> None:
    writing = three(lease=False)
    writing.put(b"a")
    assert writing.appended() == []
    writing.lease.heartbeat(1, 1, 0, 0)
    writing.lease.heartbeat(1, 2, 1, 10)
    writing.writers.tick(10)
    writing.flush(10)
    assert writing.appended() == [(1, 0), (2, 0), (3, 0)]


def test_a_full_segment_is_sealed_at_its_count_and_handed_to_the_next_live_voter() -> None:
    writing = three()
    writing.put(b"a", b"b", b"c", b"d")
    assert writing.appended() == [(1, 0), (2, 0), (3, 0)]
    assert writing.proposed() == []
    writing.ack(3, 1, 2)
    assert writing.results() == [(DONE, [b"a", b"b", b"c"])]
    size = FILE_HEADER_BYTES + len(block(0, b"a", b"b", b"c"))
    assert writing.proposed() == [
        Seal(TOPIC, 1, OPEN, 0, 3, members(1, 2, 3), writer_of(2), members(1, 2, 3), (1, 0), size),
    ]


def test_a_segment_is_handed_past_a_node_that_is_not_live() -> None:
    writing = three(live=(1, 3))
    writing.put(b"a", b"b", b"c")
    writing.ack(3, 1, 3)
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert seal.next_writer == writer_of(3)


def test_a_seal_is_proposed_once_and_what_came_too_late_moves_on_when_it_applies() -> None:
    writing = three()
    writing.put(b"a", b"b", b"c", b"d")
    writing.ack(3, 1, 2)
    assert len(writing.proposed()) == 1
    writing.ack(3, 3)
    writing.put(b"e")
    assert writing.proposed() == []
    writing.results()
    segment = sealed(writing.metadata, 3, writer=2)
    writing.writers.changed(TOPIC, segment)
    assert writing.results() == [(MOVED, [b"d", b"e"])]
    assert writing.writers.count == 0
    assert writing.proposals.waiting == 0


def test_a_writer_whose_segment_is_being_recovered_leaves_what_it_sent_unknown_and_keeps_the_rest() -> None:
    writing = three()
    writing.put(b"a")
    writing.put(b"b")
    writing.put(b"c")
    writing.metadata.apply(BeginSealing(TOPIC, 1, OPEN, 0, 3, 7))
    writing.writers.changed(TOPIC, writing.metadata.topics[TOPIC].last)
    assert writing.results() == [(UNKNOWN, [b"a"]), (UNKNOWN, [b"b"])]
    writing.ack(2, 1, 2, 3)
    assert writing.results() == []


def test_a_promise_of_the_own_copy_to_a_recoverer_stops_the_writer() -> None:
    writing = three()
    writing.put(b"a")
    writing.writers.fenced(KEY, 1)
    assert writing.results() == [(UNKNOWN, [b"a"])]
    writing.writers.fenced(("nobody's", 1), 1)


def test_who_reads_is_told_the_cursor_exactly_when_the_segment_is_handed_over() -> None:
    writing = three()
    owned = writing.cursors
    owned.get(pending(b"", node=2, rid=5), 1, 0)
    writing.put(b"a", b"b", b"c")
    writing.ack(3, 1, 2)
    assert [status for _, status, *_ in owned.results] == [MOVED]
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert seal.cursor == (1, 0)


def test_a_segment_born_on_one_node_grows_in_place_once_there_are_more_voters() -> None:
    metadata = Metadata()
    for node in (1, 2, 3):
        metadata.apply(register(node))
    metadata.apply(CreateTopic(TOPIC, writer_of(1), members(1)))
    metadata.drain()
    writing = Writing(metadata)
    writing.put(b"a")
    writing.ack(1, 1)
    writing.results()
    writing.wire.sent()
    writing.writers.tick(0)
    writing.flush()
    reads = [message for _, message in writing.wire.sent() if isinstance(message, ReadBlocks)]
    assert [(read.offset, read.mode) for read in reads] == [(0, READ_OWN), (0, READ_OWN)]
    assert writing.proposed() == []
    writing.ack(1, 2)
    change = ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 2, 3))
    assert writing.proposed() == [change]
    assert metadata.apply(change) == ""
    writing.writers.changed(TOPIC, metadata.topics[TOPIC].last)
    writer = writing.writers.get(KEY)
    assert writer is not None
    assert (writer.members, writer.version, writer.changing) == (members(1, 2, 3), 2, None)
    assert writing.proposals.waiting == 0


def test_a_node_that_leaves_hands_every_segment_to_another_even_where_it_would_be_next() -> None:
    writing = three(live=(1, 2))
    writing.put(b"a")
    writing.writers.leaving = True
    writing.writers.tick(0)
    writing.flush()
    assert writing.proposed() == []
    writing.ack(1, 1, 2)
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert (seal.count, seal.next_writer) == (1, writer_of(2))


def test_a_drained_writer_that_finds_no_quorum_takes_on_a_copy_before_it_hands_over() -> None:
    metadata = metadata_with(1, 2, 3, copies=(1, 2))
    metadata.apply(SetNodeState(*member(1), DRAINING))
    writing = Writing(metadata, live=(1, 3))
    writing.put(b"a")
    writing.ack(1, 1)
    late_ns = settings().replace_after_ns
    writing.writers.tick(late_ns)
    writing.flush(late_ns)
    writing.ack(1, 3)
    change = ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 3))
    assert writing.proposed() == [change]
    assert metadata.apply(change) == ""
    writing.writers.changed(TOPIC, metadata.topics[TOPIC].last)
    writing.flush(late_ns)
    assert writing.results() == [(DONE, [b"a"])]
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert (seal.count, seal.next_writer) == (1, writer_of(3))


def test_a_writer_hands_over_when_a_copy_is_lost_and_replaces_it_where_there_is_no_quorum_without() -> None:
    metadata = metadata_with(1, 2, 3, copies=(1, 2))
    metadata.apply(SetNodeState(*member(3), DRAINING))
    writing = Writing(metadata)
    writing.put(b"a")
    writing.ack(1, 1)
    writing.writers.acknowledged(member(2), AppendAck(*KEY, 0, UNTRUSTED, 0, 0, 9), 0)
    writing.writers.tick(0)
    writing.flush()
    writing.ack(1, 3)
    change = ChangeSet(TOPIC, 1, OPEN, 0, 1, members(1, 3))
    assert writing.proposed() == [change]
    assert metadata.apply(change) == ""
    writing.writers.changed(TOPIC, metadata.topics[TOPIC].last)
    writing.flush()
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert (seal.count, seal.members, seal.next_members) == (1, members(1, 3), members(1, 2))


def test_a_segment_is_handed_past_a_node_that_shuts_down() -> None:
    writing = three()
    writing.writers.said_farewell(2, 0)
    writing.put(b"a", b"b", b"c")
    writing.ack(3, 1, 3)
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert (seal.next_writer, seal.next_members) == (writer_of(3), members(1, 2, 3))


def test_a_drained_node_hands_nothing_to_one_that_shuts_down_until_that_must_be_over() -> None:
    metadata = metadata_with(1, 2, 3)
    metadata.apply(SetNodeState(*member(1), DRAINING))
    writing = Writing(metadata, live=(1, 3))
    writing.writers.said_farewell(3, 0)
    over_ns = settings().shutdown_timeout_ns
    writing.writers.tick(over_ns - 1)
    writing.flush(over_ns - 1)
    assert writing.proposed() == []
    writing.writers.tick(over_ns)
    writing.flush(over_ns)
    [seal] = writing.proposed()
    assert isinstance(seal, Seal)
    assert seal.next_writer == writer_of(3)
