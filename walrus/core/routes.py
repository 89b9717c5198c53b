"""Which part of a node takes which peer message."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from walrus.core import peer
from walrus.core.peer import Envelope
from walrus.core.segment import messages as sm

if TYPE_CHECKING:
    from walrus.core.running import Running

Route = Callable[[Envelope, Any, int], None]
"""(who sent it, the message, now in ns)."""


def _raft_message(node: "Running", e: Envelope, m: peer.RaftMessage, now: int) -> None:
    raft = node.raft
    raft.step(e.sender, m, now)
    if type(m) is peer.Heartbeat and m.term == raft.term and e.sender == raft.leader:
        node.liveness.told(m.live, now)
        node.joining.heard_leader(now)


def _join_reply(node: "Running", e: Envelope, m: peer.JoinReply, now: int) -> None:
    node.founding.answered(e.sender, m)
    node.group.adopt(node.joining.answered(m, now))


def _fence(node: "Running", e: Envelope, m: sm.Fence) -> None:
    node.store.fence(e.sender, m)
    node.writers.fenced((m.topic, m.segment), m.epoch)


def _farewell(node: "Running", e: Envelope, m: peer.Farewell, now: int) -> None:
    if not m.answer:
        node.writers.said_farewell(e.sender, now)
    node.farewells.heard(e.sender, m)


def _blocks_read(node: "Running", m: sm.ReadBlocksReply, now: int) -> None:
    if not node.fetcher.answered(m, now) and not node.repairs.answered(m, now):
        node.writers.blocks_read(m, now)


def routes(node: "Running") -> dict[type, Route]:
    """The table of a node: each kind of message has one route."""
    table: dict[type, Route] = {
        peer.JoinRequest: lambda e, m, now: node.joining.requested(m, now),
        peer.JoinReply: lambda e, m, now: _join_reply(node, e, m, now),
        peer.Removed: lambda e, m, now: node.group.told_removed(m, now),
        peer.Propose: lambda e, m, now: node.proposals.requested(e.sender, m, now),
        peer.ProposeReply: lambda e, m, now: node.proposals.answered(m),
        peer.ReadIndex: lambda e, m, now: node.reads.requested(e.sender, m, now),
        peer.ReadIndexReply: lambda e, m, now: node.reads.answered(m),
        peer.Ping: lambda e, m, now: node.reachability.pinged(e.sender, m),
        peer.Farewell: lambda e, m, now: _farewell(node, e, m, now),
        sm.Append: lambda e, m, now: node.store.append(e.sender, m),
        sm.AppendAck: lambda e, m, now: node.writers.acknowledged((e.sender, e.sender_storage), m, now),
        sm.Fence: lambda e, m, now: _fence(node, e, m),
        sm.FenceReply: lambda e, m, now: node.recoveries.answered((e.sender, e.sender_storage), m, now),
        sm.Repair: lambda e, m, now: node.repairs.ordered(e.sender, m, now),
        sm.Hold: lambda e, m, now: node.repairs.hold(e.sender, m, now),
        sm.Holding: lambda e, m, now: node.upkeep.answered((e.sender, e.sender_storage), m, now),
        sm.ReadBlocks: lambda e, m, now: node.reader.serve(e.sender, m, now),
        sm.ReadBlocksReply: lambda e, m, now: _blocks_read(node, m, now),
        sm.ForwardPuts: lambda e, m, now: node.puts.forwarded(e.sender, m, now),
        sm.PutsDone: lambda e, m, now: node.puts.answered(m, now),
        sm.ForwardGet: lambda e, m, now: node.gets.forwarded(e.sender, m, now),
        sm.GetDone: lambda e, m, now: node.gets.answered(e.sender, m, now),
        sm.GetDelivered: lambda e, m, now: node.cursors.delivered(m.topic, m.segment, m.offset, delivered=m.delivered),
    }
    table.update(dict.fromkeys(peer.RAFT_MESSAGES, lambda e, m, now: _raft_message(node, e, m, now)))
    return table
