"""Replays the fuzz corpus, and a short run of mutations from a fixed seed."""

import random
from pathlib import Path
from typing import get_args

import pytest

from fuzz.run import mutate, seeds_of
from fuzz.samples import CORPUS, MESSAGES, samples
from fuzz.targets import TARGETS
from walrus.core.codec import AnyMessage

FILES = sorted(path for path in CORPUS.glob("*/*"))
SAMPLES = samples()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORPUS)))
def test_a_corpus_file_harms_no_reader(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_holds_what_the_encoders_write_today(target: str) -> None:
    """A format that changes must do so on purpose: ``python -m fuzz.samples`` writes the corpus anew."""
    for name, data in SAMPLES[target].items():
        assert (CORPUS / target / name).read_bytes() == data, name


def test_the_corpus_has_a_sample_of_every_peer_message() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(AnyMessage))


@pytest.mark.parametrize("target", TARGETS)
def test_a_thousand_mutations_harm_no_reader(target: str) -> None:
    rng = random.Random(target)
    inputs = seeds_of(target)
    for _ in range(1_000):
        TARGETS[target](mutate(rng, rng.choice(inputs), rng.choice(inputs)))
