"""What the command says of a file is what a node makes of it, whatever the file holds."""

import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from core_node import World
from hypothesis import given
from hypothesis import strategies as st
from inspect_samples import inspected, written

from fuzz.run import mutate
from fuzz.samples import (
    HEADER,
    NODE,
    STARTUP_RECORDS,
    catalogue_file,
    cut_journal_file,
    journal_payload,
    record_file,
    samples,
    segment_file,
    snapshot_file,
    unpacked,
)
from fuzz.targets import scan
from walrus.cli.inspection import catalogues, journals, segments, snapshots
from walrus.cli.inspection.datafile import DataFile
from walrus.cli.inspection.report import DAMAGED, NEWER, SOUND, TORN, Report, worst
from walrus.core.segment.scan import LOST
from walrus.core.segment.scan import SOUND as SCAN_SOUND
from walrus.core.segment.scan import TORN as SCAN_TORN
from walrus.core.storage.catalogue import CATALOGUE_MAGIC, CATALOGUE_VERSION, recover_catalogue
from walrus.core.storage.journal import JOURNAL_MAGIC, JOURNAL_PATH, recover_journal
from walrus.core.storage.recordlog import RecoveryError, recover
from walrus.core.storage.snapshotfile import Damaged, decode_file

SEEDS = st.integers(0, 2**32)
JOURNAL = record_file(JOURNAL_MAGIC, [journal_payload(record) for record in STARTUP_RECORDS])[0]


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    """A place for one file after the other."""
    with tempfile.TemporaryDirectory() as root:
        yield Path(root) / "file"


def damaged(seed: int, *whole: bytes) -> bytes:
    """One of the files, as it may have been damaged; sometimes twice."""
    rng = random.Random(seed)
    data = rng.choice(whole)
    for _ in range(rng.choice((0, 1, 1, 2))):
        data = mutate(rng, data, data)
    return data


def opened(path: Path, data: bytes) -> DataFile:
    path.write_bytes(data)
    return DataFile(path)


@given(SEEDS, st.booleans(), st.integers(0, 7))
def test_a_segment_is_judged_as_the_scan_of_a_start_judges_it(path: Path, seed: int, held: bool, marked: int) -> None:
    marked *= held
    data = damaged(seed, segment_file(), segment_file() + bytes(600))
    with opened(path, data) as file:
        report = segments.inspect(file, None, segments.Owner(HEADER, held, marked))
    try:
        verdict = scan(data, held=held, marked=marked)
    except RecoveryError:
        assert report.verdict == NEWER
        return
    expected = {SCAN_SOUND: SOUND, SCAN_TORN: TORN, LOST: DAMAGED}[verdict.state]
    if verdict.reason == "header never became durable" and report.verdict == DAMAGED:
        return  # a node that never noted the copy cuts what is there; a reader is told that there are sound blocks
    # No start looks at these two: at the lengths within a block, and at the cluster, which the storage id implies.
    beyond = ("do not add up", "belongs to cluster")
    told = [problem for problem in report.problems if not any(words in problem.text for words in beyond)]
    assert worst(problem.level for problem in told) == expected, (told, verdict.reason)
    if verdict.state != LOST and "blocks" in report.facts:
        assert report.facts["records"] == verdict.index.length
        assert report.facts["sound_bytes"] == verdict.index.end_position


def _agrees(report: Report, refusal: str, cut_at: int | None) -> None:
    """``refusal``: the node's word for why it does not start, or ""; ``cut_at``: where it cuts the file, if it does."""
    if refusal:
        assert report.verdict in (DAMAGED, NEWER), refusal
        assert ("run a newer version" in refusal) == (report.verdict == NEWER)
        told = re.search(r"(?:at|from) byte ([0-9]+)", refusal)
        if told is not None and "header" not in refusal:
            assert report.problems[0].position == int(told[1])
    elif cut_at is None:
        assert report.problems == []
    else:
        assert [(problem.level, problem.position) for problem in report.problems] == [(TORN, cut_at)]


@given(SEEDS)
def test_a_journal_is_judged_as_its_recovery_judges_it(path: Path, seed: int) -> None:
    data = damaged(seed, JOURNAL, cut_journal_file(), JOURNAL + bytes(50))
    with opened(path, data) as file:
        report = journals.inspect(file, None)
    if any("holds a " in problem.text for problem in report.problems):
        return  # what an entry means is looked at when it is applied, not when the file is read
    try:
        found = recover_journal(data)
    except RecoveryError as error:
        _agrees(report, str(error), None)
        return
    if found is None:
        assert report.verdict == TORN
        return
    _agrees(report, "", found.end if found.dirty_tail else None)
    assert report.facts["entries"] == len(found.entries)
    assert (report.facts["term"], report.facts["vote"]) == (found.hard_state.term, found.hard_state.vote or "none")
    assert report.facts["process_lifetimes"] == found.incarnation


@given(SEEDS)
def test_a_catalogue_is_judged_as_its_recovery_judges_it(path: Path, seed: int) -> None:
    data = damaged(seed, catalogue_file(), catalogue_file() + bytes(50))
    with opened(path, data) as file:
        report, copies = catalogues.inspect(file, None)
    try:
        sound = recover("f", CATALOGUE_MAGIC, data, CATALOGUE_VERSION)
        found = recover_catalogue(data, sound.node, sound.storage) if sound else None
    except RecoveryError as error:
        _agrees(report, str(error), None)
        return
    if found is None:
        assert report.verdict == TORN
        return
    _agrees(report, "", found.end if found.dirty_tail else None)
    assert {
        key: (c.held, c.version, c.fence_epoch, c.durable, c.complete is not None) for key, c in copies.items()
    } == {key: (c.held, c.version, c.fence_epoch, c.length, c.complete) for key, c in found.copies.items()}


@given(SEEDS)
def test_a_snapshot_is_judged_as_its_reader_judges_it(path: Path, seed: int) -> None:
    data = damaged(seed, snapshot_file("upto-7"), snapshot_file() + bytes(50))
    with opened(path, data) as file:
        report, snapshot = snapshots.inspect(file, None)
    try:
        found = decode_file(data)
    except Damaged as error:
        _agrees(report, str(error), None)
        return
    except RecoveryError:
        assert report.verdict == NEWER
        return
    assert (report.problems, snapshot) == ([], found.snapshot)


@pytest.mark.parametrize("name", samples()["startup"])
def test_no_directory_harms_the_command_and_its_verdict_is_that_of_a_start(name: str, tmp_path: Path) -> None:
    world = World(NODE)
    world.files = unpacked(samples()["startup"][name])
    said = inspected(written(tmp_path, world.files)).last
    refusals = [p["text"] for p in said["problems"] if "would not start" in p["text"]]
    world.start()
    if world.stopped is not None:
        assert refusals == [f"a node {NODE} would not start: {world.stopped.reason}"]
    else:
        assert refusals == []
        journal = recover_journal(world.files[JOURNAL_PATH])
        assert journal is not None
        assert said["facts"]["a_start_would_be"] == f"process lifetime {journal.incarnation} of node {NODE}"
