"""Makes the parts that other tests play with importable here, however pytest was started."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
for folder in (TESTS.parent, TESTS / "raft", TESTS / "segments", TESTS / "formats"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
