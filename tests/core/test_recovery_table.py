"""The table "Recovery, in one table" of FORMATS.md, cell by cell, against a node that starts on such files."""

import re
import zlib
from pathlib import Path

import pytest
from core_node import World
from segment_copies import PATH, Copies
from segment_fixtures import KEY
from test_core_copies_under_doubt import Doubtful

from fuzz.samples import segment_file
from walrus.core.actions import Truncate
from walrus.core.config import MS
from walrus.core.segment.messages import ReadBlocks
from walrus.core.segment.replica import LOST, READY
from walrus.core.storage.catalogue import CATALOGUE_PATH
from walrus.core.storage.journal import JOURNAL_PATH, Hard, Logged, decode_record
from walrus.core.storage.recordlog import RECORD_HEADER_BYTES, RecoveryError
from walrus.core.storage.snapshotfile import SNAPSHOT_PATH
from walrus.sim.damage import is_segment, pieces_of

PAGE = (Path(__file__).resolve().parents[2] / "FORMATS.md").read_text(encoding="utf-8")
HEAD, _, *ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in re.findall(
        r"^\|.*$", PAGE.split("## Recovery, in one table\n")[1].split("\n## ")[0], flags=re.MULTILINE
    )
]
CELLS = [(row[0], role, action) for row in ROWS for role, action in zip(HEAD[1:], row[1:], strict=True)]
STATES = (
    *("missing", "empty", "intact", "torn tail", "corrupt tail that was synced", "corrupt middle", "zeroed page"),
    *("wrong file", "newer format", "wrong node"),
)
LONG_NS = 3_000 * MS
MARKED_NS = 250 * MS  # what was written before that is noted as durable


