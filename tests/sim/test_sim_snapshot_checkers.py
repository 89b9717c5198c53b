"""What checkers make of snapshots and of cut logs: each is fed what breaks its property, and what does not."""

import zlib
from types import SimpleNamespace

import msgspec
import pytest

from walrus.core.metadata import snapshot as body
from walrus.core.metadata.commands import CreateTopic, RegisterNode, decode, encode
from walrus.core.metadata.state import Metadata
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL, Entry
from walrus.core.raft.log import RaftLog
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import Role
from walrus.core.raft.snapshot import RaftSnapshot
from walrus.sim.checkers.raft_logs import RaftLogs
from walrus.sim.world import Violation

MEMBERS = Membership((MemberInfo(1, 11, "node1:6001", voter=True),))
ENTRIES = (
    Entry(1, 1, ENTRY_CONFIG, MEMBERS.encode()),
    Entry(2, 1, ENTRY_NORMAL, encode(RegisterNode(1, 11, 1, "node1:6001", "node1:9091"))),
    Entry(3, 1, ENTRY_NORMAL, encode(CreateTopic("logs", (1, 11, 1), ((1, 11),)))),
    Entry(4, 2, ENTRY_NORMAL, encode(CreateTopic("more", (1, 11, 1), ((1, 11),)))),
    Entry(5, 2, ENTRY_NORMAL, encode(CreateTopic("last", (1, 11, 1), ((1, 11),)))),
)


def state_at(index: int) -> Metadata:
    """What the first entries come to."""
    metadata = Metadata()
    for entry in ENTRIES[:index]:
        if entry.kind == ENTRY_NORMAL:
            metadata.apply(decode(entry.data))
    return metadata


def taken(index: int, *, of: int = 0, members: Membership = MEMBERS, term: int = 0) -> RaftSnapshot:
    """A snapshot that says it is of ``index``, with the state after entry ``of`` (default: the same)."""
    term = term or ENTRIES[index - 1].term
    data = body.encode(body.take(state_at(of or index), 77, index, term, members))
    return RaftSnapshot(index, term, members, data, zlib.crc32(data))


class Node:
    """A node with a log that begins behind ``base``, everything durable."""

    def __init__(
        self, number: int, last: int, commit: int, *, base: int = 0, snapshot: RaftSnapshot | None = None,
        term: int = 2, leads: bool = False,
    ) -> None:  # fmt: skip
        log = RaftLog(list(ENTRIES[base:last]), base, ENTRIES[base - 1].term if base else 0)
        role = Role.LEADER if leads else Role.FOLLOWER
        self.raft = SimpleNamespace(
            term=term, log=log, commit_index=commit, applied_index=commit, persisted_index=last, role=role,
            snapshot=snapshot,
        )  # fmt: skip
        self.notes: list[str] = []
        self.host = SimpleNamespace(
            node_id=number, life=1, node=SimpleNamespace(raft=self.raft, metadata=state_at(commit)),
            note=lambda text, label: self.notes.append(label),
        )  # fmt: skip

    def becomes(self, other: "Node") -> None:
        """The same process, a turn later."""
        vars(self.raft).update(vars(other.raft))
        self.host.node.metadata = other.host.node.metadata


def checker(*nodes: Node) -> RaftLogs:
    """A checker that has looked at these nodes."""
    found = RaftLogs()
    for node in nodes:
        found.after_turn(node.host)
    return found


def test_a_snapshot_of_what_the_committed_entries_give_is_in_order_and_told_of() -> None:
    node = Node(1, 5, 5)
    watching = checker(node)
    node.becomes(Node(1, 5, 5, base=2, snapshot=taken(4)))
    watching.after_turn(node.host)
    follower = Node(2, 1, 1)
    watching.after_turn(follower.host)
    follower.becomes(Node(2, 4, 4, base=4, snapshot=taken(4)))
    watching.after_turn(follower.host)
    late = Node(3, 5, 2, base=2, snapshot=taken(2))
    watching.after_turn(late.host)
    assert node.notes == ["log truncated", "snapshot written"]
    assert follower.notes == ["log truncated", "snapshot installed"]
    assert late.notes == ["started from a snapshot"]


@pytest.mark.parametrize(
    "wrong",
    [
        taken(4, of=3),
        taken(4, of=5),
        taken(4, members=Membership((*MEMBERS.members, MemberInfo(2, 12, "node2:6001", voter=False)))),
        taken(4, term=1),
    ],
    ids=["an entry less", "an entry more", "other members", "another term"],
)
def test_a_snapshot_of_anything_else_is_a_violation(wrong: RaftSnapshot) -> None:
    watching = checker(Node(1, 5, 5))
    with pytest.raises(Violation, match="snapshots: that of node 2 up to entry 4 is not what the committed entries"):
        watching.after_turn(Node(2, 5, 5, snapshot=wrong).host)


def test_a_snapshot_of_what_was_never_committed_is_a_violation() -> None:
    watching = checker(Node(1, 5, 3))
    with pytest.raises(Violation, match="was never committed"):
        watching.after_turn(Node(2, 5, 3, snapshot=taken(4)).host)
    follower = Node(3, 1, 1)
    watching.after_turn(follower.host)
    follower.becomes(Node(3, 4, 4, base=4, snapshot=taken(4)))
    with pytest.raises(Violation, match="in place of the entries up to 4 of term 2, which were not committed"):
        watching.after_turn(follower.host)


def test_a_node_that_has_not_become_what_its_snapshot_says_is_a_violation() -> None:
    watching = checker(Node(1, 5, 5))
    node = Node(2, 4, 4, base=4, snapshot=taken(4))
    node.host.node.metadata = state_at(3)
    with pytest.raises(Violation, match="node 2 is not in the state of its snapshot 4"):
        watching.after_turn(node.host)


def test_a_cut_log_still_has_to_be_the_one_that_was_committed() -> None:
    watching = checker(Node(1, 5, 5))
    other = Node(2, 4, 4, base=4, snapshot=taken(4))
    other.raft.log.begin_anew(4, 1)
    with pytest.raises(Violation, match="node 2 has a snapshot in place of the entries up to 4 of term 1"):
        watching.after_turn(other.host)


def test_entries_behind_the_cut_are_compared_as_ever() -> None:
    watching = checker(Node(1, 5, 5))
    other = Node(2, 5, 4, base=4, snapshot=taken(4))
    other.raft.log.truncate(5)
    other.raft.log.append(msgspec.structs.replace(ENTRIES[4], data=b"something else"))
    with pytest.raises(Violation, match="log matching: node 2 holds"):
        watching.after_turn(other.host)


def test_a_commit_index_that_falls_back_to_a_snapshot_within_a_life_is_a_violation() -> None:
    node = Node(1, 5, 5)
    watching = checker(node)
    node.becomes(Node(1, 5, 4, base=4, snapshot=taken(4)))
    with pytest.raises(Violation, match="commit index of node 1 went from 5 to 4"):
        watching.after_turn(node.host)


def test_a_leader_whose_snapshot_includes_what_was_committed_lacks_nothing_and_a_shorter_log_does() -> None:
    watching = checker(Node(1, 5, 4))
    watching.after_turn(Node(2, 5, 4, base=4, snapshot=taken(4), term=3, leads=True).host)
    with pytest.raises(Violation, match="leader completeness: node 3 leads in term 4 without entry 4"):
        watching.after_turn(Node(3, 3, 3, base=3, snapshot=taken(3), term=4, leads=True).host)
