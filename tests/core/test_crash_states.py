"""Whatever a crash leaves of the writes in flight, at every moment of a session, recovers to what was promised.

A lone node founds a cluster, takes records in several segments, snapshots and cuts its journal. Before each completion
of the disk the process ends. Of the changes in flight (one per file) every subset has happened; of a write that has
not, any first bytes, or any of its sectors, may have. Each such state of the disk is recovered by the real code.
"""

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from core_node import World
from hypothesis import given, settings
from hypothesis import strategies as st

from walrus.core.actions import Action, Delete, Read, Rename, Truncate, Write
from walrus.core.config import MS
from walrus.core.outbox import Outbox
from walrus.core.peer import Entry
from walrus.core.segment.scan import LOST, Scan
from walrus.core.startup import Ready, Startup
from walrus.core.storage.appender import Tokens
from walrus.core.storage.blocks import SegmentHeader
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_NEW_PATH, JOURNAL_PATH
from walrus.core.storage.snapshotfile import SNAPSHOT_NEW_PATH
from walrus.sim.damage import is_segment, segment_of

PAGE = Path(__file__).resolve().parents[2] / "FORMATS.md"
SECTOR_BYTES = 512
TORN_MOST = 400  # first bytes of one write, spread over all of it where it has more
SECTORS_MOST = 4
NAMES = {
    "disk": "disk",
    "journal": JOURNAL_PATH,
    "new journal": JOURNAL_NEW_PATH,
    "new snapshot": SNAPSHOT_NEW_PATH,
    "catalogue": CATALOGUE_PATH,
    "segment": "segment",
}
Files = dict[str, bytes]


def apply(files: Files, action: Action, keep: "tuple[int, ...] | None" = None) -> Files:
    """The files after a change; ``keep``: only these bytes of a write have arrived."""
    files = dict(files)
    if isinstance(action, Delete):
        files.pop(action.path, None)
    elif isinstance(action, Rename):
        files[action.to] = files.pop(action.path)
    elif isinstance(action, Truncate):
        files[action.path] = files[action.path][: action.size]
    else:
        assert isinstance(action, Write)
        content = bytearray(files.get(action.path, b"").ljust(action.offset, b"\0"))
        kept = range(len(action.data)) if keep is None else keep
        content.extend(bytes(max(0, action.offset + max(kept, default=-1) + 1 - len(content))))
        for at in kept:
            content[action.offset + at] = action.data[at]
        files[action.path] = bytes(content)
    return files


