"""Parts of a node, one at a time, under a test's full control: the test plays peers, disk, clock and committed log."""

import random
from collections.abc import Sequence

from walrus.core.actions import Action, Delete, Log, Read, Send, Truncate, Write
from walrus.core.codec import decode_message
from walrus.core.config import NodeConfig
from walrus.core.departures import Departures
from walrus.core.joining import Joining
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import AnyCommand, CreateTopic, RegisterNode, Seal, decode
from walrus.core.metadata.state import Metadata, Segment
from walrus.core.outbox import Outbox
from walrus.core.peer import ENTRY_CONFIG, ENTRY_NORMAL, AppendReply, Entry, Member, Message, VoteReply
from walrus.core.raft.membership import MemberInfo, Membership
from walrus.core.raft.output import HardState, Role
from walrus.core.raft.raft import Raft
from walrus.core.requests import Pending
from walrus.core.storage.blocks import encode_block

LATER = 1 << 60  # a deadline that no test reaches
TOPIC = "logs"
KEY = (TOPIC, 1)


def settings(node: int = 1, **changes: object) -> NodeConfig:
    """Default settings of ``node``."""
    return NodeConfig(node_id=node, advertise_address=f"node{node}:6001", **changes)  # type: ignore[arg-type]


def member(node: int) -> Member:
    """``node`` with the disk that it has in all tests."""
    return (node, 1000 + node)


def members(*nodes: int) -> tuple[Member, ...]:
    """Several members."""
    return tuple(member(node) for node in nodes)


def writer_of(node: int, incarnation: int = 1) -> tuple[int, int, int]:
    """A process lifetime of ``node``."""
    return (*member(node), incarnation)


def register(node: int, incarnation: int = 1) -> RegisterNode:
    """``node`` announces itself."""
    return RegisterNode(*writer_of(node, incarnation), f"node{node}:6001", f"node{node}:9091")


def metadata_with(*nodes: int, writer: int = 1, copies: Sequence[int] = (1, 2, 3)) -> Metadata:
    """Nodes that announced themselves, and the topic ``logs`` with its segment 1 open."""
    metadata = Metadata()
    for node in nodes:
        assert metadata.apply(register(node)) == ""
    assert metadata.apply(CreateTopic(TOPIC, writer_of(writer), members(*copies))) == ""
    metadata.drain()
    return metadata


def sealed(metadata: Metadata, count: int, *, writer: int = 1) -> Segment:
    """Seal the open segment of ``logs`` at ``count``; returns it."""
    last = metadata.topics[TOPIC].last
    command = Seal(
        TOPIC, last.number, last.state, last.epoch, count, last.members, writer_of(writer), last.members, None
    )  # fmt: skip
    assert metadata.apply(command) == ""
    metadata.drain()
    return last


def block(base: int, *payloads: bytes, epoch: int = 0) -> bytes:
    """A record batch whose first record has offset ``base``."""
    return encode_block(base, epoch, 0, 0, list(payloads))


def pending(payload: bytes = b"x", deadline_ns: int = LATER, *, node: int = 9, rid: int = 0) -> Pending:
    """A request on ``logs`` that node 9 forwarded."""
    return Pending(TOPIC, payload, deadline_ns, node=node, rid=rid)


class Wire:
    """A real outbox; what went into it, decoded and sorted. ``disk`` and ``lines`` grow as ``sent`` is called."""

    def __init__(self, node: int = 1) -> None:
        self.out = Outbox(node)
        self.out.begin_lifetime(member(node)[1], 1)
        self.out.cluster = 7
        self.disk: list[Write | Read | Truncate | Delete] = []
        self.lines: list[tuple[str, str]] = []
        self.others: list[Action] = []

    def sent(self) -> list[tuple[int, Message]]:
        """(to, message) since the last call: those to the node itself, then those to others, each in order."""
        found: list[tuple[int, Message]] = [(self.out.node_id, message) for message in self.out.local]
        self.out.local.clear()
        for action in self.out.drain():
            if isinstance(action, Send):
                decoded = decode_message(action.data)
                assert decoded is not None
                assert decoded[0].recipient == action.to
                found.append((action.to, decoded[1]))
            elif isinstance(action, Write | Read | Truncate | Delete):
                self.disk.append(action)
            elif isinstance(action, Log):
                self.lines.append((action.level, action.text))
            else:
                self.others.append(action)
        return found

    def replies(self) -> list[Message]:
        """The messages of ``sent``, whoever they went to."""
        return [message for _, message in self.sent()]

    def logged(self) -> list[tuple[str, str]]:
        """(level, text) of the log lines so far."""
        assert self.sent() == []
        return self.lines


def raft_of(node: int, voters: Sequence[int]) -> Raft:
    """A restarted voter in term 1 whose log holds nothing but the configuration. It follows nobody yet."""
    infos = tuple(MemberInfo(n, member(n)[1], f"node{n}:6001", True) for n in sorted(voters))
    entries = [Entry(1, 1, ENTRY_CONFIG, Membership(infos).encode())] if voters else []
    return Raft(
        node,
        member(node)[1],
        settings(node),
        random.Random(node),
        hard_state=HardState(1 if voters else 0, 0),
        entries=entries,
        now_ns=-(1 << 40),
    )


def joining_of(out: Outbox, config: NodeConfig, raft: Raft, metadata: Metadata | None = None) -> Joining:
    """Both sides of a join, with nothing else around but the metadata."""
    departures = Departures(out, config, metadata or Metadata(), raft, Liveness(0))
    return Joining(out, config, raft, 0, departures)


def leading_raft(node: int, voters: Sequence[int]) -> Raft:
    """The same node as leader of term 2, at time 0, all its log committed and applied."""
    raft = raft_of(node, voters)
    raft.stalled(-raft.deadline().at_ns)
    raft.tick(0)
    others = [n for n in voters if n != node]
    for pre in (True, False):
        for other in others:
            if raft.role is (Role.PRE_CANDIDATE if pre else Role.CANDIDATE):
                raft.step(other, VoteReply(2, True, pre), 0)
    assert raft.role is Role.LEADER
    commit_all(raft)
    return raft


def commit_all(raft: Raft) -> None:
    """All other voters, and the disk, take everything that the leader has."""
    raft.drain()
    raft.persisted(raft.log.last_index, raft.log.last_term)
    for other in raft.voters:
        if other != raft.node_id:
            raft.step(other, AppendReply(raft.term, True, raft.log.last_index, 0, 0, 0), 0)
    raft.drain()
    assert raft.commit_index == raft.applied_index == raft.log.last_index


def proposed(raft: Raft) -> list[AnyCommand]:
    """The commands in the leader's log, oldest first."""
    entries = raft.log.slice(1, raft.log.last_index)
    return [decode(entry.data) for entry in entries if entry.kind == ENTRY_NORMAL]
