"""The fake server of the client tests serves the command line too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "client"))
