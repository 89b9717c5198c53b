"""A node serves an open segment only under a lease (design 4, rule 6, and 5).

An answer to another node with records of a segment that is not SEALED as far as the node knows, or that says where it
ends, and what a GET is handed, must lie in a lease: in one that the node believed in at some time since the question
came. (That it was right to believe in it is watched in :mod:`walrus.sim.checkers.lease_holding`.)
"""

from walrus.core.metadata.commands import SEALED
from walrus.core.peer import Message
from walrus.core.segment.messages import (
    DONE,
    EMPTY,
    READ_CLIENT,
    READ_END,
    READ_OK,
    ForwardGet,
    GetDone,
    ReadBlocks,
    ReadBlocksReply,
)
from walrus.sim import probe
from walrus.sim.checkers.lease_holding import LeaseHolding
from walrus.sim.checkers.opened import body
from walrus.sim.cluster import Cluster
from walrus.sim.host import Host
from walrus.sim.world import MS, Violation

_KEPT = 4000


class LeaseReads:
    """Remembers when questions came."""

    def __init__(self, cluster: Cluster, holding: LeaseHolding) -> None:
        self._cluster = cluster
        self._holding = holding
        self._asked: dict[
            tuple[int, int, int], tuple[int, int, Message]
        ] = {}  # node, asker, number -> life, when, what
        network = cluster.network
        network.when_received("ReadBlocks", self._is_asked)
        network.when_received("ForwardGet", self._is_asked)
        network.when_sent("ReadBlocksReply", self._answers)
        network.when_sent("GetDone", self._answers)

    def _is_asked(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, ReadBlocks | ForwardGet)
        host = self._cluster.host(to)
        asked = self._asked
        if asked.get((to, sender, message.rid), (0,))[0] != host.life:  # a repeated question is the first one
            asked[to, sender, message.rid] = (host.life, host.now_ns(), message)
        if len(asked) > _KEPT:
            del asked[next(iter(asked))]

    def _answers(self, sender: int, to: int, data: bytes) -> None:
        message = body(data)
        assert isinstance(message, ReadBlocksReply | GetDone)
        if message.status not in ((READ_OK, READ_END) if isinstance(message, ReadBlocksReply) else (DONE, EMPTY)):
            return
        host = self._cluster.host(sender)
        found = self._asked.get((sender, to, message.rid))
        if found is None or found[0] != host.life:
            return
        _, asked_ns, question = found
        if isinstance(question, ReadBlocks) and (question.mode != READ_CLIENT or _is_sealed(host, question)):
            return
        until_ns = max(self._holding.latest_ns(host), probe.lease_until(host))
        if until_ns <= asked_ns:
            assert isinstance(question, ReadBlocks | ForwardGet)
            raise Violation(
                f"leases: node {sender} shows node {to} what {question.topic}:{question.segment} holds, and its lease "
                f"ended {(asked_ns - until_ns) // MS} ms before it was asked"
            )


def _is_sealed(host: Host, question: ReadBlocks) -> bool:
    state = probe.metadata(host)
    topic = state.topics.get(question.topic) if state is not None else None
    segment = topic.segment(question.segment) if topic is not None else None
    return segment is None or segment.state == SEALED
