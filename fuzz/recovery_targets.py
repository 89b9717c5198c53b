"""The paths of recovery, from one file to a whole data directory: see :mod:`fuzz.targets`.

Recovery either refuses a file in a sentence that names it, or keeps a sound beginning of it; what it keeps reads the
same, and clean, the next time.
"""

import re
from typing import Final

import msgspec

from fuzz.alone import Alone
from fuzz.samples import HEADER, NODE, STARTUP_PATHS, STORAGE, record_file, unpacked
from walrus.core import events as ev
from walrus.core.actions import Log, Read, Send, Truncate, Write
from walrus.core.codec import encode_message
from walrus.core.metadata import snapshot as state_snapshot
from walrus.core.metadata.commands import decode as decode_command
from walrus.core.metadata.state import Metadata
from walrus.core.outbox import Outbox
from walrus.core.peer import DECODE_ERRORS, ENTRY_CONFIG, ENTRY_NORMAL, Entry, Envelope
from walrus.core.raft.log import RaftLog
from walrus.core.raft.membership import Membership
from walrus.core.segment.messages import Fence
from walrus.core.segment.opener import Opener
from walrus.core.segment.replica import LOST as LOST_COPY
from walrus.core.segment.replica import READY, UNREAD, Replica, segment_path
from walrus.core.segment.scan import LOST, SOUND, Scan, Verdict
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import FILE_HEADER_BYTES, split_blocks
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_PATH, recover_catalogue
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_PATH, JournalState, recover_journal
from walrus.core.storage.recordlog import RecoveryError, recover
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH, decode_file, encode_file

READ_BYTES: Final = 100  # one small read, so that reads end inside headers and blocks
KEY: Final = (HEADER.topic, HEADER.segment)


def refused(error: RecoveryError, path: str) -> str:
    """The kind of a refusal, which must name the file."""
    text = str(error)
    assert path in text
    return kind_of(text)


def kind_of(text: str) -> str:
    """A sentence without what differs from case to case."""
    return "".join(letter for letter in re.split(r"[('`]| holds | with ", text)[0] if not letter.isdigit())[:80]


def recordlog(data: bytes) -> str:
    """Once the torn tail is cut, the records read the same and are clean."""
    try:
        found = recover("a file", JOURNAL_MAGIC, data)
    except RecoveryError as error:
        return refused(error, "a file")
    if found is None:
        return "never durable"
    assert found.end <= len(data)
    again = recover("a file", JOURNAL_MAGIC, data[: found.end])
    assert again == msgspec.structs.replace(found, dirty_tail=False)
    return f"{min(len(found.payloads), 3)} records, dirty {found.dirty_tail}"


def journal(data: bytes) -> str:
    """Once the torn tail is cut, the journal reads the same and is clean."""
    try:
        found = recover_journal(data)
    except RecoveryError as error:
        return refused(error, JOURNAL_PATH)
    if found is None:
        return "never durable"
    assert found.end <= len(data)
    assert recover_journal(data[: found.end]) == msgspec.structs.replace(found, dirty_tail=False)
    return f"{min(len(found.entries), 3)} entries, incarnation {min(found.incarnation, 3)}, dirty {found.dirty_tail}"


def journal_record(data: bytes) -> str:
    """The payload of a record whose checksum is right may still be anything."""
    return journal(record_file(JOURNAL_MAGIC, [data])[0])


def snapshot(data: bytes) -> str:
    """A snapshot reads the same again, and the state made of it, from nothing or from itself, gives it back."""
    try:
        found = state_snapshot.decode(data)
    except state_snapshot.SnapshotError as error:
        return kind_of(str(error))
    assert state_snapshot.decode(state_snapshot.encode(found)) == found
    metadata = Metadata()
    for _ in range(2):
        state_snapshot.restore(metadata, found)
        again = state_snapshot.take(metadata, found.cluster, found.index, found.term, found.membership)
        assert again == found
    return f"{min(len(found.nodes), 3)} nodes, {min(len(found.topics), 3)} topics"


def snapshot_file(data: bytes) -> str:
    """A snapshot's file is sound, with whatever was preallocated behind it, or it is refused."""
    try:
        found = decode_file(data)
    except RecoveryError as error:
        return refused(error, SNAPSHOT_PATH)
    assert decode_file(encode_file(found.node, found.storage, found.data)) == found
    return snapshot(found.data)


def catalogue(data: bytes) -> str:
    """Once the torn tail is cut, the catalogue reads the same and is clean."""
    try:
        found = recover_catalogue(data, NODE, STORAGE)
    except RecoveryError as error:
        return refused(error, CATALOGUE_PATH)
    if found is None:
        return "never durable"
    assert found.end <= len(data)
    again = recover_catalogue(data[: found.end], NODE, STORAGE)
    assert again == msgspec.structs.replace(found, dirty_tail=False)
    return f"{min(len(found.copies), 3)} copies, dirty {found.dirty_tail}"


def catalogue_record(data: bytes) -> str:
    """The payload of a record whose checksum is right may still be anything."""
    return catalogue(record_file(CATALOGUE_MAGIC, [data])[0])


