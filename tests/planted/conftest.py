"""Makes the planted bugs, and the parts that other tests play with, importable however pytest was started."""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]

for folder in ("segments", "raft", "core", "formats"):
    sys.path.insert(0, str(_TESTS / folder))
sys.path.insert(0, str(_TESTS.parent))
