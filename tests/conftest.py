"""Hypothesis's profiles, for all tests: how many examples, and whether the same ones every time.

=========== ============================ ======== ======================================================
profile     chosen                       examples which
=========== ============================ ======== ======================================================
``dev``     by default                   100      new ones on each run; failures are kept in ``.hypothesis``
``ci``      where CI is set              100      the same ones every time, so that a change is what failed
``nightly`` by ``make nightly``          6,000    new ones; a failure prints the line that repeats it
=========== ============================ ======== ======================================================

HYPOTHESIS_PROFILE names another than the default, and pytest's --hypothesis-profile goes before both. State machines
(``tests/machines``) tell fewer stories than there are examples, each of them in proportion: see ``machine_sizes.py``.
What a machine has found in one profile is found again in ``dev`` from ``.hypothesis``, which CI does not have.
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
