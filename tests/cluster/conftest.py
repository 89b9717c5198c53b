"""Every test of this directory starts processes of its own."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import Cluster, Start, started

sys.path.append(str(Path(__file__).resolve().parents[1] / "io"))  # disks that do as they are told


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a formed cluster; ended after the test."""
    with ExitStack() as stack:

        def run(nodes: int = 3, **environment: str) -> Cluster:
            return stack.enter_context(started(tmp_path / "data", nodes, environment))

        yield run
