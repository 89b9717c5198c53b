"""Each checker is fed a history that breaks its property, and one that does not."""

from collections import Counter
from types import SimpleNamespace

import pytest
from sortedcontainers import SortedDict, SortedList

from walrus.core.cursors import OwnedCursor
from walrus.core.metadata.commands import OPEN, SEALED, SEALING
from walrus.core.metadata.state import Segment, Topic
from walrus.core.peer import Entry
from walrus.core.raft.output import Role
from walrus.core.segment.writer import PROPOSED, WRITING
from walrus.core.storage import blocks
from walrus.sim.checkers.clean_stops import CleanStops
from walrus.sim.checkers.cursor_bounds import CursorBounds
from walrus.sim.checkers.leases import Leases
from walrus.sim.checkers.raft_logs import RaftLogs
from walrus.sim.checkers.reads import check_reads
from walrus.sim.checkers.records import check_records
from walrus.sim.checkers.replica_prefixes import ReplicaPrefixes
from walrus.sim.checkers.replicated_state import ReplicatedState
from walrus.sim.checkers.sealed_counts import SealedCounts
from walrus.sim.history import DONE, UNKNOWN, History, Operation
from walrus.sim.powercuts import Loss, PowerCuts
from walrus.sim.world import Violation


class FakeRaft:
    """A Raft that is exactly what it is told to be."""

    def __init__(self, term: int, terms: list[int], commit: int = 0, leader: bool = False) -> None:
        self.term = term
        self.commit_index = self.applied_index = commit
        self.persisted_index = len(terms)
        self.role = Role.LEADER if leader else Role.FOLLOWER
        self._entries = [Entry(i, t, 0, b"%d.%d" % (i, t)) for i, t in enumerate(terms, 1)]
        self.snapshot = None

        self.log = FakeLog(self._entries)

    def alter(self, index: int, data: bytes) -> None:
        old = self._entries[index - 1]
        self._entries[index - 1] = Entry(old.index, old.term, old.kind, data)


class FakeLog:
    snapshot_index = 0

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    @property
    def last_index(self) -> int:
        return len(self._entries)

    def term(self, index: int) -> int | None:
        return self._entries[index - 1].term if index else 0

    def entry(self, index: int) -> Entry:
        return self._entries[index - 1]


def host(node_id: int, raft: FakeRaft | None = None, life: int = 1, **parts: object) -> SimpleNamespace:
    return SimpleNamespace(
        node_id=node_id,
        life=life,
        node=SimpleNamespace(raft=raft, **parts),
        note=lambda text, label: None,
        disk=SimpleNamespace(files={}),
    )


def test_election_safety_fails_when_two_nodes_lead_in_one_term() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(3, [1], leader=True)))
    checker.after_turn(host(2, FakeRaft(4, [1], leader=True)))
    with pytest.raises(Violation, match="election safety: nodes 1 and 3 both lead in term 3"):
        checker.after_turn(host(3, FakeRaft(3, [1], leader=True)))


def test_log_matching_fails_when_one_index_and_term_has_two_contents() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(2, [1, 1, 2])))
    other = FakeRaft(2, [1, 1, 2])
    other.alter(2, b"something else")
    with pytest.raises(Violation, match="log matching: node 2"):
        checker.after_turn(host(2, other))


def test_log_matching_fails_when_one_index_and_term_has_two_predecessors() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(3, [1, 1, 3])))
    with pytest.raises(Violation, match="log matching: node 2"):
        checker.after_turn(host(2, FakeRaft(3, [1, 2, 3])))


def test_log_matching_allows_a_follower_to_replace_what_was_not_committed() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(2, [1, 2, 2], commit=1)))
    checker.after_turn(host(1, FakeRaft(3, [1, 3], commit=2)))


def test_log_matching_fails_when_a_committed_entry_is_dropped() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(2, [1, 1, 2], commit=2)))
    with pytest.raises(Violation, match="dropped entry 2, committed"):
        checker.after_turn(host(1, FakeRaft(2, [1, 2], commit=2)))


def test_log_matching_fails_when_a_log_holds_a_term_from_the_future() -> None:
    with pytest.raises(Violation, match="log matching: node 1 in term 1"):
        RaftLogs().after_turn(host(1, FakeRaft(1, [1, 2])))