def parts(action: Action) -> Iterator[tuple[int, ...]]:
    """What may have arrived of a write, but for nothing and everything."""
    size = len(action.data) if isinstance(action, Write) else 0
    if not isinstance(action, Write) or not size:
        return
    for length in range(0, size, -(-size // TORN_MOST)):
        yield tuple(range(length))
    first = action.offset // SECTOR_BYTES
    count = (action.offset + size - 1) // SECTOR_BYTES - first + 1
    if 1 < count <= SECTORS_MOST:
        for kept in itertools.product((False, True), repeat=count):
            yield tuple(at for at in range(size) if kept[(action.offset + at) // SECTOR_BYTES - first])


def crashes(files: Files, flying: list[Action]) -> Iterator[Files]:
    """Every state in which a crash may leave the disk."""
    for happened in itertools.product((False, True), repeat=len(flying)):
        left = files
        for action, has in zip(flying, happened, strict=True):
            left = apply(left, action) if has else left
        yield left
        for action, has in zip(flying, happened, strict=True):
            if not has:
                yield from (apply(left, action, keep) for keep in parts(action))


def recovered(files: Files) -> tuple[Ready, dict[str, int]]:
    """What a start makes of the disk: journal, snapshot and catalogue, and how many records each segment file has."""
    out = Outbox(1)
    startup = Startup(out, Tokens(), random.Random(7), {path: len(data) for path, data in sorted(files.items())})
    while startup.ready is None:
        (action,) = out.drain()
        if isinstance(action, Read):
            startup.read_completed(action.token, files[action.path])
        else:
            files = apply(files, action)
            startup.write_completed(getattr(action, "token", 0))
    ready = startup.ready
    lengths = {}
    for path in filter(is_segment, files):
        key = segment_of(path)
        copy = ready.copies.copies.get(key) if ready.copies else None
        cluster = ready.journal.cluster if ready.journal else 0
        held, marked = (copy.held, copy.length) if copy else (False, 0)
        header = SegmentHeader(1, ready.storage, cluster, *key)
        scan = Scan(len(files[path]), header, held=held, marked=marked)
        verdict = scan.feed(files[path])
        assert verdict is not None
        assert verdict.state != LOST, f"{path}: {verdict.reason}"
        lengths[path] = verdict.index.length
    return ready, lengths


def entries_of(ready: Ready) -> dict[int, Entry]:
    return {entry.index: entry for entry in ready.log.entries} if ready.log else {}


def reach(ready: Ready) -> int:
    """The last entry of Raft's log, in the journal or in the snapshot."""
    return ready.log.base.index + len(ready.log.entries) if ready.log else 0


def check(
    found: tuple[Ready, dict[str, int]], least: tuple[Ready, dict[str, int]], most: tuple[Ready, dict[str, int]]
) -> None:
    """What was durable is there; nothing is there but what was asked for."""
    (ready, lengths), (before, before_lengths), (after, after_lengths) = found, least, most
    assert reach(before) <= reach(ready) <= reach(after)
    known = entries_of(after) | entries_of(before)
    for index, entry in entries_of(ready).items():
        assert known[index] == entry
    if before.journal is not None:
        assert ready.journal is not None
        assert ready.log is not None
        assert after.log is not None
        assert before.log is not None
        assert ready.storage == before.storage
        assert ready.log.hard_state in (before.log.hard_state, after.log.hard_state)
        assert ready.incarnation in (before.incarnation, after.incarnation)
    for key, copy in (before.copies.copies if before.copies else {}).items():
        assert ready.copies is not None
        assert after.copies is not None
        assert (
            ready.copies.copies[key] in (copy, after.copies.copies[key]) or ready.copies.copies[key].held >= copy.held
        )
    for path, length in lengths.items():
        assert before_lengths.get(path, 0) <= length <= after_lengths.get(path, length)
    assert before_lengths.keys() <= lengths.keys()


class Recorded(World):
    """Notes, before each completion, what is durable and what is in flight."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self.moments: list[tuple[Files, list[Action]]] = []

    def step(self) -> bool:
        flying: dict[str, Action] = {}
        for action in self.disk:
            if not isinstance(action, Read):
                flying.setdefault(action.path, action)
        if flying:
            self.moments.append((dict(self.files), list(flying.values())))
        return super().step()


def session(records: int = 5, **sizes: object) -> list[tuple[Files, list[Action]]]:
    world = Recorded(**({"max_segment_entries": 3, "snapshot_entries": 4} | sizes))
    world.start().sleep(1_500 * MS)
    for number in range(records):
        world.ask(b"PUT logs record %d" % number, b"GET logs")
    world.crash().sleep(1_500 * MS)
    world.ask(b"PUT logs last")
    return world.moments


def tried(moments: list[tuple[Files, list[Action]]]) -> dict[str, int]:
    """Check every state of every moment; in how many each kind of file was, and ``disk``: all files together."""
    disks: set[int] = set()
    seen: dict[str, set[bytes]] = {}
    for files, flying in moments:
        whole = files
        for action in flying:
            whole = apply(whole, action)
        least, most = recovered(files), recovered(whole)
        for left in crashes(files, flying):
            state = hash(tuple(sorted(left.items())))
            if state not in disks:
                disks.add(state)
                check(recovered(left), least, most)
                for path, data in left.items():
                    seen.setdefault("segment" if is_segment(path) else path, set()).add(data)
    return {"disk": len(disks)} | {kind: len(states) for kind, states in seen.items()}


def test_every_state_that_a_crash_may_leave_recovers_to_what_was_promised() -> None:
    counts = tried(session())
    print(counts)
    told = " ".join(PAGE.read_text(encoding="utf-8").split())
    for name, path in NAMES.items():
        (least,) = re.findall(rf"(?<!new )\b{name} (\d+)", told.split("tried states:")[1].split(".")[0])
        assert counts[path] >= int(least) > 0, counts


@settings(max_examples=10, deadline=None)
@given(records=st.integers(1, 6), entries=st.integers(1, 5), snapshot=st.integers(3, 30))
def test_so_do_those_of_sessions_of_other_sizes(records: int, entries: int, snapshot: int) -> None:
    moments = session(records, max_segment_entries=entries, snapshot_entries=snapshot)
    assert tried(random.Random(records).sample(moments, min(len(moments), 8)))


def test_a_state_that_breaks_a_promise_is_found() -> None:
    """The check can fail: what was durable, and is gone."""
    files, _ = session()[-1]
    sound = recovered(files)
    for path in (JOURNAL_PATH, max(filter(is_segment, files))):
        shorter = dict(files) | {path: files[path][: len(files[path].rstrip(b"\0")) - 3]}
        with pytest.raises(AssertionError):
            check(recovered(shorter), sound, sound)
