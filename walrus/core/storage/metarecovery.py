"""What a node's journal and its snapshot file say together, after whatever crash.

A snapshot becomes durable before the journal is cut behind it, and the journal says up to where (its *base*):

====================  ==================  ======================================================================
snapshot              journal's base      what the node starts from
====================  ==================  ======================================================================
missing, damaged      0                   the journal, which is complete (of damage the log tells)
missing, damaged      above 0             nothing: stop
sound, at an index
- below the base      above 0             nothing: stop, an older file was put there
- that the journal    any, not above it   the snapshot, and the journal's entries, those before it for slow followers
  holds, same term
- beyond the journal  any, not above it   the snapshot alone: it came from a leader, and the crash from the rewriting of
  or of another term                      the journal, which is done now
- of a cluster that     any               the snapshot alone: it is what an unsafe recovery made of the two
  went on from the
  journal's
====================  ==================  ======================================================================
"""

import msgspec

from walrus.core.peer import Entry
from walrus.core.raft.output import HardState
from walrus.core.storage.journal import JOURNAL_PATH, Base, JournalState
from walrus.core.storage.recordlog import RecoveryError
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH, SnapshotFile

REMEDY = "restore it, or move the data directory away and let this node join anew"


class LogStart(msgspec.Struct, frozen=True):
    """What Raft starts from. ``stale_journal``: what the journal holds is not the log, so it is to be written anew."""

    hard_state: HardState
    base: Base
    entries: list[Entry]
    snapshot: SnapshotFile | None
    stale_journal: bool


def start_of_log(journal: JournalState, snapshot: SnapshotFile | None, damage: str) -> LogStart:
    """Decide by the table above. ``damage``: why the snapshot file holds none. Raises RecoveryError."""
    base, entries = journal.base, journal.entries
    if snapshot is None:
        if base.index:
            what = damage or f"{SNAPSHOT_PATH} is missing"
            raise RecoveryError(f"{what}; {JOURNAL_PATH} begins only behind entry {base.index}: {REMEDY}")
        return LogStart(journal.hard_state, base, entries, None, False)
    _check_owner(journal, snapshot)
    content = snapshot.snapshot
    if content.index < base.index:
        raise RecoveryError(
            f"{SNAPSHOT_PATH} ends with entry {content.index}, but {JOURNAL_PATH} begins only behind entry "
            f"{base.index}: {REMEDY}"
        )
    went_on = journal.cluster in content.former_clusters
    hard = journal.hard_state
    if content.term > hard.term:  # the snapshot was durable before the term in which it came: no vote was given in it
        hard = HardState(content.term, 0)
    if content.index == base.index:
        term: int | None = base.term
    else:
        place = content.index - base.index - 1
        term = entries[place].term if place < len(entries) else None
    if went_on or term != content.term:
        return LogStart(hard, Base(content.index, content.term), [], snapshot, True)
    return LogStart(hard, base, entries, snapshot, False)


def _check_owner(journal: JournalState, snapshot: SnapshotFile) -> None:
    if (snapshot.node, snapshot.storage) != (journal.node, journal.storage):
        raise RecoveryError(
            f"{SNAPSHOT_PATH}: belongs to node {snapshot.node} with storage id {snapshot.storage:016x}, not to node "
            f"{journal.node} with {journal.storage:016x}; do not mix data directories"
        )
    # A joiner's first snapshot may be durable before its journal says which cluster it came from.
    if journal.cluster not in (0, snapshot.snapshot.cluster, *snapshot.snapshot.former_clusters):
        raise RecoveryError(
            f"{SNAPSHOT_PATH}: belongs to cluster {snapshot.snapshot.cluster:016x}, {JOURNAL_PATH} to "
            f"{journal.cluster:016x}; do not mix data directories"
        )