def test_leader_completeness_fails_when_a_new_leader_lacks_a_committed_entry() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(2, [1, 2, 2], commit=3, leader=True)))
    checker.after_turn(host(2, FakeRaft(1, [1])))
    checker.after_turn(host(2, FakeRaft(2, [1], leader=False)))
    with pytest.raises(Violation, match="leader completeness: node 2 leads in term 3 without entry 3"):
        checker.after_turn(host(2, FakeRaft(3, [1, 2], leader=True)))


def test_state_machine_safety_fails_when_nodes_commit_different_entries() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(2, [1, 2], commit=2)))
    with pytest.raises(Violation, match="state machine safety: node 2 commits term 3 at index 2"):
        checker.after_turn(host(2, FakeRaft(3, [1, 3], commit=2)))


def test_state_machine_safety_fails_when_a_commit_index_falls_within_a_life() -> None:
    checker = RaftLogs()
    checker.after_turn(host(1, FakeRaft(2, [1, 2], commit=2)))
    checker.after_turn(host(1, FakeRaft(2, [1, 2], commit=0), life=2))
    checker.after_turn(host(1, FakeRaft(2, [1, 2], commit=2), life=2))
    with pytest.raises(Violation, match="from 2 to 1"):
        checker.after_turn(host(1, FakeRaft(2, [1, 2], commit=1), life=2))


def metadata(*states: tuple[int, int], writer: int = 1) -> SimpleNamespace:
    segments, base = [], 0
    for number, (state, count) in enumerate(states, 1):
        segments.append(Segment(number, (writer, 1, 1), ((1, 1),), base, state=state, count=count))
        base += count
    return SimpleNamespace(topics={"t": Topic("t", segments, [])}, nodes={}, deleted={})


class FakeCluster:
    """As far as the checker of leases knows one."""

    def __init__(self, *hosts: SimpleNamespace) -> None:
        self.hosts = {host.node_id: host for host in hosts}
        self.clocks_within_margin = True
        self.world = SimpleNamespace(labels=Counter())

    def host(self, node_id: int) -> SimpleNamespace:
        return self.hosts.get(node_id) or host(node_id)


def replicated_state(cluster: FakeCluster | None = None) -> ReplicatedState:
    cluster = cluster or FakeCluster()
    return ReplicatedState(SealedCounts(), Leases(cluster), CursorBounds(), CleanStops(cluster), PowerCuts())


def test_sealed_counts_fail_when_two_nodes_hold_different_counts() -> None:
    checker = replicated_state()
    checker.after_turn(host(1, FakeRaft(1, [1], 1), metadata=metadata((SEALED, 5), (OPEN, 0))))
    checker.after_turn(host(2, FakeRaft(1, [1], 1), metadata=metadata((SEALING, 0))))
    with pytest.raises(Violation, match=r"t:1 is SEALED\(6\), elsewhere SEALED\(5\)"):
        checker.after_turn(host(2, FakeRaft(1, [1, 1], 2), metadata=metadata((SEALED, 6), (OPEN, 0))))


def test_one_writer_fails_when_nodes_name_different_writers_of_a_segment() -> None:
    checker = replicated_state()
    checker.after_turn(host(1, FakeRaft(1, [1], 1), metadata=metadata((OPEN, 0))))
    with pytest.raises(Violation, match="one writer: node 2"):
        checker.after_turn(host(2, FakeRaft(1, [1], 1), metadata=metadata((OPEN, 0), writer=2)))


def test_the_segment_chain_fails_when_an_open_segment_has_a_successor() -> None:
    with pytest.raises(Violation, match="is not SEALED but has a successor"):
        replicated_state().after_turn(host(1, FakeRaft(1, [1], 1), metadata=metadata((OPEN, 0), (OPEN, 0))))


def test_state_machine_safety_fails_when_nodes_that_applied_the_same_differ() -> None:
    checker = RaftLogs()
    checker.on_crash(host(1, FakeRaft(1, [1], 1), metadata=metadata((OPEN, 0))))
    with pytest.raises(Violation, match="applied everything up to index 1 and differ"):
        checker.on_crash(host(2, FakeRaft(1, [1], 1), metadata=metadata((SEALING, 0))))


def writing(state: int = WRITING, leased: bool = True, life: int = 1) -> SimpleNamespace:
    """Node 1, the writer of t:1."""
    writer = SimpleNamespace(readable=True, state=state)
    running = SimpleNamespace(
        writers={("t", 1): writer},
        lease=SimpleNamespace(valid=lambda now_ns: leased),
        cursors=SimpleNamespace(owned={}),
    )
    found = host(1, running=running, life=life)
    found.now_ns = lambda: 0
    return found


