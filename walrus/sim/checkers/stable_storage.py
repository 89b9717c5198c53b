"""What a node's disk would tell of Raft if the power failed at this instant: its term, its vote, its log.

Read from the bytes that are durable now, not from what the process believes. A journal only grows, so a look costs
what was appended since the last one; a journal that was begun anew is read from its start.
"""

from walrus.core.raft.output import HardState
from walrus.core.storage.journal import JOURNAL_PATH, Base, Hard, Logged, decode_record, recover_journal
from walrus.core.storage.metarecovery import LogStart, start_of_log
from walrus.core.storage.recordlog import HEADER_BYTES, RECORD_HEADER_BYTES, RecoveryError, record_at
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH, Damaged, decode_file
from walrus.sim import probe
from walrus.sim.host import Host

Member = tuple[int, int]


class Journal:
    """The journal of one disk as of the last look. ``terms``: of the entries behind ``base``, in order.

    ``held``: (index, term) of every entry that was durable there at some time, those replaced since included; of what a
    snapshot stands for, its last one.
    """

    def __init__(self, content: bytearray, held: set[tuple[int, int]]) -> None:
        self.content = content
        self.hard = HardState()
        self.base = Base(0, 0)
        self.terms: list[int] = []
        self.held = held  # membership only
        self._position = HEADER_BYTES

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        return self.base.index + len(self.terms)

    def read_on(self) -> None:
        """Take what was appended since."""
        content, position = self.content, self._position
        while (found := record_at(content, position)) is not None:  # type: ignore[arg-type]
            start = position + RECORD_HEADER_BYTES
            position = start + found[0]
            record = decode_record(memoryview(content)[start:position])
            if isinstance(record, Logged):
                entry = record.entry
                del self.terms[entry.index - self.base.index - 1 :]
                self.terms.append(entry.term)
                self.held.add((entry.index, entry.term))
            elif isinstance(record, Hard):
                self.hard = HardState(record.term, record.vote)
            elif isinstance(record, Base):
                self.base = record
                self.held.add((record.index, record.term))
        self._position = position


class StableStorage:
    """``held``: what each member (node, storage id) ever held durably, see :class:`Journal`."""

    def __init__(self) -> None:
        self.held: dict[Member, set[tuple[int, int]]] = {}
        self.reach: dict[Member, int] = {}  # up to which index at most
        self._journals: dict[int, tuple[int, Journal]] = {}  # node -> life, journal

    def ever_held(self, host: Host, storage: int, index: int, term: int) -> bool:
        """Whether a member has ever had an entry on its disk; looks at the disk if that is not known."""
        member = (host.node_id, storage)
        held = self.held.get(member)
        if held is not None and (index, term) in held:
            return True
        if probe.storage(host) != storage or self.journal(host, storage) is None:
            return False
        return (index, term) in self.held[member]

    def journal(self, host: Host, storage: int) -> Journal | None:
        """The journal on a host's disk, which has this storage id; None where there is none."""
        content = host.disk.files.get(JOURNAL_PATH)
        if content is None or len(content) < HEADER_BYTES:
            return None
        life, journal = self._journals.get(host.node_id, (0, None))
        if journal is None or life != host.life or journal.content is not content:
            journal = Journal(content, self.held.setdefault((host.node_id, storage), set()))
            self._journals[host.node_id] = (host.life, journal)
        journal.read_on()
        member = (host.node_id, storage)
        if journal.last_index > self.reach.get(member, 0):
            self.reach[member] = journal.last_index
        return journal


def recovered(host: Host) -> LogStart | None:
    """What a process would start from that began now, as recovery decides; None where it could not start, or has
    nothing.
    """
    files = host.disk.files
    snapshot, damage = None, ""
    try:
        journal = recover_journal(bytes(files.get(JOURNAL_PATH, b"")))
        if journal is None:
            return None
        if SNAPSHOT_PATH in files:
            try:
                snapshot = decode_file(bytes(files[SNAPSHOT_PATH]))
            except Damaged as error:
                damage = str(error)
        return start_of_log(journal, snapshot, damage)
    except RecoveryError:
        return None