def damaged(path: str, data: bytes, state: str, part: int = 1) -> bytes | None:
    """``data`` in that state; None: no file. ``part``: which of its pieces is its middle."""
    header_bytes = 512 if is_segment(path) else 64
    if path == SNAPSHOT_PATH:
        pieces = [(64, 70), (len(data) // 2, len(data) // 2 + 8), (len(data) - 1, len(data))]
    else:
        pieces = pieces_of(path, data)
    assert len(pieces) >= part + 2, "there is a middle"
    data = data[: pieces[-1][1]]
    start, end = pieces[-1] if "tail" in state else pieces[part]
    changed = bytearray(data)
    if state == "missing":
        return None
    if state == "empty":
        return b""
    if state == "torn tail":
        return data[: end - 1]
    if state.startswith("corrupt"):
        changed[end - 1] ^= 0x20
    elif state == "zeroed page":
        changed[start:end] = bytes(end - start)
    elif state == "wrong file":
        return b"# Not a file of Walrus\n" * 90
    elif state in ("newer format", "wrong node"):
        changed[8 if state == "newer format" else 12] += 1
        crc = zlib.crc32(changed[: header_bytes - 4])
        changed[header_bytes - 4 : header_bytes] = crc.to_bytes(4, "little")
    else:
        assert state == "intact"
    return bytes(changed)


def used(snapshot_entries: int, *, marked: bool = True) -> World:
    """A lone node that was elected twice, took records, and ended without notice; ``marked``: some time after."""
    world = World(snapshot_entries=snapshot_entries).start().sleep(LONG_NS)
    world.crash().sleep(LONG_NS)
    for number in range(5):
        assert world.ask(b"PUT logs record %d" % number, b"REGISTER t%d" % number) == [b"OK", b"OK"]
    return world.sleep(MARKED_NS) if marked else world


def restarted(world: World, path: str, data: bytes | None) -> World:
    world.files = {name: held for name, held in world.files.items() if name != path}
    if data is not None:
        world.files[path] = data
    return world.crash().sleep(LONG_NS)


def outcome(world: World, path: str, state: str) -> str:
    """What a start made of the file."""
    if world.stopped is not None:
        assert path in world.stopped.reason
        if state in ("corrupt middle", "zeroed page"):
            assert re.search(r"byte \d", world.stopped.reason)
        return "stops"
    if any("not needed" in text for level, text in world.logged() if level == "error"):
        return "passed over"
    return "cut" if any(isinstance(action, Truncate) and action.path == path for action in world.done) else "goes on"


def meta(path: str, state: str, *, cut: bool = False) -> str:
    world = used(4 if cut else 10_000)
    if path == SNAPSHOT_PATH and not cut:  # a snapshot that the journal was not cut behind yet
        sound = used(4).files[SNAPSHOT_PATH] if state not in ("intact", "missing") else b""
        return outcome(restarted(world, path, damaged(path, sound, state) if sound else None), path, state)
    return outcome(restarted(world, path, damaged(path, world.files[path], state)), path, state)


def journal_ending_with(kind: type, state: str) -> str:
    """Of a journal whose last record is of that kind, and one before it too."""
    world = used(10_000)
    data = world.files[JOURNAL_PATH]
    pieces = pieces_of(JOURNAL_PATH, data)
    kinds = [decode_record(data[start + RECORD_HEADER_BYTES : end]) for start, end in pieces]
    places = [place for place, record in enumerate(kinds) if isinstance(record, kind)]
    assert len(places) >= 2
    data = damaged(JOURNAL_PATH, data[: pieces[places[-1]][1]], state, places[0])  # type: ignore[assignment]
    return outcome(restarted(world, JOURNAL_PATH, data), JOURNAL_PATH, state)


def own_segment(state: str) -> str:
    """The writer's own copy after its restart: judged like any other, and never written on."""
    world = used(10_000, marked=state != "torn tail")
    segment = world.node.metadata.topics["logs"].last.number
    path = f"user_data/logs:{segment}.wal"
    before = world.files[path]
    world = restarted(world, path, damaged(path, before, state))
    if world.stopped is not None:
        return outcome(world, path, state)
    assert world.node.running.writers.get(("logs", segment)) is None
    if world.node.replicas["logs", segment].state == LOST:
        assert world.files.get(path) == damaged(path, before, state), "left as it is"
        assert world.node.metadata.topics["logs"].last.number == segment, "nothing is made up"
        return "unknown"
    count = world.node.metadata.topics["logs"].segments[segment - 1].count
    assert count == 5 - (state != "intact")
    return "goes on" if count == 5 else "cut"


def restart_copies(copies: Copies, state: str) -> str:
    data = damaged(PATH, bytes(copies.files[PATH]), state)
    del copies.files[PATH]
    if data is not None:
        copies.files[PATH] = bytearray(data)
    copies.start()
    copies.store.open(copies.replica)
    try:
        copies.settle()
    except RecoveryError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert PATH in said
        return "stops"
    if copies.replica.state == LOST:
        return "unknown"
    assert copies.replica.state == READY
    return "goes on" if copies.replica.durable_length == 3 else "cut"


def replica_segment(state: str) -> str:
    copies = Copies(mark_interval_ns=1)
    copies.filled(b"a", b"b", b"c")
    if state != "torn tail":
        copies.mark()
    return restart_copies(copies, state)


def sealed_segment(state: str) -> str:
    """It is noted as complete; reading it shows what it is."""
    copies = Doubtful()
    copies.filled(b"a", b"b", b"c")
    copies.sealed_at(3)
    copies.settle()
    assert copies.replica.complete
    found = restart_copies(copies, state)
    if found in ("stops", "goes on"):
        assert copies.replica.complete
        return found
    copies.repairs.sealed(KEY, copies.first())  # as every start does with what the metadata say
    copies.settle()
    assert not copies.replica.complete
    if state in ("corrupt middle", "zeroed page"):
        assert copies.replica.durable_length == 1, "what lies before the damage is served"
    copies.repairs.tick(0)
    asked = [message for _, message in copies.said() if isinstance(message, ReadBlocks)]
    return "refilled" if asked else found


ROLES = {
    "Raft log": lambda state: journal_ending_with(Logged, state),
    "hard state": lambda state: journal_ending_with(Hard, state),
    "snapshot, journal cut": lambda state: meta(SNAPSHOT_PATH, state, cut=True),
    "snapshot, journal whole": lambda state: meta(SNAPSHOT_PATH, state),
    "catalogue": lambda state: meta(CATALOGUE_PATH, state),
    "open segment, own": own_segment,
    "open segment, another's": replica_segment,
    "sealed segment": sealed_segment,
}


def test_the_table_has_a_row_for_every_state_and_a_column_for_every_role() -> None:
    assert tuple(row[0] for row in ROWS) == STATES
    assert HEAD[1:] == list(ROLES)
    assert len(CELLS) == 80


@pytest.mark.parametrize(("state", "role", "action"), CELLS)
def test_a_start_does_what_the_cell_says(state: str, role: str, action: str) -> None:
    assert ROLES[role](state) == action


def test_the_sample_of_another_kind_is_one() -> None:
    """A file of ours in the place of another one is refused as any other wrong file is."""
    world = used(10_000)
    assert outcome(restarted(world, JOURNAL_PATH, segment_file()), JOURNAL_PATH, "wrong file") == "stops"