def taken_from(writer: SimpleNamespace, **cluster_is: bool) -> Leases:
    """The checker after node 2 applied that t:1 is taken from its writer."""
    cluster = FakeCluster(writer)
    vars(cluster).update(cluster_is)
    leases = Leases(cluster)
    leases.segment(host(2), "t", Segment(1, (1, 1, 1), ((1, 1),), 0, state=SEALING, epoch=1))
    return leases


def test_leases_fail_when_a_writer_serves_what_was_taken_from_it() -> None:
    with pytest.raises(Violation, match="leases overlap: t:1 was taken from node 1"):
        taken_from(writing())


def test_leases_fail_when_a_writer_gets_its_lease_back_and_serves() -> None:
    leases = taken_from(writing(leased=False))
    leases.after_turn(writing(leased=False))
    with pytest.raises(Violation, match="leases overlap"):
        leases.after_turn(writing())


def test_leases_let_pass_who_stopped_writing_or_started_again_or_has_a_broken_clock() -> None:
    taken_from(writing(state=PROPOSED))
    taken_from(writing(leased=False)).after_turn(writing(life=2))
    taken_from(writing(), clocks_within_margin=False)


def keeping(topic: Topic, acked: int, **owned: object) -> SimpleNamespace:
    """Node 1, which keeps the cursor of ``topic`` and has ``acked`` records acknowledged in its first segment."""
    cursor = OwnedCursor(1, topic.cursor_generation, topic.cursor)
    for name, value in owned.items():
        setattr(cursor, name, value)
    running = SimpleNamespace(
        cursors=SimpleNamespace(owned={"t": cursor}),
        writers={("t", 1): SimpleNamespace(acked=acked)},
        metadata=SimpleNamespace(topics={"t": topic}),
    )
    return host(1, running=running)


def topic_at(cursor: int, generation: int = 0) -> Topic:
    return Topic("t", [Segment(1, (1, 1, 1), ((1, 1),), 0)], [], cursor=cursor, cursor_generation=generation)


def test_a_committed_cursor_that_goes_back_is_a_violation_unless_it_was_moved_on_purpose() -> None:
    checker = CursorBounds()
    checker.topic(host(1), topic_at(5))
    checker.topic(host(1), topic_at(2, generation=1))
    checker.topic(host(1), topic_at(3, generation=1))
    with pytest.raises(Violation, match="went back from 3 to 2"):
        checker.topic(host(1), topic_at(2, generation=1))


@pytest.mark.parametrize(
    "position", [{"outstanding": SortedDict({2: (0, 0)})}, {"again": SortedList([2])}, {"next": 2}]
)
def test_a_cursor_committed_past_a_record_still_to_be_delivered_is_a_violation(position: dict[str, object]) -> None:
    topic = topic_at(3)
    CursorBounds().topic(keeping(topic, acked=9), topic)
    with pytest.raises(Violation, match="committed at 3, and node 1 has offset 2 still to be delivered"):
        CursorBounds().topic(keeping(topic, acked=9, **position), topic)


def test_handing_out_what_is_not_acknowledged_is_a_violation() -> None:
    checker = CursorBounds()
    checker.after_turn(keeping(topic_at(0), acked=4, next=4))
    with pytest.raises(Violation, match="handed out t up to offset 5, of which only 4 are acknowledged"):
        checker.after_turn(keeping(topic_at(0), acked=4, next=5))


def segment_file(*batches: list[bytes]) -> bytearray:
    data = bytearray(blocks.FILE_HEADER_BYTES)
    base = 0
    for batch in batches:
        data += blocks.encode_block(base, 0, 0, 0, batch)
        base += len(batch)
    return data


def copy(node: int, data: bytearray) -> SimpleNamespace:
    found = host(node)
    found.disk.files["user_data/t:1.wal"] = data
    return found


def test_replicas_may_be_shorter_than_one_another_but_not_different() -> None:
    checker = ReplicaPrefixes()
    checker.on_crash(copy(1, segment_file([b"a", b"b"])))
    checker.on_crash(copy(2, segment_file([b"a", b"b"], [b"c"])))
    checker.on_crash(copy(1, segment_file([b"a", b"b"], [b"c"], [b"d"])))
    with pytest.raises(Violation, match=r"t:1\.wal of node 3 holds b'x' at offset 3, another copy b'd'"):
        checker.on_crash(copy(3, segment_file([b"a", b"b"], [b"c"], [b"x"])))


