"""Reads the complete copies on this disk again and again, at a bounded rate, and finds what has rotted.

Nobody may ask for a sealed segment for years; when its copies are needed, too many could be damaged. A round looks at
every copy that is noted as complete, one after the other; an unsound one is filled again from its peers.
"""

from collections import deque
from typing import Final

from walrus.core.actions import Read
from walrus.core.config import SECOND, NodeConfig
from walrus.core.outbox import Outbox
from walrus.core.segment.replica import READY, UNREAD, Key, Replica
from walrus.core.segment.scan import SOUND, Scan, Verdict
from walrus.core.segment.store import ReplicaStore
from walrus.core.storage.appender import Tokens

FIRST_ROUND_NS: Final = 60 * SECOND  # after a start there are more urgent things to read
READ_BYTES_LEAST: Final = 4096  # what a read costs however little it brings


class Scrub:
    """Invariant: one read is in flight at most (``_token``), of the copy that ``_copy`` names."""

    def __init__(self, out: Outbox, config: NodeConfig, tokens: Tokens, store: ReplicaStore, now_ns: int) -> None:
        self._out = out
        self._config = config
        self._tokens = tokens
        self._store = store
        self._round: deque[Key] = deque()
        self._copy: tuple[Replica, Scan] | None = None
        self._token = 0
        self._budget_bytes = 0
        self._paid_ns = now_ns
        self._next_round_ns = now_ns + min(config.scrub_interval_ns, FIRST_ROUND_NS)

    def tick(self, now_ns: int) -> None:
        """Spend what the rate allows since the last time; begin a round when it is time."""
        rate = self._config.scrub_bytes_per_s
        if not rate:
            return
        earned = rate * (now_ns - self._paid_ns) // SECOND
        if earned:
            self._paid_ns = now_ns
            self._budget_bytes = min(self._budget_bytes + earned, rate)
        if now_ns >= self._next_round_ns and not self._round and self._copy is None:
            self._next_round_ns = now_ns + self._config.scrub_interval_ns
            self._round.extend(key for key, replica in self._store.replicas.items() if replica.complete)
        self._go_on()

    def _go_on(self) -> None:
        while not self._token and self._budget_bytes > 0 and (self._copy is not None or self._begin_next()):
            assert self._copy is not None
            replica, scan = self._copy
            if not self._is_candidate(replica):
                self._copy = None
                continue
            self._token = self._tokens.take()
            offset, length = scan.next_read()
            self._out.add(Read(replica.path, offset, length, self._token))

    def _begin_next(self) -> bool:
        while self._round:
            replica = self._store.replicas.get(self._round.popleft())
            if replica is not None and self._is_candidate(replica):
                opener = self._store.opener
                size_bytes = opener.file_bytes(replica)
                self._copy = replica, Scan(size_bytes, opener.header(replica.key), held=True)
                return True
        return False

    def _is_candidate(self, replica: Replica) -> bool:
        """It is still noted as complete, is not empty, and nobody is about to change it."""
        segment = self._store.segment(replica.key)
        usable = replica.complete and replica.state in (READY, UNREAD)
        return usable and self._store.replicas.get(replica.key) is replica and segment is not None and segment.count > 0

    def read_completed(self, token: int, data: bytes) -> bool:
        """Take what was read; False if the token is not ours. Raises RecoveryError for a file of a newer format."""
        if token != self._token:
            return False
        self._token = 0
        self._budget_bytes -= max(len(data), READ_BYTES_LEAST)
        assert self._copy is not None
        replica, scan = self._copy
        if self._is_candidate(replica):
            verdict = scan.feed(data)
            if verdict is not None:
                self._copy = None
                self._judge(replica, verdict)
        self._go_on()
        return True

    def read_failed(self, token: int, error: str) -> bool:
        if token != self._token:
            return False
        self._token = 0
        self._budget_bytes -= READ_BYTES_LEAST
        assert self._copy is not None
        replica, self._copy = self._copy[0], None
        if self._is_candidate(replica):
            self._is_unsound(replica, error)
        return True

    def _judge(self, replica: Replica, verdict: Verdict) -> None:
        segment = self._store.segment(replica.key)
        assert segment is not None
        if verdict.state != SOUND:
            self._is_unsound(replica, verdict.reason)
        elif verdict.index.length != segment.count:
            self._is_unsound(replica, f"{verdict.index.length} of {segment.count} records")

    def _is_unsound(self, replica: Replica, why: str) -> None:
        self._out.log("error", f"{replica.path}: looked through, and found unsound: {why}")
        if replica.state == UNREAD:
            self._store.open(replica)  # finds the same, and has it repaired
        else:
            self._store.damaged(replica)
