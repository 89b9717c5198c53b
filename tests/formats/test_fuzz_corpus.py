"""Replays the fuzz corpus, and a short run of mutations from a fixed seed; the fuzzer finds what it should."""

from pathlib import Path
from typing import get_args

import pytest

from fuzz.mutators import resealed
from fuzz.run import Fuzzing, inputs_of, main, run, shrunk, tell
from fuzz.samples import CORPUS, MESSAGES, catalogue_file, journal_file, samples, segment_file
from fuzz.targets import TARGETS
from walrus.core.codec import AnyMessage
from walrus.core.storage.blocks import FILE_HEADER_BYTES, decode_header, split_blocks

FILES = sorted(path for path in CORPUS.glob("*/*"))
SAMPLES = samples()
SLOW = {"node_clients": 60, "node_messages": 200}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORPUS)))
def test_a_corpus_file_harms_no_reader(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_holds_what_the_encoders_write_today(target: str) -> None:
    """A format that changes must do so on purpose: ``python -m fuzz.samples`` writes the corpus anew."""
    for name, data in SAMPLES[target].items():
        assert (CORPUS / target / name).read_bytes() == data, name


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert set(SAMPLES) == set(TARGETS) == {path.name for path in CORPUS.iterdir()}


def test_the_corpus_has_a_sample_of_every_peer_message() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(AnyMessage))


@pytest.mark.parametrize("target", TARGETS)
def test_a_thousand_mutations_harm_no_reader(target: str) -> None:
    fuzzing = Fuzzing(target, 1, inputs_of(target), TARGETS[target])
    for _ in range(SLOW.get(target, 1_000)):
        fuzzing.step()
    assert fuzzing.failure is None, fuzzing.failure.report
    assert len(fuzzing.outcomes) > 2


def test_the_same_seed_gives_a_target_the_same_inputs_and_another_seed_others() -> None:
    seen = []
    for seed in (1, 1, 2):
        inputs: list[bytes] = []
        fuzzing = Fuzzing("journal", seed, inputs_of("journal"), lambda data, inputs=inputs: inputs.append(data) or "")  # type: ignore[misc]
        for _ in range(50):
            fuzzing.step()
        seen.append(inputs)
    assert seen[0] == seen[1] != seen[2]


def test_checksums_made_right_again_let_damage_through() -> None:
    damaged = segment_file().replace(b"ccc", b"CCC").replace(b"logs", b"LOGS")
    assert decode_header(damaged) is None
    assert split_blocks(damaged[FILE_HEADER_BYTES:]) is None
    sound = resealed(damaged)
    header, blocks = decode_header(sound), split_blocks(sound[FILE_HEADER_BYTES:])
    assert header is not None
    assert header.topic == "LOGS"
    assert blocks is not None
    assert len(blocks) == 3
    for whole in (segment_file(), journal_file(), catalogue_file()):
        assert resealed(whole) == whole


def fragile(data: bytes) -> str:
    """A reader that cannot stand a word."""
    assert b"WREC\xff" not in data
    return ""


def test_a_failing_input_is_cut_down_and_put_into_the_corpus_with_the_way_to_repeat_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzzings = run(["journal"], 1, 20, {"journal": fragile})
    assert tell(fuzzings, tmp_path) == 1
    (kept,) = tmp_path.glob("journal/failure-*")
    assert kept.read_bytes() == b"WREC\xff"
    said = capsys.readouterr().out
    assert f"repeat with: python -m fuzz.run --repeat {kept}" in said
    assert "AssertionError" in said


def test_cutting_down_keeps_what_makes_an_input_fail() -> None:
    assert shrunk(b"one two three", lambda data: b"t" in data and data.endswith(b"e")) == b"te"


def test_a_run_in_which_nothing_failed_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seconds", "0.05", "--target", "journal", "--seed", "7"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("seed 7\njournal ")
    assert said.endswith("inputs, none failed\n")


def test_the_targets_are_listed_and_a_corpus_file_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TARGETS)
    assert main(["--repeat", str(CORPUS / "journal" / "journal-torn")]) == 0
    assert capsys.readouterr().out == "2 entries, incarnation 1, dirty True\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--target", "nothing"], "invalid choice: 'nothing' (choose from"),
        (["--seconds", "0"], "argument --seconds: 0 is no number of seconds above 0"),
        (["--seconds", "soon"], "argument --seconds: invalid"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--repeat", "elsewhere/file"], "its folder is not named after a target"),
        (["--repeat", str(CORPUS / "journal" / "missing")], "there is no file"),
    ],
)
def test_wrong_usage_gets_a_plain_sentence(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err
