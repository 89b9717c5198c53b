"""Opens copies left by an earlier process lifetime: scans the file, cuts a torn tail, then hands the copy over."""

from walrus.core.actions import Read, Rename, Truncate, Write
from walrus.core.outbox import Outbox
from walrus.core.segment.replica import LOST, READING, READY, UNREAD, Key, Replica
from walrus.core.segment.scan import LOST as LOST_VERDICT
from walrus.core.segment.scan import SOUND, Scan, Verdict
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import BlockIndex, SegmentHeader


class Opener:
    """``opened`` collects copies that became usable (or are known to be lost); the store drains it."""

    def __init__(self, out: Outbox, tokens: Tokens, files: dict[str, int]) -> None:
        self._out = out
        self._tokens = tokens
        self._files = files
        self._scans: dict[int, tuple[Replica, Scan]] = {}
        self._cuts: dict[int, Replica] = {}
        self._renames: dict[int, Replica] = {}
        self.opened: list[Replica] = []

    def header(self, key: Key) -> SegmentHeader:
        return SegmentHeader(self._out.node_id, self._out.storage_id, self._out.cluster, *key)

    def open(self, replica: Replica) -> bool:
        """True if the copy's state is known already; otherwise a scan is under way."""
        if replica.state == UNREAD:
            if replica.path in self._files:
                replica.state = READING
                self._read_on(replica, self._scan(replica))
            elif replica.held:
                self._out.log(
                    "error",
                    f"{replica.path}: noted in the catalogue, but missing; its copy counts in no quorum",
                )
                replica.state = LOST
            else:
                replica.opened(BlockIndex(), self._tokens)
        return replica.state != READING

    def _scan(self, replica: Replica) -> Scan:
        held = replica.held and (not replica.doubtful or replica.marked > 0)
        header, marked = self.header(replica.key), replica.marked
        return Scan(self._files[replica.path], header, held=held, marked=marked, holes=replica.doubtful)

    def cut(self, replica: Replica, length: int) -> None:
        """Drop records from ``length`` on, and preallocated space; the copy is READING until that is durable."""
        replica.state = READING
        token = self._tokens.take()
        self._cuts[token] = replica
        self._out.add(Truncate(replica.path, replica.cut(length), token))

    def install(self, replica: Replica) -> None:
        """Let the new file take the place of the damaged one; the copy is READING until that is durable."""
        replica.state = READING
        token = self._tokens.take()
        self._renames[token] = replica
        self._out.add(Rename(replica.path, replica.home_path, token))

    def has_file(self, replica: Replica) -> bool:
        """A file is there from an earlier lifetime, or was made in this one."""
        return replica.home_path in self._files or bool(replica.index.length)

    def file_bytes(self, replica: Replica) -> int:
        """How long the file of a complete copy is; of one that was not read yet, at most."""
        return self._files.get(replica.path, 0) if replica.state == UNREAD else replica.index.end_position

    def forget_file(self, replica: Replica) -> None:
        self._files.pop(replica.home_path, None)

    def read_completed(self, token: int, data: bytes) -> bool:
        """Take the bytes of a scan; False if the token is not one of ours."""
        found = self._scans.pop(token, None)
        if found is None:
            return False
        replica, scan = found
        verdict = scan.feed(data)
        if verdict is None:
            self._read_on(replica, scan)
        else:
            self._judged(replica, verdict)
        return True

    def read_failed(self, token: int, error: str) -> bool:
        found = self._scans.pop(token, None)
        if found is None:
            return False
        self._judged(found[0], Verdict(LOST_VERDICT, BlockIndex(), error))
        return True

    def write_completed(self, token: int) -> bool:
        replica = self._cuts.pop(token, None)
        if replica is None:
            replica = self._renames.pop(token, None)
            if replica is None:
                return False
            replica.refilled()
        replica.state = READY
        self.opened.append(replica)
        return True

    def _read_on(self, replica: Replica, scan: Scan) -> None:
        token = self._tokens.take()
        self._scans[token] = (replica, scan)
        offset, length = scan.next_read()
        self._out.add(Read(replica.path, offset, length, token))

    def _sync(self, replica: Replica) -> None:
        """What was found beyond the mark may be in the memory of the operating system only, where the process that
        wrote it was killed before its sync: it counts once that is made up for.
        """
        replica.state = READING
        token = self._tokens.take()
        self._cuts[token] = replica
        self._out.add(Write(replica.path, replica.index.end_position, b"", token))

    def _judged(self, replica: Replica, verdict: Verdict) -> None:
        if verdict.state == LOST_VERDICT:
            self._out.log("error", f"{replica.path}: {verdict.reason}; its copy counts in no quorum until repaired")
            replica.lost(verdict.index)
            self.opened.append(replica)
            return
        replica.opened(verdict.index, self._tokens)
        if verdict.state == SOUND and (replica.deferred or replica.length <= replica.marked):
            self.opened.append(replica)
        elif verdict.state == SOUND:
            self._sync(replica)
        else:
            self._out.log("warn", f"{replica.path}: {verdict.reason}; cut")
            self.cut(replica, replica.length)