def segment_scan(data: bytes) -> str:
    """The verdict depends on the bytes, not on how they are read; what it keeps is whole and scans as sound."""
    verdicts = []
    for held in (False, True):
        try:
            verdict = scan(data, held=held)
        except RecoveryError as error:
            verdicts.append(refused(error, segment_path(KEY)))
            continue
        verdicts.append(f"{verdict.state} {kind_of(verdict.reason)}")
        in_pieces = scan(data, held=held, read_bytes=READ_BYTES)
        assert (verdict.state, verdict.index.length) == (in_pieces.state, in_pieces.index.length)
        if not verdict.index.length:
            continue
        end = verdict.index.end_position
        blocks = split_blocks(data[FILE_HEADER_BYTES:end])
        assert blocks is not None
        assert [block.base for block in blocks] == list(verdict.index.bases)
        again = scan(data[:end], held=held)
        assert (again.state, again.index.length) == (SOUND, verdict.index.length)
        if verdict.state != LOST:  # whatever the end looks like, it is no torn one once more is noted
            assert scan(data, held=held, marked=again.index.length).state == verdict.state
            assert scan(data, held=held, marked=again.index.length + 1).state == LOST
    return ", ".join(verdicts)


def scan(data: bytes, *, held: bool, marked: int = 0, read_bytes: int = 1 << 30) -> Verdict:
    """Scan a file as if each read returned at most ``read_bytes``."""
    reader = Scan(len(data), HEADER, held=held, marked=marked)
    while True:
        offset, length = reader.next_read()
        verdict = reader.feed(data[offset : offset + min(length, read_bytes)])
        if verdict is not None:
            return verdict


def opening(data: bytes) -> str:
    """The first byte says whether the copy was noted. It is usable, or known to be lost, or refused; a usable one opens
    sound the next time, at the same length."""
    held, file = bool(data[:1] and data[0] % 2), data[1:]
    try:
        state, length, kept = opened(file, held=held)
    except RecoveryError as error:
        return refused(error, segment_path(KEY))
    if state == LOST_COPY:
        assert kept == file
        return "lost"
    assert state == READY
    # A file of which nothing is left is as good as none, and was never noted before its first batch was durable.
    assert opened(kept, held=held and length > 0) == (READY, length, kept)
    return f"ready with {min(length, 4)} records, {'as it was' if kept == file else 'cut'}"


def opened(file: bytes, *, held: bool) -> tuple[int, int, bytes]:
    """The state and length of a copy once it is open, and what is left of its file."""
    out = Outbox(NODE)
    out.storage_id, out.cluster = STORAGE, HEADER.cluster
    replica = Replica(KEY, UNREAD)
    replica.held = held
    opener = Opener(out, Tokens(), {replica.path: len(file)})
    opener.open(replica)
    while actions := [action for action in out.drain() if not isinstance(action, Log)]:
        (action,) = actions
        assert not opener.open(replica)
        if isinstance(action, Read):
            assert opener.read_completed(action.token, file[action.offset : action.offset + action.length])
        else:
            if isinstance(action, Truncate):
                file = file[: action.size]
            else:
                assert isinstance(action, Write)
                assert not action.data, "a sync of what may be in memory only"
            assert opener.write_completed(action.token)
    return replica.state, replica.length, file


def startup(data: bytes) -> str:
    """A node begins to run on any files, or stops in a sentence that names one of them; begun, it tells its copies."""
    files = unpacked(data)
    if not _entries_can_be_used(files):
        return "entries that no node wrote"
    alone = Alone(files)
    if alone.stopped is not None:
        assert alone.stopped.exit_code == 1
        assert any(path in alone.stopped.reason for path in (*STARTUP_PATHS, "--join"))
        return kind_of(alone.stopped.reason)
    running = alone.node.running
    assert running is not None
    envelope = Envelope(alone.node.out.cluster, 2, 9, NODE, running.me[1])
    alone.turn(ev.MessageReceived(encode_message(envelope, Fence(*KEY, 1 << 40))))
    if alone.stopped is not None:  # it has met a copy of another version
        assert segment_path(KEY) in alone.stopped.reason
        return kind_of(alone.stopped.reason)
    answers = [action for action in alone.done if isinstance(action, Send) and action.to == 2]
    replica = alone.node.replicas.get(KEY)
    return f"runs, {len(answers)} answers, copy {replica.state if replica else 'none'}"


def _entries_can_be_used(files: dict[str, bytes]) -> bool:
    """Whether the journal's entries are a log with readable contents, or the journal cannot be read at all."""
    try:
        state = recover_journal(files.get(JOURNAL_PATH, b""))
    except RecoveryError:
        return True
    return state is None or _is_log(state)


def _is_log(state: JournalState) -> bool:
    try:
        RaftLog(state.entries, state.base.index, state.base.term)
        for entry in state.entries:
            _read(entry)
    except (*DECODE_ERRORS, ValueError):
        return False
    return True


def _read(entry: Entry) -> None:
    if entry.kind == ENTRY_CONFIG:
        Membership.decode(entry.data)
    elif entry.kind == ENTRY_NORMAL:
        decode_command(entry.data)


ALL: Final = (
    *(recordlog, journal, journal_record, snapshot, snapshot_file, catalogue, catalogue_record),
    *(segment_scan, opening, startup),
)
