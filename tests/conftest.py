"""Hypothesis's profiles, for all tests: how many examples, and whether the same ones every time.

``dev`` (the default) draws new examples on each run, ``ci`` (the default where CI is set) the same ones every time,
``nightly`` new ones for an hour. HYPOTHESIS_PROFILE names another than the default.
"""

import os

import pytest
from hypothesis import settings

EXAMPLES = {"dev": 100, "ci": 100, "nightly": 6_000}

settings.register_profile("dev", deadline=None, max_examples=EXAMPLES["dev"])
settings.register_profile("ci", deadline=None, max_examples=EXAMPLES["ci"], derandomize=True, database=None)
settings.register_profile("nightly", deadline=None, max_examples=EXAMPLES["nightly"], print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Choose the profile; pytest's own --hypothesis-profile goes before the environment."""
    if config.getoption("--hypothesis-profile", default=None):
        return
    name = os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
    if name not in EXAMPLES:
        raise pytest.UsageError(f"HYPOTHESIS_PROFILE is {name!r}, there are: {', '.join(EXAMPLES)}")
    settings.load_profile(name)
