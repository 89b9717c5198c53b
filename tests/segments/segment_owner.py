"""A node that writes logs:1 and owns its cursor; the test plays its copies, its disk and its clients."""

from segment_fixtures import TOPIC, Wire, block, leading_raft, metadata_with, pending, raft_of, settings, writer_of

from walrus.core.cursors import Cursors
from walrus.core.fetcher import Fetcher
from walrus.core.lease import Lease
from walrus.core.liveness import Liveness
from walrus.core.metadata.commands import CommitCursors, decode
from walrus.core.peer import Propose
from walrus.core.proposals import Proposals
from walrus.core.requests import Pending
from walrus.core.segment.messages import READ_END, READ_OK, ReadBlocks, ReadBlocksReply


class Owner:
    """``records`` are those acknowledged so far. Reads wait until ``serve``."""

    def __init__(self, *records: bytes, lease: bool = True) -> None:
        self.records = list(records)
        self.wire = Wire(1)
        self.metadata = metadata_with(1, 2, 3)
        self.config = settings(1)
        self.raft = leading_raft(1, (1,))
        self.lease = Lease(self.config, self.raft if lease else raft_of(1, (1, 2, 3)))
        self.liveness = Liveness(0)
        self.fetcher = Fetcher(self.wire.out, self.config, self.metadata, self.liveness)
        self.proposals = Proposals(self.wire.out, self.raft)
        self.cursors = Cursors(
            self.config, writer_of(1), self.metadata, self.lease, self.fetcher, self.proposals
        )  # fmt: skip
        self.cursors.own(TOPIC, 1)

    def get(self, rid: int, *, node: int = 2, segment: int = 1, now_ns: int = 0, deadline_ns: int = 1 << 60) -> Pending:
        """A GET that ``node`` forwarded under ``rid``."""
        asked = pending(b"", deadline_ns, node=node, rid=rid)
        self.cursors.get(asked, segment, now_ns)
        return asked

    def reads(self) -> list[ReadBlocks]:
        """The reads asked of this node's own copy since the last call."""
        found = []
        for to, message in self.wire.sent():
            assert to == 1
            assert isinstance(message, ReadBlocks)
            found.append(message)
        return found

    def answer(self, read: ReadBlocks, now_ns: int = 0) -> None:
        """The copy answers with all records from the offset on, or the end."""
        rest = self.records[read.offset :]
        data = block(read.offset, *rest) if rest else b""
        assert self.fetcher.answered(ReadBlocksReply(read.rid, READ_OK if rest else READ_END, data), now_ns)
        for done in self.fetcher.drain():
            self.cursors.fetched(done, now_ns)

    def serve(self, now_ns: int = 0) -> None:
        """The copy answers all reads."""
        while reads := self.reads():
            for read in reads:
                self.answer(read, now_ns)

    def results(self) -> list[tuple[int, int, int, bytes]]:
        """(rid, status, offset, payload) of what was decided since the last call."""
        found = [(asked.rid, status, offset, payload) for asked, status, offset, payload, _ in self.cursors.results]
        self.cursors.results.clear()
        return found

    def commits(self) -> list[tuple[int, CommitCursors]]:
        """(rid, command) of the cursor commits sent since the last call."""
        self.proposals.flush(0)
        found = []
        for _, message in self.wire.sent():
            assert isinstance(message, Propose)
            command = decode(message.command)
            assert isinstance(command, CommitCursors)
            found.append((message.rid, command))
        return found
