"""What an unsafe recovery makes of one node's files, and what the node then starts from."""

import pytest
from core_node import World
from survivor_files import CLUSTER, THREE, WHOLE, copy_of, directory, recovered, state_of

from fuzz.samples import MEMBER, NODE, STORAGE
from walrus.core.config import SECOND
from walrus.core.metadata import commands
from walrus.core.metadata.commands import OPEN, SEALED
from walrus.core.peer import Removed, RequestVote
from walrus.core.storage.blocks import encode_block
from walrus.core.storage.catalogue import CATALOGUE_PATH, Durable, Fenced, Held
from walrus.core.storage.journal import JOURNAL_PATH, recover_journal
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH
from walrus.core.survivor import NothingToRecover, Survival

FIRST, LATER = "user_data/logs:1.wal", "user_data/logs:2.wal"


def carried_out(files: dict[str, bytes], *, salvages: bool = True) -> Survival:
    """Do what the command does to the files."""
    made = recovered(files)
    files[SNAPSHOT_PATH] = made.snapshot_file
    for salvage in made.salvages if salvages else ():
        files[salvage.path] = files[salvage.path][: salvage.keep_bytes] if salvage.keep_bytes else salvage.header
    if salvages and made.catalogue_file:
        files[CATALOGUE_PATH] = made.catalogue_file
    return made


def started(files: dict[str, bytes]) -> World:
    """The node runs on its files and has had time to seal what it found open."""
    world = World(NODE)
    world.files = dict(files)
    return world.start().sleep(2 * SECOND)


def read_all(world: World, segment: int = 1) -> list[bytes]:
    found = []
    while (reply := world.ask(b"FETCH logs %d %d" % (segment, len(found)))[0]) != b"EMPTY":
        found.append(reply.split(b" ", 2)[2])
    return found


RECORDS = [b"a", b"", b"ccc", b"d" * 200, b"e", b"f"]


def test_the_node_leads_a_new_cluster_alone_with_all_it_held_and_takes_writes() -> None:
    files = directory()
    made = carried_out(files)
    assert (made.recovery.former, made.recovery.given_up, made.recovery.lost) == (CLUSTER, (2, 3), ())
    world = started(files)
    assert world.cluster == made.cluster != CLUSTER
    assert world.node.raft.committed_membership.voters == (1,)
    assert world.node.raft.committed_membership.removed == ((2, 9), (3, 8))
    assert world.ask(b"PUT logs after") == [b"OK"]
    assert read_all(world) == [*RECORDS, b"after"]
    journal = recover_journal(world.files[JOURNAL_PATH])
    assert journal is not None
    assert (journal.cluster, journal.hard_state.term > made.recovery.term) == (made.cluster, True)


@pytest.mark.parametrize("salvages", [True, False], ids=["whole", "cut off after the snapshot"])
def test_a_copy_counts_up_to_its_damage_and_a_second_time_nothing_is_left_to_do(salvages: bool) -> None:
    damaged = bytearray(WHOLE)
    damaged[len(copy_of("logs", 1, blocks=1)) + 60] ^= 1
    files = directory(copy=bytes(damaged), notes=(Durable("logs", 1, 6),))
    made = carried_out(files, salvages=salvages)
    assert made.recovery.lost == (("logs", 1, 3),)
    assert state_of(made).topics[0].segments[0].count == 3
    if not salvages:
        again = carried_out(files)
        assert again.recovery.former == made.cluster
        assert [r.former for r in state_of(again).recoveries] == [CLUSTER, made.cluster]
    with pytest.raises(NothingToRecover, match="only member"):
        recovered(files)
    world = started(files)
    assert read_all(world) == RECORDS[:3]
    assert world.ask(b"PUT logs after") == [b"OK"]
    assert read_all(world) == [*RECORDS[:3], b"after"]


def test_the_cursor_stands_where_it_stood_or_where_what_is_left_of_its_segment_ends() -> None:
    seal = commands.Seal("logs", 2, OPEN, 0, 4, (MEMBER,), (*MEMBER, 2), (MEMBER,), (1, 9), 0, 0)
    for blocks, kept, cursor in ((3, 6, 8), (1, 3, 5)):  # three of the four of logs:2 were delivered
        second = encode_block(0, 1, 1_000, 0, [b"x", b"y"])
        files = directory(seal, copy=copy_of("logs", 1, blocks=blocks), notes=(Held("logs", 2, 1),))
        files[LATER] = copy_of("logs", 2, second, blocks=0)
        topic = state_of(recovered(files)).topics[0]
        assert [row.count for row in topic.segments] == [kept, 2, 0]
        assert topic.cursor == cursor
        assert topic.cursor_generation == 2