def test_a_hole_in_a_replica_is_a_violation() -> None:
    data = segment_file([b"a"])
    data += blocks.encode_block(2, 0, 0, 0, [b"c"])
    with pytest.raises(Violation, match="replicas are dense"):
        ReplicaPrefixes().on_crash(copy(1, data))


def history(*operations: tuple[str, object, int, int, bytes]) -> History:
    """(verb, payload or offset, sent, done, reply; an empty reply: never answered)."""
    found = History()
    for verb, argument, sent_ns, done_ns, reply in operations:
        payload = argument if isinstance(argument, bytes) else b""
        offset = argument if isinstance(argument, int) else 0
        op = found.add(Operation(1, 1, verb, "t", payload, offset, sent_ns, 1))
        if reply:
            op.answer(reply, done_ns)
    return found


GOOD = history(
    ("REGISTER", b"", 0, 1, b"OK"),
    ("PUT", b"a", 1, 5, b"OK"),
    ("PUT", b"b", 2, 5, b"ERR outcome unknown: t:1"),
    ("PUT", b"c", 3, 5, b""),
    ("PUT", b"d", 6, 7, b"ERR NotLeaderForPartition: t:1"),
    ("PUT", b"", 6, 7, b"OK"),
    ("GET", b"", 6, 7, b"OK a"),
    ("GET", b"", 7, 9, b""),
    ("GET", b"", 8, 9, b"OK c"),
    ("FETCH", 0, 8, 9, b"OK 1 a"),
    ("FETCH", 3, 4, 9, b"EMPTY"),
    ("STATE", b"", 8, 9, b"{}"),
)


@pytest.mark.parametrize("scan", [[b"a", b"b", b"c", b""], [b"a", b"", b"c"]])
def test_unknown_outcomes_are_allowed_either_way(scan: list[bytes]) -> None:
    check_records("t", GOOD, scan)
    check_reads("t", GOOD, scan, drained=False)


@pytest.mark.parametrize(
    ("scan", "message"),
    [
        ([b"b", b"c", b""], "acknowledged record lost: PUT t b'a'"),
        ([b"a", b"d", b""], "refused record present: PUT t b'd'"),
        ([b"a", b"a", b""], "record doubled: b'a' stands at t offsets 0 and 1"),
        ([b"a", b"z", b""], "record never put: t offset 1 holds b'z'"),
        ([b"a", b"c"], "empty records: topic t has 0, acknowledged 1"),
        ([b"a", b"", b""], "empty records: topic t has 2, acknowledged 1, possible 1"),
    ],
)
def test_records_that_do_not_fit_the_history_are_violations(scan: list[bytes], message: str) -> None:
    with pytest.raises(Violation, match=message):
        check_records("t", GOOD, scan)


def test_a_record_acknowledged_before_another_was_sent_stands_before_it() -> None:
    puts = history(("PUT", b"a", 1, 5, b"OK"), ("PUT", b"b", 6, 9, b"OK"))
    check_records("t", puts, [b"a", b"b"])
    with pytest.raises(Violation, match="order: PUT t b'b'"):
        check_records("t", puts, [b"b", b"a"])


def test_pipelined_records_of_one_connection_stand_in_their_order() -> None:
    puts = history(("PUT", b"a", 1, 9, b"OK"), ("PUT", b"b", 2, 9, b"OK"))
    with pytest.raises(Violation, match="order within a connection"):
        check_records("t", puts, [b"b", b"a"])


PUTS = (("PUT", b"a", 1, 5, b"OK"), ("PUT", b"b", 2, 6, b"OK"), ("PUT", b"c", 3, 7, b"OK"))


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ([("FETCH", 1, 8, 9, b"OK 2 c")], "read shows another record: FETCH t 1 1"),
        ([("FETCH", 1, 8, 9, b"OK 3 b")], "read shows another record"),
        ([("FETCH", 2, 8, 9, b"EMPTY")], "stale EMPTY: FETCH t 1 2"),
        ([("GET", b"", 8, 9, b"OK z")], "read of a record that is not there"),
        ([("GET", b"", 8, 9, b"OK b")], r"GET skipped records: t offsets \[0, 2\] of 3"),
        ([("GET", b"", 8, 9, b"EMPTY")], "stale EMPTY: GET t"),
        ([("GET", b"", 8, 9, b"ERR unknown topic t")], "unknown topic: GET t"),
    ],
)
def test_reads_that_show_something_else_are_violations(reads: list, message: str) -> None:
    with pytest.raises(Violation, match=message):
        check_reads("t", history(*PUTS, *reads), [b"a", b"b", b"c"], drained=True)


