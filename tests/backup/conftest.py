"""The fake server of the client tests serves backups too; nothing here waits for a cluster that is gone."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))

from walrus.cli.backup import restore, source


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PATIENCE_S", 0.0)
    monkeypatch.setattr(restore, "PATIENCE_S", 0.0)
    monkeypatch.setattr(restore, "SETTLE_S", 0.0)
