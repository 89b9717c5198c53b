"""``backup restore``: write what a backup holds into a cluster whose topics of these names have no records.

Records are PUT again, in order, so a cluster of any size with any limits takes them; their segments are its own. The
cursor is moved by GETs, at a moment when nothing lies behind it: the records before it are written, then taken until
there is none, then the others are written.

A topic may also hold the beginning of the backup: then an earlier restore was interrupted, and this one goes on. It
reads what is there and compares it byte by byte, which is the only proof that needs no notes. After a PUT whose outcome
is unknown it does the same.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from walrus.cli.backup.errors import BackupError
from walrus.cli.backup.flow import read_ahead
from walrus.cli.backup.format import Manifest, TopicRow
from walrus.cli.backup.places import Place
from walrus.cli.backup.progress import Progress
from walrus.cli.backup.source import Source, may_pass
from walrus.cli.backup.verify import decode_row, refuse_damaged
from walrus.cli.probe import wait_until
from walrus.client import NotConnected, OutcomeUnknown, PutManyFailed, ServerError, WalrusClient, WalrusError, calls
from walrus.client.calls import Call

PATIENCE_S = 60.0  # without progress
SETTLE_S = 10.0  # twice as long as a node holds on to a PUT by default (WALRUS_RPC_TIMEOUT_MS)
_PAUSE_S: Final = 0.2
_GETS: Final = 256


def restore(client: WalrusClient, place: Place, manifest: Manifest, topics: Collection[str]) -> list[TopicRow]:
    """Write these topics of a backup, or all, into a cluster; returns them.

    Raises BackupError before anything is written where one of them cannot be, or WalrusError.
    """
    source = Source(client)
    source.cluster()
    rows = [topic for topic in manifest.topics if not topics or topic.name in topics]
    if unknown := sorted(set(topics) - {row.name for row in rows}):
        raise BackupError(f"backup {manifest.id} has no topic {', '.join(unknown)}")
    refuse_damaged(place, manifest, rows)
    progress = Progress("restoring", sum(row.count for row in rows))
    existing = set(source.topics())
    writers = [_Topic(client, source, place, manifest, row, progress) for row in rows]
    for writer in writers:
        if writer.name in existing:
            writer.compare()
    for writer in writers:
        writer.write()
    return rows


class _Topic:
    """One topic on its way back. ``_there`` records of it are known to be in the cluster."""

    def __init__(
        self, client: WalrusClient, source: Source, place: Place, manifest: Manifest, row: TopicRow, progress: Progress
    ) -> None:
        self.name = row.name
        self._client = client
        self._source = source
        self._place = place
        self._manifest = manifest
        self._row = row
        self._progress = progress
        self._there = 0

    # --- before anything is written ---

    def compare(self) -> None:
        """Refuse the topic unless it is empty, or holds the beginning of this backup and nothing else."""
        if self._source.state(self.name).get("earliest_offset", 0):
            raise self._refusal("retention has removed records of it")
        there = self._source.view(self.name).count
        if there > self._row.count:
            raise self._refusal(f"it has {there} records, the backup {self._row.count}")
        at = 0
        for payloads in self._backed_up(0) if there else ():
            self._compare(at, payloads[: there - at])
            at += len(payloads[: there - at])
            if at == there:
                break
        # A restore goes on behind the cursor only once it is committed.
        cursor, wanted = self._source.cursor(self.name), self._row.cursor
        if cursor > wanted or (there > wanted and cursor < wanted):
            raise self._refusal(f"its cursor is at record {cursor}, that of the backup at {wanted}")
        self._there = there
        self._progress.add(self.name, there, 0)

    def _compare(self, first: int, expected: Sequence[bytes]) -> None:
        at = first
        segment = self._source.state(self.name).get("earliest_segment", 1)
        for payloads in self._source.read(self.name, segment, first, first + len(expected)):
            for payload in payloads:
                if payload != expected[at - first]:
                    raise self._refusal(f"its record {at} is not that of the backup")
                at += 1

    def _refusal(self, why: str) -> BackupError:
        return BackupError(
            f"topic {self.name} exists and is no interrupted restore of backup {self._manifest.id}: {why}; "
            "restore into a cluster where it has no records"
        )

    # --- writing ---

    def write(self) -> None:
        """Bring the topic to what the backup holds. Raises BackupError where it does not become exactly that."""
        self._source.ask(calls.register(self.name))
        if self._there <= self._row.cursor:
            self._move_cursor(self._there)
        at = self._there
        for payloads in self._backed_up(at):
            before = payloads[: max(0, self._row.cursor - at)]
            for part in (before, payloads[len(before) :]):
                if part:
                    self._put_all(part)
                    at += len(part)
                    if at <= self._row.cursor:
                        self._move_cursor(at)
                    self._progress.add(self.name, len(part), sum(map(len, part)))
        self._check()
        if self._row.settings:
            self._set()

    def _backed_up(self, first: int) -> Iterator[list[bytes]]:
        """The records of the backup from ``first`` on, object by object. Raises Damaged, which names an object."""
        wanted, behind = [], 0
        for segment in self._row.segments:
            for row in segment.objects:
                if behind + row.count > first:
                    key = self._manifest.key(self._row, segment, row)
                    wanted.append((key.name, (key, row, max(0, first - behind))))
                behind += row.count
        for (key, row, skipped), reading in read_ahead(self._place, wanted):
            yield decode_row(key, row, reading.result())[skipped:]

    def _put_all(self, payloads: Sequence[bytes]) -> None:
        """Append these records, each once and in order, whatever becomes of nodes on the way."""
        left = payloads
        failures: list[WalrusError] = []

        def is_amiss() -> str:
            nonlocal left
            there = self._there
            try:
                self._there += self._client.put_many(self.name, left)
            except (PutManyFailed, NotConnected) as error:
                if isinstance(error, PutManyFailed):
                    self._settle(error, left)
                left = left[self._there - there :]
                if not _is_passing(error):
                    raise
                failures.append(error)
                return str(error)
            left = []
            return ""

        while left:
            there = self._there
            if wait_until(is_amiss, PATIENCE_S, _PAUSE_S) and self._there == there:
                raise failures[-1]

    def _settle(self, error: PutManyFailed, sent: Sequence[bytes]) -> None:
        """Find out how much of ``sent`` is there. BackupError where that is not its beginning."""
        if error.unknown:
            self._wait_for_quiet()
        end = self._source.view(self.name).count
        found = end - self._there
        if not error.acknowledged <= found <= error.unsent_from:
            raise self._inexact(f"it has {end} records after {self._there + error.acknowledged} were acknowledged")
        try:
            self._compare(self._there, sent[:found])
        except BackupError:
            raise self._inexact("records are missing before others") from None
        self._there = end

    def _wait_for_quiet(self) -> None:
        """A PUT without a reply may still be on its way inside the cluster: wait until none comes any more."""
        counts = [self._source.view(self.name).count]

        def is_amiss() -> str:
            counts.append(self._source.view(self.name).count)
            return "quiet" if counts[-1] == counts[-2] else ""

        while not wait_until(is_amiss, SETTLE_S, _PAUSE_S):
            pass

    def _inexact(self, why: str) -> BackupError:
        return BackupError(
            f"topic {self.name} can no longer be restored exactly, for the cluster failed under it: {why}; "
            "restore into a cluster where it has no records"
        )

    def _move_cursor(self, upto: int) -> None:
        """Take all that is there, ``upto`` records in all, and wait until the cluster has committed that."""
        failures: list[WalrusError] = []

        def is_amiss() -> str:
            try:
                self._drain()
            except (NotConnected, OutcomeUnknown, ServerError) as error:
                if not may_pass(error) and not isinstance(error, OutcomeUnknown):
                    raise
                failures.append(error)
                return str(error)
            return ""

        if wait_until(is_amiss, PATIENCE_S, _PAUSE_S):
            raise failures[-1]
        if upto == self._row.cursor:
            amiss = wait_until(lambda: self._cursor_amiss(upto), PATIENCE_S, _PAUSE_S / 4)
            if amiss:
                raise BackupError(amiss)

    def _drain(self) -> None:
        """GET until there is nothing. A GET too many does no harm."""
        while True:
            for reply in self._client.call_many([calls.get(self.name)] * _GETS):
                if calls.payload_of(reply) is None:
                    return

    def _cursor_amiss(self, wanted: int) -> str:
        cursor = self._source.cursor(self.name)
        return "" if cursor == wanted else f"the cursor of {self.name} is at record {cursor} instead of {wanted}"

    def _check(self) -> None:
        count = self._source.view(self.name).count
        if count != self._row.count:
            raise self._inexact(f"it has {count} records instead of {self._row.count}")
        if amiss := self._cursor_amiss(self._row.cursor):
            raise BackupError(f"{amiss}: somebody reads from it; restore while nobody does")

    def _set(self) -> None:
        """The settings, last: nothing shall expire while it is restored."""
        words = "".join(f" {name}={value}" for name, value in sorted(self._row.settings.items()))
        try:
            self._source.ask(Call(f"SET {self.name}{words}".encode()))
        except ServerError as error:
            raise BackupError(
                f"topic {self.name} has its records, but this cluster does not take its settings{words}: {error}"
            ) from None


def _is_passing(error: PutManyFailed | NotConnected) -> bool:
    """Whether sending the rest again may help."""
    if isinstance(error, NotConnected):
        return may_pass(error)
    return all(may_pass(ServerError(text)) for text in error.refused.values())