def test_what_was_written_after_the_end_was_told_need_not_be_delivered() -> None:
    late = ("PUT", b"c", 3, -1, b"")
    gets = [("GET", b"", 7, 8, b"OK a"), ("GET", b"", 8, 9, b"OK b"), ("GET", b"", 10, 11, b"EMPTY")]
    check_reads("t", history(*PUTS[:2], late, *gets), [b"a", b"b", b"c"], drained=True)
    known = history(*PUTS, *gets)
    known.stale_allowed = True
    with pytest.raises(Violation, match=r"GET skipped records: t offsets \[2\] of 3"):
        check_reads("t", known, [b"a", b"b", b"c"], drained=True)


def test_reads_that_overlap_writes_may_miss_them() -> None:
    reads = (("FETCH", 2, 6, 9, b"EMPTY"), ("GET", b"", 4, 9, b"EMPTY"), ("GET", b"", 4, 9, b"OK a"))
    check_reads("t", history(*PUTS, *reads), [b"a", b"b", b"c"], drained=False)


def test_where_no_lease_could_hold_only_staleness_passes() -> None:
    stale = history(*PUTS, ("FETCH", 2, 8, 9, b"EMPTY"), ("GET", b"", 8, 9, b"EMPTY"))
    stale.stale_allowed = True
    check_reads("t", stale, [b"a", b"b", b"c"], drained=False)
    wrong = history(*PUTS, ("FETCH", 1, 8, 9, b"OK 2 c"))
    wrong.stale_allowed = True
    with pytest.raises(Violation, match="read shows another record"):
        check_reads("t", wrong, [b"a", b"b", b"c"], drained=False)


# --- losses of power ---


def lost_power(durability: int, *losses: tuple[int, int, int], hurt: tuple[int, ...] = ()) -> list[bytes]:
    """What is excused of a segment of three nodes that is sealed at 2 records, of 4 that were ever written."""
    path = "user_data/logs:1.wal"
    members = ((1, 1), (2, 2), (3, 3))
    cuts = PowerCuts()
    cuts.losses["logs", 1] = [Loss(*loss) for loss in losses]
    cuts.segment("logs", Segment(1, (1, 1, 1), members, 0, state=SEALED, count=2, durability=durability))
    hosts = [
        SimpleNamespace(
            node_id=n, disk=SimpleNamespace(damage=SimpleNamespace(hurt={path: "rot"} if n in hurt else {}))
        )
        for n in (1, 2, 3)
    ]
    cluster = SimpleNamespace(hosts=hosts, lost_members={})
    return cuts.excused(cluster, "logs", {("logs", 1): [b"a", b"b", b"c", b"d"]})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("losses", "excused"),
    [
        ([(1, 4, 2), (2, 4, 2)], [b"c", b"d"]),
        ([(1, 4, 2), (2, 3, 2)], [b"c"]),
        ([(1, 4, 3), (2, 4, 3), (3, 4, 2)], [b"d"]),
        ([(1, 4, 2)], []),
        ([(1, 4, 2), (1, 3, 2)], []),
        ([], []),
    ],
)
def test_a_record_is_excused_where_a_quorum_of_copies_had_it_and_lost_it_with_the_power(
    losses: list[tuple[int, int, int]], excused: list[bytes]
) -> None:
    assert lost_power(5, *losses) == excused


def test_a_record_of_a_topic_that_is_always_synced_is_never_excused() -> None:
    assert lost_power(0, (1, 4, 0), (2, 4, 0), (3, 4, 0)) == []


def test_a_damaged_copy_may_have_lost_a_record_too_but_damage_alone_excuses_nothing() -> None:
    assert lost_power(5, (1, 4, 2), hurt=(2,)) == [b"c", b"d"]
    assert lost_power(5, hurt=(1, 2, 3)) == []


def test_a_history_without_lost_records_is_as_if_they_had_never_been() -> None:
    history = History()
    for payload in (b"kept", b"gone", b"", b""):
        history.answer(history.add(Operation(1, 1, "PUT", "logs", payload, 0, 1, 1)), b"OK", 5)
    kept = history.without("logs", [b"gone", b""])
    assert [(op.payload, op.outcome) for op in kept.operations] == [(b"kept", DONE), (b"", UNKNOWN), (b"", DONE)]
    check_records("logs", kept, [b"kept", b""])
    with pytest.raises(Violation, match="acknowledged record lost"):
        check_records("logs", history, [b"kept", b"", b""])