def test_copies_that_the_log_knows_nothing_of_are_taken_in_and_what_lies_between_is_empty() -> None:
    files = directory(notes=(Held("logs", 4, 1), Fenced("logs", 4, 3), Held("new", 2, 1)))
    for topic, number in (("logs", 4), ("new", 2)):
        late = encode_block(0, 1, 1_000, 0, [b"late"])
        files[f"user_data/{topic}:{number}.wal"] = copy_of(topic, number, late, blocks=0)
    made = carried_out(files)
    logs, new = state_of(made).topics
    assert [(row.state, row.count) for row in logs.segments] == [(SEALED, 6), (SEALED, 0), (SEALED, 0), (OPEN, 0)]
    assert (new.name, new.first, len(new.segments)) == ("new", 2, 1)
    world = started(files)
    assert read_all(world) == [*RECORDS, b"late"]
    assert world.ask(b"FETCH new 2 0") == [b"OK 1 late"]
    assert [world.ask(b"PUT %b more" % topic)[0] for topic in (b"logs", b"new")] == [b"OK", b"OK"]


def test_an_open_segment_that_was_fenced_ahead_of_the_log_is_sealed_nevertheless() -> None:
    files = directory(notes=(Held("logs", 2, 1), Fenced("logs", 2, 7)))
    files[LATER] = copy_of("logs", 2, encode_block(0, 1, 1_000, 0, [b"open"]), blocks=0)
    carried_out(files)
    world = started(files)
    assert read_all(world) == [*RECORDS, b"open"]
    assert world.ask(b"PUT logs after") == [b"OK"]


def test_a_fence_of_a_segment_that_is_only_heard_of_shuts_nothing_out() -> None:
    """Found by the simulator: seed 3033 of three nodes that lose their majority."""
    files = directory(notes=(Fenced("logs", 3, 2), Fenced("ghost", 1, 4)))
    carried_out(files)
    world = started(files)
    assert world.ask(b"PUT logs after") == [b"OK"]
    assert (world.ask(b"REGISTER ghost"), world.ask(b"PUT ghost boo")) == ([b"OK"], [b"OK"])
    assert world.ask(b"FETCH ghost 2 0") == [b"OK 1 boo"]


def test_a_topic_that_was_deleted_stays_deleted() -> None:
    files = directory(commands.RemoveTopic("logs", 1))
    carried_out(files)
    world = started(files)
    assert world.ask(b"FETCH logs 1 0") == [b"ERR unknown topic logs"]
    assert FIRST not in world.files


def test_who_speaks_for_the_former_cluster_is_told_that_it_has_gone_on_and_is_not_heard() -> None:
    files = directory()
    carried_out(files)
    world = started(files)
    term = world.node.raft.term
    world.hear(RequestVote(50, 90, 40, pre=False, transfer=False), 2, storage=9, cluster=CLUSTER)
    assert (2, Removed(2, 9, CLUSTER)) in world.sent()
    world.hear(RequestVote(50, 90, 40, pre=False, transfer=False), 4, storage=4, cluster=CLUSTER)  # unknown to this log
    assert (4, Removed(4, 4, CLUSTER)) in world.sent()
    assert world.node.raft.term == term


def test_an_old_member_stops_once_it_has_known_no_leader_for_a_while_and_a_majority_never() -> None:
    old = World(NODE)
    old.files = directory()
    old.start().sleep(1 * SECOND)
    news = Removed(NODE, STORAGE, CLUSTER)
    old.hear(news, 2, storage=9, cluster=5)
    assert old.stopped is None, "others may be about to elect a leader"
    old.sleep(10 * SECOND)
    old.hear(news, 2, storage=9, cluster=5)
    assert old.stopped is not None
    assert "was removed from the cluster, which has gone on without it" in old.stopped.reason

    alone = World(NODE).start().sleep(20 * SECOND)
    alone.hear(Removed(NODE, alone.storage, alone.cluster), 2, cluster=5)
    assert alone.stopped is None
    assert [level for level, text in alone.logged() if "there are two clusters now" in text] == ["error"]


def test_it_is_refused_where_the_directory_is_no_members() -> None:
    with pytest.raises(RecoveryError, match="never belonged to a cluster"):
        recovered({})
    files = directory()
    with pytest.raises(RecoveryError, match="belongs to node 1, not to node 2"):
        recovered(files, 2)
    with pytest.raises(RecoveryError, match="is no member of its cluster"):
        recovered(directory(members=THREE.without(1)))
