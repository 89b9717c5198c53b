"""A segment's writer on node 1 whose copies are played by the test."""

from segment_fixtures import TOPIC, Wire, member, members, pending, writer_of

from walrus.core.metadata.state import Segment
from walrus.core.segment.messages import ACCEPTED, Append, AppendAck
from walrus.core.segment.writer import Limits, SegmentWriter
from walrus.core.storage.blocks import payloads_of, split_blocks

PLENTY = Limits(1_000_000, 1 << 30)


def records(data: bytes) -> list[bytes]:
    """The payloads of whole blocks."""
    blocks = split_blocks(data)
    assert blocks is not None
    return [payload for found in blocks for payload in payloads_of(data, found)]


class Writing:
    """``sent`` shows what each node was sent as (node, base, payloads)."""

    def __init__(self, *nodes: int, limits: Limits = PLENTY) -> None:
        self.wire = Wire(1)
        self.segment = Segment(1, writer_of(1), members(*(nodes or (1, 2, 3))), 0)
        self.writer = SegmentWriter(self.wire.out, TOPIC, self.segment, limits)

    def put(self, *payloads: bytes, now_ns: int = 0, lease: bool = True) -> None:
        """Take PUTs, then flush once."""
        for payload in payloads:
            self.writer.put(pending(payload))
        self.writer.flush(now_ns, 5, lease=lease)

    def appends(self) -> list[tuple[int, Append]]:
        """The batches and probes sent since the last call."""
        found = []
        for to, message in self.wire.sent():
            assert isinstance(message, Append)
            found.append((to, message))
        return found

    def sent(self) -> list[tuple[int, int, list[bytes]]]:
        """(node, base, payloads) of what was sent since the last call."""
        return [(to, message.base, records(message.data)) for to, message in self.appends()]

    def ack(
        self, node: int, length: int, status: int = ACCEPTED, *, epoch: int = 0, fence: int = 0, now_ns: int = 0
    ) -> None:
        """A copy answers."""
        message = AppendAck(TOPIC, 1, epoch, status, length, fence, self.writer.version + 1)
        self.writer.acknowledged(member(node), message, now_ns)

    def results(self) -> list[tuple[int, list[bytes]]]:
        """(status, payloads) of what was answered since the last call."""
        found = [(status, [p.payload for p in waited]) for status, waited in self.writer.results]
        self.writer.results.clear()
        return found
